"""The service's end of the launcher: starts the launcher when it is needed, and has it start the work of jobs."""

import asyncio
import logging
import os
import weakref
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

from servicekit.jobs.current import RunningJob
from servicekit.runners.coroutine import absorb_cancellation
from servicekit.runners.launcher_link import LauncherLink, LauncherListener, Link
from servicekit.runners.launcher_program.messages import CALL, PROGRAM
from servicekit.runners.reserve import DescriptorReserve
from servicekit.runners.work import Work, WorkEnd, WorkPlan

T = TypeVar("T")

_log = logging.getLogger("servicekit.engine")

# A launcher can be killed by accident, as by the system for want of memory. If three end or hang before they begin
# anything, something is wrong with all, and the job goes back to wait.
_TRIES: Final = 3
# The launcher takes a request in a few milliseconds. Then there is room for the next.
_BUSY_SECONDS: Final = 0.01


class Launcher:
    """Starts the processes of jobs by a small process of its own: see the page in `servicekit.runners`.

    That process is started for the first job, or by `open` if it has modules to preload. If it ends or does not answer,
    the next job starts another. Running jobs do not need it. It ends with `close`, with this object, or with the
    service. A forked child of the service begins without it, and without the jobs.
    """

    def __init__(
        self, preload: Collection[str] = (), *, make_link: Callable[[LauncherListener], Link] | None = None
    ) -> None:
        """`preload`: the modules that are imported in that process once, for all functions. It may grow until the first
        job, or `open`.

        `make_link` starts another process than the launcher, which takes the same requests. `OSError` from it means
        that the job goes back.
        """
        self._preload = preload
        self._make_link = make_link
        self._without: Launcher | None = None
        self._notice: str | None = None
        self._link: Link | None = None
        self._works: dict[RunningJob, Work] = {}
        self._reserve = DescriptorReserve()
        self._is_open = False
        os.register_at_fork(after_in_child=partial(_forget_in_child, weakref.ref(self)))

    @property
    def without_preload(self) -> "Launcher":
        """The launcher for programs, which need nothing that is imported and do not wait for it: another one if this
        one preloads.
        """
        if self._without is None and self._preload:
            self._without = Launcher()
        return self._without or self

    async def run(self, plan: WorkPlan, job: RunningJob) -> WorkEnd:
        """Run the work of a job until nothing of it is left.

        While `job.is_interruptible`, a cancellation of the calling task asks the work to stop. The work is killed
        `job.kill_grace_seconds` after that. If the launcher has not begun the work by then, the launcher is replaced.
        `OSError` if the work cannot begin, as for want of descriptors or processes.
        """
        for _ in range(_TRIES):
            end = await self._try(plan, job)
            if not end.was_lost:
                return end
            if end.outcome_file is not None:
                end.outcome_file.close()
        raise OSError("the process that starts the processes of jobs ends, or does not answer, before it has begun any")

    def open(self) -> None:
        """Keep some descriptors for jobs until `close`, and begin to preload."""
        self._is_open = True
        self._reserve.fill()
        if self._preload or self._make_link is not None:
            with suppress(OSError):  # the first job tries it again
                self._open(self._find_link).prepare()

    def find_room(self, on_room: Callable[[], None]) -> int | None:  # noqa: ARG002 (it is never full)
        """See `Runner`."""
        return None

    def find_notice(self) -> str | None:
        """What does not work as it was asked for, though jobs run; or `None`."""
        return self._notice

    async def _try(self, plan: WorkPlan, job: RunningJob) -> WorkEnd:
        link = self._open(self._find_link)
        work = self._works[job] = self._open(partial(Work, plan, job, link))
        try:
            await self._start(link, work, job, CALL if plan.take_report is not None else PROGRAM)
            await _wait(work, job)
        except OSError:
            self.end_cut_off(job)
            raise
        finally:
            if work.is_over:
                self._works.pop(job, None)
            else:  # the event loop is closed under this task; `end_cut_off` goes on
                work.kill()
            if self._is_open:
                self._reserve.fill()
        return work.end

    def _open(self, make: Callable[[], T]) -> T:
        """Make something that needs descriptors. If there are none, those of the reserve are given up for it."""
        try:
            return make()
        except OSError as error:
            if not self._reserve.give_up(error):
                raise
            return make()

    def end_cut_off(self, job: RunningJob) -> bool:
        """Kill what is left of a job whose `run` was cut off, and say whether nothing is left."""
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

    def link_lost(self, link: Link) -> None:
        if self._link is link:
            self._link = None
        link.close()

    def import_failed(self, problem: str) -> None:
        self._notice = problem
        _log.warning("%s", problem)

    def preload_failed(self, reason: str) -> None:
        modules, self._preload = ", ".join(dict.fromkeys(self._preload)), ()
        self._notice = (
            f"Each job in a process of its own imports {modules} by itself, which was to be done once: {reason}."
        )
        _log.warning("%s", self._notice)

    def _find_link(self) -> Link:
        if self._link is not None and self._link.is_left:
            self._end_link()
        if self._link is None:
            self._link = LauncherLink(self._preload, self) if self._make_link is None else self._make_link(self)
        return self._link

    async def _start(self, link: Link, work: Work, job: RunningJob, kind: bytes) -> None:
        guard = [] if job.guard is None else [job.guard]
        descriptors = [*work.sent, *guard]
        is_sent = False
        try:
            while not (is_sent := self._send(link, kind, descriptors)) and not job.is_cancel_requested:  # noqa: ASYNC110
                await asyncio.sleep(_BUSY_SECONDS)
        finally:
            work.hand_over(is_sent=is_sent)

    def _send(self, link: Link, kind: bytes, descriptors: list[int]) -> bool:
        """`False` if too many requests are on their way. If the launcher has ended, the work is lost (`was_lost`)."""
        try:
            if (kind == CALL or self._preload) and not self._open(link.prepare):
                return False
            return link.send(kind, descriptors)
        except ConnectionError:
            link.note_end()
        return True

    def _forget(self) -> None:
        if self._link is not None:
            self._link.forget()
            self._link = None
        self._reserve.close()
        for work in self._works.values():
            work.close_in_child()
        self._works = {}


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
