"""All errors that servicekit raises.

    ServicekitError
    ├── JobNotFound           (also a KeyError)      no job has this id
    ├── InvalidJobId          (also a ValueError)    the text is not a ULID
    ├── InvalidTarget         (also a TypeError)     the target cannot be run as a job
    ├── ConfigurationError    (also a ValueError)    an option makes no sense
    ├── ResultUnavailable     (also a RuntimeError)  there is no result to give
    │   ├── JobNotFinished                           not yet
    │   ├── JobFailed                                the job failed or was canceled
    │   └── ResultDropped                            it was too old or too big to keep
    ├── SchedulerClosed       (also a RuntimeError)  the service is stopping
    ├── StoreUnavailable      (also an OSError)      the file or database of jobs cannot be read or written
    ├── RecordUnreadable      (also a RuntimeError)  a newer version has written a record that this one cannot read
    ├── QueueFull             (also a RuntimeError)  too many jobs wait already
    ├── IdempotencyConflict   (also a ValueError)    the key was used for another call
    ├── InvalidArguments      (also a TypeError)     the arguments do not fit the target
    │   └── InvalidParameters                        the parameters do not fit the task
    ├── RetryUnavailable      (also a RuntimeError)  the job cannot be submitted again
    ├── ScheduleNotFound      (also a KeyError)      no schedule has this name
    ├── TimeLimitExceeded     (also a TimeoutError)  in records: the job took too long
    │   ├── RunTimeout                               an attempt ran for too long
    │   ├── QueueTimeout                             the job waited for too long
    │   └── SilenceTimeout                           an attempt reported no progress for too long
    ├── MemoryLimitExceeded   (also a MemoryError)   in records: the job's processes held too much memory
    ├── ResourcesUnavailable  (also a RuntimeError)  in records: no node of the cluster could ever hold the job
    ├── CommandFailed         (also a RuntimeError)  in records: the program failed
    ├── JobLost               (also a RuntimeError)  in records: the job lost its process, or cannot be run by another
    │   ├── ProcessCrashed                           the job's own process ended before the target
    │   ├── ProcessDied                              the process died, and the job was restarted often enough
    │   ├── ProcessStopped                           the service was stopped, and the job must not run twice
    │   ├── NotRestartable                           the process ended, and no other one can run the job
    │   ├── TargetUnavailable                        the target cannot be imported any more
    │   └── ArgumentsUnfit                           the arguments do not fit the program any more
    ├── ResultNotKept         (also a RuntimeError)  in records: a hook could not keep what the target returned
    ├── ArtifactNotFound      (also a KeyError)      no artifact has this id
    ├── InvalidArtifactId     (also a ValueError)    the text is not a ULID
    ├── ArtifactConflict      (also a ValueError)    the artifact cannot be there, or not be deleted
    ├── InvalidContent        (also a ValueError)    the artifact's content, or what describes it, cannot be kept
    ├── ContentTooLarge       (also a ValueError)    the artifact's content is larger than it may be
    ├── ArtifactsUnavailable  (also an OSError)      the folder of artifacts cannot be read or written
    ├── ConfigNotFound        (also a KeyError)      no config of a model has this id
    ├── ModelUnusable         (also a ValueError)    the artifact is no model that can predict
    │   └── ModelNotReady                            its training has not ended yet
    ├── ModelNotTrusted       (also a RuntimeError)  to read the model could run somebody else's code
    ├── TaskNotFound          (also a KeyError)      no task has this name
    ├── TaskDisabled          (also a RuntimeError)  the task must not be executed now
    ├── TaskConflict          (also a ValueError)    the task's name is taken, or it does not fit the service any more
    ├── TaskForbidden         (also a ValueError)    clients may not do that with the task
    ├── TasksUnavailable      (also an OSError)      the file or database of tasks cannot be read or written
    ├── MissingExtra          (also an ImportError)  a feature's package is not installed
    ├── NoCurrentJob          (also a RuntimeError)  called outside of a job
    ├── WouldBlock            (also a RuntimeError)  called on an event loop, which it would block
    ├── NotAwaited            (also a RuntimeError)  an endpoint has returned a call without `await`
    ├── WrongEventLoop        (also a RuntimeError)  called on another event loop than the scheduler's
    ├── RetryAfter                                   raised inside a target that wants to be tried again later
    └── JobCanceled                                  raised inside a target that was asked to stop

Errors know nothing of HTTP: `servicekit.api.errors` maps them to responses.
"""

from datetime import timedelta
from typing import Any


class ServicekitError(Exception):
    """The root of all errors of servicekit. They can be pickled."""

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions are unpickled by calling the class with the text, but these classes take facts. The error would
        # break the process that reads it: a `multiprocessing.Pool`, for example, would never answer.
        return _restore, (type(self), self.args, vars(self))


def _restore(kind: type[ServicekitError], args: tuple[object, ...], facts: dict[str, object]) -> ServicekitError:
    # The text and the facts are there already, so `__init__` must not run. It is replaced in a subclass, because
    # `kind.__new__(kind)` alone is refused for some of the bases, such as `MemoryError`.
    error: ServicekitError = type(kind.__name__, (kind,), {"__init__": _leave})()
    error.__class__ = kind
    error.args = args
    vars(error).update(facts)
    return error


def _leave(error: ServicekitError) -> None:
    """Stands in for `__init__`, and does nothing."""


class JobNotFound(ServicekitError, KeyError):
    """No job has this id: it never existed, was deleted, or was dropped by `Retention`."""

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
    """The target cannot be run as a job. Nothing was submitted."""

    def __init__(self, target: object, reason: str) -> None:
        super().__init__(f"Cannot run {_describe(target)} as a job: {reason}")
        self.target = target
        self.reason = reason


class ConfigurationError(ServicekitError, ValueError):
    """An option has a value that makes no sense."""

    def __init__(self, option: str, value: object, expected: str = "", *, sentence: str | None = None) -> None:
        """`expected`: what the option must be; or a whole `sentence` instead."""
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


class ResultNotKept(ServicekitError, RuntimeError):
    """The target has returned, but a `ResultHook` could not keep its result."""

    def __init__(self, hook: str, reason: str) -> None:
        super().__init__(f"The target has returned, but its result could not be kept by {hook}: {reason}")
        self.hook = hook
        self.reason = reason


class SchedulerClosed(ServicekitError, RuntimeError):
    """The scheduler is stopping or has stopped, and takes no more jobs."""

    def __init__(self) -> None:
        super().__init__("The scheduler is stopped and takes no more jobs.")


class StoreUnavailable(ServicekitError, OSError):
    """Jobs cannot be read or written now. Nothing was submitted; jobs that were accepted before are kept."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"The job store {place} cannot be used: {reason}")
        self.place = place
        self.reason = reason


class RecordUnreadable(ServicekitError, RuntimeError):
    """This process cannot read one job or schedule: a newer version of servicekit has written it, or another program.

    It is left as it is, for a process that can read it. It can be deleted. Other jobs are not affected.
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
    """The queue has as many waiting jobs as `max_pending` allows. Nothing was submitted."""

    def __init__(self, queue: str, limit: int) -> None:
        super().__init__(f"The queue {queue!r} is full: {limit:,} jobs wait in it. Try again later.")
        self.queue = queue
        self.limit = limit


class InvalidArguments(ServicekitError, TypeError):
    """The arguments do not fit the target's signature, or a job cannot be given them. Nothing was submitted."""

    def __init__(self, target: str, argument: str | None, reason: str) -> None:
        place = f"argument {argument!r} of {target}" if argument else f"arguments of {target}"
        super().__init__(f"Invalid {place}: {reason}")
        self.target = target
        self.argument = argument
        self.reason = reason


class InvalidParameters(InvalidArguments):
    """The parameters do not fit the task. Nothing was submitted."""

    def __init__(self, task: str, problems: list[dict[str, Any]]) -> None:
        """`problems`: each has a `type`, the place `loc`, and the text `msg`, as FastAPI answers them."""
        reason = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in problems)
        super().__init__(task, None, reason)
        self.problems = problems


class RetryUnavailable(ServicekitError, RuntimeError):
    """The job cannot be submitted again: it has not ended, or its call is not kept."""

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
    """A time limit was exceeded. It stands in records, and is not raised to callers."""

    def __init__(self, option: str, seconds: float, sentence: str) -> None:
        super().__init__(f"{sentence} ({option}={seconds:g} s)")
        self.option = option
        self.seconds = seconds


class RunTimeout(TimeLimitExceeded):
    """The attempt ran for longer than `run_timeout`."""

    def __init__(self, seconds: float) -> None:
        super().__init__("run_timeout", seconds, "the job ran for longer than it may")


class QueueTimeout(TimeLimitExceeded):
    """The job waited for longer than `queue_timeout` for its first attempt or its next one."""

    def __init__(self, seconds: float) -> None:
        super().__init__("queue_timeout", seconds, "the job waited for longer than it may")


class SilenceTimeout(TimeLimitExceeded):
    """The attempt reported no progress for longer than `silence_timeout`."""

    def __init__(self, seconds: float) -> None:
        super().__init__("silence_timeout", seconds, "the job reported no progress for longer than it may")


class MemoryLimitExceeded(ServicekitError, MemoryError):
    """The processes of a job held more memory than `max_memory_bytes`, and were killed."""

    def __init__(self, max_bytes: int, used_bytes: int) -> None:
        super().__init__(
            f"the job's processes held {used_bytes:,} bytes of memory, more than they may "
            f"(max_memory_bytes={max_bytes:,})"
        )
        self.max_bytes = max_bytes
        self.used_bytes = used_bytes


class ResourcesUnavailable(ServicekitError, RuntimeError):
    """No node of the cluster has what a job with `runner="ray"` needs, even if nothing else runs there."""

    def __init__(self, needed: str, closest: str) -> None:
        super().__init__(f"no node of the cluster has {needed}: {closest}.")
        self.needed = needed
        self.closest = closest


class CommandFailed(ServicekitError, RuntimeError):
    """The program of a command could not be run, or did not exit with 0."""

    def __init__(self, program: str, reason: str) -> None:
        super().__init__(f"{program}: {reason}")
        self.program = program
        self.reason = reason


class JobLost(ServicekitError, RuntimeError):
    """A job was lost with its process, or cannot be run by another. It stands in records; callers do not get it."""


class ProcessCrashed(JobLost):
    """The process of a job with `runner="process"` ended before the target did, by a signal or by an exit."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the job's own process ended before it did: {reason}.")
        self.reason = reason


class ProcessDied(JobLost):
    """The process that ran the job died, for the last time that `max_restarts` allows."""

    def __init__(self, attempts: int) -> None:
        times = "once" if attempts == 1 else f"{attempts} times"
        super().__init__(f"the process that ran the job ended before it did ({times}), and it is not run again.")
        self.attempts = attempts


class ProcessStopped(JobLost):
    """The process was stopped, and the job had not ended within the grace time. It must not run twice."""

    def __init__(self) -> None:
        super().__init__("the service was stopped while it ran the job, and the job is not run again (max_restarts=0).")


class NotRestartable(JobLost):
    """The process ended before the job did, and no other process can run the job."""

    def __init__(self) -> None:
        super().__init__(
            "the process that accepted the job has ended, and no other can run it; `restart_problem` in its record "
            "says why."
        )


class TargetUnavailable(JobLost):
    """The target's module or name does not exist any more, or cannot be imported."""

    def __init__(self, reference: str, reason: str) -> None:
        super().__init__(f"{reference} cannot be imported: {reason}")
        self.reference = reference
        self.reason = reason


class ArgumentsUnfit(JobLost):
    """The arguments cannot be read any more, since their classes have changed after the job was submitted."""

    def __init__(self, reference: str, reason: str) -> None:
        super().__init__(f"the arguments do not fit {reference} any more: {reason}")
        self.reference = reference
        self.reason = reason


class ArtifactNotFound(ServicekitError, KeyError):
    """No artifact has this id: it never existed, was deleted, or was dropped by retention."""

    def __init__(self, artifact_id: str) -> None:
        super().__init__(artifact_id)
        self.artifact_id = artifact_id

    def __str__(self) -> str:
        return f"Artifact not found: {self.artifact_id}"


class InvalidArtifactId(ServicekitError, ValueError):
    """The text is not a ULID."""

    def __init__(self, text: str) -> None:
        super().__init__(f"Not an artifact id: {text[:40]!r}; an artifact id is a ULID of 26 characters.")
        self.text = text


class ArtifactConflict(ServicekitError, ValueError):
    """The artifact cannot be saved or deleted like this, and nothing was changed.

    Its id is taken, its kind may not stand there, or it has others below it.
    """

    def __init__(self, artifact_id: str | None, reason: str) -> None:
        """`artifact_id`: of the artifact that is in the way; `None` if none is."""
        super().__init__(reason)
        self.artifact_id = artifact_id
        self.reason = reason


class InvalidContent(ServicekitError, ValueError):
    """The content of an artifact, or what describes it, cannot be kept. Nothing was saved."""

    def __init__(self, place: tuple[str | int, ...], reason: str) -> None:
        """`place`: which part is wrong, such as `("data", "rows", 3)` or `("name",)`."""
        super().__init__(f"{'.'.join(map(str, place))}: {reason}")
        self.place = place
        self.reason = reason


class ContentTooLarge(ServicekitError, ValueError):
    """The content of an artifact is larger than it may be. Nothing was saved."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"The content is larger than it may be: at most {limit:,} bytes.")
        self.limit = limit


class ArtifactsUnavailable(ServicekitError, OSError):
    """Artifacts cannot be read or written now. Nothing was changed; those that were saved before are kept."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"The artifacts in {place} cannot be used: {reason}")
        self.place = place
        self.reason = reason


class ConfigNotFound(ServicekitError, KeyError):
    """No config of a model has this id: it never existed, or was deleted."""

    def __init__(self, config_id: str) -> None:
        super().__init__(config_id)
        self.config_id = config_id

    def __str__(self) -> str:
        return f"Config not found: {self.config_id}"


class ModelUnusable(ServicekitError, ValueError):
    """The artifact cannot be used as a model: it is none, another model has made it, or its training has failed."""

    def __init__(self, artifact_id: str, reason: str) -> None:
        """`reason`: the end of a sentence that begins with the artifact."""
        super().__init__(f"Artifact {artifact_id} {reason}")
        self.artifact_id = artifact_id
        self.reason = reason


class ModelNotReady(ModelUnusable):
    """The model's training has not ended yet: wait for its job, and try again."""

    def __init__(self, job_id: str, status: str) -> None:
        super().__init__(job_id, f"is not there yet: its training is {status}. Wait for job {job_id}, and try again.")
        self.job_id = job_id
        self.status = status


class ModelNotTrusted(ServicekitError, RuntimeError):
    """The model was not read, since that could run code, or make objects, that nobody of this service has trusted."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)


class TaskNotFound(ServicekitError, KeyError):
    """No task has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"Task not found: {self.name}"


class TaskDisabled(ServicekitError, RuntimeError):
    """The task was disabled. Nothing was submitted."""

    def __init__(self, name: str) -> None:
        super().__init__(f"The task {name!r} is disabled.")
        self.name = name


class TaskConflict(ServicekitError, ValueError):
    """The name of the task is taken, or its template does not fit the service any more. Nothing was changed."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"The task {name!r} cannot be used: {reason}.")
        self.name = name
        self.reason = reason


class TaskForbidden(ServicekitError, ValueError):
    """Clients may not do that with the task. Nothing was changed."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"The task {name!r} is refused: {reason}.")
        self.name = name
        self.reason = reason


class TasksUnavailable(ServicekitError, OSError):
    """What is kept of tasks cannot be read or written now. Nothing was changed or submitted."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Tasks cannot be read or written at the moment: {reason}")
        self.reason = reason


class MissingExtra(ServicekitError, ImportError):
    """A feature needs a package that is installed with one of the extras."""

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
    """A blocking call was made on an event loop. It would hold up the loop, or wait for the loop for ever."""

    def __init__(self, call: str, instead: str) -> None:
        super().__init__(f"{call} would block the event loop: use {instead}.")
        self.call = call
        self.instead = instead


class NotAwaited(ServicekitError, RuntimeError):
    """An endpoint has returned a call that it should have awaited. Nothing was submitted."""

    def __init__(self, endpoint: str, call: str) -> None:
        super().__init__(
            f"The endpoint {endpoint} has returned {call}(...) without `await`, and nothing was done. Write `return "
            "await submit(...)` in an `async def` endpoint; a plain `def` one takes SubmitJobSync, without `await`."
        )
        self.endpoint = endpoint
        self.call = call


class WrongEventLoop(ServicekitError, RuntimeError):
    """A scheduler was used on another event loop than the one that it runs on, as by `asyncio.run` in a thread."""

    def __init__(self) -> None:
        super().__init__(
            "The scheduler runs on another event loop, in another thread: call it there, by "
            "asyncio.run_coroutine_threadsafe(scheduler.add_job(...), loop), or in a job by current_job().submit(...)."
        )


class JobCanceled(ServicekitError):
    """Raised by `current_job().raise_if_canceled()` inside a target that was asked to stop. The target should not catch
    it: then the job ends `canceled`.
    """

    def __init__(self, job_id: str) -> None:
        super().__init__(f"Job {job_id} was asked to stop.")
        self.job_id = job_id


class RetryAfter(ServicekitError):
    """Raise it inside a target: the attempt fails, and the next one starts after so many seconds.

    The attempt counts like every other: if the job's `Retry` allows no more, or the job has none, it ends `failed`. The
    longest wait is a year.
    """

    def __init__(self, seconds: float | timedelta, reason: str = "the job asked to be tried again later") -> None:
        super().__init__(reason)
        self.seconds = check_seconds("seconds", seconds)


def check_seconds(option: str, value: float | timedelta) -> float:
    """The duration in seconds. `ConfigurationError` unless it is finite and not negative."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < float("inf"):
        raise ConfigurationError(option, value, "a number of seconds, 0 or more")
    return float(seconds)


def check_count(option: str, value: int | None) -> None:
    """`ConfigurationError` unless the limit is a whole number of at least 1, or `None`."""
    if value is None or (type(value) is int and value >= 1):
        return
    raise ConfigurationError(option, value, "a whole number of at least 1, or None for no limit")


def _describe(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # a broken `__repr__` of the user's must not hide this error
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 80 else f"{text[:77]}..."
