"""The parts of a scheduler."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from servicekit.engine.options import SchedulerOptions
from servicekit.events.hub import EventHub
from servicekit.jobs.options import RunnerKind
from servicekit.ports import Clock, JobStore, Runner


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerParts:
    """The parts of a scheduler. `create_scheduler` chooses them; a test or an application can give parts of its own."""

    store: JobStore
    hub: EventHub
    runners: Mapping[RunnerKind, Runner]
    clock: Clock
    options: SchedulerOptions = field(default_factory=SchedulerOptions)
    database_url: str | None = field(default=None, repr=False)
    """The URL of the database server with the jobs, which may have a password; `None` if they are in none."""
    longest_wait_seconds: float | None = None
    """After how long whatever acts by the clock looks at the store at the latest, by the clock.

    `None`: as often as the store needs it. `math.inf`: only when something is due or has changed, which suits a clock
    that nobody sets and a store in which no other process works.
    """
