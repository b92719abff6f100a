"""The life of a job, as one table.

    pending ──claim──▶ running ──complete──▶ completed
       │  ◀──release────  ├──────fail──────▶ failed
       │  ◀───retry─────  │
       ├──────fail────────┤
       └──────cancel──────┴─────cancel─────▶ canceled

A release takes a job back from a process that stops or has died; a retry, after an attempt that failed. What is pending
fails only if it has waited longer than it may, or the one process that could have run it is gone.

Stores guard their writes with it, tests walk it. No other file compares or spells statuses: ask
`status.is_terminal` or `move_of(Transition.CLAIM)`.
"""

from enum import StrEnum
from typing import NamedTuple


class JobStatus(StrEnum):
    """Where a job is in its life. The value is its spelling in JSON, SQL and everywhere else."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"

    # Enum's own hash is a Python function; statuses are dictionary keys on the hot path.
    __hash__ = str.__hash__

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended. A terminal status never changes."""
        return self in _TERMINAL


class Transition(StrEnum):
    """What can happen to a job."""

    CLAIM = "claim"
    COMPLETE = "complete"
    FAIL = "fail"
    CANCEL = "cancel"
    RELEASE = "release"
    RETRY = "retry"

    __hash__ = str.__hash__


TRANSITIONS: dict[tuple[JobStatus, Transition], JobStatus] = {
    (JobStatus.PENDING, Transition.CLAIM): JobStatus.RUNNING,
    (JobStatus.RUNNING, Transition.COMPLETE): JobStatus.COMPLETED,
    (JobStatus.RUNNING, Transition.FAIL): JobStatus.FAILED,
    (JobStatus.RUNNING, Transition.CANCEL): JobStatus.CANCELED,
    (JobStatus.PENDING, Transition.CANCEL): JobStatus.CANCELED,
    (JobStatus.PENDING, Transition.FAIL): JobStatus.FAILED,
    (JobStatus.RUNNING, Transition.RELEASE): JobStatus.PENDING,
    (JobStatus.RUNNING, Transition.RETRY): JobStatus.PENDING,
}


class EndedBy(StrEnum):
    """What made an attempt end."""

    TARGET = "target"
    """It returned or raised, of its own accord; also if it was asked to stop and did something else."""
    CANCEL = "cancel"
    """It was asked to stop, and stopped; or it had not begun."""
    KILL = "kill"
    """It was asked to stop, and had to be killed after its grace time."""
    TIME_LIMIT = "time_limit"
    STOP = "stop"
    """The process that ran it, or alone could run it, was stopped in order."""
    CRASH = "crash"
    """The process that ran it died; or there is none left that could run it."""

    __hash__ = str.__hash__


_TERMINAL = frozenset(JobStatus) - {status for status, _ in TRANSITIONS}


class Move(NamedTuple):
    """One row of the table read from its transition: the statuses it may start from, and where it leads."""

    sources: tuple[JobStatus, ...]
    target: JobStatus


def move_of(transition: Transition) -> Move:
    """The statuses that `transition` may start from, and the one it leads to."""
    rows = {source: target for (source, name), target in TRANSITIONS.items() if name is transition}
    (target,) = set(rows.values())
    return Move(tuple(rows), target)
