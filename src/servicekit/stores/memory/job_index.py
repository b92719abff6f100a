"""All jobs, in order of submission."""

from bisect import bisect_left
from collections.abc import Collection, Iterator
from itertools import islice

from servicekit.jobs.metadata import metadata_of
from servicekit.jobs.query import ALL_JOBS, JobFilter
from servicekit.jobs.status import JobStatus
from servicekit.stores.memory.index_block import IndexBlock
from servicekit.stores.memory.job import Job

_ALL_STATUSES = frozenset(JobStatus)


class JobIndex:
    """All jobs, in blocks of a few dozen.

    A list by status looks into the blocks that hold the status, and at nothing else; so its first page costs the same
    with a thousand jobs and with a million, wherever the jobs of that status are.
    """

    _CAPACITY = 128

    def __init__(self) -> None:
        self._blocks: list[IndexBlock[Job]] = []
        self.counts = dict.fromkeys(JobStatus, 0)

    def add(self, job: Job) -> None:
        if not self._blocks or len(self._blocks[-1].jobs) >= self._CAPACITY:
            self._blocks.append(IndexBlock(job.id))
        block = job.block = self._blocks[-1]
        block.jobs.append(job)
        block.counts[job.status] += 1
        self.counts[job.status] += 1

    def move(self, job: Job, status: JobStatus) -> None:
        """Give the job another status."""
        before, here, everywhere = job.status, job.block.counts, self.counts
        here[before] -= 1
        here[status] += 1
        everywhere[before] -= 1
        everywhere[status] += 1
        job.status = status

    def remove(self, job: Job) -> None:
        block = job.block
        block.jobs.remove(job)
        block.counts[job.status] -= 1
        self.counts[job.status] -= 1
        if not block.jobs:
            del self._blocks[self._position(block.first_id)]

    def newest(
        self, wanted: JobFilter, limit: int, before: str | None, scan_limit: int
    ) -> tuple[list[Job], str | None]:
        """The newest jobs that `wanted` lets through. The id says where to go on, if there may be more."""
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
        """The jobs of blocks with such a status, the newest first, with an id of at least `lowest` below `above`."""
        for index in range(self._position(above) - 1, -1, -1):
            block = self._blocks[index]
            if any(block.counts[status] for status in statuses):
                for job in reversed(block.jobs):
                    if job.id < lowest:
                        return
                    if job.id < above:
                        yield job
            elif block.first_id < lowest:
                return

    def _position(self, job_id: str) -> int:
        return bisect_left(self._blocks, job_id, key=lambda block: block.first_id)


def _finds(wanted: JobFilter, job: Job) -> bool:
    options = job.options
    return wanted.finds(job.name, options.tags, job.error, job.parent, metadata_of(options.metadata).words)
