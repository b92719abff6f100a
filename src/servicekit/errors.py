"""Every error that servicekit raises, on one page.

    ServicekitError
    ├── JobNotFound           (also a KeyError)      no job has this id
    ├── InvalidJobId          (also a ValueError)    the text is not a ULID
    ├── InvalidTarget         (also a TypeError)     this cannot be run as a job
    ├── ConfigurationError    (also a ValueError)    an option makes no sense
    ├── ResultUnavailable     (also a RuntimeError)  there is no result to give
    │   ├── JobNotFinished                           not yet
    │   ├── JobFailed                                the job failed or was canceled
    │   └── ResultDropped                            it was too old or too big to keep
    ├── SchedulerClosed       (also a RuntimeError)  the service is stopping
    ├── StoreUnavailable      (also an OSError)      the file or its disk does not do what it should
    ├── RecordUnreadable      (also a RuntimeError)  a newer version has written what this one cannot read
    ├── QueueFull             (also a RuntimeError)  too many jobs wait already
    ├── IdempotencyConflict   (also a ValueError)    the key was used for something else
    ├── InvalidArguments      (also a TypeError)     the arguments do not fit the target
    ├── RetryUnavailable      (also a RuntimeError)  the job cannot be submitted again
    ├── ScheduleNotFound      (also a KeyError)      no schedule has this name
    ├── TimeLimitExceeded     (also a TimeoutError)  why a job failed that took too long
    │   ├── RunTimeout                               to run
    │   ├── QueueTimeout                             to start
    │   └── SilenceTimeout                           to say how far it is
    ├── MemoryLimitExceeded   (also a MemoryError)   why a job failed that took too much memory
    ├── CommandFailed         (also a RuntimeError)  why a job failed whose program did
    ├── JobLost               (also a RuntimeError)  why a job failed that its process did not survive
    │   ├── ProcessCrashed                           its own process, that is
    │   ├── ProcessDied                              and it has had its restarts
    │   ├── ProcessStopped                           in order, and it must not run twice
    │   ├── NotRestartable                           and no other process can run it
    │   ├── TargetUnavailable                        and what it runs cannot be imported any more
    │   └── ArgumentsUnfit                           and what it runs takes others by now
    ├── MissingExtra          (also an ImportError)  a feature's package is not installed
    ├── NoCurrentJob          (also a RuntimeError)  called outside of a job
    ├── WouldBlock            (also a RuntimeError)  called where it would hold up an event loop
    ├── NotAwaited            (also a RuntimeError)  an endpoint has returned a call without `await`
    ├── WrongEventLoop        (also a RuntimeError)  called on another event loop than the scheduler's
    ├── RetryAfter                                   raised inside a target that wants to be tried again later
    └── JobCanceled                                  raised inside a target that was asked to stop

Errors know nothing of HTTP: `servicekit.api.errors` maps them to responses.
"""

from datetime import timedelta


class ServicekitError(Exception):
    """The root of the tree: catch this to catch everything that is ours. All of them can be pickled."""

    def __reduce__(self) -> tuple[object, ...]:
        # An exception's own way calls its class with its text, which is not what ours are made of: the reader of a
        # `multiprocessing.Pool`, say, would die of that, and whoever waits for the pool would wait for ever.
        return _restore, (type(self), self.args, vars(self))


def _restore(kind: type[ServicekitError], args: tuple[object, ...], facts: dict[str, object]) -> ServicekitError:
    # What would make the text of the facts is left out: both are there. `kind.__new__` refuses some of the bases.
    error: ServicekitError = type(kind.__name__, (kind,), {"__init__": _leave})()
    error.__class__ = kind
    error.args = args
    vars(error).update(facts)
    return error


def _leave(error: ServicekitError) -> None:
    """Make nothing of it."""


class JobNotFound(ServicekitError, KeyError):
    """No job has this id: it never existed, was deleted, or was old enough to be dropped."""

    def __init__(self, job_id: str) -> None:
        super().__init__(job_id)
        self.job_id = job_id

    def __str__(self) -> str:
        return f"Job not found: {self.job_id}"


class InvalidJobId(ServicekitError, ValueError):
    """The text is not a ULID."""

    def __init__(self, text: str) -> None:
        super().__init__(f"Not a job id: {text[:40]!r}; a job id is a ULID of 26 characters.")
        self.text = text


class InvalidTarget(ServicekitError, TypeError):
    """What was passed as a target cannot be run as a job; nothing was submitted."""

    def __init__(self, target: object, reason: str) -> None:
        super().__init__(f"Cannot run {_describe(target)} as a job: {reason}")
        self.target = target
        self.reason = reason


class ConfigurationError(ServicekitError, ValueError):
    """An option has a value that makes no sense."""

    def __init__(self, option: str, value: object, expected: str = "", *, sentence: str | None = None) -> None:
        """`expected`: what the option must be; or a `sentence` that says all of it."""
        super().__init__(sentence or f"{option} must be {expected}, not {_describe(value)}.")
        self.option = option
        self.value = value


class ResultUnavailable(ServicekitError, RuntimeError):
    """The job exists, but has no result to give."""

    def __init__(self, job_id: str, status: str, sentence: str) -> None:
        super().__init__(sentence)
        self.job_id = job_id
        self.status = status


class JobNotFinished(ResultUnavailable):
    """The job is pending or running: wait for it first."""

    def __init__(self, job_id: str, status: str) -> None:
        super().__init__(job_id, status, f"Job {job_id} is not finished (status={status})")


class JobFailed(ResultUnavailable):
    """The job ended without a result: it failed, or was canceled."""

    def __init__(self, job_id: str, status: str, error: str | None) -> None:
        reason = f": {error}" if error else ""
        super().__init__(job_id, status, f"Job {job_id} has no result (status={status}){reason}")
        self.error = error


class ResultDropped(ResultUnavailable):
    """The job completed, but its result was dropped: to keep memory bounded, or because it is not JSON."""

    def __init__(self, job_id: str, status: str) -> None:
        sentence = (
            f"The result of job {job_id} is not kept (status={status}): there was too much of it "
            "(Retention.max_result_bytes), or it cannot be written as JSON."
        )
        super().__init__(job_id, status, sentence)


class SchedulerClosed(ServicekitError, RuntimeError):
    """The scheduler is stopping or has stopped, and takes no more jobs."""

    def __init__(self) -> None:
        super().__init__("The scheduler is stopped and takes no more jobs.")


class StoreUnavailable(ServicekitError, OSError):
    """Jobs cannot be read or written now. What was accepted before is kept; nothing new was."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"The job store {place} cannot be used: {reason}")
        self.place = place
        self.reason = reason


class RecordUnreadable(ServicekitError, RuntimeError):
    """What is kept of one job or schedule makes no sense to this process: a newer version of servicekit wrote it,
    or another program.

    It is left as it is, for a process that can read it, and can be deleted; everything else goes on.
    """

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what} cannot be read by this version of servicekit: {reason}")
        self.what = what
        self.reason = reason


class IdempotencyConflict(ServicekitError, ValueError):
    """A job with this idempotency key exists, and has another target or other arguments."""

    def __init__(self, key: str, job_id: str) -> None:
        super().__init__(f"Idempotency key {key!r} was used for job {job_id}, with another target or other arguments.")
        self.key = key
        self.job_id = job_id


class QueueFull(ServicekitError, RuntimeError):
    """As many jobs wait as may; nothing was submitted."""

    def __init__(self, queue: str, limit: int) -> None:
        super().__init__(f"The queue {queue!r} is full: {limit:,} jobs wait in it. Try again later.")
        self.queue = queue
        self.limit = limit


class InvalidArguments(ServicekitError, TypeError):
    """The arguments of a job do not fit its target's signature; nothing was submitted."""

    def __init__(self, target: str, argument: str | None, reason: str) -> None:
        place = f"argument {argument!r} of {target}" if argument else f"arguments of {target}"
        super().__init__(f"Invalid {place}: {reason}")
        self.target = target
        self.argument = argument
        self.reason = reason


class RetryUnavailable(ServicekitError, RuntimeError):
    """The job cannot be submitted again: it has not ended, or nobody knows any more how it was called."""

    def __init__(self, job_id: str, status: str, reason: str) -> None:
        super().__init__(f"Job {job_id} cannot be submitted again (status={status}): {reason}")
        self.job_id = job_id
        self.status = status


class ScheduleNotFound(ServicekitError, KeyError):
    """No schedule has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"Schedule not found: {self.name}"


class TimeLimitExceeded(ServicekitError, TimeoutError):
    """Why an attempt failed that took longer than it may. Found in records, not raised to callers."""

    def __init__(self, option: str, seconds: float, sentence: str) -> None:
        super().__init__(f"{sentence} ({option}={seconds:g} s)")
        self.option = option
        self.seconds = seconds


class RunTimeout(TimeLimitExceeded):
    """The attempt ran for longer than `run_timeout`."""

    def __init__(self, seconds: float) -> None:
        super().__init__("run_timeout", seconds, "the job ran for longer than it may")


class QueueTimeout(TimeLimitExceeded):
    """The job waited for longer than `queue_timeout` and was never started, or not again."""

    def __init__(self, seconds: float) -> None:
        super().__init__("queue_timeout", seconds, "the job waited for longer than it may")


class SilenceTimeout(TimeLimitExceeded):
    """The attempt reported no progress for longer than `silence_timeout`."""

    def __init__(self, seconds: float) -> None:
        super().__init__("silence_timeout", seconds, "the job reported no progress for longer than it may")


class MemoryLimitExceeded(ServicekitError, MemoryError):
    """The processes of a job held more memory than they may, and were killed."""

    def __init__(self, max_bytes: int, used_bytes: int) -> None:
        super().__init__(
            f"the job's processes held {used_bytes:,} bytes of memory, more than they may "
            f"(max_memory_bytes={max_bytes:,})"
        )
        self.max_bytes = max_bytes
        self.used_bytes = used_bytes


class CommandFailed(ServicekitError, RuntimeError):
    """The program of a command could not be run, or did not exit with 0."""

    def __init__(self, program: str, reason: str) -> None:
        super().__init__(f"{program}: {reason}")
        self.program = program
        self.reason = reason


class JobLost(ServicekitError, RuntimeError):
    """Why a job failed whose process did not live to end it. Found in records, not raised to callers."""


class ProcessCrashed(JobLost):
    """The process of a job with `runner="process"` ended before the target did: by a signal, or by itself."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the job's own process ended before it did: {reason}.")
        self.reason = reason


class ProcessDied(JobLost):
    """The process ended while it ran the job, as often as that is allowed."""

    def __init__(self, attempts: int) -> None:
        times = "once" if attempts == 1 else f"{attempts} times"
        super().__init__(f"the process that ran the job ended before it did ({times}), and it is not run again.")
        self.attempts = attempts


class ProcessStopped(JobLost):
    """The process was told to stop, and the job, which must not run twice, had not ended within the grace time."""

    def __init__(self) -> None:
        super().__init__("the service was stopped while it ran the job, and the job is not run again (max_restarts=0).")


class NotRestartable(JobLost):
    """The process ended before the job did, and only that process could have run it."""

    def __init__(self) -> None:
        super().__init__(
            "the process that accepted the job has ended, and no other can run it; `restart_problem` in its record "
            "says why."
        )


class TargetUnavailable(JobLost):
    """The target's module or name is not there any more."""

    def __init__(self, reference: str, reason: str) -> None:
        super().__init__(f"{reference} cannot be imported: {reason}")
        self.reference = reference
        self.reason = reason


class ArgumentsUnfit(JobLost):
    """The target's types have changed since the job was submitted, and its arguments cannot be read any more."""

    def __init__(self, reference: str, reason: str) -> None:
        super().__init__(f"the arguments do not fit {reference} any more: {reason}")
        self.reference = reference
        self.reason = reason


class MissingExtra(ServicekitError, ImportError):
    """A feature needs a package that only one of the extras brings."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs more than is installed: install servicekit with the extra [{extra}], from where you have "
            f'it: pip install "/path/to/servicekit[{extra}]" (the name alone is another project\'s on PyPI).'
        )
        self.feature = feature
        self.extra = extra


class NoCurrentJob(ServicekitError, RuntimeError):
    """`current_job()` was called outside of a job."""

    def __init__(self) -> None:
        super().__init__("There is no current job: current_job() works only inside a target that a scheduler runs.")


class WouldBlock(ServicekitError, RuntimeError):
    """What blocks a thread was called on an event loop, which it would have held up, or waited for in vain."""

    def __init__(self, call: str, instead: str) -> None:
        super().__init__(f"{call} would block the event loop: use {instead}.")
        self.call = call
        self.instead = instead


class NotAwaited(ServicekitError, RuntimeError):
    """An endpoint has returned a call that it should have awaited; nothing was submitted."""

    def __init__(self, endpoint: str, call: str) -> None:
        super().__init__(
            f"The endpoint {endpoint} has returned {call}(...) without `await`, and nothing was done. Write `return "
            "await submit(...)` in an `async def` endpoint; a plain `def` one takes SubmitJobSync, without `await`."
        )
        self.endpoint = endpoint
        self.call = call


class WrongEventLoop(ServicekitError, RuntimeError):
    """A scheduler that runs on one event loop was used on another, as by `asyncio.run` in a thread."""

    def __init__(self) -> None:
        super().__init__(
            "The scheduler runs on another event loop, in another thread: call it there, by "
            "asyncio.run_coroutine_threadsafe(scheduler.add_job(...), loop), or in a job by current_job().submit(...)."
        )


class JobCanceled(ServicekitError):
    """Raised by `current_job().raise_if_canceled()` inside a target that was asked to stop. Let it pass."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"Job {job_id} was asked to stop.")
        self.job_id = job_id


class RetryAfter(ServicekitError):
    """Raise it inside a target to have this attempt fail and the next start after so many seconds.

    It counts as an attempt like every other: a job whose `Retry` allows no more ends `failed`. The longest wait is a
    year.
    """

    def __init__(self, seconds: float | timedelta, reason: str = "the job asked to be tried again later") -> None:
        super().__init__(reason)
        self.seconds = check_seconds("seconds", seconds)


def check_seconds(option: str, value: float | timedelta) -> float:
    """Return a duration in seconds; `ConfigurationError` unless it is finite and not negative."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < float("inf"):
        raise ConfigurationError(option, value, "a number of seconds, 0 or more")
    return float(seconds)


def check_count(option: str, value: int | None) -> None:
    """`ConfigurationError` unless the limit is at least 1, or `None` for no limit."""
    if value is None or (type(value) is int and value >= 1):
        return
    raise ConfigurationError(option, value, "a whole number of at least 1, or None for no limit")


def _describe(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # a broken __repr__ must not hide the error that is being told
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 80 else f"{text[:77]}..."
