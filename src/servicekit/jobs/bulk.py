"""What is done with many jobs at once: with those that match a filter, or with some that are named."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from servicekit.jobs.query import JobFilter
from servicekit.jobs.status import JobStatus, Transition, move_of

MAX_PROBLEMS: Final = 20
"""How many problems a step tells: enough to see what is wrong, and not a page for each job."""


class BulkAction(StrEnum):
    """What is done with the jobs."""

    CANCEL = "cancel"
    RETRY = "retry"
    DELETE = "delete"

    __hash__ = str.__hash__

    def narrow(self, wanted: JobFilter) -> frozenset[JobStatus]:
        """The statuses of the wanted jobs on which this action has an effect."""
        return _STATUSES[self] & (wanted.statuses or frozenset(JobStatus))


_ENDED: Final = frozenset(status for status in JobStatus if status.is_terminal)
_STATUSES: Final = {
    BulkAction.CANCEL: frozenset(move_of(Transition.CANCEL).sources),
    BulkAction.RETRY: _ENDED - {move_of(Transition.COMPLETE).target},
    BulkAction.DELETE: frozenset(JobStatus),
}


@dataclass(frozen=True, slots=True)
class JobSelection:
    """The jobs that one step is about: of those that match the filter, at most `limit`, the newest first."""

    wanted: JobFilter
    job_ids: frozenset[str] = frozenset()
    """If there are some, only these jobs are meant, and only if they match the filter as well."""
    limit: int = 1_000
    before: str | None = None
    """The step has the jobs before this id: `next_before` of the step before."""
    up_to: str | None = None
    """Jobs with a higher id are left alone, so that none are met that came after somebody has looked."""

    @property
    def above(self) -> str:
        """An id above all that are meant. `~` is greater than everything in an id."""
        return min(self.before or "~", "~" if self.up_to is None else f"{self.up_to}~")


class BulkCount(NamedTuple):
    """On how many jobs an action would have an effect."""

    matching: int
    is_exact: bool
    """`False`: only a bounded number of jobs was looked at, and there may be more."""
    up_to: str | None
    """The newest job of that moment. An action that is bounded by it leaves those alone that came later."""


class BulkProblem(NamedTuple):
    """Why nothing could be done with a job."""

    job_id: str
    reason: str


class BulkStep(NamedTuple):
    """What was done with at most so many jobs as were asked for."""

    done: int
    skipped: int
    """Jobs that have changed since they were looked at, so that nothing was to be done, and those with problems."""
    problems: list[BulkProblem]
    """The first `MAX_PROBLEMS` jobs with which nothing could be done."""
    next_before: str | None
    """The next step has the jobs before this id; `None` if there are no more."""
