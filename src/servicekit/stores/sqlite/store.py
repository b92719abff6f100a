"""The store: what the engine asks, put to the two threads, and what they report, passed on."""

import asyncio
import logging
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NoReturn

from servicekit.errors import IdempotencyConflict, JobNotFound, RecordUnreadable, StoreUnavailable
from servicekit.jobs.backoff import Backoff, FailureLog
from servicekit.jobs.endings import NOT_BEGUN
from servicekit.jobs.log_lines import LogPage, NewLine
from servicekit.jobs.options import RunnerKind
from servicekit.jobs.outcome import Outcome, describe_error
from servicekit.jobs.query import ALL_JOBS, SCAN_LIMIT, ChangePage, JobFilter, JobPage
from servicekit.jobs.queues import QueueRecord
from servicekit.jobs.record import JobRecord, Progress
from servicekit.jobs.restartable import describe_call, fingerprint, is_same_call
from servicekit.jobs.results import WrittenResult, write_result
from servicekit.jobs.retention import Retention
from servicekit.jobs.schedules import FiredSchedule, Schedule, ScheduleState
from servicekit.jobs.status import JobStatus, Transition
from servicekit.jobs.submission import CallProblem, Claim, Submission
from servicekit.ports import (
    AttemptStore,
    Clock,
    ClockSetting,
    EventRelay,
    JobChanges,
    JobReads,
    JobSignals,
    QueueStore,
    ScheduleStore,
    StoreLiveness,
    SubmissionStore,
)
from servicekit.stores.durable.expiry import expiry_after
from servicekit.stores.durable.loading import load_submission
from servicekit.stores.durable.local import LocalJobs
from servicekit.stores.durable.new_jobs import new_job
from servicekit.stores.durable.operations import Operation
from servicekit.stores.durable.records import progress_text
from servicekit.stores.durable.requests import (
    AttemptEnd,
    ChangesRequest,
    ClaimedJob,
    ClaimRequest,
    ClockReading,
    CountRequest,
    Decline,
    Departure,
    JobRequest,
    ListRequest,
    LogRequest,
    LogRow,
    NewLines,
    Pause,
    ProcessForgotten,
    ProgressReport,
    Prune,
    PruneGroup,
    RecordRequest,
    Resubmission,
    SchedulePause,
    Step,
    Tick,
    TransitionsRequest,
)
from servicekit.stores.durable.schedule_rows import FoundSchedule, describe_schedule
from servicekit.stores.durable.targets import Targets
from servicekit.stores.durable.times import find_moment, time_text, write_time
from servicekit.stores.process_name import name_of_process
from servicekit.stores.sqlite import claims, inserts, log_lines, membership, queries, queues, schedules, times, writes
from servicekit.stores.sqlite.clock import heed
from servicekit.stores.sqlite.database import is_busy
from servicekit.stores.sqlite.database_thread import Reader
from servicekit.stores.sqlite.membership import list_running
from servicekit.stores.sqlite.notifier import CommitNotifier
from servicekit.stores.sqlite.processes import remove_leftovers
from servicekit.stores.sqlite.pruning import prune
from servicekit.stores.sqlite.registration import ProcessRegistration
from servicekit.stores.sqlite.writer import LATE_SECONDS, Writer

_log = logging.getLogger("servicekit.stores")

_DAY: Final = timedelta(days=1)
_YOUNG: Final = timedelta(seconds=2 * LATE_SECONDS)
_CHECK_SECONDS: Final = 3.0
_ANOTHER_LOOK: Final = timedelta(seconds=1)


class SqliteStore:
    """A `JobStore` in one file: see the package's page for what it promises."""

    is_durable = True

    def __init__(
        self,
        path: Path,
        publisher: EventRelay,
        clock: Clock,
        retention: Retention,
        *,
        max_pending: int | None = None,
        scan_limit: int = SCAN_LIMIT,
        service: str | None = None,
    ) -> None:
        self._path = path.resolve()  # the locks are beside the file itself, whatever leads to it
        self._publisher = publisher
        self._clock = clock
        self._retention = retention
        self._max_pending = max_pending
        self._scan_limit = scan_limit
        self._opening: asyncio.Lock | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = os.getpid()
        self._service = service
        self._registration = ProcessRegistration(self._path, service)
        self._local = LocalJobs()
        self._targets = Targets()
        self._failures = FailureLog(_log)
        self._setting: ClockSetting | None = None
        self._notifier: CommitNotifier | None = None
        self._writer: Writer | None = None
        self._reader: Reader | None = None
        self.now = clock.now
        self.submissions: SubmissionStore = self
        self.attempts: AttemptStore = self
        self.reads: JobReads = self
        self.changes: JobChanges = self
        self.queues: QueueStore = self
        self.schedules: ScheduleStore = self
        self.liveness: StoreLiveness = self

    @property
    def location(self) -> str:
        return str(self._path)

    @property
    def guard(self) -> int | None:
        return None if self._registration.lock is None else self._registration.lock.descriptor

    async def open(self, signals: JobSignals) -> None:
        if self._pid != os.getpid():
            self._forget_parent()
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            await self.close()
            self._loop, self._opening = loop, asyncio.Lock()
        assert self._opening is not None
        async with self._opening:
            if self._notifier is None:
                await self._start(signals)
            else:
                self._notifier.signals = signals

    def _forget_parent(self) -> None:
        """In a forked child: leave what the parent has opened alone, and be a process of one's own, if that may be.

        See `inherited`.
        """
        self._inherited = (self._writer, self._reader)  # closing their connections is not the child's business
        self._pid = os.getpid()
        self._registration, self._local, self._loop = ProcessRegistration(self._path, self._service), LocalJobs(), None
        self._notifier = self._writer = self._reader = None

    async def _start(self, signals: JobSignals) -> None:
        is_new = self._registration.prepare()
        self._setting = None
        self._notifier = CommitNotifier(self._publisher, self._clock, self._local, signals)
        self._writer = Writer(self._path, self._notifier.report, self._publisher)
        self._reader = Reader(self._path, "servicekit reader")
        self._notifier.serve(self._writer, self._reader)
        try:
            await self._join(signals)
            remove_leftovers(self._path)
        except BaseException:
            self._stop_threads()
            if is_new:  # else attempts of this process may still run, and nobody else may start those
                self._registration.abandon()
            raise

    async def _join(self, signals: JobSignals) -> None:
        """Be one of the processes at work, as soon as the file is free.

        Another program's lock is waited for, without a bound: another process may migrate a large file, and whoever
        starts this one knows how long it may take. If it is told to stop meanwhile, it does not start.
        """
        while True:
            try:
                await self._registration.take(self._writing(), self._now())
                await self._heed_clock()
                await self._settle(signals)
                await self.rescue()
                await self._introduce()
            except StoreUnavailable as error:
                if not is_busy(error) or signals.is_stopping:
                    raise
                _log.warning("The start waits until another program gives back its lock on %s.", self._path)
            else:
                return

    async def _introduce(self) -> None:
        """Say whose the file is, and warn if it is another service's as well."""
        others = [] if self._service is None else await self._writing().ask(membership.introduce, self._service)
        if others:
            _log.warning(
                "The job store %s is also that of %s, and this service is %r: they share their limits, lists and jobs. "
                "Give each service a file of its own (SERVICEKIT_JOBS_URL, or with_jobs(url=...)), unless they are one "
                "that was renamed.",
                self._path, " and of ".join(map(repr, others)), self._service,
            )  # fmt: skip

    async def _settle(self, signals: JobSignals) -> None:
        """Let the file and the engine agree on what runs here, after another event loop has ended between the two."""
        for job in await self._reading().ask(list_running, self._registration.number):
            if not signals.is_running(job.id, job.attempt):
                end = AttemptEnd(job.id, job.attempt, NOT_BEGUN, self._now())
                await self._writing().ask(writes.end_attempts, end)
            elif job.is_unwanted:
                signals.cancel(job.id)

    async def rescue(self) -> None:
        await self._registration.renew_lock(self._writing(), self._now())
        for member in await self._registration.list_dead(self._reading()):
            await self._heed_clock()
            taken, failed = await self._in_steps(membership.take_over, member.id)
            self._registration.remove_lock_of(member)
            if taken:
                name = "A process" if member.pid is None else f"Process {member.pid}"
                _log.info("%s is gone: %d of its jobs taken over, of which %d failed", name, taken, failed)
            self._wake()

    async def _in_steps(self, operation: Operation[Departure, Step], process: int) -> tuple[int, int]:
        """How many jobs were taken from the process, and how many of these have failed."""
        is_last, all_taken, all_failed = False, 0, 0
        while not is_last:
            step = await self._writing().ask(operation, Departure(process, self._now()))
            is_last, all_taken, all_failed = step.is_last, all_taken + step.taken, all_failed + len(step.failed)
            await self._tell_of_failures(step.failed)
            await asyncio.sleep(0)
        return all_taken, all_failed

    async def _tell_of_failures(self, job_ids: list[str]) -> None:
        for job_id in job_ids:
            with suppress(JobNotFound, RecordUnreadable):  # deleted since, or there is nothing to tell
                record = await self.get_record(job_id)
                if self._notifier is not None:
                    self._notifier.signals.hear_of_failure(record)

    async def retire(self) -> None:
        if self._writer is not None and self._loop is asyncio.get_running_loop():
            self._writer.hurry()
            with suppress(StoreUnavailable):  # who takes over finds the same
                await self._in_steps(membership.retire, self._registration.number)
        self._local.forget_all()

    async def close(self) -> None:
        if self._writer is not None:
            if self._notifier is not None and self._loop is asyncio.get_running_loop():
                with suppress(StoreUnavailable):
                    await self._settle(self._notifier.signals)  # a claim may have come when nobody took it any more
                    # What has become pending since `retire`.
                    await self._in_steps(membership.retire, self._registration.number)
                    await self._registration.leave(self._writer)
            self._stop_threads()

    def _stop_threads(self) -> None:
        for part in (self._writer, self._reader, self._notifier):
            if part is not None:
                part.stop()
        self._notifier = self._writer = self._reader = None

    async def _heed_clock(self) -> None:
        """Have what waits for so long wait neither longer nor shorter, if somebody has set the clock."""
        setting = self._clock.setting()
        if not setting.is_like(self._setting):
            await self._writing().ask(heed, ClockReading(setting, self._clock.now()))
            self._setting = setting

    async def insert(self, submission: Submission) -> str:
        if submission.options.has_times:
            try:
                await self._heed_clock()
            except StoreUnavailable:
                submission.discard()
                raise
        described = describe_call(submission)
        call, problem = (None, described) if isinstance(described, CallProblem) else (described, None)
        options = submission.options
        job = new_job(
            submission.id,
            submission.name,
            submission.runner,
            call,
            options,
            self._clock.now(),
            owner=None if call else self._registration.number,
            fingerprint=None if options.idempotency_key is None else fingerprint(submission),
            restart_problem=problem and problem.sentence,
            retry_of=submission.retry_of,
            schedule=submission.schedule,
            parent=submission.parent,
            max_pending=self._max_pending,
        )
        if problem is not None:
            self._local.add(submission)
            self._local.warn(submission, problem)
        job_id: str | None = None
        try:
            job_id = await self._writing().ask(inserts.insert, job)
        except IdempotencyConflict as conflict:
            if not await self._is_repetition(submission, conflict.job_id):
                raise
            job_id = conflict.job_id
        finally:
            if job_id != submission.id:
                self._local.take(submission.id)
                submission.discard()
        return job_id

    async def _is_repetition(self, submission: Submission, job_id: str) -> bool:
        """Whether it is the call of that job, which an earlier version has kept, so that their fingerprints differ."""
        call = await self._reading().ask(queries.find_old_call, job_id)
        return call is not None and is_same_call(submission, call)

    async def resubmit(self, job_id: str, new_id: str) -> str:
        await self._heed_clock()
        request = Resubmission(job_id, new_id, self._clock.now(), self._max_pending)
        await self._writing().ask(inserts.resubmit, request)
        self._wake()
        return new_id

    async def claim(
        self,
        limit: int,
        excluding: Collection[RunnerKind],
        max_running: int | None = None,
        queue_limits: Mapping[str, int] | None = None,
    ) -> list[Claim]:
        request = ClaimRequest(
            self._registration.number, limit, excluding, max_running, queue_limits or {}, self._now(),
            name_of_process(),
            is_first=not self._registration.runs_jobs,
        )  # fmt: skip
        try:
            jobs = await self._writing().ask(claims.claim, request)
            self._registration.runs_jobs = True
            return [self._claim(job) for job in jobs]
        except ProcessForgotten:
            await self._join_again()
            return await self.claim(limit, excluding, max_running, queue_limits)

    async def _join_again(self) -> None:
        assert self._opening is not None
        async with self._opening:
            if self._writer is not None:
                await self._registration.take_another(self._writer, self._now())

    def _claim(self, job: ClaimedJob) -> Claim:
        submission = self._local.take(job.id) or load_submission(job, self._decline)
        return Claim(submission, job.attempt, job.failures)

    async def _decline(self, job: ClaimedJob, error: BaseException) -> bool:
        backoff = Backoff()
        while True:
            try:
                is_left = await self._writing().ask(writes.decline, Decline(job.id, job.attempt))
            except StoreUnavailable:
                await asyncio.sleep(backoff.next_seconds())
            else:
                if is_left:
                    self._failures.warn("A job is left to another process, which may be able to run it: %s", error)
                return is_left

    async def make_due(self) -> datetime | None:
        await self._heed_clock()
        while (moment := await self._reading().ask(times.find_next, None)) is not None and moment <= self._now():
            expired = await self._writing().ask(times.make_due, self._now())
            for job_id in expired:
                self._local.forget(job_id)
            await self._tell_of_failures(expired)
        # What is no time is looked at again, since more may come after it.
        return None if moment is None else find_moment(moment) or self._clock.now() + _ANOTHER_LOOK

    async def end_attempt(self, claim: Claim, ending: Outcome) -> Transition | None:
        submission = claim.submission
        if ending.transition.gives_back:
            end = await self._prepare_return(claim, ending)
        else:
            if ending.result is not None:
                ending = self._encode(submission, ending)
            end = AttemptEnd(submission.id, claim.attempt, ending, self._now())
        return await self._writing().ask(writes.end_attempts, end)

    async def _prepare_return(self, claim: Claim, ending: Outcome) -> AttemptEnd:
        submission, expires_at = claim.submission, None
        if ending.retry_at is not None or ending.is_lost:  # the job has a time from now on, or another one
            await self._heed_clock()
        if ending.retry_at is not None:
            expires_at = expiry_after(submission.options, ending.retry_at)
        return AttemptEnd(submission.id, claim.attempt, ending, self._now(), expires_at, submission)

    def _encode(self, job: Submission, ending: Outcome) -> Outcome:
        """The ending with its result as JSON; without it, and with a warning, if that is none or is too large."""
        text, reason = _write(ending.result)
        limit = self._retention.max_result_bytes
        if text is not None and limit is not None and _exceeds(text, limit):
            text, reason = None, f"it has more than {limit:,} bytes (Retention.max_result_bytes)"
        if text is None:
            self._failures.warn("The result of job %s (%s) is not kept: %s", job.name, job.id, reason)
        return ending._replace(result=WrittenResult(text))

    async def report_progress(self, claim: Claim, progress: Progress) -> None:
        report = ProgressReport(claim.submission.id, claim.attempt, progress_text(progress, self._clock.now()))
        await self._writing().ask(writes.report_progress, report)

    async def append_log(self, claim: Claim, lines: Sequence[NewLine]) -> None:
        rows = [LogRow(time_text(line.at), line.level, line.source, line.text) for line in lines]
        new = NewLines(claim.submission.id, claim.attempt, rows, self._retention.max_log_bytes)
        await self._writing().ask(log_lines.append, new)

    async def list_log(self, job_id: str, after: int, limit: int) -> LogPage:
        return await self._reading().ask(log_lines.list_log, LogRequest(job_id, after, limit))

    async def request_cancel(self, job_id: str) -> JobRecord | None:
        record = await self._writing().ask(writes.request_cancel, JobRequest(job_id, self._now()))
        if record is None or record.status.is_terminal:
            self._local.forget(job_id)
        return record

    async def delete(self, job_id: str) -> None:
        await self._writing().ask(writes.delete, JobRequest(job_id, self._now()))
        self._local.forget(job_id)

    async def get_record(self, job_id: str) -> JobRecord:
        return await self._reading().ask(queries.get_record, RecordRequest(job_id, self._clock.now()))

    async def find_by_key(self, idempotency_key: str) -> str | None:
        return await self._reading().ask(queries.find_by_key, idempotency_key)

    async def get_result(self, job_id: str) -> object:
        return await self._reading().ask(queries.get_result, job_id)

    async def list_records(self, wanted: JobFilter, limit: int, before: str | None) -> JobPage:
        request = ListRequest(wanted, limit, before, self._scan_limit, self._clock.now())
        return await self._reading().ask(queries.list_records, request)

    async def list_changes(self, after: int, limit: int) -> ChangePage | None:
        request = ChangesRequest(after, limit, self._clock.now())
        return await self._reading().ask(queries.list_changes, request)

    async def get_position(self) -> int:
        return await self._reading().ask(queries.get_position, None)

    async def list_transitions(self, job_id: str, after_version: int) -> list[JobRecord]:
        request = TransitionsRequest(job_id, after_version)
        return await self._reading().ask(queries.list_transitions, request)

    async def count_by_status(self, wanted: JobFilter = ALL_JOBS) -> dict[JobStatus, int]:
        if wanted == ALL_JOBS:
            return await self._reading().ask(queries.count_by_status, None)
        return await self._reading().ask(queries.count_wanted, CountRequest(wanted, self._scan_limit))

    async def list_queues(self) -> list[QueueRecord]:
        return await self._reading().ask(queues.list_queues, None)

    async def set_queue_paused(self, name: str, *, is_paused: bool) -> None:
        await self._writing().ask(queues.set_paused, Pause(name, is_paused))
        self._wake()

    async def put_schedule(self, schedule: Schedule, next_at: datetime | None) -> None:
        await self._writing().ask(schedules.put, describe_schedule(schedule, next_at))

    async def list_schedules(self) -> list[ScheduleState]:
        found = await self._reading().ask(schedules.list_schedules, None)
        return await asyncio.gather(*map(self._examine, found))

    async def get_schedule(self, name: str) -> ScheduleState:
        return await self._examine(await self._reading().ask(schedules.get_schedule, name))

    async def _examine(self, found: FoundSchedule) -> ScheduleState:
        """The schedule, with what keeps this process from submitting its jobs."""
        problem = found.state.problem or await self._targets.find_problem(found.target)
        return found.state if problem is None else replace(found.state, problem=problem)

    async def set_schedule_paused(self, name: str, next_at: datetime | None, *, is_paused: bool) -> ScheduleState:
        pause = SchedulePause(name, write_time(next_at), is_paused)
        return await self._examine(await self._writing().ask(schedules.set_paused, pause))

    async def remove_schedule(self, name: str) -> None:
        await self._writing().ask(schedules.remove, name)

    async def fire_schedule(
        self, name: str, tick: datetime, next_at: datetime | None, job_id: str | None
    ) -> FiredSchedule:
        await self._heed_clock()
        request = Tick(name, time_text(tick), write_time(next_at), job_id, self._clock.now(), self._max_pending)
        fired = await self._writing().ask(schedules.fire, request)
        if fired is FiredSchedule.SUBMITTED:
            self._wake()
        return fired

    async def prune(self, limit: int) -> bool:
        now = self._clock.now()
        groups = [
            PruneGroup(sorted(statuses), bounds.max_count, time_text(now - bounds.max_age) if bounds.max_age else "")
            for statuses, bounds in self._retention.groups()
        ]
        request = Prune(groups, limit, time_text(now - _YOUNG), time_text(now + _DAY), time_text(now - _DAY))
        return await self._writing().ask(prune, request)

    async def find_problem(self) -> str | None:
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                await self._writing().ask(membership.touch, self._registration.number)
                await self.count_by_status()
        except TimeoutError:
            return self._tell(self._find_trouble() or "it does not answer.")
        except StoreUnavailable as error:
            return self._tell(error.reason)
        trouble = self._find_trouble()  # a few bytes may find room where a job does not
        return None if trouble is None else self._tell(trouble)

    def _tell(self, reason: str) -> str:
        """What is wrong, in words for clients, who need not know where the file is; the log says that."""
        self._failures.warn("The job store %s is not well: %s", self._path, reason)
        return f"Jobs cannot be kept at the moment: {reason}"

    def _find_trouble(self) -> str | None:
        return None if self._writer is None else self._writer.find_trouble()

    def _wake(self) -> None:
        if self._notifier is not None:
            self._notifier.signals.wake()

    def _writing(self) -> Writer:
        return self._writer or self._refuse()

    def _reading(self) -> Reader:
        return self._reader or self._refuse()

    def _refuse(self) -> NoReturn:
        raise StoreUnavailable(str(self._path), "it is closed.")

    def _now(self) -> str:
        return time_text(self._clock.now())


def _exceeds(text: str, limit: int) -> bool:
    """Whether it has more bytes than that, as UTF-8; it has no fewer than characters."""
    return len(text) > limit or (not text.isascii() and len(text.encode()) > limit)


def _write(result: object) -> tuple[str | None, str]:
    """The result as JSON; or `None`, and why."""
    if type(result) is WrittenResult:
        return result.text, "the job's log says why"
    try:
        return write_result(result).decode(), ""
    except Exception as error:  # it may call the user's code
        return None, f"it cannot be written as JSON: {describe_error(error)}"
