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
from servicekit.jobs.record import JobRecord, Progress
from servicekit.jobs.status import JobStatus
from servicekit.jobs.submission import Claim, RunnerKind, Submission


class Clock(Protocol):
    """Tells the time of day."""

    def now(self) -> datetime:
        """The time in UTC."""
        ...


class EventPublisher(Protocol):
    """Takes what has happened to jobs, and passes it on."""

    def is_watched(self, job_id: str) -> bool:
        """Whether an event about this job would reach anybody. If not, it need not be made."""
        ...

    def publish(self, event: JobEvent) -> None:
        """Pass the event on, without waiting for anyone."""
        ...


class JobStore(Protocol):
    """Keeps jobs, and publishes every change of theirs.

    Every method is atomic. A change of status is made only if the table in `servicekit.jobs.status` allows it, and,
    by whoever runs the job, only with the number of the attempt that is running: a stale one changes nothing.
    """

    async def insert(self, submission: Submission) -> None:
        """Keep a new job as pending. Once this returns, it is not lost."""
        ...

    async def claim(self, limit: int, excluding: Collection[RunnerKind]) -> list[Claim]:
        """Set the oldest pending jobs running, at most `limit`, leaving those whose runner is full."""
        ...

    async def finish(self, claim: Claim, outcome: Outcome) -> bool:
        """Write how the attempt ended. `False`: it was not this attempt's to write any more."""
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

    async def list_records(self, status: JobStatus | None, limit: int | None, before: str | None) -> list[JobRecord]:
        """The newest records first, of those submitted before the job `before`."""
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

    async def close(self) -> None:
        """This process runs no more jobs: cancel what is pending and would be lost with it."""
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
