"""The options of a scheduler."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from typing import Any, TypedDict

from servicekit.engine.result_hooks import ResultHook, check_hooks
from servicekit.errors import ConfigurationError, check_count, check_seconds
from servicekit.events.hub import EventHub
from servicekit.jobs.cluster import RayCluster, make_cluster
from servicekit.jobs.masks import check_mask
from servicekit.jobs.options import check_queue, unknown_option
from servicekit.jobs.retention import Retention
from servicekit.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerOptions:
    """The options of a scheduler, besides the place of its jobs. They are the keywords of `create_scheduler`.

    - `max_concurrency`: how many jobs run at once, in all processes that share the jobs; `None` is no limit.
    - `max_concurrency_per_process`: how many jobs run at once in this process; `None` is no limit.
    - `max_threads`, `max_processes`: how many plain functions, and how many processes and commands, run in this
      process at once if there is no limit of jobs; 256 and 64 by default. Jobs on a cluster are not among them.
    - `queues`: how many jobs of a queue run at once, in all processes: `{"gpu": 1, "io": 20}`; `None` is no limit. If
      queues are named here, a job in another queue, except `default`, is logged as a warning, once per name.
    - `max_pending`: how many jobs may wait in each queue; more are refused with `QueueFull`. `None` is no limit.
    - `retention`: how long, and how many, ended jobs are kept; by default a week, and 20,000 of them.
    - `shutdown_grace`: how long running jobs have to end when the service stops; 5 seconds by default.
    - `capture_output`: whether the logs of jobs have what coroutines and threads print and log. They always have the
      output of processes and commands.
    - `log_jobs`: whether the life of jobs is logged, on the logger `servicekit.jobs`: a failed job as `ERROR` with its
      traceback, an attempt that failed and will be followed by another one as `WARNING`, the rest as `INFO`.
    - `mask`: the names of parameters whose values are secret in all jobs: `["password", "token"]`. They count for
      fields and keys of the same name at any depth of the arguments too: see `JobOptions.mask`.
    - `preload`: modules that are imported once for all jobs with `runner="process"`, when the scheduler starts.
    - `result_hooks`: what sees the results of jobs before they are written, and may replace them: see `ResultHook`.
    - `run_jobs`: whether this process runs jobs, or only accepts them for others.
    - `cluster`: the cluster for jobs with `runner="ray"`: its address, such as `ray://head:10001`, or a `RayCluster`.
    - `service`: the name of the service. Another service that starts with the same jobs is warned. In a web service it
      is the name of the application.
    - `hub`, `clock`: parts to use instead of new ones.

    `ConfigurationError` for a value that makes no sense.
    """

    max_concurrency: int | None = None
    max_concurrency_per_process: int | None = None
    max_threads: int = 256
    max_processes: int = 64
    queues: Mapping[str, int | None] = field(default_factory=dict)
    max_pending: int | None = None
    retention: Retention = field(default_factory=Retention)
    shutdown_grace: float | timedelta = 5.0
    capture_output: bool = True
    log_jobs: bool = True
    mask: Collection[str] = ()
    preload: Collection[str] = ()
    result_hooks: Sequence[ResultHook] = ()
    run_jobs: bool = True
    cluster: RayCluster | None = None
    service: str | None = None
    hub: EventHub | None = None
    clock: Clock | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.retention, Retention):
            raise ConfigurationError("retention", self.retention, "a Retention, such as Retention(max_count=1_000)")
        for option in ("max_pending", "max_concurrency", "max_concurrency_per_process"):
            check_count(option, getattr(self, option))
        for option in ("max_threads", "max_processes"):
            value = getattr(self, option)
            if type(value) is not int or value < 1:
                raise ConfigurationError(option, value, "a whole number of at least 1")
        _check_queues(self.queues)
        check_hooks("result_hooks", self.result_hooks)
        if self.cluster is not None:
            object.__setattr__(self, "cluster", make_cluster("cluster", self.cluster))
        _check_parts(self)
        object.__setattr__(self, "mask", check_mask("mask", self.mask))
        object.__setattr__(self, "preload", check_preload(self.preload))
        object.__setattr__(self, "shutdown_grace", check_seconds("shutdown_grace", self.shutdown_grace))

    def changed(self, changes: "SchedulerOptionChanges") -> "SchedulerOptions":
        """These options with some changes; `None` for `retention` changes nothing.

        `ConfigurationError` for what is no option, which names those that there are.
        """
        check_names(changes)
        values: dict[str, Any] = {**changes}
        if values.get("retention", ...) is None:
            del values["retention"]
        return replace(self, **values)


class SchedulerOptionChanges(TypedDict, total=False):
    """Some of the fields of `SchedulerOptions`, as keywords: a type checker takes them from here alone.

    `max_concurrency` is not among them, since it is a parameter wherever these are.
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
    mask: Collection[str]
    preload: Collection[str]
    result_hooks: Sequence[ResultHook]
    run_jobs: bool
    cluster: RayCluster | str | None
    service: str | None
    hub: EventHub | None
    clock: Clock | None


def check_names(options: Mapping[str, object], others: Iterable[str] = ("url",)) -> None:
    """`ConfigurationError` for a name that is no option of a scheduler. Its sentence also names these `others`."""
    names = {each.name for each in fields(SchedulerOptions)}
    for name in options:
        if name not in names:
            raise unknown_option(name, {*names, *others})


def _check_queues(queues: object) -> None:
    if not isinstance(queues, Mapping):
        raise ConfigurationError("queues", queues, 'numbers by the names of queues, such as {"gpu": 1}')
    for name, limit in queues.items():
        check_queue("queues", name)
        check_count(f"queues[{name!r}]", limit)


def _check_parts(options: SchedulerOptions) -> None:
    if not isinstance(options.hub, EventHub | None):
        raise ConfigurationError("hub", options.hub, "an EventHub, or None for a new one")
    if options.clock is not None and not all(hasattr(options.clock, name) for name in ("now", "monotonic", "sleep")):
        raise ConfigurationError("clock", options.clock, "an object with the methods of Clock, or None")


def check_preload(preload: object) -> Collection[str]:
    """The names. A list is given back itself: the features of a service add to it until the service starts.

    `ConfigurationError` if they are no names of modules.
    """
    if isinstance(preload, Collection) and not isinstance(preload, str):
        names = preload if isinstance(preload, list) else (*preload,)
        if all(isinstance(name, str) and all(part.isidentifier() for part in name.split(".")) for name in names):
            return names
    raise ConfigurationError("preload", preload, 'names of modules, such as ["pandas", "myapp.models"]')
