"""How jobs come into the store, and what their submitters can do to them."""

from collections.abc import Collection
from typing import Protocol

from servicekit.jobs.record import JobRecord
from servicekit.jobs.status import JobStatus
from servicekit.jobs.submission import Submission


class SubmissionStore(Protocol):
    """Takes new jobs, and what their submitters want of them. What holds for all parts is in `ports.store`."""

    async def insert(self, submission: Submission) -> str:
        """Keep a new job as pending and return its id. Once this returns, the job is not lost.

        - **Repetition.** If a job of the same owner with the same idempotency key is kept, nothing new is kept, and its
          id is returned (`JobOptions.kept_idempotency_key`). `IdempotencyConflict` if that job has another target or
          other arguments. A key is free again when its job is deleted or dropped. Of several calls with one key at the
          same time, one keeps its job.
        - **Room.** `QueueFull` if the job's queue has as many pending jobs as the store was made to take. All pending
          jobs count, whatever they wait for. A repetition is answered also then. A retry and a release need no room.
        - **The call** is kept as it is now: later changes of its arguments do not count (`describe_call`, `is_fixed`).
        - What is not kept is discarded (`Submission.discard`), whatever the reason.

        A pending job waits for up to two things in turn, and then it is *ready*. Only ready jobs are claimed.

        1. Its time, if it has one (`JobOptions.scheduled_at`): until `AttemptStore.make_due`.
        2. A slot of its concurrency key (`JobOptions.kept_concurrency_key`), if it has one. Each job with the key that
           is ready or running has a slot. The job gets one if fewer than its own `concurrency_limit` are taken. A slot
           that is given back goes to the waiting job that has the highest priority, and of these to the one that has
           waited for the key for longest.

        Ready jobs stand in a line, in the order in which they became ready: a flood with one key delays no other job.
        A ready job whose queue is paused or full gives its slot to a job that waits for the key in another queue and
        could start. Then it waits for a slot again.

        Its `queue_timeout` begins when its time has come, or else now; a wait for a key counts.
        """
        ...

    async def resubmit(self, job_id: str, new_id: str, *, is_once: bool = False) -> str:
        """Keep a new job with the call of a job that has ended, and return `new_id`. The worker is woken.

        It has the same name, runner, parent and owner, and `options_of_repetition`; `retry_of` names the old job.
        `JobNotFound`. `RetryUnavailable` if the old job has not ended, or if its call is not kept or can be made only
        by the process that had it. `QueueFull` as for `insert`.

        `is_once`: if a repetition of the job is kept already, nothing new is kept, and its id is returned. Of several
        such calls at the same time, one keeps a job.
        """
        ...

    async def find_by_key(self, idempotency_key: str, owner: str | None = None) -> str | None:
        """The id of the job of this owner that was submitted with this key; `None` if none is kept."""
        ...

    async def request_cancel(self, job_id: str, among: Collection[JobStatus] | None = None) -> JobRecord | None:
        """Cancel a pending job at once, mark a running job, and leave one that has ended. Return the record then.

        A pending job ends with `outcome.CANCELED`, also gets `cancel_requested_at`, and its call is discarded. A
        running job only gets `cancel_requested_at`, once, and goes on until its attempt ends. If another process runs
        it, that process's store tells its engine (`JobSignals.cancel`), within a fraction of a second. A race with a
        claim has one winner: the job ends, or it runs and is marked. With `among`, a job that has none of these
        statuses at that moment is left as it is.

        `JobNotFound`. If the record cannot be read, the same is done and `None` is returned; `RecordUnreadable` if the
        status cannot be read either, or the job has ended.
        """
        ...

    async def delete(self, job_id: str, among: Collection[JobStatus] | None = None) -> bool:
        """Forget the job, whatever its status, also if its record cannot be read. `JobNotFound` if there is none.

        With `among`, a job that has none of these statuses at that moment is left as it is. Return whether it is gone.

        At once no read finds the job, its idempotency key is free, and an event without a record is published. If it
        runs, it counts for `max_running` and for its queue, and has its slot of the concurrency key, until its attempt
        writes its end or its process is gone. If another process runs it, that process's engine is told
        (`JobSignals.cancel`).
        """
        ...
