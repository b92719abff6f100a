"""How jobs come into the store, and what those who have submitted them may do to them."""

from typing import Protocol

from servicekit.jobs.record import JobRecord
from servicekit.jobs.submission import Submission


class SubmissionStore(Protocol):
    """Takes jobs, and the wishes of those who have submitted them. Each method is atomic.

    `StoreUnavailable` if the store does not answer: then it is not known whether the call has been carried out.
    """

    async def insert(self, submission: Submission) -> str:
        """Keep a new job as pending and return its id. Once this returns, it is not lost.

        If there is a job with the same idempotency key, nothing is kept and that job's id is returned;
        `IdempotencyConflict` if its target or arguments are others (`jobs.idempotency.FirstUse`, with
        `jobs.restartable.fingerprint`). `QueueFull` if as many jobs wait in its queue as the store was made to take.
        What is not kept is discarded (`Submission.discard`), whatever the reason.

        The job gets its target and arguments as they are now: what the caller changes in them later does not count.
        `jobs.restartable.describe_call` says how they can be written; a call that cannot is a `CallProblem`, and the
        job is one that this process alone can run: it keeps the submission itself.

        A pending job waits for its time if it has one (`JobOptions.scheduled_at`), then for its concurrency key if as
        many jobs with it as may (`concurrency_limit`, of this job) are ready or running, and then it is *ready*: only
        ready jobs are claimed. It is never late for its turn: what becomes ready later stands behind what was ready
        before, so that a flood with one key delays nobody else. A ready job whose queue is paused or full gives its
        place by the key to one that waits for it in another queue, which is not.
        """
        ...

    async def resubmit(self, job_id: str, new_id: str) -> str:
        """Keep a new job with the target, arguments and options of one that has ended, and return its id.

        It is due at once, and has no idempotency key (`jobs.options.options_of_repetition`); `retry_of` names its
        origin. `JobNotFound`; `RetryUnavailable` if the job has not ended or its call is not kept; `QueueFull`.
        """
        ...

    async def find_by_key(self, idempotency_key: str) -> str | None:
        """The id of the job that is kept and was submitted with this key."""
        ...

    async def request_cancel(self, job_id: str) -> JobRecord | None:
        """Cancel a pending job at once, and mark a running one; leave a finished one. Return what it is then.

        A running job is marked once (`cancel_requested_at`), and goes on until its attempt ends. If another process
        runs it, the store there tells its engine (`JobSignals.cancel`). `JobNotFound` if there is no such job.

        `None` if that was done to a job whose record cannot be read; `RecordUnreadable` if its status cannot, or it
        has ended.
        """
        ...

    async def delete(self, job_id: str) -> None:
        """Forget the job, whatever its status, also if its record cannot be read. `JobNotFound` if there is none.

        From then on no reader finds it, and its idempotency key is free. One that runs keeps what it holds (its place
        in the queue and by its concurrency key) until its attempt ends, or its process is gone.
        """
        ...
