"""Start and stop of a scheduler: its tasks, on the event loop on which it is used."""

import asyncio
import logging
import os
from contextvars import copy_context
from importlib.util import find_spec
from typing import Final

from servicekit.engine.activity import ActivityKeeper
from servicekit.engine.parts import SchedulerParts
from servicekit.engine.schedule_runner import ScheduleRunner
from servicekit.engine.sweeper import rescue_jobs, sweep
from servicekit.engine.timekeeper import Timekeeper
from servicekit.engine.worker import Worker
from servicekit.errors import ConfigurationError, MissingExtra, SchedulerClosed, WrongEventLoop
from servicekit.jobs.backoff import Backoff, FailureLog
from servicekit.jobs.options import RunnerKind, seconds_of
from servicekit.observability import capture
from servicekit.ports import JobStore, Notice

_LONGEST_RESTART_SECONDS: Final = 60.0  # it fails by a bug, which a fast restart would not cure but log

_log = logging.getLogger("servicekit.engine")


class Engine:
    """Opens the store, and runs the worker and the other tasks, from the first call until `close`.

    The scheduler of a script or a test can outlive its event loop: on another event loop everything starts again.
    """

    def __init__(
        self,
        parts: SchedulerParts,
        worker: Worker,
        timekeeper: Timekeeper,
        schedule_runner: ScheduleRunner,
        activity: ActivityKeeper,
    ) -> None:
        self.run_jobs = parts.options.run_jobs
        """Whether this process runs jobs, or only accepts them for others. It is read when the engine starts."""
        self._failures = FailureLog(_log)  # several features can have such jobs
        self._leaves_jobs = not parts.options.run_jobs  # a worker runs jobs all the same, and is one of several
        self.mask = frozenset(parts.options.mask)
        """The names of what is secret in the arguments of all jobs."""
        self.is_closed = False
        self.is_durable = parts.store.liveness.is_durable
        self.location = parts.store.location
        self._store = parts.store
        self._runners = parts.runners
        self._cluster = parts.options.cluster
        self._retention = parts.options.retention
        self._grace_seconds = seconds_of(parts.options.shutdown_grace)
        self._captures_output = parts.options.capture_output
        self._worker = worker
        self._timekeeper = timekeeper
        self._schedule_runner = schedule_runner
        self._activity = activity
        # Jobs must not inherit the context (request id, database session) of the request that adds the first one.
        self._context = copy_context()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = os.getpid()
        self._tasks: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """Whether the engine runs now, on any event loop."""
        return self._tasks is not None and not self._tasks.done() and self._loop is not None and self._loop.is_running()

    def check_runner(self, kind: RunnerKind) -> None:
        """`ConfigurationError` if jobs are to run in the process that accepts them, and this one has no such runner.

        With `run_jobs=False` they are left to others: it is not known what those have.
        """
        if not self._leaves_jobs and kind not in self._runners:
            sentence = (
                f"runner={kind.value!r} needs a cluster, and this scheduler runs jobs without one. Name the cluster by "
                "cluster=..., or by SERVICEKIT_CLUSTER in the environment; or leave jobs to other processes by "
                "run_jobs=False."
            )
            raise ConfigurationError("runner", kind.value, sentence=sentence)

    def warn_if_left(self, kind: RunnerKind) -> None:
        """Log that a worker leaves jobs of this kind to others, if it does."""
        if self.run_jobs and kind not in self._runners:
            self._failures.warn(
                "Jobs with runner=%r are left to other processes, since this one has no cluster.", kind.value
            )

    async def open(self) -> JobStore:
        """The store, open. If the engine was closed, the store is not opened again, and answers what it still can.

        `WrongEventLoop` if the engine runs on another event loop, since a start here would take it away from there.
        """
        if not (self.is_closed or self._is_running()):
            if self._is_running_elsewhere():
                raise WrongEventLoop
            await self._start()
        return self._store

    def find_store(self) -> JobStore | None:
        """The store if it takes jobs now, without an `await`; else `None`, and `open_for_jobs` opens it, or raises."""
        return self._store if not self.is_closed and self._is_running() else None

    async def open_for_jobs(self) -> JobStore:
        """The store, open for new jobs. `SchedulerClosed` if the engine was closed."""
        if not self._is_running():
            await self.open()
        if self.is_closed:  # asked after `open`, since it can be closed while the store is opened
            raise SchedulerClosed
        return self._store

    async def start(self) -> None:
        """Start the engine, also after `close`."""
        self.is_closed = False
        await self.open()

    async def find_problem(self) -> str | None:
        """A problem that keeps jobs from being accepted or run, or `None`."""
        if self.is_closed:
            return "The scheduler is stopped."
        found = await (await self.open()).liveness.find_problem()
        problem = None if isinstance(found, Notice) else found
        return problem or self._worker.start_problems.find_problem() or found

    def find_notice(self) -> str | None:
        """Something that is not as it was asked for, while jobs are accepted and run; or `None`."""
        notices = [self._worker.attempts.find_notice(), *(runner.find_notice() for runner in self._runners.values())]
        return " ".join(filter(None, notices)) or None

    async def close(self) -> None:
        """End everything in order: see `Scheduler.close`."""
        self.is_closed = True
        tasks, self._tasks = self._tasks, None
        is_ours = tasks is not None and self._loop is asyncio.get_running_loop()
        if tasks is not None and is_ours:
            tasks.cancel()
            await asyncio.wait([tasks])
        try:
            await self._store.liveness.retire()
            if is_ours:
                await self._worker.attempts.stop(self._grace_seconds)
                await self._activity.stop()
        finally:
            await self._store.liveness.close()
            capture.uninstall(self)
            for runner in self._runners.values():
                runner.close()

    def _is_running(self) -> bool:
        return self._tasks is not None and self._loop is asyncio.get_running_loop() and not self._tasks.done()

    def _is_running_elsewhere(self) -> bool:
        """Whether the engine's event loop is another one, and still runs.

        In a forked child, the loop of the parent seems to run, but nobody runs it there.
        """
        loop = self._loop
        if self._tasks is None or loop is None or loop is asyncio.get_running_loop():
            return False
        return loop.is_running() and self._pid == os.getpid()

    async def _start(self) -> None:
        # Asked here, and not when the scheduler is made: a process that runs no jobs has a cluster, and needs no Ray.
        if self.run_jobs and self._cluster is not None and find_spec("ray") is None:
            raise MissingExtra("runner='ray'", "ray")
        self._worker.runs_jobs = self.run_jobs
        await self._store.liveness.open(self._worker)
        await self._schedule_runner.put_declared()
        # Asked again, since several callers can wait for the store at once, and `close` can be called meanwhile.
        if not (self._is_running() or self.is_closed):
            if self._captures_output:
                capture.install(self)
            if self.run_jobs:
                for runner in self._runners.values():
                    runner.open()
            self._loop = loop = asyncio.get_running_loop()
            self._pid = os.getpid()
            self._activity.begin()
            self._worker.attach(loop)
            # One task that holds the others, and a reference to it: asyncio itself has only weak ones, so that a task
            # could be collected while it waits.
            self._tasks = loop.create_task(self._run(), name="servicekit engine", context=self._context.copy())

    async def _run(self) -> None:
        backoff, failures = Backoff(longest_seconds=_LONGEST_RESTART_SECONDS), FailureLog(_log)
        while True:
            try:
                await self._run_tasks()
            except Exception as error:  # a bug must not leave jobs waiting until the process is started again
                failures.exception("The engine has failed, and is started again", error)
                await asyncio.sleep(backoff.next_seconds())

    async def _run_tasks(self) -> None:
        await self._worker.attempts.settle()
        async with asyncio.TaskGroup() as tasks:
            if self.run_jobs:
                tasks.create_task(self._worker.run(), name="servicekit worker")
            tasks.create_task(self._timekeeper.run(), name="servicekit timekeeper")
            tasks.create_task(self._schedule_runner.run(), name="servicekit schedule runner")
            tasks.create_task(self._activity.run(), name="servicekit activity keeper")
            if self.is_durable:
                tasks.create_task(rescue_jobs(self._store.liveness), name="servicekit rescuer")
            tasks.create_task(
                sweep(self._store.liveness, self._retention, self._worker.attempts), name="servicekit sweeper"
            )
