"""Submissions, and the requests of those who made them."""

from collections.abc import Collection

from servicekit.errors import IdempotencyConflict, StoreUnavailable
from servicekit.jobs.idempotency import key_of_owner
from servicekit.jobs.record import JobRecord
from servicekit.jobs.restartable import describe_call, fingerprint, is_same_call
from servicekit.jobs.status import JobStatus
from servicekit.jobs.submission import CallProblem, Submission
from servicekit.stores.durable.new_jobs import NewJob, new_job
from servicekit.stores.durable.requests import JobRequest, Resubmission
from servicekit.stores.durable.session import StoreSession


class DurableSubmissions:
    """The `SubmissionStore` of a database."""

    def __init__(self, session: StoreSession, max_pending: int | None) -> None:
        self._session = session
        self._statements = session.statements
        self._max_pending = max_pending

    async def insert(self, submission: Submission) -> str:
        if submission.options.has_times:
            try:
                await self._session.heed_clock()
            except StoreUnavailable:
                submission.discard()
                raise
        job = self._describe(submission)
        job_id: str | None = None
        try:
            job_id = await self._session.database.write(self._statements.inserts.insert, job)
        except IdempotencyConflict as conflict:
            if not await self._is_repetition(submission, conflict.job_id):
                raise
            job_id = conflict.job_id
        finally:
            if job_id != submission.id:
                self._session.local.take(submission.id)
                submission.discard()
        return job_id

    def _describe(self, submission: Submission) -> NewJob:
        """The row of the job. If no other process could run it, its submission is kept here."""
        described = describe_call(submission)
        call, problem = (None, described) if isinstance(described, CallProblem) else (described, None)
        options, local = submission.options, self._session.local
        if problem is not None:
            local.add(submission)
            local.warn(submission, problem)
        return new_job(
            submission.id, submission.name, submission.runner, call, options, self._session.now(),
            owner=None if call else self._session.database.registration.number,
            fingerprint=None if options.idempotency_key is None else fingerprint(submission),
            restart_problem=problem and problem.sentence, retry_of=submission.retry_of, schedule=submission.schedule,
            parent=submission.parent, max_pending=self._max_pending,
        )  # fmt: skip

    async def _is_repetition(self, submission: Submission, job_id: str) -> bool:
        """Whether it is the call of that job. An earlier version kept that one, so that their fingerprints differ."""
        call = await self._session.database.read(self._statements.queries.find_old_call, job_id)
        return call is not None and is_same_call(submission, call)

    async def resubmit(self, job_id: str, new_id: str, *, is_once: bool = False) -> str:
        await self._session.heed_clock()
        request = Resubmission(job_id, new_id, self._session.now(), self._max_pending, is_once)
        kept_id = await self._session.database.write(self._statements.inserts.resubmit, request)
        self._session.wake()
        return kept_id

    async def find_by_key(self, idempotency_key: str, owner: str | None = None) -> str | None:
        key = key_of_owner(owner, idempotency_key)
        return await self._session.database.read(self._statements.queries.find_by_key, key)

    async def request_cancel(self, job_id: str, among: Collection[JobStatus] | None = None) -> JobRecord | None:
        request = JobRequest(job_id, self._session.now_text(), among)
        record = await self._session.database.write(self._statements.writes.request_cancel, request)
        if record is None or record.status.is_terminal:
            self._session.local.forget(job_id)
        return record

    async def delete(self, job_id: str, among: Collection[JobStatus] | None = None) -> bool:
        request = JobRequest(job_id, self._session.now_text(), among)
        is_gone = await self._session.database.write(self._statements.writes.delete, request)
        if is_gone:
            self._session.local.forget(job_id)
        return is_gone
