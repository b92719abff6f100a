"""The life of a job, as one table.

    pending ──claim──▶ running ──complete──▶ completed
       │  ◀──release────  ├──────fail──────▶ failed
       │  ◀───retry─────  │
       ├──────fail────────┤
       └──────cancel──────┴─────cancel─────▶ canceled

A release takes a job back from a process that stops or has died. A retry takes it back after an attempt that failed. A
pending job fails in two cases only: it has waited longer than `queue_timeout`, or the only process that could run it is
gone.

Stores guard their writes with this table, and tests walk it. No other file compares or spells statuses: ask
`status.is_terminal` or `move_of(Transition.CLAIM)`.
"""

from enum import StrEnum
from typing import NamedTuple


class JobStatus(StrEnum):
    """Where a job is in its life. A status has the same spelling in Python, JSON, SQL and the routes."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"

    # Enum's own hash is a Python function, and statuses are dictionary keys on the hot path, so it would cost each job.
    __hash__ = str.__hash__

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended. A terminal status never changes."""
        return self in _TERMINAL


class Transition(StrEnum):
    """A change of a job's status, by its reason."""

    CLAIM = "claim"
    COMPLETE = "complete"
    FAIL = "fail"
    CANCEL = "cancel"
    RELEASE = "release"
    RETRY = "retry"

    __hash__ = str.__hash__  # as for `JobStatus`

    @property
    def gives_back(self) -> bool:
        """Whether the job is pending again."""
        return self in _GIVING_BACK


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
    """The target returned or raised by itself; also if it was asked to stop, and returned or raised something else."""
    CANCEL = "cancel"
    """The target was asked to stop, and stopped; or the job was canceled before an attempt began."""
    KILL = "kill"
    """The target was asked to stop, and its process was killed after its grace time."""
    TIME_LIMIT = "time_limit"
    """The attempt or the job exceeded one of its time limits."""
    STOP = "stop"
    """The process that ran the job, or the only one that could run it, was stopped in order."""
    CRASH = "crash"
    """The process that ran the job died, or no process is left that could run it."""

    __hash__ = str.__hash__  # as for `JobStatus`


_GIVING_BACK = frozenset(transition for (_, transition), status in TRANSITIONS.items() if status is JobStatus.PENDING)
_TERMINAL = frozenset(JobStatus) - {status for status, _ in TRANSITIONS}


class Move(NamedTuple):
    """All rows of one transition: the statuses from which it may start, and the status to which it leads."""

    sources: tuple[JobStatus, ...]
    target: JobStatus


def move_of(transition: Transition) -> Move:
    """The statuses from which `transition` may start, and the status to which it leads."""
    rows = {source: target for (source, name), target in TRANSITIONS.items() if name is transition}
    (target,) = set(rows.values())  # a store writes one status for a transition, so a second one must fail here
    return Move(tuple(rows), target)
