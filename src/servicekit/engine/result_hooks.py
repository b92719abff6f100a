"""Hooks that see how an attempt has ended before that is written."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar

from servicekit.errors import ConfigurationError, ResultNotKept, check_seconds
from servicekit.jobs.backoff import FailureLog
from servicekit.jobs.current import RunningJob, current
from servicekit.jobs.options import seconds_of
from servicekit.jobs.outcome import Outcome, artifact_id_of, completion, describe_error, failure
from servicekit.jobs.references import name_in_full
from servicekit.jobs.results import WrittenResult, read_result
from servicekit.jobs.status import JobStatus, Transition, move_of
from servicekit.jobs.this_process import this_process
from servicekit.jobs.threads import call_in_thread
from servicekit.runners.children import leave_to_parent

_Answer = TypeVar("_Answer")

# So many characters of JSON are read within milliseconds, on the event loop. More are read in a thread.
_MOST_AT_ONCE: Final = 256 * 1024
# A hook writes a file or asks another service, which takes seconds at most. After that it is worth telling.
_SLOW_SECONDS: Final = 10.0
_NOT_KEPT: Final = tuple(map(name_in_full, ResultNotKept.__mro__))


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedAttempt:
    """An attempt whose target has ended. That is not written yet, so that the job's record says `running`."""

    job_id: str
    attempt: int
    name: str
    tags: tuple[str, ...]
    parent: str | None
    status: JobStatus
    """`completed`, `failed` or `canceled`: what the job becomes, unless another attempt follows."""
    error: str | None
    """What the record will say if the attempt has failed."""


class ResultHook:
    """A base for what keeps results: it replaces or stores what a target returned, before the job has ended.

    The methods run on the scheduler's event loop; what blocks belongs into `asyncio.to_thread`. `current_job()` is the
    job, which holds its slot meanwhile. The job's time limits do not count any more, but `max_seconds` does: a hook
    that takes longer is canceled, and counts as one that has raised `TimeoutError`. A hook is called in the process
    that ran the attempt, once for each attempt, however often the store has to be asked to write the end; once more
    only if its event loop ended meanwhile. When the process dies in between, the target runs again, and so does the
    hook. That is so as well if the service stops and the hook does not answer within the grace time. It is not called
    for an attempt that is given back because the service stops. It is called for a job that was deleted while it ran:
    nobody will ask for what it keeps of that.
    """

    max_seconds: float | timedelta | None = 60.0
    """How long one call may take; `None` is no limit. A class or an object may have another value."""

    async def keep_result(self, attempt: EndedAttempt, result: Any) -> Any:  # noqa: ARG002
        """Return what the job's result shall be; a ULID becomes the record's `artifact_id` as well.

        `result` is what the target returned, or the last hook. From a process of its own and from a file it is what
        can be read from JSON. If this raises, the attempt fails with `ResultNotKept`, and the job's `retry` applies.
        """
        return result

    async def keep_failure(self, attempt: EndedAttempt) -> str | None:  # noqa: ARG002
        """The target has failed or was canceled. Return the id of what is kept all the same, a ULID, or `None`.

        It becomes the record's `artifact_id` if the job has ended with this attempt; of several hooks, the first id
        counts, and before it one that the target has named (`current_job().artifact`). What this raises is logged, and
        the job ends as it would have.
        """
        return None


def check_hooks(option: str, hooks: object) -> None:
    """`ConfigurationError` for what are no hooks, or if one has a `max_seconds` that makes no sense."""
    if not isinstance(hooks, Sequence) or not all(isinstance(hook, ResultHook) for hook in hooks):
        raise ConfigurationError(option, hooks, "a list of objects of classes that are derived from ResultHook")
    for hook in hooks:
        if hook.max_seconds is not None:
            check_seconds("max_seconds", hook.max_seconds)


class HookCalls:
    """Shows to the hooks, one after the other, how one attempt has ended. It knows which one does not answer."""

    def __init__(self, hooks: Sequence[ResultHook], job: RunningJob, failures: FailureLog) -> None:
        self.slow_hook: str | None = None
        """The name of a hook that has been asked some seconds ago, and has not answered yet."""
        self._hooks = hooks
        self._job = job
        self._failures = failures

    async def show(self, outcome: Outcome) -> Outcome:
        """The outcome as the hooks leave it. `CancelledError` if somebody ends this task, and nothing else."""
        token = current.set(self._job)
        shown = await self._show(outcome)
        current.reset(token)  # if this is cut off, its task ends, and the context with it
        return shown

    async def _show(self, outcome: Outcome) -> Outcome:
        if outcome.transition is not Transition.COMPLETE:
            return await self._keep_failure(outcome)
        result = outcome.result
        if isinstance(result, WrittenResult):
            if result.text is None:  # there is none that could be kept, and the job's log says so
                return outcome
            try:
                is_large = len(result.text) > _MOST_AT_ONCE
                result = await call_in_thread(read_result, result.text) if is_large else read_result(result.text)
            except ValueError:  # it is nested too deeply to be read here, and is kept as the text that it is
                return outcome
        return await self._keep_result(outcome, result)

    async def _keep_result(self, outcome: Outcome, returned: object) -> Outcome:
        attempt, result, kept = _describe(self._job, outcome), returned, outcome
        for hook in self._hooks:
            try:
                result, changed = await self._ask(hook, _replace(hook, attempt, result))
            except _HookFailed as failed:
                return _not_kept(hook, failed.reason)
            if changed is not None:
                kept = outcome if result is returned else changed
        return kept

    async def _keep_failure(self, outcome: Outcome) -> Outcome:
        attempt = _describe(self._job, outcome)
        for hook in self._hooks:
            try:
                artifact_id = await self._ask(hook, _keep_something(hook, attempt))
            except _HookFailed as failed:
                self._failures.exception(f"{_name(hook)} could keep nothing of job {self._job.id}", failed.reason)
            else:
                if outcome.artifact_id is None:
                    outcome = outcome._replace(artifact_id=artifact_id)
        return outcome

    async def _ask(self, hook: ResultHook, answer: Awaitable[_Answer]) -> _Answer:
        """The hook's answer; `_HookFailed` for whatever it raises, as runners take whatever a target raises."""
        loop, process = asyncio.get_running_loop(), this_process.id
        task = asyncio.current_task()
        requests = 0 if task is None else task.cancelling()
        seconds = None if hook.max_seconds is None else seconds_of(hook.max_seconds)
        limit, timer = asyncio.timeout(seconds), loop.call_later(_SLOW_SECONDS, self._note_slow, hook)
        try:
            async with limit:
                result = await answer
            leave_to_parent(process)
            return result
        except BaseException as error:
            leave_to_parent(process, error)
            # Python itself closes the coroutine of a task that is collected, which is nobody's current task then.
            if task is None or asyncio.current_task(loop) is not task:
                raise
            if task.cancelling() > requests:  # somebody ends this task, as `asyncio.run` does at its end
                raise asyncio.CancelledError from error
            raise _HookFailed(_as_timeout(seconds, error) if limit.expired() else error) from None
        finally:
            timer.cancel()
            self.slow_hook = None

    def _note_slow(self, hook: ResultHook) -> None:
        self.slow_hook = name = _name(hook)
        self._failures.warn("The end of job %s waits for the hook %s", self._job.id, name)


class _HookFailed(Exception):
    """A hook has raised `reason`, which can be any `BaseException`."""

    def __init__(self, reason: BaseException) -> None:
        super().__init__(reason)
        self.reason = reason


async def _replace(hook: ResultHook, attempt: EndedAttempt, result: object) -> tuple[object, Outcome | None]:
    """What the hook returns for the result, and the outcome with it; `None` if it is the same object."""
    kept = await hook.keep_result(attempt, result)
    return kept, None if kept is result else completion(kept)  # to weigh the user's object can run its code


async def _keep_something(hook: ResultHook, attempt: EndedAttempt) -> str | None:
    return artifact_id_of(await hook.keep_failure(attempt))


def _as_timeout(seconds: float | None, error: BaseException) -> TimeoutError:
    timeout = TimeoutError(f"It took longer than {seconds:g} seconds.")
    return timeout.with_traceback(error.__traceback__)


def _not_kept(hook: ResultHook, error: BaseException) -> Outcome:
    """The attempt has failed with the hook's error, as which `Retry` knows it too."""
    failed = failure(error)
    return failed._replace(
        error=describe_error(ResultNotKept(_name(hook), describe_error(error))),
        error_types=tuple((*_NOT_KEPT, *types) for types in failed.error_types),
    )


def _name(hook: ResultHook) -> str:
    return type(hook).__qualname__


def _describe(job: RunningJob, outcome: Outcome) -> EndedAttempt:
    submission = job.submission
    return EndedAttempt(
        job_id=job.id,
        attempt=job.attempt,
        name=submission.name,
        tags=submission.options.tags,
        parent=submission.parent,
        status=move_of(outcome.transition).target,
        error=outcome.error,
    )
