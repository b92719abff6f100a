"""`current_job()`: what a target can know and say while it runs."""

import threading
from contextvars import ContextVar
from math import isfinite
from typing import Protocol

from servicekit.errors import JobCanceled, NoCurrentJob
from servicekit.jobs.logs import LineBuffer, NewLine
from servicekit.jobs.outcome import clip
from servicekit.jobs.record import Progress

MAX_MESSAGE_CHARACTERS = 500

_making = threading.RLock()


class ReportListener(Protocol):
    """Whoever wants to know of a job's progress and log lines."""

    def notify_report(self) -> None:
        """There is progress, or there are lines, to take. May be called from any thread."""
        ...


class CurrentJob:
    """The running job, as its own target sees it. Every method may be called from any thread."""

    __slots__ = (
        "_canceled", "_is_notified", "_lines", "_listener", "_progress", "_taken", "attempt", "id",
        "is_cancel_requested", "is_interruptible", "kill_grace_seconds", "lifeline",
    )  # fmt: skip

    def __init__(self, job_id: str, attempt: int, listener: ReportListener) -> None:
        self.id = job_id
        self.attempt = attempt
        self.is_cancel_requested = False
        """Whether the job was asked to stop. A coroutine gets `CancelledError` as well; a thread has only this."""
        self.is_interruptible = False
        """Whether canceling the attempt's task now would reach the target, and nothing else (set by the runner)."""
        self._canceled: threading.Event | None = None
        self._progress: tuple[float, float | None, str | None] | None = None
        self._taken: tuple[float, float | None, str | None] | None = None
        self._lines: LineBuffer | None = None
        self._is_notified = False
        self._listener = listener
        self.kill_grace_seconds = 5.0
        """How long a process that was asked to stop has until it is killed (set by the engine, for the runner)."""
        self.lifeline: int | None = None
        """A descriptor for whoever runs the job outside of this process (set by the engine, for the runner)."""

    def raise_if_canceled(self) -> None:
        """Raise `JobCanceled` if the job was asked to stop. Let it pass, and the job ends `canceled`."""
        if self.is_cancel_requested:
            raise JobCanceled(self.id)

    def wait_cancel_requested(self, timeout: float | None = None) -> bool:
        """Block this thread until the job is asked to stop, or for `timeout` seconds; say whether it was asked.

        For plain functions, instead of `time.sleep`. A coroutine would block the event loop with it.
        """
        with _making:
            if self._canceled is None:
                self._canceled = threading.Event()
        if self.is_cancel_requested:  # asked for before, or while, the event was made
            return True
        return self._canceled.wait(timeout)

    def progress(self, done: float, total: float | None = None, message: str | None = None) -> None:
        """Say how far the job is. Cheap enough for every turn of a loop: only the newest is kept and passed on.

        `TypeError` or `ValueError` for what is not a finite number.
        """
        text = message if message is None else _exact(message)
        self._progress = (_finite(done), None if total is None else _finite(total), text)
        self._notify()

    def log(self, text: str, level: str = "info", source: str = "log") -> None:
        """Add a line to the job's log, or several. Of what comes faster than it is kept, the newest is."""
        self._made_lines().add(_exact(text), str(level).lower(), source)
        self._notify()

    def log_piece(self, text: str, level: str, source: str) -> None:
        """Add to the log what was printed: its last line goes on with the next piece (the capturing side of `log`)."""
        if self._made_lines().add_piece(_exact(text), level, source):
            self._notify()

    @property
    def has_report(self) -> bool:
        """Whether there may be progress or lines to take (the engine's side of both)."""
        return self._lines is not None or self._progress is not self._taken

    def finish_log(self) -> None:
        """Add to the log what was printed without a line break: the attempt has ended (the engine's side of `log`)."""
        if self._lines is not None:
            self._lines.finish()

    def take_lines(self) -> list[NewLine]:
        """The lines that have not been taken yet (the engine's side of `log`)."""
        self._is_notified = False
        return [] if self._lines is None else self._lines.take()

    def seconds_to_next_line(self) -> float | None:
        """When a line that is written over is to be taken as it stands; `None` if there is none (the engine's side)."""
        return None if self._lines is None else self._lines.seconds_to_next()

    def _made_lines(self) -> LineBuffer:
        if self._lines is None:
            with _making:
                self._lines = self._lines or LineBuffer()
        return self._lines

    def _notify(self) -> None:
        # Written before the flag is read, and read after it is cleared: at worst the engine is told twice.
        if not self._is_notified:
            self._is_notified = True
            self._listener.notify_report()

    def take_progress(self) -> Progress | None:
        """The newest progress, unless it was taken before (the engine's side of `progress`)."""
        self._is_notified = False
        newest = self._progress
        if newest is None or newest is self._taken:
            return None
        self._taken = newest
        done, total, message = newest
        return Progress(done, total, None if message is None else clip(message, MAX_MESSAGE_CHARACTERS))

    def request_cancel(self) -> None:
        """Ask the target to stop (the engine's side of the cancel flag)."""
        self.is_cancel_requested = True
        if self._canceled is not None:
            self._canceled.set()


def _finite(number: float) -> float:
    try:
        if isfinite(number):
            # Whatever else counts as a number (numpy's, a Fraction) is not JSON.
            return number if type(number) is int else float(number)
    except OverflowError:
        pass
    raise ValueError(f"progress must be finite numbers, not {clip(repr(number), 40)}")


def _exact(text: str) -> str:
    """What is no text is made one; what is a class of the user's, which can have its own idea of everything, too."""
    return text if type(text) is str else str.__str__(str(text))


current: ContextVar[CurrentJob] = ContextVar("servicekit_current_job")


def current_job() -> CurrentJob:
    """The job that is running this code; `NoCurrentJob` outside of one."""
    job = current.get(None)
    if job is None:
        raise NoCurrentJob
    return job
