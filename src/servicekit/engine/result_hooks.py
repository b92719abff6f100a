"""Hooks that see how an attempt has ended before that is written."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from servicekit.errors import ResultNotKept
from servicekit.jobs.backoff import FailureLog
from servicekit.jobs.current import RunningJob, current
from servicekit.jobs.outcome import Outcome, artifact_id_of, completion, describe_error, failure
from servicekit.jobs.references import name_in_full
from servicekit.jobs.results import WrittenResult, read_result
from servicekit.jobs.status import JobStatus, Transition, move_of
from servicekit.jobs.threads import call_in_thread

# So many characters of JSON are read within milliseconds, on the event loop. More are read in a thread.
_MOST_AT_ONCE: Final = 256 * 1024
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
    job, which holds its slot meanwhile. The job's time limits do not count any more. A hook is called in the process
    that ran the attempt, once for each attempt, however often the store has to be asked to write the end; once more
    only if its event loop ended meanwhile. When the process dies in between, the target runs again, and so does the
    hook. It is not called for an attempt that is given back because the service stops.
    """

    async def keep_result(self, attempt: EndedAttempt, result: Any) -> Any:  # noqa: ARG002
        """Return what the job's result shall be; a ULID becomes the record's `artifact_id` as well.

        `result` is what the target returned, or the last hook. From a process of its own and from a file it is what
        can be read from JSON. If this raises, the attempt fails with `ResultNotKept`, and the job's `retry` applies.
        """
        return result

    async def keep_failure(self, attempt: EndedAttempt) -> str | None:  # noqa: ARG002
        """The target has failed or was canceled. Return the id of what is kept all the same, a ULID, or `None`.

        It becomes the record's `artifact_id` if the job has ended with this attempt; of several hooks, the first id
        counts. What this raises is logged, and the job ends as it would have.
        """
        return None


async def show_to_hooks(
    hooks: Sequence[ResultHook], job: RunningJob, outcome: Outcome, failures: FailureLog
) -> Outcome:
    """The outcome as the hooks leave it."""
    current.set(job)
    if outcome.transition is not Transition.COMPLETE:
        return await _keep_failure(hooks, job, outcome, failures)
    result = outcome.result
    if isinstance(result, WrittenResult):
        if result.text is None:  # there is none that could be kept, and the job's log says so
            return outcome
        try:
            is_large = len(result.text) > _MOST_AT_ONCE
            result = await call_in_thread(read_result, result.text) if is_large else read_result(result.text)
        except ValueError:  # it is nested too deeply to be read here, and is kept as the text that it is
            return outcome
    return await _keep_result(hooks, job, outcome, result)


async def _keep_result(hooks: Sequence[ResultHook], job: RunningJob, outcome: Outcome, result: object) -> Outcome:
    attempt, returned = _describe(job, outcome), result
    for hook in hooks:
        try:
            result = await hook.keep_result(attempt, result)
        except (asyncio.CancelledError, Exception) as error:
            if _is_cut_off():
                raise
            return _not_kept(hook, error)
    return outcome if result is returned else completion(result)


async def _keep_failure(
    hooks: Sequence[ResultHook], job: RunningJob, outcome: Outcome, failures: FailureLog
) -> Outcome:
    attempt = _describe(job, outcome)
    for hook in hooks:
        try:
            artifact_id = artifact_id_of(await hook.keep_failure(attempt))
        except (asyncio.CancelledError, Exception) as error:
            if _is_cut_off():
                raise
            failures.exception(f"{_name(hook)} could keep nothing of job {job.id}", error)
        else:
            if outcome.artifact_id is None:
                outcome = outcome._replace(artifact_id=artifact_id)
    return outcome


def _not_kept(hook: ResultHook, error: BaseException) -> Outcome:
    """The attempt has failed with the hook's error, as which `Retry` knows it too."""
    failed = failure(error)
    return failed._replace(
        error=describe_error(ResultNotKept(_name(hook), describe_error(error))),
        error_types=tuple((*_NOT_KEPT, *types) for types in failed.error_types),
    )


def _is_cut_off() -> bool:
    """Whether a stranger ends this task, as `asyncio.run` does at its end; else the hook itself has raised."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


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
