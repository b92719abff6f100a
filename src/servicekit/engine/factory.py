"""From an address to a scheduler: the one place that knows every store."""

import os
from pathlib import Path
from typing import Final, Unpack

from servicekit.engine.clock import SystemClock
from servicekit.engine.options import SchedulerOptionChanges, SchedulerOptions
from servicekit.engine.parts import SchedulerParts
from servicekit.engine.scheduler import Scheduler
from servicekit.engine.urls import MEMORY_URL, StoreKind, read_url
from servicekit.errors import ConfigurationError
from servicekit.events.hub import EventHub
from servicekit.jobs.cluster import CLUSTER_VARIABLE, RayCluster, make_cluster
from servicekit.jobs.database_url import URL_VARIABLE, database_url_of
from servicekit.jobs.options import RunnerKind
from servicekit.ports import Clock, JobStore, MovedClock, Runner
from servicekit.runners.command import CommandRunner
from servicekit.runners.coroutine import CoroutineRunner
from servicekit.runners.launcher import Launcher
from servicekit.runners.process import ProcessRunner
from servicekit.runners.thread import ThreadRunner

DEFAULT_URL: Final = "sqlite:///jobs.db"


def create_scheduler(
    url: str | None = None, *, max_concurrency: int | None = None, **options: Unpack[SchedulerOptionChanges]
) -> Scheduler:
    """A scheduler whose jobs are kept at `url`. What else there is to choose: see `SchedulerOptions`.

    `max_concurrency` is how many jobs run at once, in all processes that share the jobs; `None` is no limit.
    `url` is a file, `sqlite:///jobs.db` (in the working directory) or `sqlite:////srv/jobs.db` (anywhere), for all
    processes of one machine; a PostgreSQL database, `postgresql://ada@db.example/jobs`, for those of many machines; or
    `memory://`, which keeps nothing. By default it is what the environment variable `SERVICEKIT_JOBS_URL` says, or
    else `sqlite:///jobs.db`. The `cluster` is by default what `SERVICEKIT_CLUSTER` says.

    `ConfigurationError` for what makes no sense; `MissingExtra` for PostgreSQL without the extra `postgres`. Whether
    the file or the database can be used shows when the scheduler starts.
    """
    url = url or _read_environment() or DEFAULT_URL
    if url == MEMORY_URL and not options.get("run_jobs", True):
        sentence = "run_jobs=False needs jobs in a file or a database: with memory://, no other process can run them."
        raise ConfigurationError("run_jobs", False, sentence=sentence)
    if options.get("cluster") is None and (address := os.environ.get(CLUSTER_VARIABLE)):
        options["cluster"] = make_cluster(CLUSTER_VARIABLE, address)
    return Scheduler(make_parts(url, SchedulerOptions(max_concurrency=max_concurrency).changed(options)))


def _read_environment() -> str | None:
    url = os.environ.get(URL_VARIABLE)
    if url:
        read_url(URL_VARIABLE, url)  # an error names where it comes from
    return url


class InMemoryScheduler(Scheduler):
    """A scheduler that keeps everything in this process's memory, bounded by `retention`, and loses it at its end."""

    def __init__(self, max_concurrency: int | None = None, **options: Unpack[SchedulerOptionChanges]) -> None:
        chosen = SchedulerOptions(max_concurrency=max_concurrency).changed(options)
        super().__init__(make_parts(MEMORY_URL, chosen))


def make_parts(url: str, options: SchedulerOptions) -> SchedulerParts:
    """What a scheduler with these options is made of; its jobs are kept at `url`."""
    hub, clock = options.hub or EventHub(), options.clock or SystemClock()
    return SchedulerParts(
        store=_create_store(url, hub, clock, options),
        hub=hub,
        runners=_create_runners(options),
        clock=clock,
        options=options,
        database_url=database_url_of(url),
    )


def _create_runners(options: SchedulerOptions) -> dict[RunnerKind, Runner]:
    """A runner for each kind of target; for those of a cluster only if there is one."""
    coroutines, launcher = CoroutineRunner(), Launcher(options.preload)
    runners: dict[RunnerKind, Runner] = {
        RunnerKind.COROUTINE: coroutines,
        RunnerKind.THREAD: ThreadRunner(coroutines),
        RunnerKind.PROCESS: ProcessRunner(launcher),
        RunnerKind.COMMAND: CommandRunner(launcher),
    }
    if options.cluster is not None:
        runners[RunnerKind.RAY] = _create_cluster_runner(options.cluster)
    return runners


def _create_cluster_runner(cluster: RayCluster) -> Runner:
    from servicekit.runners.cluster.launcher import ClusterLauncher  # few services have a cluster

    return ProcessRunner(ClusterLauncher(cluster))


def _create_store(url: str, hub: EventHub, clock: Clock, options: SchedulerOptions) -> JobStore:
    place = read_url("url", url)
    return _CREATORS[place.kind](place.where, hub, clock, options)


# A process needs one of the stores, and to import them takes as long as a tenth of FastAPI, and for PostgreSQL a half.
def _create_memory_store(_: str, hub: EventHub, clock: Clock, options: SchedulerOptions) -> JobStore:
    from servicekit.stores.memory import MemoryStore

    return MemoryStore(hub, clock, options.retention, max_pending=options.max_pending)


def _create_sqlite_store(path: str, hub: EventHub, clock: Clock, options: SchedulerOptions) -> JobStore:
    from servicekit.stores.sqlite.store import SqliteStore

    return SqliteStore(
        Path(path), hub, clock, options.retention, max_pending=options.max_pending, service=options.service
    )


def _create_postgres_store(url: str, hub: EventHub, clock: Clock, options: SchedulerOptions) -> JobStore:
    from servicekit.stores.postgres.address import read_address
    from servicekit.stores.postgres.server_time import ClockTime
    from servicekit.stores.postgres.store import PostgresStore

    return PostgresStore(
        read_address("url", url), hub, clock, options.retention, max_pending=options.max_pending,
        service=options.service, time=ClockTime(clock) if isinstance(clock, MovedClock) else None,
    )  # fmt: skip


_CREATORS: Final = {
    StoreKind.MEMORY: _create_memory_store,
    StoreKind.FILE: _create_sqlite_store,
    StoreKind.POSTGRES: _create_postgres_store,
}
