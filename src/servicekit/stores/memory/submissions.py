"""Submissions to the store in memory."""

from collections.abc import Collection
from typing import Final

from servicekit.errors import QueueFull
from servicekit.jobs.events import JobEvent
from servicekit.jobs.idempotency import FirstUse, key_of_owner
from servicekit.jobs.outcome import CANCELED
from servicekit.jobs.record import JobRecord
from servicekit.jobs.restartable import fingerprint
from servicekit.jobs.status import JobStatus, Transition, move_of
from servicekit.jobs.submission import Submission
from servicekit.stores.memory.kept_jobs import KeptJobs

_CANCEL: Final = move_of(Transition.CANCEL)
_PENDING: Final = move_of(Transition.RETRY).target
_RUNNING: Final = move_of(Transition.CLAIM).target


class MemorySubmissions:
    """The `SubmissionStore` of a store in memory."""

    def __init__(self, kept: KeptJobs) -> None:
        self._kept = kept
        self._now = kept.now
        self._max_pending = kept.max_pending

    async def insert(self, submission: Submission) -> str:
        options = submission.options
        key = None if options.idempotency_key is None else options.kept_idempotency_key
        if key is not None and key in self._kept.first_uses:
            return self._find_first(key, submission)
        if self._max_pending is not None and self._kept.is_full(options.queue):
            submission.discard()
            raise QueueFull(options.queue, self._max_pending)
        if key is not None:
            self._kept.first_uses[key] = FirstUse(submission.id, fingerprint(submission))
        self._kept.add(submission)
        return submission.id

    def _find_first(self, key: str, submission: Submission) -> str:
        """The job that this submission repeats."""
        first = self._kept.first_uses[key]
        submission.discard()
        conflict = first.find_conflict(key, fingerprint(submission))
        if conflict is not None:
            raise conflict
        return first.job_id

    async def resubmit(self, job_id: str, new_id: str, *, is_once: bool = False) -> str:
        job = self._kept.get(job_id)
        if is_once and job_id in self._kept.repetitions:
            return max(self._kept.repetitions[job_id])
        await self.insert(job.repeat(new_id))
        self._kept.wake()
        return new_id

    async def find_by_key(self, idempotency_key: str, owner: str | None = None) -> str | None:
        first = self._kept.first_uses.get(key_of_owner(owner, idempotency_key))
        return None if first is None else first.job_id

    async def request_cancel(self, job_id: str, among: Collection[JobStatus] | None = None) -> JobRecord:
        job = self._kept.get(job_id)
        is_meant = among is None or job.status in among
        if is_meant and job.status in _CANCEL.sources and job.cancel_requested_at is None:
            job.cancel_requested_at = self._now()
            if job.status is _PENDING:
                self._kept.end_waiting(job, CANCELED)
            else:
                self._kept.touch(job)
        return job.record(self._now())

    async def delete(self, job_id: str, among: Collection[JobStatus] | None = None) -> bool:
        job = self._kept.get(job_id)
        if among is not None and job.status not in among:
            return False
        if job.status is _PENDING:
            self._kept.pending.remove(job)
            job.discard_call()
        elif job.status is _RUNNING:
            self._kept.deleted[job_id] = job
        self._kept.drop(job)
        if self._kept.publisher.is_watched(job_id):
            self._kept.publisher.publish(JobEvent(job_id, None))
        self._kept.changes.add_deletion(job_id, job.options.owner)
        return True
