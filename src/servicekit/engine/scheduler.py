"""The scheduler, for users."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from itertools import islice
from types import TracebackType
from typing import Any, ParamSpec, Self, Unpack, overload

from ulid import ULID

from servicekit.engine.activity import ActivityKeeper
from servicekit.engine.all_jobs_reader import AllJobsReader, follow_jobs
from servicekit.engine.bulk import BulkActions
from servicekit.engine.calls import check_call
from servicekit.engine.job_reader import JobReader
from servicekit.engine.lifecycle import Engine
from servicekit.engine.log_reader import LogReader, list_tail, read_lines, watch_log
from servicekit.engine.parts import SchedulerParts
from servicekit.engine.queues import Queues
from servicekit.engine.schedule_runner import ScheduleRunner
from servicekit.engine.schedules import Schedules
from servicekit.engine.shown_calls import ShownCalls
from servicekit.engine.timekeeper import Timekeeper
from servicekit.engine.worker import Worker
from servicekit.errors import JobNotFound, RecordUnreadable, check_count
from servicekit.jobs.activity import Activity
from servicekit.jobs.command import Command
from servicekit.jobs.current import JobCall
from servicekit.jobs.ids import JobIds
from servicekit.jobs.log_lines import LogLine, LogPage
from servicekit.jobs.options import (
    DEFAULT_OPTIONS,
    ISOLATED,
    JobOptions,
    OptionChanges,
    RunnerKind,
    changed,
    options_of,
)
from servicekit.jobs.query import ALL_JOBS, JobCounts, JobFilter, JobPage
from servicekit.jobs.record import JobRecord
from servicekit.jobs.restartable import describe_call, refuse
from servicekit.jobs.status import JobStatus
from servicekit.jobs.submission import CallProblem, JobTarget, Submission
from servicekit.jobs.suggestions import Suggestion, SuggestionRequest
from servicekit.jobs.workers import WorkerRecord
from servicekit.observability.activity import ActivityRecorder
from servicekit.observability.job_logging import JobLogging
from servicekit.runners.calls import check_sendable, refuse_while_loading

P = ParamSpec("P")

_CANCEL_WAIT_SECONDS = 1.0  # most targets stop in this time, and a request that cancels must not hang
_YIELD_EVERY = 200  # seldom enough to cost nothing, and often enough that nobody waits for long
_PAGE = 1_000  # a longer list is read in pages, since one would hold up the reader of a file for others


class Scheduler:
    """Accepts jobs, runs them, and tells their status, results and logs.

    It needs no call to start: it starts with the first call of a method, on the event loop of that call. All its
    methods must then be called on this event loop. Use `async with`, or call `close`, to stop it in order. Job ids are
    ULIDs as text; `ULID` objects are accepted too.
    """

    def __init__(self, parts: SchedulerParts) -> None:
        self._hub = parts.hub
        self._ids = JobIds()
        store, longest_seconds = parts.store, parts.longest_wait_seconds
        self._timekeeper = Timekeeper(store.attempts, store.liveness, parts.clock, longest_seconds)
        self._counted = ActivityRecorder(store.liveness.now)
        self._activity = ActivityKeeper(store, self._counted)
        self._lines = JobLogging(is_quiet=not parts.options.log_jobs)
        self._worker = Worker(
            store,
            parts.runners,
            parts.clock,
            self._timekeeper,
            parts.options,
            self._lines,
            self._counted,
            self._submit_child,
            parts.database_url,
        )
        schedule_runner = ScheduleRunner(
            store.schedules, store.liveness, parts.clock, self._ids.next_id, self._note_tick, longest_seconds
        )
        self._engine = Engine(parts, self._worker, self._timekeeper, schedule_runner, self._activity)
        self.queues = Queues(self._engine, parts.options.queues)
        """The queues: list, pause and resume them."""
        self.schedules = Schedules(self._engine, schedule_runner, self.queues)
        """The schedules: add, list, pause, resume and remove them."""
        self.bulk = BulkActions(
            self._engine, self._worker, self._hub, self._lines, self._counted, self._ids.next_id, self._wake
        )
        """Many jobs at once: count, cancel, repeat and delete those that match a filter."""
        self.shown_calls = ShownCalls(self._engine, self._worker.attempts)
        """The calls of jobs, as they are shown."""
        self.database_url = parts.database_url
        """The URL of the database server with the jobs, which may have a password; `None` if they are in none. For
        features that keep something beside the jobs."""
        self._added = 0

    def _wake(self) -> None:
        """A job was kept that may start now or later."""
        self._worker.wake()
        self._timekeeper.wake()

    async def _note_tick(self, job_id: str) -> None:
        self._wake()
        await self._activity.note_submitted(job_id)

    @overload
    async def add_job(self, target: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> str: ...

    @overload
    async def add_job(self, target: Coroutine[Any, Any, object] | Command, /) -> str: ...

    async def add_job(self, target: JobTarget, /, *args: Any, **kwargs: Any) -> str:
        """Accept a job and return its id. The job starts when a slot is free and its turn has come.

        The target is an `async def` function, a plain function (which gets a thread of its own), a coroutine object, or
        a `Command`. All further arguments are the target's. When this returns, the job is kept. In a file or a
        database, it survives the death of the process.

        `InvalidTarget` if the target cannot be run; `InvalidArguments` if the arguments do not fit it; `QueueFull` if
        too many jobs wait; `SchedulerClosed` if the service is stopping; `StoreUnavailable` if the job cannot be kept.
        """
        return await self._submit(options_of(target), target, args, kwargs)

    def with_options(self, **options: Unpack[OptionChanges]) -> "SchedulerWithOptions":
        """An object whose `add_job` gives jobs these options (see `JobOptions`). They replace those of the target.

        `ConfigurationError` for an option that does not exist, or whose value makes no sense.
        """
        return SchedulerWithOptions(self, options)

    def check_runner(self, kind: RunnerKind | None) -> None:
        """`ConfigurationError` if jobs with this option `runner` would be refused here, for want of a cluster.

        For features that know their targets when the service starts. A worker that leaves such jobs to others says so.
        """
        if kind in ISOLATED:
            self._engine.check_runner(kind)
            self._engine.warn_if_left(kind)

    async def _submit_child(self, call: JobCall, parent: str) -> str:
        return await self._submit(call.options, call.target, call.args, call.kwargs, parent)

    async def _submit(
        self,
        options: JobOptions,
        target: JobTarget,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        parent: str | None = None,
    ) -> str:
        runner, name = check_call(target, args, kwargs, options, self._engine.mask)
        if options is not DEFAULT_OPTIONS:
            self.queues.warn_if_undeclared(options.queue)
        store = self._engine.find_store() or await self._engine.open_for_jobs()
        submission = Submission(
            self._ids.next_id(), options.name or name, target, args, kwargs, runner, options, parent=parent
        )
        if runner in ISOLATED:
            self._engine.check_runner(runner)
            refuse_while_loading(target)
            check_sendable(submission)
        if not self._engine.run_jobs and isinstance(problem := describe_call(submission), CallProblem):
            submission.discard()
            raise refuse(target, problem)
        # Woken before the insert, but it looks after the insert has reached the store: a file then keeps the job and
        # its claim in one transaction.
        self._worker.wake()
        job_id = await store.submissions.insert(submission)
        if job_id == submission.id:  # else it repeats a job that was counted
            self._counted.submitted(submission.name, options)
        if options is not DEFAULT_OPTIONS and options.has_times:
            # Woken again: a store that finds the clock set corrects its times first, and the worker may have looked
            # before that.
            self._wake()
        self._added += 1
        if self._added % _YIELD_EVERY == 0:
            # A store in memory never waits, so a loop of a million submissions would block everything else.
            await asyncio.sleep(0)
        return job_id

    async def find_by_key(self, idempotency_key: str, owner: str | None = None) -> str | None:
        """The id of the job that was submitted with this key, if it is kept. A key belongs to the owner of its job."""
        return await (await self._engine.open()).submissions.find_by_key(idempotency_key, owner)

    async def get_record(self, job_id: str | ULID) -> JobRecord:
        """The job's present record. `JobNotFound` if there is no job with this id."""
        return await (await self._engine.open()).reads.get_record(str(job_id))

    async def get_arguments(self, job_id: str | ULID) -> dict[str, object] | None:
        """What the target was called with, by the names of its parameters, as it is shown to clients.

        It is plain JSON of bounded size: large values are shortened, and `"***"` stands for what is secret. It is made
        to be read; `retry` submits the call itself again. `None` for a coroutine object, for arguments that are not
        kept any more, and if only another process has them. If this process has not imported the target, the arguments
        without a name are in a list, `"*"`. `JobNotFound` if there is no job with this id.
        """
        return await self.shown_calls.get_arguments(str(job_id))

    async def get_status(self, job_id: str | ULID) -> JobStatus:
        """The job's present status. `JobNotFound` if there is no job with this id."""
        return (await self.get_record(job_id)).status

    async def get_result(self, job_id: str | ULID) -> Any:
        """The result of a completed job: what its target returned.

        If there is none: `JobNotFinished`, `JobFailed` (failed or canceled) or `ResultDropped` (not kept). All three
        are `ResultUnavailable`, and a `RuntimeError`. `JobNotFound` if there is no job with this id.
        """
        return await (await self._engine.open()).reads.get_result(str(job_id))

    async def list_records(
        self,
        *,
        status: JobStatus | Collection[JobStatus] | None = None,
        name: str | None = None,
        tag: str | None = None,
        parent: str | ULID | None = None,
        owner: str | None = None,
        metadata: Mapping[str, str] | None = None,
        search: str | None = None,
        queue: str | None = None,
        error: str | None = None,
        submitted_after: datetime | None = None,
        submitted_before: datetime | None = None,
        limit: int = 100,
        before: str | ULID | None = None,
    ) -> list[JobRecord]:
        """The newest jobs first, at most `limit`. For the next page, `before` is the last id of this one. For the other
        parameters see `JobFilter`.

        It costs as much as the records that it returns, unless jobs must be searched for, by filters without an index.
        """
        statuses = (status,) if isinstance(status, str) else status or ()
        wanted = JobFilter(
            statuses=frozenset(JobStatus(each) for each in statuses),
            name=name,
            tag=tag,
            parent=None if parent is None else str(parent),
            owner=owner,
            metadata=metadata or {},
            search=search,
            queue=queue,
            error=error,
            submitted_after=submitted_after,
            submitted_before=submitted_before,
        )
        check_count("limit", limit)
        return await self._list(wanted, limit, None if before is None else str(before))

    async def list_page(self, wanted: JobFilter, *, limit: int = 100, before: str | ULID | None = None) -> JobPage:
        """One page of a list. Its cost is bounded whatever the filter, so it can be short and still not be the last."""
        check_count("limit", limit)
        return await (await self._engine.open()).reads.list_records(
            wanted, limit, None if before is None else str(before)
        )

    async def find_missing(self, job_ids: Iterable[str | ULID]) -> set[str]:
        """Those of these ids that belong to no job any more: it was deleted, was dropped by `Retention`, or never was.

        For what is kept elsewhere because of a job. Each 1,000 ids are one read.
        """
        reads = (await self._engine.open()).reads
        missing: set[str] = set()
        asked = iter(map(str, job_ids))
        while some := list(islice(asked, _PAGE)):
            missing |= await reads.find_missing(some)
        return missing

    async def get_all_records(self) -> list[JobRecord]:
        """Every job that is kept, the newest first."""
        return await self._list(ALL_JOBS, None, None)

    async def _list(self, wanted: JobFilter, limit: int | None, before: str | None) -> list[JobRecord]:
        store = await self._engine.open()
        records: list[JobRecord] = []
        while limit is None or len(records) < limit:
            missing = _PAGE if limit is None else min(_PAGE, limit - len(records))
            page = await store.reads.list_records(wanted, missing, before)
            records += page.records
            before = page.next_before
            if before is None:
                break
        return records

    async def count_by_status(self, wanted: JobFilter = ALL_JOBS) -> JobCounts:
        """How many jobs are kept, for each status: a dictionary whose `is_exact` says whether all were counted.

        All jobs are counted, and all of an owner or a queue. Any other filter counts the newest 10,000 jobs to which an
        index leads.
        """
        return await (await self._engine.open()).reads.count_by_status(wanted)

    async def get_activity(
        self, *, minutes: int = 60, name: str | None = None, queue: str | None = None, owner: str | None = None
    ) -> Activity:
        """How many jobs have come and ended in the last minutes, at most 120, and how long they have waited and run.

        It tells of all processes that share the jobs, minute by minute, and in all for each name and queue. Other
        processes keep their numbers every few seconds. The percentiles are at most 10 % off. It costs the same however
        many jobs there are.

        `name`, `queue` and `owner` narrow it. In a minute, at most 100 pairs of name and queue are told apart in each
        process, and at most 100 owners; those beyond are among all jobs only.
        """
        await self._engine.open()
        return await self._activity.get(minutes, name, queue, owner)

    async def suggest(self, request: SuggestionRequest) -> list[Suggestion]:
        """Values that jobs have in a field and that begin with a prefix, in order, for whoever types what to look for.

        All that the newest 10,000 jobs have are considered, and perhaps older ones. A count is exact or `None`. The
        cost does not depend on how many jobs are kept.
        """
        check_count("limit", request.limit)
        return await (await self._engine.open()).reads.suggest(request)

    async def cancel(self, job_id: str | ULID) -> bool:
        """Ask the job to stop, and wait for its end, but at most a second.

        `True`: it has stopped, or will stop when its target does. The record has `cancel_requested_at` until then, and
        is `canceled` afterwards. `False`: it had ended before, or completed or failed instead. `JobNotFound` if there
        is no job with this id.

        A job whose record cannot be read is asked to stop, and not waited for. `RecordUnreadable` if its status cannot
        be read either, or it has ended.
        """
        job_id = str(job_id)
        store = await self._engine.open()
        async with AsyncExitStack() as stack:
            try:
                reader = await stack.enter_async_context(self.watch(job_id))
            except RecordUnreadable:
                await store.submissions.request_cancel(job_id)
                self._worker.cancel(job_id)
                return True
            if (await _next_record(reader, job_id)).status.is_terminal:
                return False
            record = await store.submissions.request_cancel(job_id)
            self._counted.canceled(record)
            self._worker.cancel(job_id)
            try:
                async with asyncio.timeout(_CANCEL_WAIT_SECONDS):
                    return (await _last_record(reader, job_id)).status is JobStatus.CANCELED
            except (TimeoutError, JobNotFound):
                return True

    async def retry(self, job_id: str | ULID) -> str:
        """Submit the target and the arguments of an ended job again, and return the new job's id.

        The new job's `retry_of` is the old job. It has the same options, except for a time of start and an idempotency
        key. `JobNotFound`; `RetryUnavailable` if the job has not ended, or its call is not kept, so that only its
        submitter can submit it again. `QueueFull`, `SchedulerClosed` and `StoreUnavailable` as for `add_job`.
        """
        store = await self._engine.open_for_jobs()
        new_id = await store.submissions.resubmit(str(job_id), self._ids.next_id())
        self._wake()
        await self._activity.note_submitted(new_id)
        return new_id

    async def delete(self, job_id: str | ULID) -> None:
        """Delete the job at once. If it runs, it is asked to stop, and holds its slot until it has stopped.

        `JobNotFound` if there is no job with this id.
        """
        job_id = str(job_id)
        await (await self._engine.open()).submissions.delete(job_id)
        self._worker.cancel(job_id)
        self._lines.deleted(job_id)

    async def wait(self, job_id: str | ULID, timeout: float | None = None) -> JobRecord:
        """Wait until the job has ended, and return its last record.

        `TimeoutError` after `timeout` seconds; the job goes on. `JobNotFound` if there is no job with this id, or the
        job is deleted meanwhile.
        """
        job_id = str(job_id)
        async with asyncio.timeout(timeout), self.watch(job_id) as reader:
            return await _last_record(reader, job_id)

    async def stream(self, job_id: str | ULID) -> AsyncIterator[JobRecord]:
        """Yield the present record, then a record for each change, until the job has ended.

        No change of status is left out. If progress comes faster than it is read, only the newest is yielded.
        `JobNotFound` if there is no job with this id, or the job is deleted meanwhile.
        """
        job_id = str(job_id)
        async with self.watch(job_id) as reader:
            is_last = False
            while not is_last:
                record = await _next_record(reader, job_id)
                is_last = record.status.is_terminal
                yield record

    def watch(self, job_id: str | ULID, after_version: int | None = None, interval_seconds: float = 0.0) -> JobReader:
        """A reader of the job's events. `wait`, `stream` and the event streams are made of it.

        It is a context manager: `async with scheduler.watch(job_id) as reader`.

        It begins with the present record, or with the changes since `after_version`. Events that tell only of progress
        come at most every `interval_seconds`. `JobNotFound` on entering if there is no job with this id.
        """
        return JobReader(self._engine.open, self._hub, str(job_id), after_version, interval_seconds)

    async def get_log(self, job_id: str | ULID, *, after: int = 0, limit: int = 1_000) -> LogPage:
        """Lines that the job has printed and logged: at most `limit`, those after the line number `after`.

        Only the newest lines of a job are kept (`Retention.max_log_bytes`). `JobNotFound` if there is no such job.
        """
        check_count("limit", limit)
        return await (await self._engine.open()).reads.list_log(str(job_id), after, limit)

    async def get_log_tail(self, job_id: str | ULID, count: int) -> LogPage:
        """The newest lines of the job's log, at most `count`; else like `get_log`."""
        check_count("count", count)
        return await list_tail((await self._engine.open()).reads, str(job_id), count)

    async def stream_log(self, job_id: str | ULID, *, after: int = 0) -> AsyncIterator[LogLine]:
        """Yield the kept lines of the job's log, or those after the line number `after`; then each new line, to the
        end.

        `JobNotFound` if there is no job with this id, or the job is deleted meanwhile.
        """
        async with self.watch_log(job_id, after_line=after) as reader:
            async for line in read_lines(reader, str(job_id)):
                yield line

    @asynccontextmanager
    async def watch_log(
        self, job_id: str | ULID, *, after_version: int = 0, after_line: int = 0, interval_seconds: float = 0.0
    ) -> AsyncIterator[LogReader]:
        """Like `watch`, and with the lines of the job's log: all kept ones, or those after the number `after_line`."""
        async with watch_log(
            self._engine.open,
            self._hub,
            str(job_id),
            after_version=after_version,
            after_line=after_line,
            interval_seconds=interval_seconds,
        ) as reader:
            yield reader

    @asynccontextmanager
    async def follow(
        self,
        wanted: JobFilter = ALL_JOBS,
        after: int | None = None,
        interval_seconds: float = 0.0,
        *,
        job_ids: Collection[str] = (),
    ) -> AsyncIterator[AllJobsReader]:
        """A reader of the changes of all jobs that match the filter. Of each job it gets the newest state.

        It begins with the newest jobs as they are, or with the changes since the position `after`. With `job_ids` it
        reads these jobs only, and begins with all of them. One that does not exist comes as deleted.
        """
        store = await self._engine.open()
        async with follow_jobs(store, self._hub, wanted, after, interval_seconds, job_ids) as feed:
            yield feed

    async def list_workers(self) -> list[WorkerRecord]:
        """The processes that are alive and share these jobs, this one included, the oldest first: see `WorkerRecord`.

        One that is killed is gone from it as soon as the store knows: at once in a file, within seconds in a database.
        """
        return await (await self._engine.open()).queues.list_workers()

    async def set_max_concurrency(self, max_concurrency: int | None) -> None:
        """Change how many jobs may run at once, in all processes together; `None` is no limit. Running jobs go on.

        Only this process uses the new number when it claims jobs. Other processes that share the store keep theirs.
        """
        check_count("max_concurrency", max_concurrency)
        self._worker.set_max_concurrency(max_concurrency)

    @property
    def running_count(self) -> int:
        """How many jobs hold a slot in this process, with deleted ones that have not stopped yet."""
        return self._worker.running_count

    @property
    def is_shared(self) -> bool:
        """Whether other processes can work on the same jobs."""
        return self._engine.is_durable

    @property
    def location(self) -> str:
        """Where the jobs are kept, as a text to show: the full path of the file, the URL of the database without a
        password, or `memory://`."""
        return self._engine.location

    def run_jobs(self, max_concurrency_per_process: int | None = None) -> None:
        """Make this process run jobs, even if it was created with `run_jobs=False`. Call it before the start.

        `max_concurrency_per_process` replaces the option of this name, if it is given.
        """
        check_count("max_concurrency_per_process", max_concurrency_per_process)
        self._engine.run_jobs = True
        if max_concurrency_per_process is not None:
            self._worker.limit_process(max_concurrency_per_process)

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called: no more jobs are accepted."""
        return self._engine.is_closed

    async def start(self) -> None:
        """Start to run jobs. It is needed only to start again after `close`, or to find out at once if the store fails.

        `StoreUnavailable` if the store cannot be used.
        """
        await self._engine.start()

    def pause(self) -> None:
        """Start no more jobs, since the process was told to stop, and `close` will follow."""
        self._worker.pause()

    async def find_problem(self) -> str | None:
        """A problem that keeps jobs from being accepted or run, or `None`. The store is tried out for it."""
        return await self._engine.find_problem()

    def find_notice(self) -> str | None:
        """Something that is not as it was asked for, such as a module that cannot be preloaded, while the scheduler
        works; or `None`.
        """
        return self._engine.find_notice()

    async def close(self) -> None:
        """Stop in order: accept and start no more jobs, give running jobs `shutdown_grace` to end, then stop them.

        It returns at the latest a second after the grace time, if the store answers. Jobs that were stopped are pending
        again, and another process runs them, or this one later. A thread that does not stop is left to itself until its
        process ends. In memory, jobs are canceled instead, the pending ones at once.
        """
        await self._engine.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


class SchedulerWithOptions:
    """A scheduler for jobs with options of their own: see `Scheduler.with_options`."""

    def __init__(self, scheduler: Scheduler, changes: OptionChanges) -> None:
        changed(DEFAULT_OPTIONS, changes)  # it raises here, at the mistake, and not at the first `add_job`
        self._scheduler = scheduler
        self._changes = changes

    @overload
    async def add_job(self, target: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> str: ...

    @overload
    async def add_job(self, target: Coroutine[Any, Any, object] | Command, /) -> str: ...

    async def add_job(self, target: JobTarget, /, *args: Any, **kwargs: Any) -> str:
        """Like `Scheduler.add_job`.

        With an idempotency key, the id can be that of an earlier job with the same key. `IdempotencyConflict` if that
        job has another target or other arguments.
        """
        return await self._scheduler._submit(changed(options_of(target), self._changes), target, args, kwargs)


async def _next_record(reader: JobReader, job_id: str) -> JobRecord:
    while (event := await reader.next_event()) is None:
        pass
    if event.record is None:
        raise JobNotFound(job_id)
    return event.record


async def _last_record(reader: JobReader, job_id: str) -> JobRecord:
    while not (record := await _next_record(reader, job_id)).status.is_terminal:
        pass
    return record
