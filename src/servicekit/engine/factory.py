"""From an address to a scheduler: the one place that knows every store."""

import os
from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from typing import Final, TypedDict, Unpack

from servicekit.engine.clock import SystemClock
from servicekit.engine.parts import SchedulerParts
from servicekit.engine.scheduler import Scheduler
from servicekit.engine.urls import MEMORY_URL, read_url
from servicekit.engine.worker import DEFAULT_MAX_PROCESSES, DEFAULT_MAX_THREADS, ConcurrencyLimits
from servicekit.errors import ConfigurationError, check_count
from servicekit.events.hub import EventHub
from servicekit.jobs.options import RunnerKind
from servicekit.jobs.retention import Retention
from servicekit.ports import Clock, JobStore, Runner
from servicekit.runners.command import CommandRunner
from servicekit.runners.coroutine import CoroutineRunner
from servicekit.runners.launcher import Launcher
from servicekit.runners.process import ProcessRunner
from servicekit.runners.thread import ThreadRunner

URL_VARIABLE: Final = "SERVICEKIT_JOBS_URL"
DEFAULT_URL: Final = "sqlite:///jobs.db"


class SchedulerOptions(TypedDict, total=False):
    """What can be chosen for a scheduler, besides where its jobs are kept and how many run at once.

    - `max_concurrency_per_process`: how many jobs run at once in this process; `None` is no limit.
    - `max_threads`, `max_processes`: how many plain functions, and how many processes and commands, run in this
      process at once if there is no limit of jobs; 256 and 64 by default.
    - `queues`: how many jobs of a queue run at once, in all processes: `{"gpu": 1, "io": 20}`; `None` is no limit.
      Where queues are named here, a job in another one (but `default`) is logged as a warning, once per name.
    - `max_pending`: how many jobs may wait in each queue; more are refused with `QueueFull`. `None` is no limit.
    - `retention`: how long finished jobs are kept; by default a week, and 20,000 of them.
    - `shutdown_grace`: how long running jobs have to end when the service stops; 5 seconds by default.
    - `capture_output`: whether what coroutines and threads print and log is kept in the logs of their jobs; that of
      processes and commands always is.
    - `log_jobs`: whether the service's own log says what becomes of jobs, on the logger `servicekit.jobs`: a failed one
      is an error with its traceback, an attempt that failed and will be followed by another a warning, the rest `INFO`.
    - `preload`: modules that are imported once for all jobs with `runner="process"`, which find them imported. That
      begins at the start.
    - `run_jobs`: whether this process runs jobs, or only accepts them for others.
    - `service`: what the service is called: another one that starts with the same file is warned. The name of the
      application, where there is one.
    - `hub`, `clock`: parts to use instead of new ones.
    """

    max_concurrency_per_process: int | None
    max_threads: int
    max_processes: int
    queues: Mapping[str, int | None]
    max_pending: int | None
    retention: Retention | None
    shutdown_grace: float | timedelta
    capture_output: bool
    log_jobs: bool
    preload: Collection[str]
    run_jobs: bool
    service: str | None
    hub: EventHub | None
    clock: Clock | None


def create_scheduler(
    url: str | None = None, *, max_concurrency: int | None = None, **options: Unpack[SchedulerOptions]
) -> Scheduler:
    """A scheduler whose jobs are kept at `url`. What else there is to choose: see `SchedulerOptions`.

    `max_concurrency` is how many jobs run at once, in all processes that share the file; `None` is no limit.
    `url` is `sqlite:///jobs.db` (in the working directory), `sqlite:////srv/jobs.db` (anywhere), or `memory://`, which
    keeps nothing; by default what the environment variable `SERVICEKIT_JOBS_URL` says, or else `sqlite:///jobs.db`.

    `ConfigurationError` for what makes no sense. Whether the file can be used shows when the scheduler starts.
    """
    url = url or _read_environment() or DEFAULT_URL
    if url == MEMORY_URL and not options.get("run_jobs", True):
        sentence = "run_jobs=False needs jobs in a file: with memory://, no other process can run them."
        raise ConfigurationError("run_jobs", False, sentence=sentence)
    return Scheduler(_assemble(url, max_concurrency, options))


def _read_environment() -> str | None:
    url = os.environ.get(URL_VARIABLE)
    if url:
        read_url(URL_VARIABLE, url)  # an error names where it comes from
    return url


class InMemoryScheduler(Scheduler):
    """A scheduler that keeps everything in this process's memory, bounded by `retention`, and loses it at its end."""

    def __init__(self, max_concurrency: int | None = None, **options: Unpack[SchedulerOptions]) -> None:
        super().__init__(_assemble(MEMORY_URL, max_concurrency, options))


def check_names(options: Mapping[str, object], others: Iterable[str]) -> None:
    """`ConfigurationError` for what is no option of a scheduler; those have these `others` beside them."""
    known = sorted({*SchedulerOptions.__annotations__, *others})
    for name in options:
        if name not in SchedulerOptions.__annotations__:
            from difflib import get_close_matches  # for a mistake only

            near = get_close_matches(name, known, 1)
            guess = f"Did you mean {near[0]!r}? " if near else ""
            sentence = f"There is no option {name!r}. {guess}The options are {', '.join(known)}."
            raise ConfigurationError("options", name, sentence=sentence)


def _assemble(url: str, max_concurrency: int | None, options: SchedulerOptions) -> SchedulerParts:
    check_names(options, ("url", "max_concurrency"))
    hub, clock = options.get("hub") or EventHub(), options.get("clock") or SystemClock()
    retention, max_pending = options.get("retention"), options.get("max_pending")
    retention = Retention() if retention is None else retention
    if not isinstance(retention, Retention):
        raise ConfigurationError("retention", retention, "a Retention, such as Retention(max_count=1_000)")
    check_count("max_pending", max_pending)
    limits = ConcurrencyLimits(
        max_concurrency=max_concurrency,
        max_concurrency_per_process=options.get("max_concurrency_per_process"),
        max_threads=options.get("max_threads", DEFAULT_MAX_THREADS),
        max_processes=options.get("max_processes", DEFAULT_MAX_PROCESSES),
        queues=options.get("queues", {}),
    )
    return SchedulerParts(
        store=_create_store(url, hub, clock, retention, max_pending, options.get("service")),
        hub=hub,
        runners=_create_runners(_check_preload(options.get("preload", ()))),
        clock=clock,
        retention=retention,
        limits=limits,
        shutdown_grace=options.get("shutdown_grace", 5.0),
        run_jobs=options.get("run_jobs", True),
        capture_output=options.get("capture_output", True),
        log_jobs=options.get("log_jobs", True),
    )


def _check_preload(preload: Collection[str]) -> Collection[str]:
    names = [] if isinstance(preload, str) else [*preload]
    if isinstance(preload, str) or not all(
        isinstance(name, str) and all(part.isidentifier() for part in name.split(".")) for name in names
    ):
        raise ConfigurationError("preload", preload, 'names of modules, such as ["pandas", "myapp.models"]')
    return names


def _create_runners(preload: Collection[str]) -> dict[RunnerKind, Runner]:
    """A runner for each kind of target."""
    coroutines, launcher = CoroutineRunner(), Launcher(preload)
    # Commands need nothing that is imported, and do not wait for it.
    commands = Launcher() if preload else launcher
    return {
        RunnerKind.COROUTINE: coroutines,
        RunnerKind.THREAD: ThreadRunner(coroutines),
        RunnerKind.PROCESS: ProcessRunner(launcher),
        RunnerKind.COMMAND: CommandRunner(commands),
    }


def _create_store(
    url: str, hub: EventHub, clock: Clock, retention: Retention, max_pending: int | None, service: str | None
) -> JobStore:
    path = read_url("url", url)
    # A process needs one of them, and to import both takes as long as a tenth of FastAPI.
    if path is None:
        from servicekit.stores.memory import MemoryStore

        return MemoryStore(hub, clock, retention, max_pending=max_pending)
    from servicekit.stores.sqlite.store import SqliteStore

    return SqliteStore(path, hub, clock, retention, max_pending=max_pending, service=service)
