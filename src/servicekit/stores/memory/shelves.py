"""All jobs, in order of submission."""

from bisect import bisect_left
from collections.abc import Collection, Iterator
from itertools import islice

from servicekit.jobs.metadata import metadata_of
from servicekit.jobs.query import ALL_JOBS, JobFilter
from servicekit.jobs.status import JobStatus
from servicekit.stores.memory.job import Job

_ALL_STATUSES = frozenset(JobStatus)


class Shelf:
    """Jobs submitted one after the other, and how many of them have each status (whoever changes one counts it)."""

    __slots__ = ("counts", "first_id", "jobs")

    def __init__(self, first_id: str) -> None:
        self.first_id = first_id
        self.jobs: list[Job] = []
        self.counts = dict.fromkeys(JobStatus, 0)


class Shelves:
    """All jobs on shelves of a few dozen.

    A list by status looks into the shelves that hold the status, and at nothing else; so its first page costs the same
    with a thousand jobs and with a million, wherever the jobs of that status are.
    """

    _CAPACITY = 128

    def __init__(self) -> None:
        self._shelves: list[Shelf] = []
        self.counts = dict.fromkeys(JobStatus, 0)

    def add(self, job: Job) -> None:
        if not self._shelves or len(self._shelves[-1].jobs) >= self._CAPACITY:
            self._shelves.append(Shelf(job.id))
        shelf = job.shelf = self._shelves[-1]
        shelf.jobs.append(job)
        shelf.counts[job.status] += 1
        self.counts[job.status] += 1

    def move(self, job: Job, status: JobStatus) -> None:
        """Give the job another status."""
        before, here, everywhere = job.status, job.shelf.counts, self.counts
        here[before] -= 1
        here[status] += 1
        everywhere[before] -= 1
        everywhere[status] += 1
        job.status = status

    def remove(self, job: Job) -> None:
        shelf = job.shelf
        shelf.jobs.remove(job)
        shelf.counts[job.status] -= 1
        self.counts[job.status] -= 1
        if not shelf.jobs:
            del self._shelves[self._position(shelf.first_id)]

    def newest(
        self, wanted: JobFilter, limit: int, before: str | None, scan_limit: int
    ) -> tuple[list[Job], str | None]:
        """The newest jobs that are wanted, and the id before which to go on if there may be more."""
        statuses = wanted.statuses or _ALL_STATUSES
        is_search = wanted.is_search
        left = sum(self.counts[status] for status in statuses)
        above = wanted.above_id if before is None else min(before, wanted.above_id)
        found: list[Job] = []
        for count, job in enumerate(self._walk(statuses, wanted.lowest_id, above)):
            if is_search and count == scan_limit:
                return found, above
            if job.status in statuses:
                left -= 1
                if not is_search or _finds(wanted, job):
                    if len(found) == limit:
                        return found, above
                    found.append(job)
                if not left:
                    break
            above = job.id
        return found, None

    def count(self, wanted: JobFilter, scan_limit: int) -> dict[JobStatus, int]:
        """How many of the newest jobs are wanted, by their status."""
        if wanted == ALL_JOBS:
            return dict(self.counts)
        counts = dict.fromkeys(JobStatus, 0)
        walk = self._walk(wanted.statuses or _ALL_STATUSES, wanted.lowest_id, wanted.above_id)
        for job in islice(walk, scan_limit):
            counts[job.status] += (not wanted.statuses or job.status in wanted.statuses) and _finds(wanted, job)
        return counts

    def _walk(self, statuses: Collection[JobStatus], lowest: str, above: str) -> Iterator[Job]:
        """The jobs of shelves with such a status, the newest first, with an id of at least `lowest` below `above`."""
        for index in range(self._position(above) - 1, -1, -1):
            shelf = self._shelves[index]
            if any(shelf.counts[status] for status in statuses):
                for job in reversed(shelf.jobs):
                    if job.id < lowest:
                        return
                    if job.id < above:
                        yield job
            elif shelf.first_id < lowest:
                return

    def _position(self, job_id: str) -> int:
        return bisect_left(self._shelves, job_id, key=lambda shelf: shelf.first_id)


def _finds(wanted: JobFilter, job: Job) -> bool:
    options = job.options
    return wanted.finds(job.name, options.tags, job.error, job.parent, metadata_of(options.metadata).words)
