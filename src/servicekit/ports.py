"""The seams of servicekit. Read this first.

    Scheduler ──▶ JobStore ──▶ EventPublisher (the hub) ──▶ streams, waiters, metrics
        │            ▲
        └─▶ Worker ──┘ claims, and finishes what it claimed
              └─▶ Runner  runs one attempt to its end, or stops it

The engine knows these protocols and nothing of what stands behind them. Whoever builds a scheduler chooses.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Protocol

from servicekit.jobs.current import CurrentJob
from servicekit.jobs.events import JobEvent
from servicekit.jobs.outcome import Outcome
from servicekit.jobs.query import ChangePage, JobFilter, JobPage
from servicekit.jobs.record import JobRecord, Progress
from servicekit.jobs.status import JobStatus
from servicekit.jobs.submission import Claim, RunnerKind, Submission


class Clock(Protocol):
    """Tells the time of day."""

    def now(self) -> datetime:
        """The time in UTC."""
        ...


class EventPublisher(Protocol):
    """Takes what has happened to jobs, and passes it on. It belongs to the event loop, where nothing else is said."""

    @property
    def is_idle(self) -> bool:
        """Whether no event of any job would reach anybody. May be asked from any thread."""
        ...

    @property
    def has_readers(self) -> bool:
        """Whether somebody reads the events of some job, or of all. May be asked from any thread."""
        ...

    def is_watched(self, job_id: str) -> bool:
        """Whether an event about this job, made by this process, would reach anybody. If not, it need not be made."""
        ...

    def publish(self, event: JobEvent) -> None:
        """Pass the event on, without waiting for anyone."""
        ...

    def is_followed(self, job_id: str) -> bool:
        """Whether somebody reads the events of this job, whichever process makes them."""
        ...

    def list_followed(self) -> list[str]:
        """The jobs that somebody reads the events of."""
        ...

    def relay(self, event: JobEvent) -> None:
        """Pass on what another process has done: to the readers of the job, and not to those who count events."""
        ...

    def notify(self) -> None:
        """Something has happened to some job, whichever process did it."""
        ...


class JobSignals(Protocol):
    """What a store tells the engine of this process, on its event loop."""

    def wake(self) -> None:
        """There may be something to claim."""
        ...

    def is_running(self, job_id: str, attempt: int) -> bool:
        """Whether this process works on that attempt."""
        ...

    def cancel(self, job_id: str) -> None:
        """The job was asked to stop, or deleted, by another process; it may be running here."""
        ...


class JobStore(Protocol):
    """Keeps jobs, and publishes every change of theirs.

    Every method is atomic. A change of status is made only if the table in `servicekit.jobs.status` allows it, and,
    by whoever runs the job, only with the number of the attempt that is running: a stale one changes nothing.
    """

    @property
    def is_shared(self) -> bool:
        """Whether other processes work on the same jobs, and what is kept outlives this one."""
        ...

    async def open(self, signals: JobSignals) -> None:
        """Begin to work for the engine on this event loop; again after `close`, and on another loop if need be.

        `StoreUnavailable` if jobs cannot be kept there.
        """
        ...

    async def insert(self, submission: Submission) -> str:
        """Keep a new job as pending and return its id. Once this returns, it is not lost.

        If there is a job with the same idempotency key, nothing is kept and that job's id is returned;
        `IdempotencyConflict` if its target or arguments are others.
        """
        ...

    async def claim(self, limit: int, excluding: Collection[RunnerKind], max_running: int | None = None) -> list[Claim]:
        """Set the oldest pending jobs running, at most `limit`, leaving those whose runner is full.

        Never so many that more than `max_running` run in all processes together.
        """
        ...

    async def finish(self, claim: Claim, outcome: Outcome) -> bool:
        """Write how the attempt ended. `False`: it was not this attempt's to write any more."""
        ...

    async def release(self, claim: Claim) -> bool:
        """The attempt was stopped with its process: give the job back, so that another process may run it.

        It loses no attempt by that. What cannot run elsewhere, or must not run twice, ends. `False`: as for `finish`.
        """
        ...

    async def report_progress(self, claim: Claim, progress: Progress) -> None:
        """Write how far the attempt is, if it still runs."""
        ...

    async def request_cancel(self, job_id: str) -> JobRecord:
        """Cancel a pending job at once, and mark a running one; leave a finished one. Return what it is then."""
        ...

    async def delete(self, job_id: str) -> None:
        """Forget the job, whatever its status. `JobNotFound` if there is none."""
        ...

    async def get_record(self, job_id: str) -> JobRecord:
        """`JobNotFound` if there is none."""
        ...

    async def get_result(self, job_id: str) -> object:
        """The result of a completed job; else `JobNotFound` or `ResultUnavailable`."""
        ...

    async def list_records(self, wanted: JobFilter, limit: int, before: str | None) -> JobPage:
        """The newest records first, of those submitted before the job `before`; at most `limit`.

        Looks at no more than `SCAN_LIMIT` jobs: a page that is short for that reason says where to go on.
        """
        ...

    async def list_changes(self, after: int, limit: int) -> ChangePage | None:
        """What jobs have become since the position `after`, each job once, in order of its newest change.

        Looks at no more than `limit` changes. `None` if what happened then is no longer known.
        """
        ...

    async def get_position(self) -> int:
        """The position of the newest change of any job."""
        ...

    async def list_transitions(self, job_id: str, after_version: int) -> list[JobRecord]:
        """The record as it was at each change of status after `after_version`; `JobNotFound` if there is no job."""
        ...

    async def count_by_status(self) -> dict[JobStatus, int]:
        """How many jobs are kept, for each status. Its cost does not depend on their number."""
        ...

    async def prune(self, limit: int) -> bool:
        """Drop at most `limit` finished jobs that are older than retention allows; say whether there may be more."""
        ...

    async def rescue(self) -> None:
        """Take over the jobs of processes that have died."""
        ...

    async def find_problem(self) -> str | None:
        """Try whether jobs can be read and written; what is wrong, or `None`."""
        ...

    async def retire(self) -> None:
        """This process claims no more jobs: end what is pending and would be lost with it."""
        ...

    async def close(self) -> None:
        """Let go of everything, after `retire` and after the attempts of this process."""
        ...


class Runner(Protocol):
    """Runs one attempt to its end, whatever the target does."""

    async def run(self, submission: Submission, job: CurrentJob) -> Outcome:
        """Run the target and say how it ended.

        While `job.is_interruptible`, the task that awaits this may be canceled: that asks the target to stop, and
        `run` goes on until it has. Raises nothing, unless the task is canceled at another time.
        """
        ...

    def find_outcome(self, job: CurrentJob) -> Outcome | None:
        """How an attempt ended whose task was cut off: `None` while its work goes on. Forgets it by telling."""
        ...
