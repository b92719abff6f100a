"""What a scheduler is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from servicekit.engine.options import SchedulerOptions
from servicekit.events.hub import EventHub
from servicekit.jobs.options import RunnerKind
from servicekit.ports import Clock, JobStore, Runner


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerParts:
    """What a scheduler is made of: chosen by `create_scheduler`, or by who wants parts of their own."""

    store: JobStore
    hub: EventHub
    runners: Mapping[RunnerKind, Runner]
    clock: Clock
    options: SchedulerOptions = field(default_factory=SchedulerOptions)
