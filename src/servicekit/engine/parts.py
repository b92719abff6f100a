"""What a scheduler is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from servicekit.engine.worker import ConcurrencyLimits
from servicekit.events.hub import EventHub
from servicekit.jobs.options import RunnerKind
from servicekit.jobs.retention import Retention
from servicekit.ports import Clock, JobStore, Runner


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerParts:
    """What a scheduler is made of: chosen by `create_scheduler`, or by who wants parts of their own."""

    store: JobStore
    hub: EventHub
    runners: Mapping[RunnerKind, Runner]
    clock: Clock
    retention: Retention
    limits: ConcurrencyLimits = field(default_factory=ConcurrencyLimits)
    shutdown_grace: float | timedelta = 5.0
    run_jobs: bool = True
    capture_output: bool = True
    log_jobs: bool = True
