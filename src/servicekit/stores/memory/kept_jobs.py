"""The jobs in memory, and the changes that several parts of the store make."""

from datetime import timedelta
from typing import Final

from servicekit.errors import JobNotFound, check_count
from servicekit.jobs.events import JobEvent
from servicekit.jobs.idempotency import FirstUse
from servicekit.jobs.options import DEFAULT_OPTIONS
from servicekit.jobs.outcome import Outcome
from servicekit.jobs.restartable import describe_call, is_fixed
from servicekit.jobs.retention import Retention
from servicekit.jobs.status import JobStatus, Move, Transition, move_of
from servicekit.jobs.submission import Claim, Submission
from servicekit.jobs.workers import WorkerRecord
from servicekit.ports import Clock, EventPublisher, JobSignals
from servicekit.stores.memory.byte_budget import ByteBudget
from servicekit.stores.memory.change_log import ChangeLog
from servicekit.stores.memory.finished import FinishedJobs
from servicekit.stores.memory.job import Job
from servicekit.stores.memory.job_index import JobIndex
from servicekit.stores.memory.pending import PendingJobs

_MOVES: Final = {transition: move_of(transition) for transition in Transition}
_RUNNING: Final = _MOVES[Transition.CLAIM].target


class KeptJobs:
    """All jobs, in every order in which a part of the store looks for them.

    A change of status goes through `move`, and any other change of a record through `touch`: these publish it.
    """

    def __init__(
        self, publisher: EventPublisher, clock: Clock, retention: Retention, *, max_pending: int | None = None
    ) -> None:
        check_count("max_pending", max_pending)
        self.publisher = publisher
        self.now = clock.now
        self.retention = retention
        self.max_pending = max_pending
        self.signals: JobSignals | None = None
        """The engine, once it has opened the store."""
        self.worker: WorkerRecord | None = None
        """This process, while the store is open."""
        self.by_id: dict[str, Job] = {}
        self.index = JobIndex()
        self.pending = PendingJobs(self.wake)
        self.deleted: dict[str, Job] = {}
        """Deleted jobs that still run. They hold their slots until they stop."""
        self.finished: dict[JobStatus, FinishedJobs] = {}
        for statuses, bounds in retention.groups():
            self.finished |= dict.fromkeys(statuses, FinishedJobs(bounds))
        self.byte_budget = ByteBudget(retention.max_result_bytes)
        self.first_uses: dict[str, FirstUse] = {}
        """The first uses of idempotency keys, by jobs that are kept."""
        self.repetitions: dict[str, set[str]] = {}
        """The jobs that are kept and repeat another one, by the id of that one."""
        self.changes = ChangeLog(self.now(), publisher.notify)
        self.note_change = self.changes.add
        self.clock_setting, self._setting = clock.setting, clock.setting()

    def get(self, job_id: str) -> Job:
        """`JobNotFound` if there is none."""
        job = self.by_id.get(job_id)
        if job is None:
            raise JobNotFound(job_id)
        return job

    def find_running(self, claim: Claim) -> Job | None:
        """The job, if this attempt is the one that runs it."""
        job = self.by_id.get(claim.submission.id)
        if job is None or job.status is not _RUNNING or job.attempt != claim.attempt:
            return None
        return job

    def is_full(self, queue: str) -> bool:
        """Whether as many jobs wait in the queue as may."""
        return self.max_pending is not None and self.pending.count_pending(queue) >= self.max_pending

    def heed_clock(self) -> None:
        """If somebody has set the clock, move the ends of waits, so that each stays as long as it was."""
        setting, before = self.clock_setting(), self._setting
        if not setting.is_like(before):
            self._setting = setting
            self.pending.move(timedelta(seconds=setting.seconds_since(before) or 0))

    def add(self, submission: Submission) -> None:
        """Keep a new job as pending."""
        if not is_fixed(submission):
            describe_call(submission)  # what becomes of the arguments from now on does not count
        options = submission.options
        has_times = options is not DEFAULT_OPTIONS and options.has_times
        if has_times:
            self.heed_clock()
        now = self.now()
        job = Job(submission, now)
        if has_times:
            job.scheduled_at = options.scheduled_at(now)
        self.by_id[job.id] = job
        if job.retry_of is not None:
            self.repetitions.setdefault(job.retry_of, set()).add(job.id)
        self.index.add(job)
        self.pending.add(job, now)
        if self.publisher.is_watched(job.id):
            self._publish(job)
        self.note_change(job.id)

    def end_waiting(self, job: Job, outcome: Outcome) -> None:
        """End a pending job."""
        self.pending.remove(job)
        job.discard_call()
        self.end(job, outcome)

    def end(self, job: Job, outcome: Outcome) -> None:
        """End a job that is in no queue any more."""
        job.end(outcome, self.now())
        if job.args or job.kwargs or job.call is not None:
            self.byte_budget.weigh_call(job)
        self.byte_budget.weigh(job)
        move = _MOVES[outcome.transition]
        finished = self.finished[move.target]
        finished.jobs[job.id] = job
        self.move(job, move)
        if finished.is_full:
            self.drop(next(iter(finished.jobs.values())))

    def move(self, job: Job, move: Move) -> None:
        """Give the job another status, and publish that."""
        assert job.status in move.sources
        self.index.move(job, move.target)
        job.version += 1
        if job.transitions is not None:
            job.transitions.append(job.record(self.now()))
        if self.publisher.is_watched(job.id):
            self._publish(job)
        self.note_change(job.id)

    def touch(self, job: Job) -> None:
        """Publish that the job has changed otherwise."""
        job.version += 1
        if self.publisher.is_watched(job.id):
            self._publish(job, is_transition=False)
        self.note_change(job.id)

    def _publish(self, job: Job, *, is_transition: bool = True) -> None:
        self.publisher.publish(JobEvent(job.id, job.record(self.now()), is_transition=is_transition))

    def drop(self, job: Job) -> None:
        """Forget the job."""
        del self.by_id[job.id]
        self.index.remove(job)
        if job.status.is_terminal:
            self.finished[job.status].jobs.pop(job.id, None)
        self.byte_budget.forget(job)
        if job.retry_of is not None:
            self._forget_repetition(job.retry_of, job.id)
        if (key := job.options.kept_idempotency_key) is not None:
            del self.first_uses[key]

    def _forget_repetition(self, of: str, job_id: str) -> None:
        self.repetitions[of].discard(job_id)
        if not self.repetitions[of]:
            del self.repetitions[of]

    def let_go_of_deleted(self, claim: Claim) -> None:
        """If the attempt ran a job that was deleted meanwhile, give its slots to others."""
        job = self.deleted.get(claim.submission.id)
        if job is not None and job.attempt == claim.attempt:
            del self.deleted[job.id]
            self.pending.end(job)

    def goes_on(self, job_id: str | None) -> bool:
        """Whether there is such a job, perhaps deleted, that has not ended."""
        job = self.by_id.get(job_id or "")
        return job_id in self.deleted or (job is not None and not job.status.is_terminal)

    def wake(self) -> None:
        """Wake the worker: there may be jobs to claim."""
        if self.signals is not None:
            self.signals.wake()
