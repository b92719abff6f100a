"""The schedule feature: a recurring job that is declared with the service."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, ParamSpec, Self, Unpack

from fastapi import FastAPI

from servicekit.api.features import Passive
from servicekit.api.state import service_state
from servicekit.engine.schedules import Schedules
from servicekit.errors import ConfigurationError
from servicekit.jobs.command import Command
from servicekit.jobs.options import OptionChanges
from servicekit.jobs.timetable import Timetable

P = ParamSpec("P")


class Recurring(Passive):
    """A job that is submitted at every tick of a timetable while the service runs.

    `Recurring("nightly", Cron("0 3 * * *"), clean_up, days=7)` calls `scheduler.schedules.add` with the same arguments
    at the service's start; see there for the rules of schedules. `with_options` gives its jobs options.
    """

    def __init__(
        self,
        name: str,
        timetable: Timetable,
        target: Callable[P, object] | Command,
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        self.name = name
        self._timetable = timetable
        self._target: Any = target
        self._args = args
        self._kwargs = kwargs
        self._options: OptionChanges = {}

    def with_options(self, **options: Unpack[OptionChanges]) -> Self:
        """Give its jobs these options, which replace those of the target: see `JobOptions`."""
        self._options = {**self._options, **options}
        return self

    def install(self, app: FastAPI) -> None:
        declared = service_state(app).declared_schedules
        if any(other.name == self.name for other in declared):
            raise ConfigurationError("name", self.name, "the name of one schedule")
        declared.append(self)

    def lifespan(self, app: FastAPI) -> AbstractAsyncContextManager[None]:
        service_state(app).require_scheduler()  # an error here, since the schedule would else be ignored in silence
        return super().lifespan(app)

    def check(self, schedules: Schedules) -> None:
        """Raise what `schedules.add` would raise, and add nothing."""
        schedules.with_options(**self._options).check(
            self.name, self._timetable, self._target, self._args, self._kwargs
        )

    def declare(self, schedules: Schedules) -> None:
        """Add the schedule when the scheduler starts. Raises what `schedules.add` does."""
        schedules.with_options(**self._options).declare(
            self.name, self._timetable, self._target, *self._args, **self._kwargs
        )
