"""The seams of servicekit. Read this first.

    Scheduler ──▶ JobStore ──▶ EventPublisher (the hub) ──▶ streams, waiters, metrics
        │            ▲
        └─▶ Worker ──┘ claims, and finishes what it claimed
              └─▶ Runner  runs one attempt to its end, or stops it

The engine knows these protocols and nothing of what stands behind them. Whoever builds a scheduler chooses.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple, Protocol

from servicekit.jobs.current import RunningJob
from servicekit.jobs.events import JobEvent
from servicekit.jobs.log_lines import LogPage, NewLine
from servicekit.jobs.options import RunnerKind
from servicekit.jobs.outcome import Outcome
from servicekit.jobs.query import ALL_JOBS, ChangePage, JobFilter, JobPage
from servicekit.jobs.queues import QueueRecord
from servicekit.jobs.record import JobRecord, Progress
from servicekit.jobs.schedules import FiredSchedule, Schedule, ScheduleState
from servicekit.jobs.status import JobStatus
from servicekit.jobs.submission import Claim, Submission

SET_SECONDS: Final = 1.0


class ClockSetting(NamedTuple):
    """How a clock is set: if this changes, somebody has set it."""

    origin: str | None
    """Settings with the same origin can be compared, also those of other processes; `None`: only this process's."""
    seconds: float
    """The time of day, less that of a clock that nobody sets."""

    def seconds_since(self, other: "ClockSetting") -> float | None:
        """By how much the clock was set since the other one was read; `None` if that cannot be known."""
        return self.seconds - other.seconds if self.origin == other.origin else None

    def is_like(self, other: "ClockSetting | None") -> bool:
        """Whether nobody has set the clock since; what a time server corrects now and then does not count."""
        seconds = None if other is None else self.seconds_since(other)
        return seconds is not None and abs(seconds) <= SET_SECONDS


class Clock(Protocol):
    """Tells the time of day, and lets it pass. Everything that waits for a time waits by it."""

    def now(self) -> datetime:
        """The time in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment, by a clock that nobody sets."""
        ...

    def setting(self) -> ClockSetting:
        """How the clock is set now."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for so long."""
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

    def notify_log(self, job_id: str | None) -> None:
        """This job has new lines in its log; `None`: any job may have."""
        ...


class JobSignals(Protocol):
    """What a store tells the engine of this process, on its event loop."""

    def wake(self) -> None:
        """There may be something to claim."""
        ...

    @property
    def is_stopping(self) -> bool:
        """Whether the process has been told to stop."""
        ...

    def is_running(self, job_id: str, attempt: int) -> bool:
        """Whether this process works on that attempt."""
        ...

    def hear_of_failure(self, record: JobRecord) -> None:
        """The store has failed this job: it waited too long, or nobody is left that could run it."""
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

    @property
    def location(self) -> str:
        """Where the jobs are kept, for people: the full path of the file, or `memory://`."""
        ...

    @property
    def lifeline(self) -> int | None:
        """A descriptor: for as long as any process has it open, no other takes over the attempts of this one.

        Whatever runs them outside of this process holds it, and lets go of it when nothing of them is left. `None`:
        there are no others.
        """
        ...

    async def open(self, signals: JobSignals) -> None:
        """Begin to work for the engine on this event loop; again after `close`, and on another loop if need be.

        `StoreUnavailable` if jobs cannot be kept there.
        """
        ...

    async def insert(self, submission: Submission) -> str:
        """Keep a new job as pending and return its id. Once this returns, it is not lost.

        If there is a job with the same idempotency key, nothing is kept and that job's id is returned;
        `IdempotencyConflict` if its target or arguments are others. `QueueFull` if as many jobs wait in its queue as
        the store was made to take.

        A pending job waits for its time if it has one (`JobOptions.scheduled_at`), then for its concurrency key if as
        many jobs with it as may (`concurrency_limit`, of this job) are ready or running, and then it is *ready*: only
        ready jobs are claimed. It is never late for its turn: what becomes ready later stands behind what was ready
        before, so that a flood with one key delays nobody else.
        """
        ...

    async def claim(
        self,
        limit: int,
        excluding: Collection[RunnerKind],
        max_running: int | None = None,
        queue_limits: Mapping[str, int] | None = None,
    ) -> list[Claim]:
        """Set ready jobs running, at most `limit`, leaving those whose runner is full.

        Within a queue those of higher priority go first, then those that have been ready for longest. Queues take
        turns, those first that have the fewest jobs running. Paused queues are left out. Never so many that more than
        `max_running` run in all processes together, or more of one queue than `queue_limits` allows.
        """
        ...

    async def make_due(self) -> datetime | None:
        """Make ready what has come due, and fail what has waited for longer than its `queue_timeout`.

        A wait for so long stays that long however the clock is set meanwhile, ahead or back; a `start_at` is a time of
        the clock. Return when to look again; `None` if nothing waits for a time.
        """
        ...

    async def finish(self, claim: Claim, outcome: Outcome) -> bool:
        """Write how the attempt ended. `False`: it was not this attempt's to write any more."""
        ...

    async def retry(self, claim: Claim, outcome: Outcome, scheduled_at: datetime) -> bool:
        """Write that the attempt has failed and another shall start at that time: the job is pending until then.

        It keeps the error, and the attempt joins the record's history. If the job was asked to stop meanwhile, it ends
        with this outcome instead. `False`: as for `finish`.
        """
        ...

    async def resubmit(self, job_id: str, new_id: str) -> str:
        """Keep a new job with the target, arguments and options of one that has ended, and return its id.

        It is due at once, and has no idempotency key. `JobNotFound`, `RetryUnavailable`, `QueueFull`.
        """
        ...

    async def release(self, claim: Claim) -> bool:
        """The attempt was stopped with its process: give the job back, so that another process may run it.

        It loses no attempt by that. What cannot run elsewhere, or must not run twice, ends. `False`: as for `finish`.
        """
        ...

    async def unclaim(self, claim: Claim) -> bool:
        """The attempt could not begin: the job is pending again, in its old place, and that start counts for nothing.

        A job that was asked to stop meanwhile ends canceled. `False`: as for `finish`.
        """
        ...

    async def report_progress(self, claim: Claim, progress: Progress) -> None:
        """Write how far the attempt is, if it still runs. The store adds the time (`reported_at`)."""
        ...

    async def append_log(self, claim: Claim, lines: Sequence[NewLine]) -> None:
        """Add lines to the job's log, if the attempt still runs. Of each job the newest `max_log_bytes` are kept."""
        ...

    async def list_log(self, job_id: str, after: int, limit: int) -> LogPage:
        """The lines after number `after`, at most `limit`; `JobNotFound` if there is no such job."""
        ...

    async def request_cancel(self, job_id: str) -> JobRecord | None:
        """Cancel a pending job at once, and mark a running one; leave a finished one. Return what it is then.

        `None` if that was done to a job whose record cannot be read; `RecordUnreadable` if its status cannot, or it
        has ended.
        """
        ...

    async def delete(self, job_id: str) -> None:
        """Forget the job, whatever its status, also if its record cannot be read. `JobNotFound` if there is none."""
        ...

    async def get_record(self, job_id: str) -> JobRecord:
        """`JobNotFound` if there is none."""
        ...

    async def find_by_key(self, idempotency_key: str) -> str | None:
        """The id of the job that is kept and was submitted with this key."""
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
        """The record as it was at each change of status after `after_version`; `JobNotFound` if there is no job.

        The newest `MAX_TRANSITIONS` of them: a job may be tried again, or not begin, without end.
        """
        ...

    async def count_by_status(self, wanted: JobFilter = ALL_JOBS) -> dict[JobStatus, int]:
        """How many jobs are kept, for each status. Its cost does not depend on their number.

        With a filter, of the newest `SCAN_LIMIT` jobs that an index leads to.
        """
        ...

    async def list_queues(self) -> list[QueueRecord]:
        """The queues that have jobs pending or running, or are paused, by name."""
        ...

    async def set_queue_paused(self, name: str, *, is_paused: bool) -> None:
        """Let no job of the queue be claimed, or let them be again: in all processes, until it is said otherwise."""
        ...

    async def put_schedule(self, schedule: Schedule, next_at: datetime | None) -> None:
        """Keep a schedule. One of the same name is replaced, unless it says the same; paused it stays paused.

        `next_at` is its next tick if it is new or its timetable has changed.
        """
        ...

    async def list_schedules(self) -> list[ScheduleState]:
        """All schedules, by name. One that this process cannot read, or whose target it cannot import, says so."""
        ...

    async def get_schedule(self, name: str) -> ScheduleState:
        """`ScheduleNotFound` if there is none of this name."""
        ...

    async def set_schedule_paused(self, name: str, next_at: datetime | None, *, is_paused: bool) -> ScheduleState:
        """Let the schedule rest, or go on at `next_at`. `ScheduleNotFound` if there is none of this name."""
        ...

    async def remove_schedule(self, name: str) -> None:
        """Forget the schedule; its jobs stay. `ScheduleNotFound` if there is none of this name."""
        ...

    async def fire_schedule(
        self, name: str, tick: datetime, next_at: datetime | None, job_id: str | None
    ) -> FiredSchedule:
        """Let a schedule's tick pass: if that is still its next one, keep the tick's job and set the one after it.

        Of all who do this for the same tick one succeeds. No job is kept if `job_id` is `None` (the tick is skipped),
        or if the last one has not ended and the schedule's overlap says skip. `ScheduleNotFound`.
        """
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

    async def run(self, submission: Submission, job: RunningJob) -> Outcome:
        """Run the target and say how it ended.

        While `job.is_interruptible`, the task that awaits this may be canceled: that asks the target to stop, and
        `run` goes on until it has. Raises nothing, unless the task is canceled at another time.

        What could not begin for no fault of its own, for want of a thread or a process, say, is `not_begun`; where
        that can be, `job.note_begun` is called when it has.
        """
        ...

    def find_outcome(self, job: RunningJob) -> Outcome | None:
        """How an attempt ended whose task was cut off: `None` while its work goes on. Forgets it by telling."""
        ...

    def find_notice(self) -> str | None:
        """What does not work as it was asked for, though jobs run all the same; or `None`."""
        ...

    def open(self) -> None:
        """Jobs may come: keep ready what they need to begin, until `close`. Without it they are run as well.

        Takes no time: what does is begun.
        """
        ...

    def close(self) -> None:
        """Let go of what is kept ready for the next job. Should one come all the same, it is run."""
        ...
