"""From an address to a scheduler: the one place that knows every store."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Final

from servicekit.engine.clock import SystemClock
from servicekit.engine.scheduler import DEFAULT_MAX_THREADS, Scheduler
from servicekit.errors import ConfigurationError
from servicekit.events.hub import EventHub
from servicekit.jobs.retention import Retention
from servicekit.jobs.submission import RunnerKind
from servicekit.ports import Clock, JobStore, Runner
from servicekit.runners.coroutine import CoroutineRunner
from servicekit.runners.thread import ThreadRunner
from servicekit.stores.memory import MemoryStore
from servicekit.stores.sqlite.store import SqliteStore

URL_VARIABLE: Final = "SERVICEKIT_JOBS_URL"
DEFAULT_URL: Final = "sqlite:///jobs.db"
_SQLITE: Final = "sqlite:///"
_MEMORY: Final = "memory://"


def create_scheduler(
    url: str | None = None,
    *,
    max_concurrency: int | None = None,
    max_concurrency_per_process: int | None = None,
    max_threads: int = DEFAULT_MAX_THREADS,
    retention: Retention | None = None,
    shutdown_grace: float | timedelta = 5.0,
    run_jobs: bool = True,
    hub: EventHub | None = None,
    clock: Clock | None = None,
) -> Scheduler:
    """A scheduler whose jobs are kept at `url`.

    - `url`: `sqlite:///jobs.db` (in the working directory), `sqlite:////srv/jobs.db` (anywhere), or `memory://`, which
      keeps nothing; by default what the environment variable `SERVICEKIT_JOBS_URL` says, or else `sqlite:///jobs.db`.
    - `max_concurrency`: how many jobs run at once in all processes that share the file; `None` is no limit.
    - `max_concurrency_per_process`: how many of them in this process.
    - `retention`: how long finished jobs are kept; by default a week, and 20,000 of them.
    - `run_jobs`: whether this process runs jobs, or only accepts them for others.

    `ConfigurationError` for what makes no sense. Whether the file can be used shows when the scheduler starts.
    """
    url = url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
    if url == _MEMORY and not run_jobs:
        raise ConfigurationError("run_jobs", run_jobs, "True with memory://, where no other process can run them")
    hub, retention = hub or EventHub(), retention or Retention()
    return Scheduler(
        _create_store(url, hub, clock or SystemClock(), retention),
        hub,
        _create_runners(),
        retention=retention,
        max_concurrency=max_concurrency,
        max_concurrency_per_process=max_concurrency_per_process,
        max_threads=max_threads,
        shutdown_grace=shutdown_grace,
        run_jobs=run_jobs,
    )


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
        super().__init__(
            MemoryStore(hub, clock or SystemClock(), retention),
            hub,
            _create_runners(),
            retention=retention,
            max_concurrency=max_concurrency,
            max_threads=max_threads,
            shutdown_grace=shutdown_grace,
        )


def _create_runners() -> dict[RunnerKind, Runner]:
    """A runner for each kind of target."""
    coroutines = CoroutineRunner()
    return {RunnerKind.COROUTINE: coroutines, RunnerKind.THREAD: ThreadRunner(coroutines)}


def _create_store(url: str, hub: EventHub, clock: Clock, retention: Retention) -> JobStore:
    if url == _MEMORY:
        return MemoryStore(hub, clock, retention)
    path = url.removeprefix(_SQLITE)
    if path == url or not path or path.endswith("/") or "?" in path or "\0" in path:
        raise ConfigurationError("url", url, f"{_SQLITE}<file> or {_MEMORY}")
    return SqliteStore(Path(path), hub, clock, retention)
