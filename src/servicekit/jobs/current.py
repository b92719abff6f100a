"""`current_job()`: a target learns of its own job, and reports progress, lines and new jobs."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from math import isfinite
from typing import Any, NamedTuple, ParamSpec, Protocol, Unpack, overload

from ulid import ULID

from servicekit.errors import JobCanceled, NoCurrentJob, WouldBlock
from servicekit.jobs.command import Command
from servicekit.jobs.ids import parse_artifact_id
from servicekit.jobs.log_lines import LineBuffer, NewLine
from servicekit.jobs.metadata import metadata_of
from servicekit.jobs.options import DEFAULT_OPTIONS, JobOptions, OptionChanges, changed, options_of
from servicekit.jobs.outcome import clip
from servicekit.jobs.record import Progress
from servicekit.jobs.submission import JobTarget, Submission

P = ParamSpec("P")

MAX_MESSAGE_CHARACTERS = 500  # it is written with each report and stands in lists, so it must be short

# Guards what a job has only if it is asked for. One lock for all jobs, since few need it; and an `RLock`, since a
# finalizer that prints can run on the thread that holds it.
_making = threading.RLock()


class JobCall(NamedTuple):
    """A call that a target wants to submit as another job."""

    target: JobTarget
    args: tuple[object, ...]
    kwargs: dict[str, object]
    options: JobOptions


class JobHost(Protocol):
    """The engine, as a running job sees it: it takes reports, and submits jobs. A job can report after it has ended."""

    @property
    def database_url(self) -> str | None:
        """The URL of the database server with the jobs, which may have a password; `None` if they are in none."""
        ...

    def notify_begun(self, job: "RunningJob") -> None:
        """The target has begun to run. Only runners call it whose targets can fail to begin."""
        ...

    def notify_report(self, job: "RunningJob") -> None:
        """The job has progress or lines to take. It may be called from any thread."""
        ...

    async def submit_for(self, job: "RunningJob", call: JobCall) -> str:
        """Submit a job whose parent is this job, from any event loop, and return its id."""
        ...

    def submit_blocking_for(self, job: "RunningJob", call: JobCall) -> str:
        """Like `submit_for`, from a thread without an event loop. It blocks the thread until the job is kept."""
        ...


class RunningJob:
    """The running job, for the engine and its runner. A target gets a `CurrentJob`, which shows a part of it."""

    __slots__ = (
        "_canceled", "_host", "_is_notified", "_lines", "_progress", "_taken", "artifact_id", "attempt", "guard",
        "id", "is_cancel_requested", "is_interruptible", "kill_grace_seconds", "submission",
    )  # fmt: skip

    def __init__(self, submission: Submission, attempt: int, host: JobHost) -> None:
        self.id = submission.id
        self.submission = submission
        self.attempt = attempt
        self.artifact_id: str | None = None
        """The artifact that the attempt has named. It becomes the record's, however the job ends."""
        self.is_cancel_requested = False
        """Whether the job was asked to stop. A coroutine gets `CancelledError` as well; a thread has only this."""
        self.is_interruptible = False
        """Whether to cancel the attempt's task now would reach the target, and nothing else (set by the runner)."""
        self._canceled: threading.Event | None = None
        self._progress: tuple[float, float | None, str | None] | None = None
        self._taken: tuple[float, float | None, str | None] | None = None
        self._lines: LineBuffer | None = None
        self._is_notified = False
        self._host = host
        self.kill_grace_seconds = 5.0
        """How long a process that was asked to stop has until it is killed (set by the engine, for the runner)."""
        self.guard: int | None = None
        """A descriptor for the processes of the job: see `guard` in `ports` (set by the engine, for the runner)."""

    @property
    def database_url(self) -> str | None:
        """See `JobHost`."""
        return self._host.database_url

    def wait_cancel_requested(self, timeout: float | None) -> bool:
        """See `CurrentJob`."""
        with _making:
            if self._canceled is None:
                self._canceled = threading.Event()
        if self.is_cancel_requested:  # the request came before the event was there, so nobody would set the event
            return True
        return self._canceled.wait(timeout)

    def progress(self, done: float, total: float | None = None, message: str | None = None) -> None:
        """See `CurrentJob`."""
        text = message if message is None else _exact(message)
        self._progress = (_finite(done), None if total is None else _finite(total), text)
        if not self._is_notified:
            self._notify()

    def log(self, text: str, level: str = "info", source: str = "log") -> None:
        """See `CurrentJob`."""
        (self._lines or self._made_lines()).add(_exact(text), str(level).lower(), source)
        if not self._is_notified:
            self._notify()

    def name_artifact(self, artifact_id: str | ULID) -> None:
        """See `CurrentJob.artifact`."""
        self.artifact_id = parse_artifact_id(artifact_id)

    def log_piece(self, text: str, level: str, source: str) -> None:
        """Add a printed text to the log. Its last line goes on with the next piece."""
        if self._made_lines().add_piece(_exact(text), level, source):
            self._notify()

    @property
    def newest_progress(self) -> object:
        """The newest report of progress, a new object for each report; `None` if there was none."""
        return self._progress

    @property
    def has_report(self) -> bool:
        """Whether there can be progress or lines to take."""
        return self._lines is not None or self._progress is not self._taken

    @property
    def is_report_due(self) -> bool:
        """Whether the engine was told of progress or lines that it has not taken yet."""
        return self._is_notified

    def finish_log(self) -> None:
        """Add the printed texts without a line break to the log: the attempt has ended."""
        if self._lines is not None:
            self._lines.finish()

    def take_lines(self) -> list[NewLine]:
        """The lines that were not taken before."""
        self._is_notified = False
        return [] if self._lines is None else self._lines.take()

    def seconds_to_next_line(self) -> float | None:
        """In how many seconds a line that is written over must be taken; `None` if there is none."""
        return None if self._lines is None else self._lines.seconds_to_next()

    def _made_lines(self) -> LineBuffer:
        if self._lines is None:
            with _making:
                self._lines = self._lines or LineBuffer()
        return self._lines

    def _notify(self) -> None:
        # Without a lock: a report is stored before this flag is read, and taken after the flag is cleared. So the
        # engine can be told once too often, but never once too few.
        if not self._is_notified:
            self._is_notified = True
            self._host.notify_report(self)

    def take_progress(self) -> Progress | None:
        """The newest progress, unless it was taken before."""
        self._is_notified = False
        newest = self._progress
        if newest is None or newest is self._taken:
            return None
        self._taken = newest
        done, total, message = newest
        return Progress(done, total, None if message is None else clip(message, MAX_MESSAGE_CHARACTERS))

    def note_begun(self) -> None:
        """The target has begun to run: see `JobHost.notify_begun`."""
        self._host.notify_begun(self)

    def request_cancel(self) -> None:
        """Ask the target to stop: set the flag, and wake a thread that waits for it."""
        self.is_cancel_requested = True
        if self._canceled is not None:
            self._canceled.set()

    async def submit(self, call: JobCall) -> str:
        """See `CurrentJob.submit_async`."""
        return await self._host.submit_for(self, call)

    def submit_blocking(self, call: JobCall) -> str:
        """See `CurrentJob.submit`."""
        check_may_block()
        return self._host.submit_blocking_for(self, call)


class _Parent:
    """Submits jobs whose parent is the current job."""

    __slots__ = ()

    _running: RunningJob
    _changes: OptionChanges

    @overload
    def submit(self, target: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> str: ...

    @overload
    def submit(self, target: Coroutine[Any, Any, object] | Command, /) -> str: ...

    def submit(self, target: JobTarget, /, *args: Any, **kwargs: Any) -> str:
        """Submit a job like `Scheduler.add_job`, with its errors, and return its id. Its `parent` is this job.

        For plain functions: it blocks the thread until the job is kept. On an event loop it raises `WouldBlock`; await
        `submit_async` there. In a job's own process (`runner="process"`), another process must be able to import the
        target by its name and to read the arguments, of at most 1 MiB: else `InvalidTarget` or `InvalidArguments`.

        The new job is independent: it goes on if this job is canceled or deleted. If this job is run again, it submits
        again. To avoid that, give the new job an idempotency key that contains this job's id: the second submission
        then returns the first one's id.
        """
        return self._running.submit_blocking(self._describe(target, args, kwargs))

    @overload
    async def submit_async(self, target: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> str: ...

    @overload
    async def submit_async(self, target: Coroutine[Any, Any, object] | Command, /) -> str: ...

    async def submit_async(self, target: JobTarget, /, *args: Any, **kwargs: Any) -> str:
        """Like `submit`, for coroutines: it does not block the event loop."""
        return await self._running.submit(self._describe(target, args, kwargs))

    def _describe(self, target: JobTarget, args: tuple[object, ...], kwargs: dict[str, object]) -> JobCall:
        options = options_of(target)
        return JobCall(target, args, kwargs, changed(options, self._changes) if self._changes else options)


class CurrentJob(_Parent):
    """The running job, for its own target. Every member may be used from any thread."""

    __slots__ = ("_running",)

    _changes: OptionChanges = {}  # noqa: RUF012 # nobody changes it

    def __init__(self, running: RunningJob) -> None:
        self._running = running

    @property
    def id(self) -> str:
        """The job's id."""
        return self._running.id

    @property
    def attempt(self) -> int:
        """How many times the job has been started."""
        return self._running.attempt

    @property
    def name(self) -> str:
        """The name of the job in lists."""
        return self._running.submission.name

    @property
    def tags(self) -> tuple[str, ...]:
        """The words by which the job is found."""
        return self._running.submission.options.tags

    @property
    def metadata(self) -> dict[str, object]:
        """A copy of the JSON object that the submitter keeps with the job."""
        return metadata_of(self._running.submission.options.metadata).as_dict()

    @property
    def parent(self) -> str | None:
        """The id of the job that submitted this one; `None` if no job did."""
        return self._running.submission.parent

    @property
    def owner(self) -> str | None:
        """Whose job it is; `None` if it is nobody's."""
        return self._running.submission.options.owner

    @property
    def is_cancel_requested(self) -> bool:
        """Whether the job was asked to stop. A coroutine gets `CancelledError` as well; a thread has only this."""
        return self._running.is_cancel_requested

    def raise_if_canceled(self) -> None:
        """Raise `JobCanceled` if the job was asked to stop. Unless the target catches it, the job ends `canceled`."""
        if self._running.is_cancel_requested:
            raise JobCanceled(self._running.id)

    def wait_cancel_requested(self, timeout: float | None = None) -> bool:
        """Block this thread until the job is asked to stop, or for `timeout` seconds. Return whether it was asked.

        For plain functions, instead of `time.sleep`. In a coroutine it would block the event loop.
        """
        return self._running.wait_cancel_requested(timeout)

    def progress(self, done: float, total: float | None = None, message: str | None = None) -> None:
        """Report how far the job is. It is cheap enough for every turn of a loop: only the newest report is passed on.

        `TypeError` or `ValueError` if `done` or `total` is not a finite number.
        """
        self._running.progress(done, total, message)

    def log(self, text: str, level: str = "info", source: str = "log") -> None:
        """Add one or more lines to the job's log. If they come faster than they are kept, the oldest are left out."""
        self._running.log(text, level, source)

    def artifact(self, id: str | ULID) -> None:  # noqa: A002 # what users call it
        """Name the job's artifact: the record's `artifact_id` from the end of the job on, however it ends.

        So a job leads to what it has kept also if it fails, is canceled, exceeds a time limit or is killed. The last
        call counts, before a ULID that the target returns, and before what a `ResultHook` returns. The next attempt
        starts without a name. If the process of the service dies, the name is lost with it.

        `InvalidArtifactId` if it is no ULID. Nobody checks that something is kept by this id.
        """
        self._running.name_artifact(id)

    def with_options(self, **options: Unpack[OptionChanges]) -> "CurrentJobWithOptions":
        """An object whose `submit` gives jobs these options (see `JobOptions`). They replace those of the target.

        `ConfigurationError` for an option that does not exist, or whose value makes no sense.
        """
        return CurrentJobWithOptions(self._running, options)


class CurrentJobWithOptions(_Parent):
    """Submits jobs with options of their own: see `CurrentJob.with_options`."""

    __slots__ = ("_changes", "_running")

    def __init__(self, running: RunningJob, changes: OptionChanges) -> None:
        changed(DEFAULT_OPTIONS, changes)  # it raises here, at the mistake, and not at the first `submit`
        self._running = running
        self._changes = changes


def check_may_block(call: str = "submit()", instead: str = "`await ...submit_async()`") -> None:
    """`WouldBlock` if this thread runs an event loop. On the scheduler's, the call would wait for itself for ever."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise WouldBlock(call, instead)


def _finite(number: float) -> float:
    try:
        if isfinite(number):
            # Other kinds of numbers, such as NumPy's or a `Fraction`, cannot be written as JSON.
            return number if type(number) is int else float(number)
    except OverflowError:
        pass
    raise ValueError(f"progress must be finite numbers, not {clip(repr(number), 40)}")


def _exact(text: str) -> str:
    """The value as a plain `str`. A subclass of `str` is copied, since it can have methods of its own."""
    return text if type(text) is str else str.__str__(str(text))


current: ContextVar[RunningJob] = ContextVar("servicekit_current_job")
"""The job of this context. Runners set it. The `CurrentJob` for the target is made when the target asks."""


def current_job() -> CurrentJob:
    """The job that is running this code; `NoCurrentJob` outside of one."""
    job = current.get(None)
    if job is None:
        raise NoCurrentJob
    return CurrentJob(job)


def running_job() -> RunningJob | None:
    """The job that is running this code, as the engine knows it; `None` outside of one."""
    return current.get(None)
