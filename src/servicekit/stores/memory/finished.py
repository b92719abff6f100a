"""Jobs that have ended, bounded by number and age."""

from collections import OrderedDict
from datetime import datetime

from servicekit.jobs.retention import Bounds
from servicekit.stores.memory.job import Job


class FinishedJobs:
    """Finished jobs that are bounded together, in the order in which they ended."""

    __slots__ = ("_bounds", "jobs")

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self.jobs: OrderedDict[str, Job] = OrderedDict()

    @property
    def is_full(self) -> bool:
        """Whether there are more than may be kept."""
        return self._bounds.max_count is not None and len(self.jobs) > self._bounds.max_count

    def find_expired(self, now: datetime) -> Job | None:
        """The oldest job, if it is too old to keep."""
        job = next(iter(self.jobs.values()), None)
        if job is None or job.finished_at is None or self._bounds.max_age is None:
            return None
        return job if job.finished_at < now - self._bounds.max_age else None
