"""The jobs feature: a scheduler in the application, and the routes to look at its jobs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from fastapi import FastAPI

from servicekit.api.errors import add_error_handlers
from servicekit.api.job_routes import add_job_routes
from servicekit.api.state import service_state
from servicekit.api.submit import document_submissions
from servicekit.engine.factory import create_scheduler
from servicekit.engine.scheduler import DEFAULT_MAX_THREADS
from servicekit.jobs.retention import Retention


class Jobs:
    """Jobs for an application: `install(app, Jobs(max_concurrency=5))`, or the builder's `with_jobs`.

    - `max_concurrency`: how many jobs run at once, in all processes that share the file; `None` is no limit.
    - `max_concurrency_per_process`: how many of them in this process.
    - `url`: where jobs are kept: `sqlite:///jobs.db`, `sqlite:////srv/jobs.db`, or `memory://`, which keeps nothing. By
      default what the environment's `SERVICEKIT_JOBS_URL` says, or else the file `jobs.db` in the working directory.
    - `run_jobs`: whether this process runs jobs, or only accepts them for others (`servicekit worker`).
    - `max_threads`: without a limit, how many of them may be plain functions, which take a thread each.
    - `retention`: how long finished jobs are kept.
    - `shutdown_grace`: how long running jobs may go on when the service is told to stop, in seconds or a timedelta.
    - `expose_tracebacks`: whether responses contain `error_traceback`. Turn it off for a public service.
    - `prefix`: where the routes are.
    """

    def __init__(
        self,
        *,
        max_concurrency: int | None = None,
        url: str | None = None,
        max_concurrency_per_process: int | None = None,
        run_jobs: bool = True,
        max_threads: int = DEFAULT_MAX_THREADS,
        retention: Retention | None = None,
        shutdown_grace: float | timedelta = 5.0,
        expose_tracebacks: bool = True,
        prefix: str = "/api/v1/jobs",
    ) -> None:
        self._max_concurrency = max_concurrency
        self._url = url
        self._max_concurrency_per_process = max_concurrency_per_process
        self._run_jobs = run_jobs
        self._max_threads = max_threads
        self._retention = retention
        self._shutdown_grace = shutdown_grace
        self._expose_tracebacks = expose_tracebacks
        self._prefix = prefix

    def install(self, app: FastAPI) -> None:
        state = service_state(app)
        state.scheduler = create_scheduler(
            self._url,
            max_concurrency=self._max_concurrency,
            max_concurrency_per_process=self._max_concurrency_per_process,
            run_jobs=self._run_jobs,
            max_threads=self._max_threads,
            retention=self._retention,
            shutdown_grace=self._shutdown_grace,
            hub=state.hub,
        )
        state.jobs_prefix = self._prefix
        state.expose_tracebacks = self._expose_tracebacks
        state.health_checks["jobs"] = state.check_jobs
        add_error_handlers(app)
        add_job_routes(app, self._prefix)
        document_submissions(app)

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        state = service_state(app)
        scheduler = state.require_scheduler()
        state.streams.start(on_stop=scheduler.pause)
        try:
            async with scheduler:
                try:
                    yield
                finally:
                    state.streams.stop()  # before the running jobs have their grace time, which no stream need see
        finally:
            state.streams.end()  # until here a second signal is listened for
