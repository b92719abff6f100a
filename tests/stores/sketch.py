"""A sketch of a store: a dictionary of jobs, which every question goes through from one end to the other.

It is written by what `servicekit.ports` says and nothing else, and it shows how little a store needs to be right. What
a store in use needs besides is to be fast, and to be there after a restart.

No method awaits anything, so that each is atomic on its event loop.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from math import inf
from time import time_ns
from typing import Any, Final

from servicekit.errors import (
    JobNotFound,
    QueueFull,
    ResultDropped,
    RetryUnavailable,
    ScheduleNotFound,
)
from servicekit.jobs.activity import KEPT_MINUTES, ActivityMinute, minute_of
from servicekit.jobs.endings import NOT_BEGUN, AttemptFacts, check_return, decide_end, end_abandoned, end_expired
from servicekit.jobs.events import JobEvent
from servicekit.jobs.idempotency import FirstUse, key_of_owner
from servicekit.jobs.log_lines import LogLine, LogPage, NewLine
from servicekit.jobs.options import RunnerKind, options_of_repetition, seconds_of
from servicekit.jobs.outcome import CANCELED, Outcome
from servicekit.jobs.query import ALL_JOBS, SCAN_LIMIT, ChangePage, JobChange, JobCounts, JobFilter, JobPage
from servicekit.jobs.queues import QueueRecord
from servicekit.jobs.record import (
    MAX_PAST_ATTEMPTS,
    MAX_TRANSITIONS,
    JobRecord,
    PastAttempt,
    Progress,
    seconds_elapsed,
    seconds_remaining,
)
from servicekit.jobs.restartable import as_accepted, describe_call, find_restart_problem, fingerprint
from servicekit.jobs.results import WrittenResult, check_completed, read_result
from servicekit.jobs.retention import Retention
from servicekit.jobs.schedules import FiredSchedule, Schedule, ScheduleState, judge_tick, options_of_tick
from servicekit.jobs.shown_calls import KeptCall, keep_call
from servicekit.jobs.status import JobStatus, Transition, move_of
from servicekit.jobs.submission import Claim, Submission, check_target, name_of
from servicekit.jobs.suggestions import SuggestedField, Suggestion, SuggestionRequest, choose
from servicekit.jobs.workers import WorkerRecord
from servicekit.ports import Clock, ClockSetting, EventPublisher, JobSignals
from servicekit.stores.process_name import name_of_process

_DROPPED: Final = WrittenResult(None)


@dataclass(eq=False)
class _Job:
    """A job that is kept, or was deleted and still runs."""

    record: JobRecord
    submission: Submission
    fingerprint: str | None
    due: datetime | None = None
    """The time for which it waits."""
    expires: datetime | None = None
    """When it has waited for too long."""
    turn: int = 0
    """Its place among those that are ready, or that wait for a place of the same key."""
    has_place: bool = False
    """Whether it is ready, or runs."""
    failures: int = 0
    result: object = _DROPPED
    life: list[JobRecord] = field(default_factory=list)
    lines: list[LogLine] = field(default_factory=list)
    line_count: int = 0
    is_deleted: bool = False

    @property
    def is_pending(self) -> bool:
        return self.record.status is JobStatus.PENDING

    @property
    def is_running(self) -> bool:
        return self.record.status is JobStatus.RUNNING

    @property
    def is_waiting_for_key(self) -> bool:
        return self.is_pending and self.due is None and not self.has_place

    @property
    def order(self) -> tuple[int, int]:
        return -self.record.priority, self.turn


@dataclass
class _KeptSchedule:
    schedule: Schedule
    submission: Submission
    next_at: datetime | None
    is_paused: bool = False
    last_at: datetime | None = None
    last_job_id: str | None = None

    @property
    def state(self) -> ScheduleState:
        schedule = self.schedule
        return ScheduleState(
            name=schedule.name,
            timetable=schedule.timetable,
            target_name=self.submission.name,
            missed=schedule.missed,
            overlap=schedule.overlap,
            is_paused=self.is_paused,
            next_at=self.next_at,
            last_at=self.last_at,
            last_job_id=self.last_job_id,
        )


def _may_begin(heir: _Job, job: _Job) -> bool:
    """Whether a job may begin where the other could not."""
    return heir.submission.runner is not job.submission.runner and heir.record.pending_reason is None


def _size(line: LogLine) -> int:
    return len(line.text.encode()) + 1


class SketchStore:
    """A `JobStore` that is all of its parts."""

    location = "sketch://"
    is_durable = False
    guard = None

    def __init__(
        self,
        publisher: EventPublisher,
        clock: Clock,
        retention: Retention,
        *,
        max_pending: int | None = None,
        scan_limit: int = SCAN_LIMIT,
    ) -> None:
        self.submissions = self.attempts = self.reads = self.changes = self.queues = self.schedules = self
        self.activity = self.liveness = self
        self._publisher = publisher
        self._clock = clock
        self._retention = retention
        self._max_pending = inf if max_pending is None else max_pending
        self._scan_limit = scan_limit
        self._jobs: dict[str, _Job] = {}
        self._schedules: dict[str, _KeptSchedule] = {}
        self._paused: set[str] = set()
        self._served: dict[str, int] = {}
        self._turns = count()
        self._setting = clock.setting()
        self._first_position = time_ns() // 1_000  # above those of all earlier stores
        self._changed: list[str] = []
        self._activity: dict[tuple[object, ...], ActivityMinute] = {}
        self._owners: dict[str, str | None] = {}
        """Those of jobs that were deleted."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._signals: JobSignals | None = None
        self._opened_at: datetime | None = None
        self._is_retired = self._has_claimed = False

    # submissions

    async def insert(self, submission: Submission) -> str:
        try:
            job_id = self._keep(submission)
        except Exception:
            submission.discard()
            raise
        if job_id != submission.id:
            submission.discard()
        return job_id

    def _keep(self, submission: Submission) -> str:
        key, used = submission.options.kept_idempotency_key, None
        if key is not None:
            used = fingerprint(submission)
            first = self._find_first_use(key)
            if first is not None:
                conflict = first.find_conflict(key, used)
                if conflict is not None:
                    raise conflict
                return first.job_id
        queue = submission.options.queue
        if len(self._in_queue(queue, JobStatus.PENDING)) >= self._max_pending:
            raise QueueFull(queue, int(self._max_pending))
        self._served.setdefault(queue, next(self._turns))
        self._heed_clock()
        describe_call(submission)
        job = self._jobs[submission.id] = _Job(self._first_record(submission), submission, used)
        self._write(job, is_transition=True)
        self._wait_until(job, job.record.scheduled_at or self.now())
        return submission.id

    def _find_first_use(self, key: str) -> FirstUse | None:
        for job in self._kept():
            if job.submission.options.kept_idempotency_key == key:
                return FirstUse(job.record.id, job.fingerprint)
        return None

    def _first_record(self, submission: Submission) -> JobRecord:
        now, options = self.now(), submission.options
        return JobRecord(
            id=submission.id,
            status=JobStatus.PENDING,
            submitted_at=now,
            started_at=None,
            finished_at=None,
            error=None,
            artifact_id=None,
            name=submission.name,
            attempt=0,
            version=0,
            progress=None,
            tags=options.tags,
            cancel_requested_at=None,
            queue=options.queue,
            priority=options.priority,
            scheduled_at=options.scheduled_at(now),
            ended_by=None,
            retry_of=submission.retry_of,
            schedule=submission.schedule,
            parent=submission.parent,
            owner=options.owner,
            metadata=dict(options.metadata),
            process=None,
            elapsed_seconds=None,
            remaining_seconds=None,
            error_traceback=None,
            attempts=(),
            restart_problem=find_restart_problem(submission),
            pending_reason=None,
            runner=submission.runner,
        )

    async def resubmit(self, job_id: str, new_id: str, *, is_once: bool = False) -> str:
        job = self._get(job_id)
        repeated = [each.record.id for each in self._kept() if each.record.retry_of == job_id]
        if is_once and repeated:
            return max(repeated)
        status, problem = job.record.status, job.record.restart_problem
        if not status.is_terminal:
            raise RetryUnavailable(job_id, status, "it has not ended.")
        if problem is not None:
            raise RetryUnavailable(job_id, status, problem)
        old = job.submission
        options = options_of_repetition(old.options)
        self._keep(replace(old, id=new_id, options=options, retry_of=job_id, schedule=None))
        self._wake()
        return new_id

    async def find_by_key(self, idempotency_key: str, owner: str | None = None) -> str | None:
        first = self._find_first_use(key_of_owner(owner, idempotency_key))
        return None if first is None else first.job_id

    async def request_cancel(self, job_id: str, among: Collection[JobStatus] | None = None) -> JobRecord | None:
        job = self._get(job_id)
        if among is not None and job.record.status not in among:
            return self._show(job.record)
        if job.is_pending:
            self._end(job, CANCELED, cancel_requested_at=self._moment_after(job))
        elif job.is_running and job.record.cancel_requested_at is None:
            self._write(job, cancel_requested_at=self._moment_after(job))
        return self._show(job.record)

    async def delete(self, job_id: str, among: Collection[JobStatus] | None = None) -> bool:
        job = self._get(job_id)
        if among is not None and job.record.status not in among:
            return False
        job.is_deleted = True
        self._owners[job_id] = job.record.owner
        if not job.is_running:
            self._forget(job)
        self._tell(job_id, None, is_transition=True)
        return True

    # attempts

    async def claim(
        self,
        limit: int,
        excluding: Collection[RunnerKind],
        max_running: int | None = None,
        queue_limits: Mapping[str, int] | None = None,
        most: int = 0,
    ) -> list[Claim]:
        self._has_claimed = True
        claims: list[Claim] = []
        limits = queue_limits or {}
        while len(claims) < limit and (max_running is None or self._count_running() < max_running):
            self._pass_places_on(limits)
            ready = [
                job
                for job in self._ready()
                if job.submission.runner not in excluding and self._is_open(job.record.queue, limits)
            ]
            if not ready and self._pass_places_on(limits, of_tried=True):
                continue
            if not ready:
                break
            claims.append(self._start(min(ready, key=self._precedence)))
        return claims

    def _precedence(self, job: _Job) -> tuple[object, ...]:
        queue = job.record.queue
        return self._count_running(queue), self._served[queue], *job.order

    def _start(self, job: _Job) -> Claim:
        record = job.record
        self._served[record.queue] = next(self._turns)
        self._move(
            job,
            Transition.CLAIM,
            attempt=record.attempt + 1,
            started_at=self._moment_after(job),
            process=name_of_process(),
        )
        ready_at = None if record.attempt else record.scheduled_at or record.submitted_at
        return Claim(as_accepted(job.submission), record.attempt + 1, job.failures, ready_at)

    def _pass_places_on(self, limits: Mapping[str, int], *, of_tried: bool = False) -> bool:
        """Give places of jobs in closed queues, or of those that could not begin, to others: whether any got one."""
        is_passed = False
        for job in self._ready():
            key, is_open = job.submission.options.kept_concurrency_key, self._is_open(job.record.queue, limits)
            if key is None or (is_open and not (of_tried and job.record.pending_reason)):
                continue
            job.has_place = False
            heirs = [
                heir
                for heir in self._waiting_for_keys()
                if heir.submission.options.kept_concurrency_key == key
                and (not is_open or _may_begin(heir, job))
                and self._is_open(heir.record.queue, limits)
                and self._is_place_for(heir)
            ]
            if heirs:
                self._make_ready(heirs[0])
                is_passed = True
            else:
                job.has_place = True
        return is_passed

    async def make_due(self) -> datetime | None:
        self._heed_clock()
        now = self.now()
        waiting = [(job.due, job.record.id, job) for job in self._jobs.values() if job.due is not None]
        for due, _, job in sorted(waiting):
            if due <= now:
                self._come_due(job, due)
        for job in self._kept():
            if job.is_pending and job.expires is not None and job.expires <= now:
                self._end(job, end_expired(seconds_of(job.submission.options.queue_timeout or 0)))
                if self._signals is not None:
                    self._signals.hear_of_failure(self._show(job.record))
        self._wake()
        pending = [job for job in self._jobs.values() if job.is_pending]
        return min((moment for job in pending for moment in (job.due, job.expires) if moment is not None), default=None)

    async def end_attempt(self, claim: Claim, ending: Outcome) -> Transition | None:
        check_return(ending)
        job = self._find_attempt(claim)
        if job is None:
            return None
        record, options = job.record, job.submission.options
        decided = decide_end(
            ending,
            AttemptFacts(
                is_deleted=job.is_deleted,
                is_asked_to_stop=record.cancel_requested_at is not None,
                is_restartable=record.restart_problem is None,
                max_restarts=options.max_restarts,
                is_kept=False,
            ),
        )
        if decided is None:
            self._forget(job)
            return None
        if decided.transition is Transition.RETRY:
            self._retry(job, decided)
        elif decided.transition is Transition.RELEASE:
            changes = {"started_at": None, "process": None, "progress": None, "pending_reason": decided.error}
            self._move(job, Transition.RELEASE, **changes)
        else:
            self._end(job, decided)
        self._wake()
        return decided.transition

    def _retry(self, job: _Job, ending: Outcome) -> None:
        assert ending.retry_at is not None
        record = job.record
        assert record.started_at is not None
        self._heed_clock()
        past = PastAttempt(
            record.attempt,
            record.started_at,
            self._moment_after(job),
            ending.error,
            ending.ended_by,
            record.process,
        )
        job.failures += 1
        job.has_place, job.expires = False, None
        self._move(
            job,
            Transition.RETRY,
            attempts=(*record.attempts, past)[-MAX_PAST_ATTEMPTS:],
            scheduled_at=ending.retry_at,
            started_at=None,
            process=None,
            progress=None,
        )
        self._wait_until(job, ending.retry_at)

    async def report_progress(self, claim: Claim, progress: Progress) -> None:
        job = self._find_attempt(claim)
        if job is not None and not job.is_deleted:
            self._write(job, progress=replace(progress, reported_at=self.now()))

    async def append_log(self, claim: Claim, lines: Sequence[NewLine]) -> None:
        job = self._find_attempt(claim)
        if job is None or job.is_deleted:
            return
        for line in lines:
            job.line_count += 1
            job.lines.append(LogLine(job.line_count, line.at, claim.attempt, line.level, line.source, line.text))
        most = self._retention.max_log_bytes
        while most is not None and len(job.lines) > 1 and sum(map(_size, job.lines)) > most:
            del job.lines[0]
        self._publisher.notify_log(claim.submission.id)

    # reads

    async def get_record(self, job_id: str) -> JobRecord:
        return self._show(self._get(job_id).record)

    async def find_missing(self, job_ids: Collection[str]) -> set[str]:
        return set(job_ids) - {job.record.id for job in self._kept()}

    async def list_calls(self, job_ids: Collection[str], most_characters: int) -> dict[str, KeptCall]:
        return {job.record.id: keep_call(job.submission) for job in self._kept() if job.record.id in job_ids}

    async def get_result(self, job_id: str) -> object:
        job = self._get(job_id)
        check_completed(job_id, job.record.status, job.record.error)
        if not isinstance(job.result, WrittenResult):
            return job.result
        try:
            return read_result(job.result.text or "")
        except ValueError:
            raise ResultDropped(job_id, job.record.status) from None

    async def list_records(self, wanted: JobFilter, limit: int, before: str | None) -> JobPage:
        candidates = self._candidates(wanted, before)
        found: list[JobRecord] = []
        for number, record in enumerate(candidates):
            if len(found) == limit or (wanted.is_search and number == self._scan_limit):
                return JobPage(found, candidates[number - 1].id)
            if wanted.matches(record):
                found.append(self._show(record))
        return JobPage(found, None)

    def _candidates(self, wanted: JobFilter, before: str | None = None) -> list[JobRecord]:
        """The newest first, by what an index would lead to."""
        asked = JobFilter(
            owner=wanted.owner,
            statuses=wanted.statuses,
            submitted_after=wanted.submitted_after,
            submitted_before=wanted.submitted_before,
        )
        records = [job.record for job in self._kept() if before is None or job.record.id < before]
        return sorted(filter(asked.matches, records), key=lambda record: record.id, reverse=True)

    async def list_log(self, job_id: str, after: int, limit: int) -> LogPage:
        job = self._get(job_id)
        lines = [line for line in job.lines if line.number > after]
        return LogPage(lines[:limit], len(lines) <= limit, job.line_count - len(job.lines))

    async def list_transitions(self, job_id: str, after_version: int) -> list[JobRecord]:
        return [self._show(record) for record in self._get(job_id).life if record.version > after_version]

    async def count_by_status(self, wanted: JobFilter = ALL_JOBS) -> JobCounts:
        candidates = self._candidates(wanted)
        looked_at = candidates if wanted.is_counted else candidates[: self._scan_limit]
        found = Counter(record.status for record in looked_at if wanted.matches(record))
        is_exact = wanted.is_counted or len(looked_at) < self._scan_limit
        return JobCounts({status: found[status] for status in JobStatus}, is_exact=is_exact)

    async def suggest(self, request: SuggestionRequest) -> list[Suggestion]:
        looked_at = self._candidates(JobFilter(owner=request.owner))[: self._scan_limit]
        counts = Counter(value for record in looked_at for value in self._values_of(record)[request.field])
        return choose(counts, request, is_exact=len(looked_at) < self._scan_limit)

    def _values_of(self, record: JobRecord) -> dict[SuggestedField, tuple[str, ...]]:
        return {
            SuggestedField.NAME: (record.name,),
            SuggestedField.QUEUE: (record.queue,),
            SuggestedField.TAG: record.tags,
            SuggestedField.OWNER: () if record.owner is None else (record.owner,),
        }

    # changes

    async def list_changes(self, after: int, limit: int) -> ChangePage | None:
        newest = self._position
        if not self._first_position <= after <= newest:
            return None
        start = after - self._first_position
        seen = self._changed[start : start + limit]
        newest_of = {job_id: after + number for number, job_id in enumerate(seen, 1)}
        changes = [
            JobChange(position, job_id, self._record_of(job_id), self._owners.get(job_id))
            for job_id, position in sorted(newest_of.items(), key=lambda each: each[1])
        ]
        return ChangePage(changes, after + len(seen), after + len(seen) == newest)

    def _record_of(self, job_id: str) -> JobRecord | None:
        return next((self._show(job.record) for job in self._kept() if job.record.id == job_id), None)

    async def get_position(self) -> int:
        return self._position

    @property
    def _position(self) -> int:
        return self._first_position + len(self._changed)

    # activity

    async def put_activity(self, minutes: Sequence[ActivityMinute]) -> None:
        for each in minutes:
            self._activity[each[:3]] = each
        present = minute_of(self.now())
        self._activity = {k: each for k, each in self._activity.items() if abs(each.minute - present) <= KEPT_MINUTES}

    async def list_activity(self, owner: str | None, since: int) -> list[ActivityMinute]:
        return [each for each in self._activity.values() if each.owner == owner and each.minute >= since]

    # queues

    async def list_queues(self) -> list[QueueRecord]:
        names = {job.record.queue for job in self._jobs.values() if not job.record.status.is_terminal} | self._paused
        return [
            QueueRecord(
                name,
                name in self._paused,
                len(self._in_queue(name, JobStatus.PENDING)),
                self._count_running(name),
            )
            for name in sorted(names)
        ]

    async def set_queue_paused(self, name: str, *, is_paused: bool) -> None:
        if is_paused:
            self._paused.add(name)
        else:
            self._paused.discard(name)
        self._wake()

    async def list_workers(self) -> list[WorkerRecord]:
        if self._opened_at is None or self._signals is None:
            return []
        running, ready = self._count_running(), self._signals.readiness
        worker = WorkerRecord(
            name_of_process(), self._opened_at, self._is_retired, self._has_claimed, running, is_this=True,
            runners=ready.runners, problems=ready.problems,
        )  # fmt: skip
        return [worker]

    # schedules

    async def put_schedule(self, schedule: Schedule, next_at: datetime | None) -> None:
        options = schedule.options
        submission = Submission(
            "",
            options.name or name_of(schedule.target),
            schedule.target,
            schedule.args,
            schedule.kwargs,
            check_target(schedule.target, schedule.args, schedule.kwargs, options.runner),
            options_of_tick(schedule.name, schedule.overlap, options),
            schedule=schedule.name,
        )
        describe_call(submission)
        old = self._schedules.get(schedule.name)
        if old is None:
            self._schedules[schedule.name] = _KeptSchedule(schedule, submission, next_at)
            return
        if old.schedule.timetable != schedule.timetable and not old.is_paused:
            old.next_at = next_at
        old.schedule, old.submission = schedule, submission

    async def list_schedules(self) -> list[ScheduleState]:
        return [self._schedules[name].state for name in sorted(self._schedules)]

    async def get_schedule(self, name: str) -> ScheduleState:
        return self._get_schedule(name).state

    async def set_schedule_paused(self, name: str, next_at: datetime | None, *, is_paused: bool) -> ScheduleState:
        kept = self._get_schedule(name)
        kept.is_paused, kept.next_at = is_paused, next_at
        return kept.state

    async def remove_schedule(self, name: str) -> None:
        self._get_schedule(name)
        del self._schedules[name]

    async def fire_schedule(
        self, name: str, tick: datetime, next_at: datetime | None, job_id: str | None
    ) -> FiredSchedule:
        kept = self._get_schedule(name)
        last = self._jobs.get(kept.last_job_id or "")
        fired = judge_tick(
            kept.schedule.overlap,
            is_next=kept.next_at == tick,
            is_paused=kept.is_paused,
            is_wanted=job_id is not None,
            is_last_there=last is not None and not last.record.status.is_terminal,
        )
        if fired is FiredSchedule.LOST:
            return fired
        kept.next_at = next_at
        if fired is FiredSchedule.SUBMITTED:
            assert job_id is not None
            try:
                self._keep(replace(kept.submission, id=job_id))
            except QueueFull:
                return FiredSchedule.SKIPPED
            kept.last_at, kept.last_job_id = tick, job_id
            self._wake()
        return fired

    def clock_setting(self) -> ClockSetting:
        return self._clock.setting()

    def _get_schedule(self, name: str) -> _KeptSchedule:
        if name not in self._schedules:
            raise ScheduleNotFound(name)
        return self._schedules[name]

    # liveness

    def now(self) -> datetime:
        return self._clock.now()

    async def open(self, signals: JobSignals) -> None:
        loop = asyncio.get_running_loop()
        is_open, self._loop, self._signals = self._loop is loop, loop, signals
        if is_open:
            return
        self._opened_at, self._is_retired, self._has_claimed = self.now(), False, False
        await self._take_back(signals)
        for job in self._running():
            if job.is_deleted or job.record.cancel_requested_at is not None:
                signals.cancel(job.record.id)

    async def _take_back(self, signals: JobSignals) -> None:
        for job in self._running():
            if not signals.is_running(job.record.id, job.record.attempt):
                await self.end_attempt(Claim(job.submission, job.record.attempt), NOT_BEGUN)

    async def rescue(self) -> None:
        """No other process has jobs here."""

    async def prune(self, limit: int) -> bool:
        dropped = sorted(self._beyond_retention(), key=self._end_order)
        for job in dropped[:limit]:
            self._forget(job)
        return len(dropped) > limit

    def _end_order(self, job: _Job) -> tuple[datetime, str]:
        return job.record.finished_at or self.now(), job.record.id

    def _beyond_retention(self) -> Iterator[_Job]:
        for statuses, bounds in self._retention.groups():
            ended = [job for job in self._kept() if job.record.status in statuses]
            ended.sort(key=self._end_order, reverse=True)
            for number, job in enumerate(ended):
                age = self.now() - (job.record.finished_at or self.now())
                is_too_old = bounds.max_age is not None and age > bounds.max_age
                if is_too_old or (bounds.max_count is not None and number >= bounds.max_count):
                    yield job

    async def find_problem(self) -> str | None:
        return None

    async def retire(self) -> None:
        self._is_retired = True
        for job in self._kept():
            if job.is_pending:
                self._end(job, end_abandoned(is_in_order=True, is_kept=False))

    async def close(self) -> None:
        if self._signals is not None:
            await self._take_back(self._signals)
        await self.retire()
        self._loop = self._signals = self._opened_at = None

    # What the parts have in common.

    def _kept(self) -> list[_Job]:
        return [job for job in self._jobs.values() if not job.is_deleted]

    def _running(self) -> list[_Job]:
        return [job for job in self._jobs.values() if job.is_running]

    def _ready(self) -> list[_Job]:
        return [job for job in self._jobs.values() if job.is_pending and job.has_place]

    def _waiting_for_keys(self) -> list[_Job]:
        return sorted((job for job in self._jobs.values() if job.is_waiting_for_key), key=lambda job: job.order)

    def _in_queue(self, queue: str, *statuses: JobStatus) -> list[_Job]:
        return [job for job in self._jobs.values() if job.record.queue == queue and job.record.status in statuses]

    def _count_running(self, queue: str | None = None) -> int:
        return sum(queue is None or job.record.queue == queue for job in self._running())

    def _is_open(self, queue: str, limits: Mapping[str, int]) -> bool:
        return queue not in self._paused and self._count_running(queue) < limits.get(queue, inf)

    def _get(self, job_id: str) -> _Job:
        job = self._jobs.get(job_id)
        if job is None or job.is_deleted:
            raise JobNotFound(job_id)
        return job

    def _find_attempt(self, claim: Claim) -> _Job | None:
        """The job of a claim that still counts."""
        job = self._jobs.get(claim.submission.id)
        return job if job is not None and job.is_running and job.record.attempt == claim.attempt else None

    def _heed_clock(self) -> None:
        """If somebody has set the clock, what waits for so long waits neither longer nor shorter."""
        setting, before = self._clock.setting(), self._setting
        if setting.is_like(before):
            return
        self._setting, shift = setting, timedelta(seconds=setting.seconds_since(before) or 0)
        for job in self._jobs.values():
            if job.due is not None and job.due != job.submission.options.start_at:
                job.due += shift
                job.record = replace(job.record, scheduled_at=job.due)
            if job.expires is not None:
                job.expires += shift

    def _wait_until(self, job: _Job, due: datetime) -> None:
        job.due = due
        self._hand_out()  # what it has held is for others, before it waits for it again
        if due <= self.now():
            self._come_due(job, due)

    def _come_due(self, job: _Job, due: datetime) -> None:
        timeout = job.submission.options.queue_timeout
        job.due, job.expires = None, None if timeout is None else due + timedelta(seconds=seconds_of(timeout))
        job.turn = next(self._turns)
        self._hand_out()

    def _hand_out(self) -> None:
        """Who waits for a place of a key has it, if there is one; who has no key needs none."""
        for job in self._waiting_for_keys():
            if self._is_place_for(job):
                self._make_ready(job)

    def _make_ready(self, job: _Job) -> None:
        job.has_place, job.turn = True, next(self._turns)

    def _is_place_for(self, job: _Job) -> bool:
        key, limit = job.submission.options.kept_concurrency_key, job.submission.options.concurrency_limit
        with_key = [each for each in self._jobs.values() if each.submission.options.kept_concurrency_key == key]
        return key is None or sum(each.has_place for each in with_key) < limit

    def _moment_after(self, job: _Job) -> datetime:
        """The time now; the clock may have been set back since the last change."""
        return max(self.now(), job.record.started_at or job.record.submitted_at)

    def _end(self, job: _Job, outcome: Outcome, **changes: Any) -> None:
        job.submission.discard()
        job.has_place, job.due = False, None
        most = self._retention.max_result_bytes
        if most is None or outcome.result_bytes <= most:
            job.result = outcome.result
        self._move(
            job,
            outcome.transition,
            finished_at=self._moment_after(job),
            error=outcome.error,
            error_traceback=outcome.error_traceback,
            artifact_id=outcome.artifact_id,
            ended_by=outcome.ended_by,
            **changes,
        )
        self._hand_out()
        self._wake()

    def _forget(self, job: _Job) -> None:
        job.submission.discard()
        del self._jobs[job.record.id]
        self._hand_out()
        self._wake()

    def _move(self, job: _Job, transition: Transition, **changes: Any) -> None:
        move = move_of(transition)
        assert job.record.status in move.sources
        self._write(job, is_transition=True, **{"status": move.target, "pending_reason": None, **changes})

    def _write(self, job: _Job, *, is_transition: bool = False, **changes: Any) -> None:
        record = job.record = replace(job.record, version=job.record.version + 1, **changes)
        if is_transition:
            job.life = [*job.life, record][-MAX_TRANSITIONS:]
        self._tell(record.id, record, is_transition=is_transition)

    def _tell(self, job_id: str, record: JobRecord | None, *, is_transition: bool) -> None:
        self._changed.append(job_id)
        if self._publisher.is_watched(job_id):
            shown = None if record is None else self._show(record)
            self._publisher.publish(JobEvent(job_id, shown, is_transition=is_transition))
        self._publisher.notify()

    def _show(self, record: JobRecord) -> JobRecord:
        """The record as it is to be given to others: theirs to change, with what time has made of it."""
        now = self.now()
        is_running = record.status is JobStatus.RUNNING
        return replace(
            record,
            metadata=deepcopy(record.metadata),
            elapsed_seconds=seconds_elapsed(record.started_at, record.finished_at, now),
            remaining_seconds=seconds_remaining(record.progress, record.started_at, now) if is_running else None,
        )

    def _wake(self) -> None:
        if self._signals is not None:
            self._signals.wake()
