"""The rule for lost attempts: what becomes of a job whose process has died, or stops before the attempt has ended."""

from typing import NamedTuple

from servicekit.errors import JobLost, NotRestartable, ProcessDied, ProcessStopped
from servicekit.jobs.status import EndedBy, Transition


class LostAttempt(NamedTuple):
    """What is known of a job when its attempt is given up."""

    was_stopped: bool
    """Whether the process of the attempt was stopped in order; else it has died."""
    is_deleted: bool
    is_asked_to_stop: bool
    is_restartable: bool
    """Whether another process can run it."""
    max_restarts: int
    attempts: int
    """How many attempts have been lost with their processes, this one included."""


class Fate(NamedTuple):
    """The change that the store must write."""

    transition: Transition | None
    """`RELEASE` gives the job back. `None` removes it: it was deleted while it ran."""
    ended_by: EndedBy
    error: JobLost | None = None


def find_fate(lost: LostAttempt) -> Fate:
    """The change for a lost attempt.

    The job is given back if another process can run it, and it may be restarted once more. An orderly stop does not
    count as a restart.
    """
    ended_by = EndedBy.STOP if lost.was_stopped else EndedBy.CRASH
    if lost.is_deleted:
        return Fate(None, ended_by)
    if lost.is_asked_to_stop:
        return Fate(Transition.CANCEL, EndedBy.CANCEL)
    error = _find_obstacle(lost)
    return Fate(Transition.RELEASE if error is None else Transition.FAIL, ended_by, error)


def _find_obstacle(lost: LostAttempt) -> JobLost | None:
    if not lost.is_restartable:
        return NotRestartable()
    if lost.was_stopped:  # nobody is to blame, so only a job that must not run twice fails
        return ProcessStopped() if lost.max_restarts == 0 else None
    return ProcessDied(lost.attempts) if lost.max_restarts < lost.attempts else None
