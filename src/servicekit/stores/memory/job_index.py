"""All jobs, in order of submission."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import chain, islice
from typing import Final

from servicekit.jobs.metadata import metadata_of
from servicekit.jobs.query import ALL_JOBS, JobCounts, JobFilter
from servicekit.jobs.status import JobStatus
from servicekit.jobs.suggestions import SuggestedField, Suggestion, SuggestionRequest, choose
from servicekit.stores.memory.index_block import IndexBlock
from servicekit.stores.memory.job import Job

_ALL_STATUSES = frozenset(JobStatus)
_NONE = dict.fromkeys(JobStatus, 0)


class JobIndex:
    """All jobs, and those of each owner that has some."""

    def __init__(self) -> None:
        self._all = _JobBlocks()
        self._own: dict[str, _JobBlocks] = {}
        self._queues: dict[str, dict[JobStatus, int]] = {}
        """How many jobs of each queue have each status."""

    def add(self, job: Job) -> None:
        job.block = self._all.add(job)
        owner, queue = job.options.owner, job.options.queue
        if queue not in self._queues:
            self._queues[queue] = _NONE.copy()
        job.queue_counts = counts = self._queues[queue]
        counts[job.status] += 1
        if owner is not None:
            if owner not in self._own:
                self._own[owner] = _JobBlocks()
            job.own_block = self._own[owner].add(job)

    def move(self, job: Job, status: JobStatus) -> None:
        """Give the job another status."""
        before, owner = job.status, job.options.owner
        self._all.move(job.block, before, status)
        counts = job.queue_counts
        counts[before] -= 1
        counts[status] += 1
        if owner is not None:
            self._own[owner].move(job.own_block, before, status)
        job.status = status

    def remove(self, job: Job) -> None:
        self._all.remove(job.block, job)
        owner, counts = job.options.owner, job.queue_counts
        counts[job.status] -= 1
        if not counts[job.status] and not any(counts.values()):
            del self._queues[job.options.queue]
        if owner is not None:
            self._own[owner].remove(job.own_block, job)
            if self._own[owner].is_empty:
                del self._own[owner]

    def newest(
        self, wanted: JobFilter, limit: int, before: str | None, scan_limit: int
    ) -> tuple[list[Job], str | None]:
        """The newest jobs that `wanted` lets through. The id says where to go on, if there may be more."""
        return self._find_blocks(wanted).newest(wanted, limit, before, scan_limit)

    def count(self, wanted: JobFilter, scan_limit: int) -> JobCounts:
        """How many jobs are wanted, by their status. If there are no counts of such jobs, it counts the newest ones."""
        if wanted.is_counted and wanted.queue is not None:
            return _select(self._queues.get(wanted.queue, _NONE), wanted)
        return self._find_blocks(wanted).count(wanted, scan_limit)

    def suggest(self, request: SuggestionRequest, scan_limit: int) -> list[Suggestion]:
        """The values that the newest jobs have."""
        jobs = list(self._find_blocks(JobFilter(owner=request.owner)).list_newest(scan_limit))
        counts = Counter(chain.from_iterable(map(_VALUES_OF[request.field], jobs)))
        return choose(counts, request, is_exact=len(jobs) < scan_limit)

    def _find_blocks(self, wanted: JobFilter) -> "_JobBlocks":
        return self._all if wanted.owner is None else self._own.get(wanted.owner) or _JobBlocks()


class _JobBlocks:
    """Jobs in blocks of a few dozen.

    A list by status looks into the blocks that hold the status, and at nothing else; so its first page costs the same
    with a thousand jobs and with a million, wherever the jobs of that status are.
    """

    _CAPACITY = 128

    def __init__(self) -> None:
        self._blocks: list[IndexBlock[Job]] = []
        self._counts = dict.fromkeys(JobStatus, 0)

    @property
    def is_empty(self) -> bool:
        return not self._blocks

    def add(self, job: Job) -> IndexBlock[Job]:
        if not self._blocks or len(self._blocks[-1].jobs) >= self._CAPACITY:
            self._blocks.append(IndexBlock(job.id))
        block = self._blocks[-1]
        block.jobs.append(job)
        block.counts[job.status] += 1
        self._counts[job.status] += 1
        return block

    def move(self, block: IndexBlock[Job], before: JobStatus, status: JobStatus) -> None:
        """A job of this block gets another status."""
        here, everywhere = block.counts, self._counts
        here[before] -= 1
        here[status] += 1
        everywhere[before] -= 1
        everywhere[status] += 1

    def remove(self, block: IndexBlock[Job], job: Job) -> None:
        block.jobs.remove(job)
        block.counts[job.status] -= 1
        self._counts[job.status] -= 1
        if not block.jobs:
            del self._blocks[self._position(block.first_id)]

    def newest(
        self, wanted: JobFilter, limit: int, before: str | None, scan_limit: int
    ) -> tuple[list[Job], str | None]:
        statuses = wanted.statuses or _ALL_STATUSES
        is_search = wanted.is_search
        left = sum(self._counts[status] for status in statuses)
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

    def count(self, wanted: JobFilter, scan_limit: int) -> JobCounts:
        if wanted.is_counted:
            return _select(self._counts, wanted)
        counts, looked_at = _NONE.copy(), 0
        walk = self._walk(wanted.statuses or _ALL_STATUSES, wanted.lowest_id, wanted.above_id)
        for looked_at, job in enumerate(islice(walk, scan_limit), 1):  # noqa: B007
            counts[job.status] += (not wanted.statuses or job.status in wanted.statuses) and _finds(wanted, job)
        return JobCounts(counts, is_exact=looked_at < scan_limit)

    def list_newest(self, count: int) -> Iterator[Job]:
        """The newest jobs, at most so many."""
        return islice(self._walk(_ALL_STATUSES, "", ALL_JOBS.above_id), count)

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


def _select(counts: Mapping[JobStatus, int], wanted: JobFilter) -> JobCounts:
    """Of these counts, those of the wanted statuses."""
    statuses = wanted.statuses or _ALL_STATUSES
    return JobCounts({each: count if each in statuses else 0 for each, count in counts.items()}, is_exact=True)


def _finds(wanted: JobFilter, job: Job) -> bool:
    options = job.options
    words = metadata_of(options.metadata).words
    return wanted.finds(job.name, options.tags, job.error, job.parent, options.owner, options.queue, words)


_VALUES_OF: Final[Mapping[SuggestedField, Callable[[Job], tuple[str, ...]]]] = {
    SuggestedField.NAME: lambda job: (job.name,),
    SuggestedField.QUEUE: lambda job: (job.options.queue,),
    SuggestedField.TAG: lambda job: job.options.tags,
    SuggestedField.OWNER: lambda job: () if job.options.owner is None else (job.options.owner,),
}
