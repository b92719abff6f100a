"""Jobs in the memory of one process. What is kept of finished ones is bounded by `Retention`.

A job is one mutable `_Job` with everything inline, and the frozen record is made when somebody looks: at 100,000 kept
jobs the garbage collector walks one object for each of them instead of a handful, and a job that nobody watches never
pays for a record. Nothing here awaits, so every method is atomic on the event loop.
"""

from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Collection, Iterator
from datetime import datetime
from sys import getsizeof
from typing import Final, NamedTuple

from servicekit.errors import IdempotencyConflict, JobFailed, JobNotFinished, JobNotFound, ResultDropped
from servicekit.jobs.events import JobEvent
from servicekit.jobs.outcome import CANCELED, Outcome
from servicekit.jobs.query import SCAN_LIMIT, ChangePage, JobChange, JobFilter, JobPage
from servicekit.jobs.record import JobRecord, Progress, transitions_of
from servicekit.jobs.restartable import fingerprint
from servicekit.jobs.retention import Bounds, Retention
from servicekit.jobs.status import JobStatus, Move, Transition, move_of
from servicekit.jobs.submission import Claim, RunnerKind, Submission
from servicekit.ports import Clock, EventPublisher, JobSignals

_MOVES = {transition: move_of(transition) for transition in Transition}
_CLAIM = _MOVES[Transition.CLAIM]
_CANCEL = _MOVES[Transition.CANCEL]
_ALL_STATUSES = frozenset(JobStatus)
_DROPPED = object()
_CHANGES_KEPT: Final = 10_000


class MemoryStore:
    """A `JobStore` that forgets everything with its process."""

    def __init__(
        self, publisher: EventPublisher, clock: Clock, retention: Retention, *, scan_limit: int = SCAN_LIMIT
    ) -> None:
        self._publisher = publisher
        self._notify = publisher.notify
        self._now = clock.now
        self._retention = retention
        self._scan_limit = scan_limit
        self._jobs: dict[str, _Job] = {}
        self._shelves = _Shelves()
        self._changes = _ChangeLog(self._now())
        self._first_uses: dict[str, _FirstUse] = {}  # of idempotency keys, by jobs that are kept
        # Ordered dictionaries, because their first item can be removed at once however many went before it.
        self._pending: dict[RunnerKind, OrderedDict[str, _Job]] = {kind: OrderedDict() for kind in RunnerKind}
        self._finished: dict[JobStatus, _Finished] = {}
        for statuses, bounds in retention.groups():
            self._finished |= dict.fromkeys(statuses, _Finished(bounds))
        self._sizes: OrderedDict[str, int] = OrderedDict()  # what jobs keep besides their records, in bytes
        self._bytes = 0

    @property
    def is_shared(self) -> bool:
        return False

    async def open(self, signals: JobSignals) -> None:
        """There is nothing to open, and nobody else who would do something to tell."""

    async def insert(self, submission: Submission) -> str:
        job_id, key = submission.id, submission.options.idempotency_key
        if key is not None and (first_id := self._find_first(key, submission)) is not None:
            return first_id
        job = _Job(submission, self._now())
        self._jobs[job_id] = job
        self._shelves.add(job)
        self._pending[submission.runner][job_id] = job
        if self._publisher.is_watched(job_id):
            self._publish(job)
        self._log_change(job_id)
        return job_id

    def _find_first(self, key: str, submission: Submission) -> str | None:
        """The job that this submission is a repetition of. If there is none, the key is this one's from now on."""
        use = _FirstUse(submission.id, fingerprint(submission))
        first = self._first_uses.setdefault(key, use)
        if first is use:
            return None
        submission.discard()
        if first.fingerprint != use.fingerprint:
            raise IdempotencyConflict(key, first.job_id)
        return first.job_id

    async def claim(
        self,
        limit: int,
        excluding: Collection[RunnerKind],
        max_running: int | None = None,  # noqa: ARG002 (no other process runs any, so `limit` says it already)
    ) -> list[Claim]:
        queues = [queue for kind, queue in self._pending.items() if queue and kind not in excluding]
        claims: list[Claim] = []
        while queues and len(claims) < limit:
            queue = queues[0] if len(queues) == 1 else min(queues, key=_first_id)
            _, job = queue.popitem(last=False)
            claims.append(self._start(job))
            if not queue:
                queues.remove(queue)
        return claims

    def _start(self, job: "_Job") -> Claim:
        submission = job.submission
        assert submission is not None  # it is kept until the job has finished
        now = self._now()
        # A clock that was set back does not make a job start before it was submitted.
        job.started_at = now if now > job.submitted_at else job.submitted_at
        job.attempt += 1
        self._move(job, _CLAIM)
        return Claim(submission, job.attempt)

    async def finish(self, claim: Claim, outcome: Outcome) -> bool:
        job = self._running(claim)
        if job is None:
            return False
        job.error = outcome.error
        job.error_traceback = outcome.error_traceback
        job.artifact_id = outcome.artifact_id
        job.result = outcome.result
        if outcome.result is not None or outcome.error_traceback is not None:
            self._weigh(job, outcome.result_bytes + getsizeof(outcome.error_traceback))
        self._end(job, _MOVES[outcome.transition])
        return True

    async def release(self, claim: Claim) -> bool:
        """No other process could run it, and this one stops: the job ends canceled."""
        return await self.finish(claim, CANCELED)

    async def report_progress(self, claim: Claim, progress: Progress) -> None:
        job = self._running(claim)
        if job is not None:
            job.progress = progress
            self._touch(job)

    async def request_cancel(self, job_id: str) -> JobRecord:
        job = self._get(job_id)
        if job.status in _CANCEL.sources and job.cancel_requested_at is None:
            job.cancel_requested_at = self._now()
            if job.status in _CLAIM.sources:
                self._dequeue(job)
                self._end(job, _CANCEL)
            else:
                self._touch(job)
        return job.record()

    async def delete(self, job_id: str) -> None:
        self._drop(self._get(job_id))
        if self._publisher.is_watched(job_id):
            self._publisher.publish(JobEvent(job_id, None))
        self._log_change(job_id)

    async def get_record(self, job_id: str) -> JobRecord:
        return self._get(job_id).record()

    async def get_result(self, job_id: str) -> object:
        job = self._get(job_id)
        if not job.status.is_terminal:
            raise JobNotFinished(job_id, job.status)
        if job.status is not _MOVES[Transition.COMPLETE].target:
            raise JobFailed(job_id, job.status, job.error)
        if job.result is _DROPPED:
            raise ResultDropped(job_id, job.status)
        return job.result

    async def list_records(self, wanted: JobFilter, limit: int, before: str | None) -> JobPage:
        jobs, next_before = self._shelves.newest(wanted, limit, before, self._scan_limit)
        return JobPage([job.record() for job in jobs], next_before)

    async def list_changes(self, after: int, limit: int) -> ChangePage | None:
        newest = self._changes.list_newest(after, limit)
        if newest is None:
            return None
        jobs = self._jobs
        changes = [
            JobChange(position, job_id, jobs[job_id].record() if job_id in jobs else None)
            for job_id, position in newest.items()
        ]
        position = min(after + limit, self._changes.position)
        return ChangePage(changes, position, position == self._changes.position)

    async def get_position(self) -> int:
        return self._changes.position

    async def list_transitions(self, job_id: str, after_version: int) -> list[JobRecord]:
        life = transitions_of(self._get(job_id).record())
        return [record for record in life if record.version > after_version]

    async def count_by_status(self) -> dict[JobStatus, int]:
        return dict(self._shelves.counts)

    async def prune(self, limit: int) -> bool:
        now = self._now()
        for finished in self._finished.values():
            while (job := finished.find_expired(now)) is not None:
                if limit == 0:
                    return True
                limit -= 1
                self._drop(job)
        return limit == 0

    async def rescue(self) -> None:
        """No other process can have died with jobs of this one."""

    async def find_problem(self) -> str | None:
        return None

    async def retire(self) -> None:
        for queue in self._pending.values():
            while queue:
                await self.request_cancel(next(iter(queue)))

    async def close(self) -> None:
        """There is nothing to let go of: what is kept can still be looked at."""

    def _get(self, job_id: str) -> "_Job":
        job = self._jobs.get(job_id)
        if job is None:
            raise JobNotFound(job_id)
        return job

    def _running(self, claim: Claim) -> "_Job | None":
        """The job, if this attempt is the one that runs it."""
        job = self._jobs.get(claim.submission.id)
        if job is None or job.status is not _CLAIM.target or job.attempt != claim.attempt:
            return None
        return job

    def _end(self, job: "_Job", move: Move) -> None:
        now, earliest = self._now(), job.started_at or job.submitted_at
        job.finished_at = now if now > earliest else earliest
        job.submission = None
        finished = self._finished[move.target]
        finished.jobs[job.id] = job
        self._move(job, move)
        if finished.is_full:
            self._drop(next(iter(finished.jobs.values())))

    def _move(self, job: "_Job", move: Move) -> None:
        old, new = job.status, move.target
        assert old in move.sources
        for counts in (job.shelf.counts, self._shelves.counts):
            counts[old] -= 1
            counts[new] += 1
        job.status = new
        job.version += 1
        if self._publisher.is_watched(job.id):
            self._publish(job)
        self._log_change(job.id)

    def _touch(self, job: "_Job") -> None:
        job.version += 1
        if self._publisher.is_watched(job.id):
            self._publish(job, is_transition=False)
        self._log_change(job.id)

    def _log_change(self, job_id: str) -> None:
        self._changes.add(job_id)
        self._notify()

    def _publish(self, job: "_Job", *, is_transition: bool = True) -> None:
        self._publisher.publish(JobEvent(job.id, job.record(), is_transition=is_transition))

    def _dequeue(self, job: "_Job") -> None:
        """Take a pending job out of its queue, never to run."""
        if job.submission is not None:
            self._pending[job.submission.runner].pop(job.id, None)
            job.submission.discard()

    def _drop(self, job: "_Job") -> None:
        del self._jobs[job.id]
        self._shelves.remove(job)
        if job.status.is_terminal:
            self._finished[job.status].jobs.pop(job.id, None)
        if job.status in _CLAIM.sources:
            self._dequeue(job)
        self._lighten(job)
        if job.options.idempotency_key is not None:
            del self._first_uses[job.options.idempotency_key]

    def _weigh(self, job: "_Job", size: int) -> None:
        """Count what the job keeps besides its record, and let go of what the oldest ones do if it is too much."""
        self._sizes[job.id] = size
        self._bytes += size
        limit = self._retention.max_result_bytes
        while limit is not None and self._bytes > limit and len(self._sizes) > 1:
            oldest = self._jobs[next(iter(self._sizes))]
            self._lighten(oldest)
            oldest.result = None if oldest.result is None else _DROPPED
            oldest.error_traceback = None

    def _lighten(self, job: "_Job") -> None:
        self._bytes -= self._sizes.pop(job.id, 0)


class _Job:
    """One job, mutable; only the store touches it."""

    __slots__ = (
        "artifact_id", "attempt", "cancel_requested_at", "error", "error_traceback", "finished_at", "id", "name",
        "options", "progress", "result", "shelf", "started_at", "status", "submission", "submitted_at", "version",
    )  # fmt: skip

    shelf: "_Shelf"

    def __init__(self, submission: Submission, submitted_at: datetime) -> None:
        self.id = submission.id
        self.name = submission.name
        self.options = submission.options  # nearly always the same object for all jobs
        self.submission: Submission | None = submission
        self.status = JobStatus.PENDING
        self.submitted_at = submitted_at
        self.started_at: datetime | None = None
        self.finished_at: datetime | None = None
        self.cancel_requested_at: datetime | None = None
        self.error: str | None = None
        self.error_traceback: str | None = None
        self.artifact_id: str | None = None
        self.progress: Progress | None = None
        self.result: object = None
        self.attempt = 0
        self.version = 1

    def record(self) -> JobRecord:
        return JobRecord(
            self.id, self.status, self.submitted_at, self.started_at, self.finished_at, self.error, self.artifact_id,
            self.name, self.attempt, self.version, self.progress, self.options.tags, self.cancel_requested_at,
            self.error_traceback,
        )  # fmt: skip


class _FirstUse(NamedTuple):
    """The job for which an idempotency key was used first."""

    job_id: str
    fingerprint: str


class _ChangeLog:
    """Which jobs have changed last. A change's position is the number of the one before, and one more.

    The first position is the time in microseconds. No process makes a change in each of them, so that a position of an
    earlier process is never taken for one of this: it is before all that is known.
    """

    def __init__(self, now: datetime) -> None:
        self.position = int(now.timestamp() * 1_000_000)
        self._job_ids: deque[str] = deque(maxlen=_CHANGES_KEPT)

    def add(self, job_id: str) -> None:
        self.position += 1
        self._job_ids.append(job_id)

    def list_newest(self, after: int, limit: int) -> dict[str, int] | None:
        """The jobs of the next `limit` changes, each with the newest of its own among these, in order of that.

        `None` if what came next is not kept any more, or `after` has not come yet.
        """
        start = self.position - len(self._job_ids)
        if not start <= after <= self.position:
            return None
        newest: dict[str, int] = {}
        for position in range(after + 1, min(after + limit, self.position) + 1):
            job_id = self._job_ids[position - start - 1]
            newest.pop(job_id, None)
            newest[job_id] = position
        return newest


def _first_id(queue: OrderedDict[str, _Job]) -> str:
    return next(iter(queue))


class _Finished:
    """Finished jobs that are bounded together, in the order in which they ended."""

    __slots__ = ("_bounds", "jobs")

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self.jobs: OrderedDict[str, _Job] = OrderedDict()

    @property
    def is_full(self) -> bool:
        """Whether there are more than may be kept."""
        return self._bounds.max_count is not None and len(self.jobs) > self._bounds.max_count

    def find_expired(self, now: datetime) -> _Job | None:
        """The oldest job, if it is too old to keep."""
        job = next(iter(self.jobs.values()), None)
        if job is None or job.finished_at is None or self._bounds.max_age is None:
            return None
        return job if job.finished_at < now - self._bounds.max_age else None


class _Shelf:
    """Jobs submitted one after the other, and how many of them have each status (whoever changes one counts it)."""

    __slots__ = ("counts", "first_id", "jobs")

    def __init__(self, first_id: str) -> None:
        self.first_id = first_id
        self.jobs: list[_Job] = []
        self.counts = dict.fromkeys(JobStatus, 0)


class _Shelves:
    """All jobs in order of submission, on shelves of a few dozen.

    A list by status looks into the shelves that hold the status, and at nothing else; so its first page costs the same
    with a thousand jobs and with a million, wherever the jobs of that status are.
    """

    _CAPACITY = 128

    def __init__(self) -> None:
        self._shelves: list[_Shelf] = []
        self.counts = dict.fromkeys(JobStatus, 0)

    def add(self, job: _Job) -> None:
        if not self._shelves or len(self._shelves[-1].jobs) >= self._CAPACITY:
            self._shelves.append(_Shelf(job.id))
        shelf = job.shelf = self._shelves[-1]
        shelf.jobs.append(job)
        shelf.counts[job.status] += 1
        self.counts[job.status] += 1

    def remove(self, job: _Job) -> None:
        shelf = job.shelf
        shelf.jobs.remove(job)
        shelf.counts[job.status] -= 1
        self.counts[job.status] -= 1
        if not shelf.jobs:
            del self._shelves[self._position(shelf.first_id)]

    def newest(
        self, wanted: JobFilter, limit: int, before: str | None, scan_limit: int
    ) -> tuple[list[_Job], str | None]:
        """The newest jobs that are wanted, and the id before which to go on if there may be more."""
        statuses = wanted.statuses or _ALL_STATUSES
        is_search = wanted.is_search
        left = sum(self.counts[status] for status in statuses)
        above = wanted.above_id if before is None else min(before, wanted.above_id)
        found: list[_Job] = []
        for count, job in enumerate(self._walk(statuses, wanted.lowest_id, above)):
            if is_search and count == scan_limit:
                return found, above
            if job.status in statuses:
                left -= 1
                if not is_search or wanted.finds(job.name, job.options.tags, job.error):
                    if len(found) == limit:
                        return found, above
                    found.append(job)
                if not left:
                    break
            above = job.id
        return found, None

    def _walk(self, statuses: Collection[JobStatus], lowest: str, above: str) -> Iterator[_Job]:
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
