"""The scheduler: what users hold."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from contextvars import copy_context
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from ulid import ULID

from servicekit.engine.clock import SystemClock
from servicekit.engine.sweeper import sweep
from servicekit.engine.watch import JobWatch, watch_job
from servicekit.engine.worker import Worker
from servicekit.errors import JobNotFound, SchedulerClosed, check_count, check_seconds
from servicekit.events.hub import EventHub
from servicekit.jobs.ids import JobIds
from servicekit.jobs.record import JobRecord
from servicekit.jobs.retention import Retention
from servicekit.jobs.status import JobStatus
from servicekit.jobs.submission import JobTarget, RunnerKind, Submission, check_target, name_of
from servicekit.ports import Clock, JobStore, Runner
from servicekit.runners.coroutine import CoroutineRunner
from servicekit.runners.thread import ThreadRunner
from servicekit.stores.memory import MemoryStore

DEFAULT_MAX_THREADS = 256
_CANCEL_WAIT_SECONDS = 1.0
_YIELD_EVERY = 200


class Scheduler:
    """Accepts jobs, runs them, and tells what became of them.

    Needs no start-up call: it starts with the first job, on the event loop where that is added. `async with` it, or
    `close` it, to end it in order. Its methods belong to that event loop. Job ids are ULIDs as text; `ULID` objects
    are taken as well.
    """

    def __init__(
        self,
        store: JobStore,
        hub: EventHub,
        runners: Mapping[RunnerKind, Runner],
        *,
        retention: Retention,
        max_concurrency: int | None = None,
        max_threads: int = DEFAULT_MAX_THREADS,
        shutdown_grace: float | timedelta = 5.0,
    ) -> None:
        self._store = store
        self._hub = hub
        self._retention = retention
        check_count("max_concurrency", max_concurrency)
        check_count("max_threads", max_threads)
        self._worker = Worker(store, runners, max_concurrency, max_threads)
        self._shutdown_grace_seconds = check_seconds("shutdown_grace", shutdown_grace)
        self._ids = JobIds()
        self._added = 0
        # Jobs do not inherit the context (request id, database session) of whoever happens to add the first one.
        self._context = copy_context()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._engine: asyncio.Task[None] | None = None
        self._is_closed = False

    async def add_job(self, target: JobTarget, /, *args: object, **kwargs: object) -> str:
        """Accept a job and return its id; it starts when a slot is free, in order of submission.

        The target is an `async def` function, a plain function (which gets a thread of its own), or a coroutine
        object. All further arguments are the target's. `InvalidTarget` if it cannot be run; `SchedulerClosed` if the
        service is stopping.
        """
        runner = check_target(target, args, kwargs)
        if self._is_closed:
            raise SchedulerClosed
        submission = Submission(self._ids.next_id(), name_of(target), target, args, kwargs, runner)
        await self._store.insert(submission)
        self._ensure_running()
        self._worker.wake()
        self._added += 1
        if self._added % _YIELD_EVERY == 0:
            await asyncio.sleep(0)  # whoever adds a million jobs in a loop lets others have a turn
        return submission.id

    async def get_record(self, job_id: str | ULID) -> JobRecord:
        """What is known about the job now; `JobNotFound` if there is none with this id."""
        return await self._store.get_record(str(job_id))

    async def get_status(self, job_id: str | ULID) -> JobStatus:
        """`JobNotFound` if there is no job with this id."""
        return (await self.get_record(job_id)).status

    async def get_result(self, job_id: str | ULID) -> Any:
        """What the target of a completed job returned.

        `JobNotFinished`, `JobFailed` (failed or canceled) or `ResultDropped` (no longer kept) if there is none: all
        three are `ResultUnavailable`, and a `RuntimeError`. `JobNotFound` if there is no job with this id.
        """
        return await self._store.get_result(str(job_id))

    async def list_records(
        self, *, status: JobStatus | None = None, limit: int = 100, before: str | ULID | None = None
    ) -> list[JobRecord]:
        """The newest jobs first, at most `limit`; `before` an id for the next page. The cost is that of the page."""
        check_count("limit", limit)
        return await self._store.list_records(status, limit, None if before is None else str(before))

    async def get_all_records(self) -> list[JobRecord]:
        """Every job that is kept, the newest first."""
        return await self._store.list_records(None, None, None)

    async def count_by_status(self) -> dict[JobStatus, int]:
        """How many jobs are kept, for each status."""
        return await self._store.count_by_status()

    async def cancel(self, job_id: str | ULID) -> bool:
        """Ask the job to stop, and wait for its end, though never more than a second.

        `True`: it has stopped, or will when its target listens: the record says `canceled` as soon as the work has
        ended, and `cancel_requested_at` until then. `False`: it had ended already, or ended otherwise meanwhile.
        `JobNotFound` if there is no job with this id.
        """
        job_id = str(job_id)
        if (await self.get_record(job_id)).status.is_terminal:
            return False
        async with self.watch(job_id) as watch:
            await self._store.request_cancel(job_id)
            self._worker.cancel(job_id)
            try:
                async with asyncio.timeout(_CANCEL_WAIT_SECONDS):
                    return (await _last_record(watch, job_id)).status is JobStatus.CANCELED
            except (TimeoutError, JobNotFound):
                return True

    async def delete(self, job_id: str | ULID) -> None:
        """Forget the job at once. If it runs it is asked to stop, and holds its slot until it has.

        `JobNotFound` if there is no job with this id.
        """
        job_id = str(job_id)
        await self._store.delete(job_id)
        self._worker.cancel(job_id)

    async def wait(self, job_id: str | ULID, timeout: float | None = None) -> JobRecord:
        """Wait until the job has ended, and return its last record.

        `TimeoutError` after `timeout` seconds; the job goes on. `JobNotFound` if there is no job with this id, or it
        is deleted meanwhile.
        """
        job_id = str(job_id)
        async with asyncio.timeout(timeout), self.watch(job_id) as watch:
            return await _last_record(watch, job_id)

    async def stream(self, job_id: str | ULID) -> AsyncIterator[JobRecord]:
        """Yield the present record, then one for each change, and end after the job has.

        No change of status is left out. Of progress that is made faster than it is read, the newest is given.
        `JobNotFound` if there is no job with this id, or it is deleted meanwhile.
        """
        job_id = str(job_id)
        async with self.watch(job_id) as watch:
            is_last = False
            while not is_last:
                record = await _next_record(watch, job_id)
                is_last = record.status.is_terminal
                yield record

    def watch(
        self, job_id: str | ULID, after_version: int | None = None, interval_seconds: float = 0.0
    ) -> AbstractAsyncContextManager[JobWatch]:
        """A reader's view of the job, event by event: what `wait`, `stream` and the event streams are made of.

        It begins with the present record, or with what has changed since `after_version`; progress comes no faster
        than every `interval_seconds`. `JobNotFound` if there is no job with this id.
        """
        if not self._is_closed:
            self._ensure_running()
        return watch_job(self._store, self._hub, str(job_id), after_version, interval_seconds)

    async def set_max_concurrency(self, max_concurrency: int | None) -> None:
        """Change how many jobs may run at once; `None` is no limit. What runs already goes on."""
        check_count("max_concurrency", max_concurrency)
        self._worker.set_max_concurrency(max_concurrency)

    @property
    def running_count(self) -> int:
        """How many jobs hold a slot here, also those that were deleted and have not stopped yet."""
        return self._worker.running_count

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called: no more jobs are accepted."""
        return self._is_closed

    async def start(self) -> None:
        """Begin to run jobs. Needed only to start again after `close`."""
        self._is_closed = False
        self._ensure_running()

    async def close(self) -> None:
        """Stop in order: accept and start no more jobs, give running ones `shutdown_grace` to end, cancel the rest.

        Returns at the latest a second after the grace time. A thread that does not listen is left to itself. Pending
        jobs of a scheduler that keeps nothing are canceled.
        """
        self._is_closed = True
        await self._store.close()
        engine, self._engine = self._engine, None
        if engine is not None and self._loop is asyncio.get_running_loop():
            engine.cancel()
            await asyncio.wait([engine])
            await self._worker.stop(self._shutdown_grace_seconds)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def _ensure_running(self) -> None:
        """Run the engine on this event loop: a scheduler made for a script or a test may outlive its loop."""
        loop = asyncio.get_running_loop()
        if self._engine is None or self._loop is not loop or self._engine.done():
            self._loop = loop
            # One task that holds the others: asyncio itself would let go of a worker that nothing refers to.
            self._engine = loop.create_task(self._run(), name="servicekit engine", context=self._context.copy())

    async def _run(self) -> None:
        await self._worker.settle()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._worker.run(), name="servicekit worker")
            tasks.create_task(sweep(self._store, self._retention, self._worker), name="servicekit sweeper")


class InMemoryScheduler(Scheduler):
    """A scheduler that keeps everything in this process's memory, bounded by `retention`, and loses it at its end."""

    def __init__(
        self,
        max_concurrency: int | None = None,
        *,
        max_threads: int = DEFAULT_MAX_THREADS,
        retention: Retention | None = None,
        shutdown_grace: float | timedelta = 5.0,
        hub: EventHub | None = None,
        clock: Clock | None = None,
    ) -> None:
        retention = retention or Retention()
        hub = hub or EventHub()
        coroutines = CoroutineRunner()
        super().__init__(
            MemoryStore(hub, clock or SystemClock(), retention),
            hub,
            {RunnerKind.COROUTINE: coroutines, RunnerKind.THREAD: ThreadRunner(coroutines)},
            retention=retention,
            max_concurrency=max_concurrency,
            max_threads=max_threads,
            shutdown_grace=shutdown_grace,
        )


async def _next_record(watch: JobWatch, job_id: str) -> JobRecord:
    while (event := await watch.next_event()) is None:
        pass
    if event.record is None:
        raise JobNotFound(job_id)
    return event.record


async def _last_record(watch: JobWatch, job_id: str) -> JobRecord:
    while not (record := await _next_record(watch, job_id)).status.is_terminal:
        pass
    return record
