"""The service's end of the launcher: starts it when it is needed, and has it start the work of jobs."""

import asyncio
import errno
import logging
import os
import socket
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from servicekit.jobs.current import RunningJob
from servicekit.runners import launcher_main
from servicekit.runners.coroutine import absorb_cancellation
from servicekit.runners.launcher_main import CALL, PROGRAM
from servicekit.runners.reserve import Reserve
from servicekit.runners.work import Plan, Work, WorkEnd

T = TypeVar("T")

_log = logging.getLogger("servicekit.engine")

_TRIES: Final = 3
_BUSY_SECONDS: Final = 0.01
_BUSY: Final = (errno.EAGAIN, errno.ETOOMANYREFS, errno.ENOBUFS)
_PROGRAM: Final = str(Path(launcher_main.__file__))


class Launcher:
    """Starts the processes of jobs, by a small process of its own: see the page in `servicekit.runners`.

    That process is started for the first job, and again for the next one should it have died; running jobs do not
    need it. It ends with `close`, or with this object, or with this process. A forked child of this process begins
    without it, and without the jobs.
    """

    def __init__(self, preload: Iterable[str] = ()) -> None:
        """`preload`: the modules to import in that process, where all functions find them imported."""
        self._preload = tuple(preload)
        self._link: _Link | None = None
        self._works: dict[RunningJob, Work] = {}
        self._reserve = Reserve()
        self._is_open = False
        os.register_at_fork(after_in_child=partial(_forget_in_child, weakref.ref(self)))

    async def run(self, plan: Plan, job: RunningJob) -> WorkEnd:
        """Run the work of a job until nothing of it is left.

        While `job.is_interruptible`, to cancel the task that awaits this asks the work to stop; it is killed
        `job.kill_grace_seconds` after that, and the launcher as well if it has not begun it by then. `OSError` if it
        cannot begin, since there are not enough descriptors or processes, say.
        """
        for _ in range(_TRIES):
            end = await self._try(plan, job)
            if not end.was_lost:
                return end
            if end.answer is not None:
                end.answer.close()
        raise OSError("the process that starts the processes of jobs ends before it has begun any")

    def open(self) -> None:
        """Keep some descriptors for jobs, until `close`."""
        self._is_open = True
        self._reserve.fill()

    async def _try(self, plan: Plan, job: RunningJob) -> WorkEnd:
        work = self._works[job] = self._open(partial(Work, plan, job, self._preload, self))
        try:
            await self._start(work, job, CALL if plan.take_report is not None else PROGRAM)
            await _wait(work, job)
        except OSError:
            self.end_cut_off(job)
            raise
        finally:
            if work.is_over:
                self._works.pop(job, None)
            else:  # the event loop is taken down
                work.kill()
            if self._is_open:
                self._reserve.fill()
        return work.end

    def _open(self, make: Callable[[], T]) -> T:
        """Make what needs descriptors, with those of the reserve if there are no others."""
        try:
            return make()
        except OSError as error:
            if not self._reserve.give_up(error):
                raise
            return make()

    def end_cut_off(self, job: RunningJob) -> bool:
        """Kill what a job has left whose `run` was cut off; say whether that is done."""
        work = self._works.get(job)
        if work is None:
            return True
        if work.end_without_loop():
            del self._works[job]
        return work.is_over

    def close(self) -> None:
        """End the process; the next job starts another."""
        self._is_open = False
        self._reserve.close()
        self._end_link()

    def _end_link(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def work_stuck(self) -> None:
        self._end_link()

    def preload_unsafe(self, threads: str) -> None:
        if self._preload:
            _log.warning(
                "Each job in a process of its own imports %s by itself: where that is imported beforehand there are "
                "other threads (%s), beside which no process can be forked safely",
                ", ".join(self._preload),
                threads,
            )
        self._preload = ()
        self._end_link()

    async def _start(self, work: Work, job: RunningJob, kind: bytes) -> None:
        lifeline = [] if job.lifeline is None else [job.lifeline]
        is_sent = False
        try:
            while not (is_sent := self._send(kind, [*work.sent, *lifeline])) and not job.is_cancel_requested:  # noqa: ASYNC110
                await asyncio.sleep(_BUSY_SECONDS)
        finally:
            work.hand_over(is_sent=is_sent)

    def _send(self, kind: bytes, descriptors: list[int]) -> bool:
        """`False`: there are too many requests on their way already. If the launcher has died, the work is lost."""
        if self._link is None:
            self._link = self._open(_Link)
        try:
            socket.send_fds(self._link.socket, [kind], descriptors)
        except ConnectionError:
            self._end_link()
        except OSError as error:
            if error.errno not in _BUSY:
                raise
            return False
        return True

    def _forget(self) -> None:
        if self._link is not None:
            self._link.forget()
            self._link = None
        self._reserve.close()
        for work in self._works.values():
            work.close_in_child()
        self._works = {}


class _Link:
    """The process, and the socket to it."""

    def __init__(self) -> None:
        self.socket, theirs = socket.socketpair()
        self.socket.setblocking(False)
        with theirs, ExitStack() as undo:
            undo.enter_context(self.socket)
            self._process = subprocess.Popen(
                [sys.executable, "-P", _PROGRAM, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # what a terminal sends is meant for the service
            )
            undo.pop_all()
        self._finalizer = weakref.finalize(self, _end, self._process, self.socket)

    def close(self) -> None:
        self._finalizer()

    def forget(self) -> None:
        """In a forked child: let go of it without ending it."""
        self._finalizer.detach()
        self.socket.close()
        self._process.returncode = 0  # it is not this process's child, and its end of no interest


def _end(process: "subprocess.Popen[bytes]", connection: socket.socket) -> None:
    connection.close()
    process.kill()  # at once, whatever it imports
    process.wait()


def _forget_in_child(reference: "weakref.ref[Launcher]") -> None:
    launcher = reference()
    if launcher is not None:
        launcher._forget()


async def _wait(work: Work, job: RunningJob) -> None:
    job.is_interruptible = True
    try:
        if job.is_cancel_requested:  # while it was started
            work.stop(job.kill_grace_seconds)
        while not work.is_over:
            try:
                await work.wait()
            except asyncio.CancelledError:
                work.stop(job.kill_grace_seconds)
    finally:
        job.is_interruptible = False
    if job.is_cancel_requested:
        await absorb_cancellation()
