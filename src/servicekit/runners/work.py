"""The processes of one job, as the service sees them: how they end, and how to end them."""

import asyncio
import json
import os
import select
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGTERM, Signals
from typing import Final, NamedTuple, Protocol, TypedDict

from servicekit.jobs.current import RunningJob
from servicekit.jobs.submission import Submission
from servicekit.runners.descriptors import DescriptorReader, TakeBytes, WorkDescriptors
from servicekit.runners.launcher_program.messages import KILL, TERMINATE

# The kernel ends a killed process within milliseconds, unless the process hangs in the kernel: it waits for a disk that
# does not answer, for example. The service cannot wait for that at its own end.
_KILL_SECONDS: Final = 1.0
# A job begins within milliseconds, or within seconds on a machine that is very busy. So after a minute the launcher
# hangs or was stopped.
_PATIENCE_SECONDS: Final = 60.0


class SubmissionTaker(Protocol):
    """Takes what a call asks for by the socket of its submissions."""

    def open(self, descriptor: int) -> None:
        """Answer into this socket, until nothing more is read from it."""
        ...

    def take(self, data: bytes) -> None:
        """Take what was read from the socket; nothing (`b""`) at its end."""
        ...


@dataclass(frozen=True, slots=True)
class WorkPlan:
    """What to start, and the functions that take what comes out of it."""

    request: Mapping[str, object]
    """For the launcher and the job's processes: see `launcher_program`."""
    make_stdin: Callable[[], bytes]
    """Makes what the work reads. It is called when the work is sent, and the data is not kept."""
    take_stdout: TakeBytes
    take_stderr: TakeBytes
    take_report: TakeBytes | None = None
    """For a call in Python: takes the call's messages, one by one."""
    submissions: SubmissionTaker | None = None
    """For a call in Python: submits the jobs that the call asks for."""


class WorkEnvironment(TypedDict):
    """The part of every request that gives the work the service's environment."""

    cwd: str
    is_cwd_given: bool
    """Whether the job names a working directory; else it is the service's own."""
    env: dict[str, str]
    max_memory_bytes: int | None
    has_guard: bool


class OutcomeFile:
    """A file to which a call in Python has written its outcome. It is closed by `close`, or with this object."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def close(self) -> None:
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    __del__ = close


class WorkEnd(NamedTuple):
    """How the work of a job has ended. Nothing of it is left."""

    has_begun: bool
    status: int | None
    """As of `os.waitpid`; `None` if the end was not seen."""
    error: str | None
    """Why it was not started, if that is the job's own fault."""
    start_problem: str | None
    """Why it was not started, if that is not the job's fault: it may be tried again later."""
    awaited: str | None
    """Why it was not started, if it waits for room on the cluster."""
    unmet: tuple[str, str] | None
    """What the job needs, if no node of the cluster could ever hold that; and the node that lacks least of it."""
    lost: str | None
    """Why the end was not seen, if that is known: what follows `since`."""
    excess: int | None
    """How many bytes of memory the work held, if it was killed for that."""
    was_asked: bool
    was_killed: bool
    """Whether the service killed it, and it ended by that."""
    outcome_file: OutcomeFile | None
    """What a call in Python has written of its outcome. The receiver closes it."""

    @property
    def was_lost(self) -> bool:
        """Whether the launcher ended before it could start the work: it may be tried again."""
        known = self.error or self.start_problem or self.awaited or self.unmet or self.lost
        return not (self.has_begun or known or self.was_asked)

    @property
    def is_stopped(self) -> bool:
        """Whether it ended because the service has stopped it. An end that was not seen counts, if it was asked to."""
        return self.was_killed or (self.was_asked and self.status in (SIGTERM, None))

    @property
    def description(self) -> str:
        """The predicate of a sentence: `exited with code 3`."""
        if self.error is not None:
            return f"could not be started: {self.error}"
        if self.status is None:
            return f"was not seen to end, since {self.lost or 'its supervisor was killed'}"
        code = os.waitstatus_to_exitcode(self.status)
        return f"exited with code {code}" if code >= 0 else f"was ended by {_name_of_signal(-code)}"


class WorkListener(Protocol):
    """Hears of works that do not begin."""

    @property
    def is_importing(self) -> bool:
        """Whether the launcher imports something, for which works have to wait."""
        ...

    def work_stuck(self, reason: str | None) -> None:
        """The launcher has not begun the work in time, which `reason` says; or `None`: the work is to be killed now."""
        ...


class Work:
    """One job's processes. A supervisor watches them, at the other end of a socket, the control.

    When that socket ends, the supervisor kills them all. It ends with this process too.

    If the work has not begun after a minute, in which the launcher imported nothing, the launcher is replaced: it was
    stopped, or hangs. The job's own processes may have the request already. So they are told to end after a second
    minute. After a third one the work is given up: without the control, its processes begin nothing.
    """

    def __init__(self, plan: WorkPlan, job: RunningJob, listener: WorkListener) -> None:
        self._job = job
        self._listener = listener
        self._supervisor: int | None = None  # its process id, known when the work has begun
        self._is_sent = False
        self.is_over = False
        self._status: int | None = None
        self._error: str | None = None
        self._start_problem: str | None = None
        self._awaited: str | None = None
        self._unmet: tuple[str, str] | None = None
        self._lost: str | None = None
        self._excess: int | None = None
        self._was_asked = False
        self._has_killed = False
        self._outcome_file: OutcomeFile | None = None
        self._has_said_all = False
        self._heard = b""  # the beginning of a line
        self._over = asyncio.Event()
        self._kill_at = float("inf")
        self._killing: asyncio.TimerHandle | None = None
        self._beginning: asyncio.TimerHandle | None = None
        self._delays = 0  # minutes without a beginning
        is_call = plan.take_report is not None
        self._descriptors = descriptors = WorkDescriptors(
            json.dumps(plan.request).encode(), plan.make_stdin(), is_call=is_call
        )
        self._control = DescriptorReader(descriptors.control, self._hear)
        self._readers = [
            DescriptorReader(descriptors.stdout, plan.take_stdout),
            DescriptorReader(descriptors.stderr, plan.take_stderr),
        ]
        if plan.take_report is not None:
            self._readers.append(DescriptorReader(descriptors.report, plan.take_report))
        if plan.submissions is not None:
            plan.submissions.open(descriptors.calls)
            self._readers.append(DescriptorReader(descriptors.calls, plan.submissions.take))

    @property
    def sent(self) -> list[int]:
        """The descriptors that the launcher needs."""
        return self._descriptors.sent

    def hand_over(self, *, is_sent: bool) -> None:
        """The launcher has been sent the descriptors, or will not be. They are closed here in both cases."""
        self._is_sent = is_sent
        self._descriptors.close_theirs()
        if is_sent:
            self._wait_for_begin()

    async def wait(self) -> None:
        """Wait until nothing of the work is left. The caller may be canceled, and wait again."""
        await self._over.wait()

    @property
    def end(self) -> WorkEnd:
        was_killed = self._has_killed and self._status == SIGKILL
        return WorkEnd(
            self._has_begun,
            self._status,
            self._error,
            self._start_problem,
            self._awaited,
            self._unmet,
            self._lost,
            self._excess,
            self._was_asked,
            was_killed,
            self._outcome_file,
        )

    @property
    def _has_begun(self) -> bool:
        return self._supervisor is not None

    def stop(self, grace_seconds: float) -> None:
        """Ask the work to stop, and kill it after the grace time. Asked again, the earlier of the times counts."""
        if self.is_over:
            return
        if not self._was_asked and self._descriptors.report >= 0:
            # The work reads this to tell the service's signal from one that somebody else has sent.
            _write(self._descriptors.report, b"stop")
        self._was_asked = True
        if self._supervisor is None and self._listener.is_importing:
            self._control.read()  # it may have begun just now
            if self._supervisor is None and not self.is_over:
                # To replace the launcher would make all other jobs wait for the import once more.
                self._give_up()
                return
        self._order(TERMINATE)
        kill_at = time.monotonic() + grace_seconds
        if kill_at < self._kill_at:
            self._set_timer(kill_at)

    def kill(self) -> None:
        """Kill the work now. If the launcher has not begun it, the launcher is replaced."""
        self._has_killed = True
        self._order(KILL)
        if self.is_over:
            return
        if self._supervisor is None and self._is_sent:
            self._listener.work_stuck(None)
        elif self._supervisor is not None:
            with suppress(ProcessLookupError, PermissionError):
                # A stopped supervisor (`kill -STOP`) would not read the order.
                os.kill(self._supervisor, SIGCONT)

    def end_without_loop(self) -> bool:
        """Kill the work after its event loop has ended. Wait for a second at most, and say whether the work is over."""
        self.kill()
        deadline, control = time.monotonic() + _KILL_SECONDS, select.poll()
        control.register(self._descriptors.control, select.POLLIN)
        while not self.is_over and (left := deadline - time.monotonic()) > 0:
            if control.poll(left * 1_000):
                self._control.read()
        return self.is_over

    def close_in_child(self) -> None:
        """In a forked child of this process: close the descriptors. Open there, they would keep the control alive."""
        self._descriptors.close()

    def _order(self, order: bytes) -> None:
        if not self.is_over:
            _write(self._descriptors.control, order)

    def _wait_for_begin(self) -> None:
        self._waits_for_import = self._listener.is_importing
        self._beginning = asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, self._lose_patience)

    def _lose_patience(self) -> None:
        waited_for_import = self._waits_for_import
        self._wait_for_begin()
        # A minute counts only if nothing was imported at its beginning or its end: else it could not begin.
        if waited_for_import or self._waits_for_import:
            return
        self._delays += 1
        match self._delays:
            case 1:
                self._listener.work_stuck(f"a job has not begun for {_PATIENCE_SECONDS:g} seconds")
            case 2:
                self._order(KILL)
            case _:
                self._give_up()

    def _give_up(self) -> None:
        """End the work, which has not begun, and refuse whatever its processes say from now on.

        They say that they begin before they do. If that is refused, they end.
        """
        # The other end fails to write as soon as this one does not read. `close` alone would not do that: a forked
        # child of the service may have the socket open too.
        with suppress(OSError), socket.socket(fileno=os.dup(self._descriptors.control)) as control:
            control.shutdown(socket.SHUT_RD)
        self._finish()

    def _set_timer(self, kill_at: float) -> None:
        _cancel(self._killing)
        self._kill_at = kill_at
        self._killing = asyncio.get_running_loop().call_later(kill_at - time.monotonic(), self.kill)

    def _hear(self, data: bytes) -> None:
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in lines:
            self._take_message(**json.loads(line))
        # The supervisor's last message says how the work has ended. If the supervisor was killed, only the end comes.
        # A gateway says that it was its last word.
        if not data or self._status is not None or self._has_said_all:
            self._finish()

    def _take_message(
        self,
        *,
        began: int | None = None,
        error: str | None = None,
        start_problem: str | None = None,
        awaited: str | None = None,
        unmet: tuple[str, str] | None = None,
        lost: str | None = None,
        excess: int | None = None,
        ended: int | None = None,
        over: bool = False,
    ) -> None:
        if began is not None:
            self._supervisor = began
            _cancel(self._beginning)
            self._job.note_begun()
        if error is not None:
            self._error = error
        if start_problem is not None:
            self._start_problem = start_problem
        self._awaited = awaited or self._awaited
        if unmet is not None:
            self._unmet = unmet
        if lost is not None:
            self._lost = lost
        if excess is not None:
            self._excess = excess
        if ended is not None:
            self._status = ended
        self._has_said_all = self._has_said_all or over

    def _finish(self) -> None:
        if self.is_over:
            return
        self.is_over = True
        _cancel(self._killing)
        _cancel(self._beginning)
        # What the work has written last may still be in the sockets.
        for reader in (*self._readers, self._control):
            reader.close()
        if self._descriptors.outcome_file >= 0:
            self._outcome_file = OutcomeFile(self._descriptors.take_outcome_file())
        self._descriptors.close()
        with suppress(RuntimeError):  # the event loop is closed, and no task waits
            self._over.set()


def describe_environment(submission: Submission, job: RunningJob, cwd: str | None = None) -> WorkEnvironment:
    """What the work gets from the service. `FileNotFoundError` if the service's directory is needed, and is gone."""
    return {
        "cwd": cwd if cwd is not None and Path(cwd).is_absolute() else str(Path(_own_directory(), cwd or "")),
        "is_cwd_given": cwd is not None,
        "env": {**os.environ, "SERVICEKIT_JOB_ID": job.id, "SERVICEKIT_ATTEMPT": str(job.attempt)},
        "max_memory_bytes": submission.options.max_memory_bytes,
        "has_guard": job.guard is not None,
    }


def _own_directory() -> str:
    try:
        return str(Path.cwd())
    except FileNotFoundError as error:
        raise FileNotFoundError("the working directory of the service is gone") from error


def _name_of_signal(number: int) -> str:
    try:
        return Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


def _write(descriptor: int, data: bytes) -> None:
    with suppress(OSError):  # the other end has closed it
        os.write(descriptor, data)
