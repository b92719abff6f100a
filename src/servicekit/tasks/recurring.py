"""Tasks that are executed again and again."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Self, Unpack

from fastapi import FastAPI

from servicekit.api.state import Application, service_state
from servicekit.engine.schedules import Schedules
from servicekit.errors import ConfigurationError
from servicekit.jobs.options import OptionChanges
from servicekit.jobs.timetable import Timetable
from servicekit.tasks.calls import TaskCall
from servicekit.tasks.definitions import Task
from servicekit.tasks.installed import catalog_of


class RecurringTask:
    """A task that is executed at every tick of a timetable while the service runs: see `Tasks.recurring`.

    It submits its jobs also while the task is disabled for clients: pause the schedule instead.
    """

    def __init__(self, name: str, timetable: Timetable, task: Task, values: Mapping[str, object]) -> None:
        self.name = name
        self._timetable = timetable
        self._task = task
        self._values = values
        self._options: OptionChanges = {}
        task.call(values, "")  # an error at the mistake, and not when the service starts

    @property
    def needs_artifacts(self) -> bool:
        """Whether its jobs save artifacts."""
        return self._task.needs_artifacts

    def with_options(self, **options: Unpack[OptionChanges]) -> Self:
        """Give its jobs these options, which replace those of the task: see `JobOptions`."""
        self._options = {**self._options, **options}
        return self

    def install(self, app: FastAPI) -> None:
        declared = service_state(app).declared_schedules
        if any(other.name == self.name for other in declared):
            raise ConfigurationError("name", self.name, "the name of one schedule")
        declared.append(_Declared(self, app))

    def lifespan(self, app: FastAPI) -> AbstractAsyncContextManager[None]:
        service_state(app).require_scheduler()
        return nullcontext()

    def check(self, schedules: Schedules) -> None:
        """Raise what `schedules.add` would raise, and add nothing."""
        call = self._call("")
        schedules.with_options(**call.options).check(self.name, self._timetable, call.target, call.args, call.kwargs)

    def declare(self, schedules: Schedules, artifacts: str) -> None:
        """Add the schedule when the scheduler starts."""
        call = self._call(artifacts)
        add = schedules.with_options(**call.options).declare
        add(self.name, self._timetable, call.target, *call.args, **call.kwargs)  # type: ignore[arg-type] # a function

    def _call(self, artifacts: str) -> TaskCall:
        call = self._task.call(self._values, artifacts)
        return call._replace(options={**call.options, **self._options})


@dataclass(frozen=True)
class _Declared:
    """The schedule of one application, which knows where its artifacts are when it starts."""

    recurring: RecurringTask
    app: Application

    @property
    def name(self) -> str:
        return self.recurring.name

    def check(self, schedules: Schedules) -> None:
        self.recurring.check(schedules)

    def declare(self, schedules: Schedules) -> None:
        needs = self.recurring.needs_artifacts
        self.recurring.declare(schedules, catalog_of(self.app).artifacts if needs else "")
