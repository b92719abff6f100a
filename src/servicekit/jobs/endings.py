"""What becomes of a job whose attempt has ended, or that nobody is left to run. It is decided here, for all stores.

    asked for                          the job is asked to stop   else
    COMPLETE, FAIL, CANCEL             the same                   the same
    RETRY                              FAIL                       RETRY
    RELEASE, not begun                 CANCEL                     RELEASE, with the reason until the next claim
    RELEASE, its process stops         CANCEL                     RELEASE, or FAIL if it must not begin again
    RELEASE, its process has died      CANCEL                     RELEASE, or FAIL if it has been lost too often

A deleted job is forgotten in each case. Whatever else becomes of it, the artifact that the attempt has named is kept.

A store reads what it knows of the job in the same atomic step in which it writes what was decided, and only for the
attempt that runs the job.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from servicekit.errors import (
    JobLost,
    NotRestartable,
    ProcessDied,
    ProcessStopped,
    QueueTimeout,
    SchedulerClosed,
    TimeLimitExceeded,
)
from servicekit.jobs.outcome import CANCELED, STOPPED, Outcome, failure
from servicekit.jobs.references import name_in_full
from servicekit.jobs.retry import LONGEST_WAIT_SECONDS, Retry
from servicekit.jobs.status import EndedBy, Transition

_CLOSED: Final = name_in_full(SchedulerClosed)

NOT_BEGUN: Final = Outcome(Transition.RELEASE)
"""The attempt could not begin: the job goes back to its old place, and that start counts for nothing."""
GIVEN_BACK: Final = Outcome(Transition.RELEASE, ended_by=EndedBy.STOP)
"""The attempt was stopped with its process. The job loses no attempt by that."""
LOST: Final = Outcome(Transition.RELEASE, ended_by=EndedBy.CRASH)
"""The attempt was lost, since its process has died."""


def heed_limit(outcome: Outcome, exceeded: TimeLimitExceeded | None) -> Outcome:
    """The outcome of an attempt that may have exceeded a limit. However its target ended then, the limit counts.

    But work that could not begin has exceeded nothing.
    """
    if exceeded is None or outcome.transition is Transition.RELEASE:
        return outcome
    return failure(exceeded, EndedBy.TIME_LIMIT)


def choose_ending(
    outcome: Outcome,
    retry: Retry | None,
    failures: int,
    now: Callable[[], datetime],
    *,
    has_begun: bool,
    is_canceled: bool,
    is_stopped: bool,
    is_refused: bool,
) -> Outcome:
    """What the engine asks of the store after an attempt: to end the job, to try it again, or to take it back.

    `failures` counts this attempt, if it has failed. `is_canceled`: the job was asked to stop; `is_stopped`: its
    process was; `is_refused`: the target could submit nothing any more.
    """
    # A job that was canceled as well ends as such, with what hooks have kept of it.
    was_stopped = is_stopped and not is_canceled and outcome.transition is Transition.CANCEL
    if was_stopped and not has_begun:
        return NOT_BEGUN
    if was_stopped or (is_refused and _failed_by_refusal(outcome)):
        return GIVEN_BACK
    if outcome.transition is not Transition.FAIL or retry is None or is_canceled:
        return outcome
    if not retry.allows(failures, outcome.error_types):
        return outcome
    seconds = outcome.retry_after_seconds
    seconds = retry.delay_after(failures) if seconds is None else min(seconds, LONGEST_WAIT_SECONDS)
    return outcome.to_be_retried(now() + timedelta(seconds=seconds))


def _failed_by_refusal(outcome: Outcome) -> bool:
    """Whether the attempt failed only because the service is stopping, and takes no more jobs."""
    if outcome.transition is not Transition.FAIL:
        return False
    return bool(outcome.error_types) and all(_CLOSED in types for types in outcome.error_types)


class AttemptFacts(NamedTuple):
    """What a store knows of a job that an attempt runs. The last three count only for what is lost with its process."""

    is_deleted: bool
    is_asked_to_stop: bool
    is_restartable: bool
    """Whether another process can run it."""
    max_restarts: int = 0
    lost_attempts: int = 0
    """How many attempts have been lost because their processes died, this one included."""
    is_kept: bool = True
    """Whether the store keeps the job when the process ends."""


def check_return(ending: Outcome) -> None:
    """`ValueError` for a `RETRY` that does not say when. Stores ask this of each ending that gives a job back."""
    if ending.transition is Transition.RETRY and ending.retry_at is None:
        raise ValueError("An attempt that ends with RETRY needs retry_at: when the next one may begin.")


def decide_end(ending: Outcome, job: AttemptFacts) -> Outcome | None:
    """What is to be written: the ending itself, or another in its place. `None`: the job is to be forgotten."""
    if job.is_deleted:
        return None
    if not ending.transition.gives_back:
        return ending
    if job.is_asked_to_stop:
        return _instead(ending, CANCELED) if ending.transition is Transition.RELEASE else _as_failure(ending)
    return _end_lost(ending, job) if ending.is_lost else ending


def end_process(*, is_in_order: bool) -> Outcome:
    """The ending of an attempt whose process has gone."""
    return GIVEN_BACK if is_in_order else LOST


def end_abandoned(*, is_in_order: bool, is_kept: bool = True) -> Outcome:
    """The end of a pending job that only a process which has gone could have run."""
    if not is_kept:
        return STOPPED
    return failure(NotRestartable(), end_process(is_in_order=is_in_order).ended_by)


def end_expired(queue_timeout_seconds: float) -> Outcome:
    """The end of a pending job that has waited for longer than it may."""
    return failure(QueueTimeout(queue_timeout_seconds), EndedBy.TIME_LIMIT)


def end_unreadable(reason: Exception) -> Outcome:
    """The end of a job of which something makes no sense, so that nobody can go on with it."""
    return failure(reason, EndedBy.CRASH)


def _instead(ending: Outcome, other: Outcome) -> Outcome:
    """Another ending, with the artifact that the attempt has named."""
    return other if ending.artifact_id is None else other._replace(artifact_id=ending.artifact_id)


def _as_failure(ending: Outcome) -> Outcome:
    return ending._replace(transition=Transition.FAIL, retry_at=None)


def _end_lost(ending: Outcome, job: AttemptFacts) -> Outcome:
    """A job goes back if another process can run it and it may be restarted once more. A stop costs no restart."""
    if not job.is_kept:
        return _instead(ending, STOPPED)
    obstacle = _find_obstacle(ending, job)
    return ending if obstacle is None else _instead(ending, failure(obstacle, ending.ended_by))


def _find_obstacle(ending: Outcome, job: AttemptFacts) -> JobLost | None:
    if not job.is_restartable:
        return NotRestartable()
    if ending.is_spared:  # nobody is to blame, so only a job that must not run twice fails
        return ProcessStopped() if job.max_restarts == 0 else None
    return ProcessDied(job.lost_attempts) if job.max_restarts < job.lost_attempts else None
