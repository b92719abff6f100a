"""The store in memory: what happens to jobs."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from servicekit.errors import (
    JobFailed,
    JobNotFinished,
    JobNotFound,
    QueueFull,
    ResultDropped,
    check_count,
)
from servicekit.jobs.endings import AttemptFacts, decide_end, end_abandoned, end_expired
from servicekit.jobs.events import JobEvent
from servicekit.jobs.idempotency import FirstUse
from servicekit.jobs.log_lines import LogPage, NewLine
from servicekit.jobs.options import DEFAULT_OPTIONS, RunnerKind, seconds_of
from servicekit.jobs.outcome import CANCELED, Outcome
from servicekit.jobs.query import ALL_JOBS, SCAN_LIMIT, ChangePage, JobChange, JobFilter, JobPage
from servicekit.jobs.queues import QueueRecord
from servicekit.jobs.record import JobRecord, Progress
from servicekit.jobs.restartable import as_accepted, describe_call, fingerprint, is_fixed
from servicekit.jobs.results import WrittenResult, read_result
from servicekit.jobs.retention import Retention
from servicekit.jobs.schedules import FiredSchedule, Schedule, ScheduleState, judge_tick, options_of_tick
from servicekit.jobs.status import JobStatus, Move, Transition, move_of
from servicekit.jobs.submission import CallDescription, CallProblem, Claim, Submission, check_target, name_of
from servicekit.jobs.threads import call_in_thread
from servicekit.ports import (
    AttemptStore,
    Clock,
    EventPublisher,
    JobChanges,
    JobReads,
    JobSignals,
    QueueStore,
    ScheduleStore,
    StoreLiveness,
    SubmissionStore,
)
from servicekit.stores.memory.byte_budget import ByteBudget
from servicekit.stores.memory.changes import ChangeLog
from servicekit.stores.memory.finished import FinishedJobs
from servicekit.stores.memory.job import DROPPED, Job
from servicekit.stores.memory.job_index import JobIndex
from servicekit.stores.memory.log_lines import JobLog
from servicekit.stores.memory.pending import PendingJobs
from servicekit.stores.memory.schedules import Schedules
from servicekit.stores.process_name import name_of_process

_MOVES: Final = {transition: move_of(transition) for transition in Transition}
_CLAIM: Final = _MOVES[Transition.CLAIM]
_RETRY: Final = _MOVES[Transition.RETRY]
_RELEASE: Final = _MOVES[Transition.RELEASE]
_PENDING: Final = _RETRY.target
_RUNNING: Final = _CLAIM.target
_COMPLETED: Final = _MOVES[Transition.COMPLETE].target
_LARGE_RESULT: Final = 100_000  # to read it takes a millisecond
_NO_LIMITS: Final[Mapping[str, int]] = {}


class MemoryStore:
    """A `JobStore` that forgets everything with its process."""

    def __init__(
        self,
        publisher: EventPublisher,
        clock: Clock,
        retention: Retention,
        *,
        scan_limit: int = SCAN_LIMIT,
        max_pending: int | None = None,
    ) -> None:
        check_count("max_pending", max_pending)
        self._publisher = publisher
        self.now = self._now = clock.now
        self._clock, self._setting = clock, clock.setting()
        self._retention = retention
        self._scan_limit = scan_limit
        self._max_pending = max_pending
        self._signals: JobSignals | None = None
        self._jobs: dict[str, Job] = {}
        self._index = JobIndex()
        self._pending_jobs = PendingJobs(self._wake)
        self._deleted: dict[str, Job] = {}  # those that still run, and hold what they took until they stop
        self._finished: dict[JobStatus, FinishedJobs] = {}
        for statuses, bounds in retention.groups():
            self._finished |= dict.fromkeys(statuses, FinishedJobs(bounds))
        self._byte_budget = ByteBudget(retention.max_result_bytes)
        self._first_uses: dict[str, FirstUse] = {}  # of idempotency keys, by jobs that are kept
        self._kept_schedules = Schedules()
        changes = self._change_log = ChangeLog(self._now(), publisher.notify)
        self._note_change = changes.add
        self.submissions: SubmissionStore = self
        self.attempts: AttemptStore = self
        self.reads: JobReads = self
        self.changes: JobChanges = self
        self.queues: QueueStore = self
        self.schedules: ScheduleStore = self
        self.liveness: StoreLiveness = self

    @property
    def is_durable(self) -> bool:
        return False

    @property
    def location(self) -> str:
        return "memory://"

    @property
    def guard(self) -> None:
        return None

    async def open(self, signals: JobSignals) -> None:
        self._signals = signals

    async def insert(self, submission: Submission) -> str:
        key = submission.options.idempotency_key
        if key is not None and key in self._first_uses:
            return self._find_first(key, submission)
        if self._max_pending is not None and self._is_full(submission.options.queue):
            submission.discard()
            raise QueueFull(submission.options.queue, self._max_pending)
        if key is not None:
            self._first_uses[key] = FirstUse(submission.id, fingerprint(submission))
        self._keep(submission)
        return submission.id

    def _find_first(self, key: str, submission: Submission) -> str:
        """The job that this submission is a repetition of."""
        first = self._first_uses[key]
        submission.discard()
        conflict = first.find_conflict(key, fingerprint(submission))
        if conflict is not None:
            raise conflict
        return first.job_id

    def _is_full(self, queue: str) -> bool:
        return self._max_pending is not None and self._pending_jobs.count_pending(queue) >= self._max_pending

    def _heed_clock(self) -> None:
        setting, before = self._clock.setting(), self._setting
        if not setting.is_like(before):
            self._setting = setting
            self._pending_jobs.move(timedelta(seconds=setting.seconds_since(before) or 0))

    def _keep(self, submission: Submission) -> None:
        if not is_fixed(submission):
            describe_call(submission)  # what becomes of the arguments from now on does not count
        options = submission.options
        has_times = options is not DEFAULT_OPTIONS and options.has_times
        if has_times:
            self._heed_clock()
        now = self._now()
        job = Job(submission, now)
        if has_times:
            job.scheduled_at = options.scheduled_at(now)
        self._jobs[job.id] = job
        self._index.add(job)
        self._pending_jobs.add(job, now)
        if self._publisher.is_watched(job.id):
            self._publish(job)
        self._note_change(job.id)

    async def claim(
        self,
        limit: int,
        excluding: Collection[RunnerKind],
        max_running: int | None = None,  # noqa: ARG002 (no other process runs any, so `limit` says it already)
        queue_limits: Mapping[str, int] | None = None,
    ) -> list[Claim]:
        now, process = self._now(), name_of_process()
        return [
            self._start(job, now, process)
            for job in self._pending_jobs.take(limit, excluding, queue_limits or _NO_LIMITS)
        ]

    def _start(self, job: Job, now: datetime, process: str) -> Claim:
        submission = job.submission
        assert submission is not None  # it is kept until the job has ended
        # A clock that was set back does not make a job start before it was submitted.
        job.started_at = now if now > job.submitted_at else job.submitted_at
        failures = job.attempt - job.spared  # what began and does not fail ends the job: nobody else could run it
        job.attempt += 1
        job.process = process
        self._move(job, _CLAIM)
        # What is fixed was not described, as a rule.
        accepted = submission if submission.description is None or is_fixed(submission) else as_accepted(submission)
        return Claim(accepted, job.attempt, failures)

    async def make_due(self) -> datetime | None:
        self._heed_clock()
        now = self._now()
        self._pending_jobs.make_due(now)
        while (job := self._pending_jobs.find_expired(now)) is not None:
            self._end_waiting(job, end_expired(seconds_of(job.options.queue_timeout or 0)))
            if self._signals is not None:
                self._signals.hear_of_failure(job.record(now))
        return self._pending_jobs.next_moment()

    async def end_attempt(self, claim: Claim, ending: Outcome) -> Transition | None:
        job = self._find_running(claim)
        if job is None:
            self._let_go_of_deleted(claim)
            return None
        if ending.transition.gives_back:
            return self._give_back(job, ending)
        self._pending_jobs.end(job)
        self._end(job, ending)
        return ending.transition

    def _give_back(self, job: Job, ending: Outcome) -> Transition:
        is_asked_to_stop = job.cancel_requested_at is not None
        facts = AttemptFacts(is_deleted=False, is_asked_to_stop=is_asked_to_stop, is_restartable=False, is_kept=False)
        fate = decide_end(ending, facts)
        assert fate is not None  # it is not deleted
        if fate.transition is Transition.RETRY:
            self._retry(job, fate)
        elif fate.transition is Transition.RELEASE:
            self._put_back(job)
        else:
            self._pending_jobs.end(job)
            self._end(job, fate)
        return fate.transition

    def _retry(self, job: Job, failure: Outcome) -> None:
        self._heed_clock()
        now = self._now()
        self._pending_jobs.end(job)
        job.begin_again(failure, now)
        self._move(job, _RETRY)
        self._byte_budget.weigh(job)
        self._pending_jobs.add(job, now)
        self._wake()

    def _put_back(self, job: Job) -> None:
        job.take_back(self._now())
        self._move(job, _RELEASE)
        self._pending_jobs.put_back(job)

    async def resubmit(self, job_id: str, new_id: str) -> str:
        await self.insert(self._get(job_id).repeat(new_id))
        self._wake()
        return new_id

    async def report_progress(self, claim: Claim, progress: Progress) -> None:
        job = self._find_running(claim)
        if job is not None:
            job.progress = replace(progress, reported_at=self._now())
            self._touch(job)

    async def append_log(self, claim: Claim, lines: Sequence[NewLine]) -> None:
        job = self._find_running(claim)
        if job is None:
            return
        if job.log is None:
            job.log = JobLog(self._retention.max_log_bytes)
        for line in lines:
            job.log.add(line, job.attempt)
        self._byte_budget.weigh(job)
        self._publisher.notify_log(job.id)

    async def list_log(self, job_id: str, after: int, limit: int) -> LogPage:
        log = self._get(job_id).log
        return LogPage([], is_last=True, dropped=0) if log is None else log.read(after, limit)

    async def request_cancel(self, job_id: str) -> JobRecord:
        job = self._get(job_id)
        if job.status in _MOVES[Transition.CANCEL].sources and job.cancel_requested_at is None:
            job.cancel_requested_at = self._now()
            if job.status is _PENDING:
                self._end_waiting(job, CANCELED)
            else:
                self._touch(job)
        return job.record(self._now())

    async def delete(self, job_id: str) -> None:
        job = self._get(job_id)
        if job.status is _PENDING:
            self._pending_jobs.remove(job)
            job.discard_call()
        elif job.status is _RUNNING:
            self._deleted[job_id] = job
        self._drop(job)
        if self._publisher.is_watched(job_id):
            self._publisher.publish(JobEvent(job_id, None))
        self._note_change(job_id)

    async def get_record(self, job_id: str) -> JobRecord:
        return self._get(job_id).record(self._now())

    async def find_by_key(self, idempotency_key: str) -> str | None:
        first = self._first_uses.get(idempotency_key)
        return None if first is None else first.job_id

    async def get_result(self, job_id: str) -> object:
        job = self._get(job_id)
        if not job.status.is_terminal:
            raise JobNotFinished(job_id, job.status)
        if job.status is not _COMPLETED:
            raise JobFailed(job_id, job.status, job.error)
        if type(job.result) is WrittenResult:
            return await self._read_result(job, job.result)
        if job.result is DROPPED:
            raise ResultDropped(job_id, job.status)
        return job.result

    async def _read_result(self, job: Job, result: WrittenResult) -> object:
        if result.text is None:
            raise ResultDropped(job.id, job.status)
        try:
            if len(result.text) < _LARGE_RESULT:
                return read_result(result.text)
            return await call_in_thread(read_result, result.text)
        except ValueError as reason:
            raise ResultDropped(job.id, job.status) from reason

    async def list_records(self, wanted: JobFilter, limit: int, before: str | None) -> JobPage:
        now = self._now()
        jobs, next_before = self._index.newest(wanted, limit, before, self._scan_limit)
        return JobPage([job.record(now) for job in jobs], next_before)

    async def list_changes(self, after: int, limit: int) -> ChangePage | None:
        newest = self._change_log.list_newest(after, limit)
        if newest is None:
            return None
        jobs, now = self._jobs, self._now()
        changes = [
            JobChange(position, job_id, jobs[job_id].record(now) if job_id in jobs else None)
            for job_id, position in newest.items()
        ]
        position = min(after + limit, self._change_log.position)
        return ChangePage(changes, position, position == self._change_log.position)

    async def get_position(self) -> int:
        return self._change_log.position

    async def list_transitions(self, job_id: str, after_version: int) -> list[JobRecord]:
        life = self._get(job_id).list_transitions(self._now())
        return [record for record in life if record.version > after_version]

    async def count_by_status(self, wanted: JobFilter = ALL_JOBS) -> dict[JobStatus, int]:
        return self._index.count(wanted, self._scan_limit)

    async def list_queues(self) -> list[QueueRecord]:
        """A deleted job that still runs counts: it holds its place in the queue."""
        return self._pending_jobs.list_queues()

    async def set_queue_paused(self, name: str, *, is_paused: bool) -> None:
        self._pending_jobs.set_queue_paused(name, is_paused=is_paused)

    async def put_schedule(self, schedule: Schedule, next_at: datetime | None) -> None:
        self._kept_schedules.put(schedule, next_at, describe_call(_submission_of(schedule, "")))

    async def list_schedules(self) -> list[ScheduleState]:
        return self._kept_schedules.list_states()

    async def get_schedule(self, name: str) -> ScheduleState:
        return self._kept_schedules.get(name).state

    async def set_schedule_paused(self, name: str, next_at: datetime | None, *, is_paused: bool) -> ScheduleState:
        kept = self._kept_schedules.get(name)
        kept.is_paused, kept.next_at = is_paused, next_at
        return kept.state

    async def remove_schedule(self, name: str) -> None:
        self._kept_schedules.remove(name)

    async def fire_schedule(
        self, name: str, tick: datetime, next_at: datetime | None, job_id: str | None
    ) -> FiredSchedule:
        kept = self._kept_schedules.get(name)
        schedule = kept.schedule
        what = judge_tick(
            schedule.overlap,
            is_next=kept.next_at == tick,
            is_paused=kept.is_paused,
            is_wanted=job_id is not None,
            is_last_there=self._goes_on(kept.last_job_id),
        )
        if what is not FiredSchedule.LOST:
            kept.next_at = next_at
        if job_id is None or what is not FiredSchedule.SUBMITTED:
            return what
        if self._is_full(schedule.options.queue):
            return FiredSchedule.SKIPPED
        self._keep(_submission_of(schedule, job_id, kept.call))
        self._wake()
        kept.last_at, kept.last_job_id = tick, job_id
        return FiredSchedule.SUBMITTED

    def _goes_on(self, job_id: str | None) -> bool:
        """Whether there is such a job, perhaps deleted, that has not ended."""
        job = self._jobs.get(job_id or "")
        return job_id in self._deleted or (job is not None and not job.status.is_terminal)

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
        for job in [job for job in self._jobs.values() if job.status is _PENDING]:
            self._end_waiting(job, end_abandoned(is_in_order=True, is_kept=False))

    async def close(self) -> None:
        """What is kept can still be looked at; what has become pending again since `retire` will not run any more."""
        await self.retire()

    def _get(self, job_id: str) -> Job:
        job = self._jobs.get(job_id)
        if job is None:
            raise JobNotFound(job_id)
        return job

    def _find_running(self, claim: Claim) -> Job | None:
        """The job, if this attempt is the one that runs it."""
        job = self._jobs.get(claim.submission.id)
        if job is None or job.status is not _RUNNING or job.attempt != claim.attempt:
            return None
        return job

    def _let_go_of_deleted(self, claim: Claim) -> None:
        """If the attempt has run a job that was deleted meanwhile, others may have what that held."""
        job = self._deleted.get(claim.submission.id)
        if job is not None and job.attempt == claim.attempt:
            del self._deleted[job.id]
            self._pending_jobs.end(job)

    def _end_waiting(self, job: Job, outcome: Outcome) -> None:
        self._pending_jobs.remove(job)
        job.discard_call()
        self._end(job, outcome)

    def _end(self, job: Job, outcome: Outcome) -> None:
        job.end(outcome, self._now())
        if job.args or job.kwargs or job.call is not None:
            self._byte_budget.weigh_call(job)
        self._byte_budget.weigh(job)
        move = _MOVES[outcome.transition]
        finished = self._finished[move.target]
        finished.jobs[job.id] = job
        self._move(job, move)
        if finished.is_full:
            self._drop(next(iter(finished.jobs.values())))

    def _move(self, job: Job, move: Move) -> None:
        assert job.status in move.sources
        self._index.move(job, move.target)
        job.version += 1
        if job.transitions is not None:
            job.transitions.append(job.record(self._now()))
        if self._publisher.is_watched(job.id):
            self._publish(job)
        self._note_change(job.id)

    def _touch(self, job: Job) -> None:
        job.version += 1
        if self._publisher.is_watched(job.id):
            self._publish(job, is_transition=False)
        self._note_change(job.id)

    def _publish(self, job: Job, *, is_transition: bool = True) -> None:
        self._publisher.publish(JobEvent(job.id, job.record(self._now()), is_transition=is_transition))

    def _wake(self) -> None:
        if self._signals is not None:
            self._signals.wake()

    def _drop(self, job: Job) -> None:
        del self._jobs[job.id]
        self._index.remove(job)
        if job.status.is_terminal:
            self._finished[job.status].jobs.pop(job.id, None)
        self._byte_budget.forget(job)
        if job.options.idempotency_key is not None:
            del self._first_uses[job.options.idempotency_key]


def _submission_of(schedule: Schedule, job_id: str, call: CallDescription | CallProblem | None = None) -> Submission:
    """The job of a tick."""
    target, args, kwargs = schedule.target, schedule.args, schedule.kwargs
    options = options_of_tick(schedule.name, schedule.overlap, schedule.options)
    runner = check_target(target, args, kwargs, options.runner)
    name = options.name or name_of(target)
    return Submission(job_id, name, target, args, kwargs, runner, options, schedule=schedule.name, description=call)
