"""What a running service keeps: on its application's state, so that two services in one process just work."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from fastapi import FastAPI
from starlette.datastructures import State
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from servicekit.api.checks import HealthCheck as HealthCheck
from servicekit.api.checks import Notice
from servicekit.api.sse import OpenStreams
from servicekit.engine.options import SchedulerOptionChanges
from servicekit.engine.result_hooks import ResultHook
from servicekit.engine.scheduler import Scheduler
from servicekit.engine.schedules import Schedules
from servicekit.errors import ConfigurationError
from servicekit.events.hub import EventHub

_SCOPE_KEY: Final = "servicekit.service"


class DeclaredSchedule(Protocol):
    """A recurring job that is declared with the service, and scheduled when that starts."""

    @property
    def name(self) -> str:
        """The name of the schedule: of each there is one."""
        ...

    def check(self, schedules: Schedules) -> None:
        """Raise what `schedules.add` would raise, and add nothing."""
        ...

    def declare(self, schedules: Schedules) -> None:
        """Add the schedule when the scheduler starts. Raises what `schedules.add` does."""
        ...


@dataclass
class ServiceState:
    """The objects that the features of one application share."""

    hub: EventHub = field(default_factory=EventHub)
    streams: OpenStreams = field(default_factory=OpenStreams)
    health_checks: dict[str, HealthCheck] = field(default_factory=dict)
    scheduler: Scheduler | None = None
    max_concurrency: int | None = None
    scheduler_options: SchedulerOptionChanges = field(default_factory=SchedulerOptionChanges)
    """With these the scheduler was made, and a test makes one of its own."""
    result_hooks: list[ResultHook] = field(default_factory=list)
    """Those of features and those of `Jobs`; the scheduler has this very list."""
    declared_schedules: list[DeclaredSchedule] = field(default_factory=list)
    jobs_prefix: str = ""
    trusted_origins: frozenset[str] = frozenset()
    middleware: Sequence[Middleware] = ()
    """That of the application: it may say which other origins are let in."""
    expose_tracebacks: bool = True
    expose_logs: bool = True

    def check_schedules(self) -> None:
        """Raise what is wrong with a schedule that was declared, as soon as there is a scheduler to ask."""
        schedules = self.require_scheduler().schedules
        for declared in self.declared_schedules:
            declared.check(schedules)

    async def find_problem(self) -> str | None:
        """What keeps jobs from being accepted and run. It is tried out, which writes to the file."""
        return await self.require_scheduler().find_problem()

    async def find_notice(self) -> str | None:
        """What keeps schedules from submitting jobs, or is not as it was asked for, while the rest works."""
        scheduler = self.require_scheduler()
        broken = [
            # Of a schedule that cannot be read, its problem is a sentence that names it.
            problem if state.timetable is None else f"Schedule {state.name!r} submits no jobs here: {problem}"
            for state in await scheduler.schedules.list()
            if (problem := state.problem) is not None
        ]
        broken += filter(None, [scheduler.find_notice()])
        return Notice(" ".join(broken)) if broken else None

    def require_scheduler(self) -> Scheduler:
        if self.scheduler is None:
            sentence = "This application has no jobs: set them up with .with_jobs(), or install(app, Jobs())."
            raise ConfigurationError("jobs", None, sentence=sentence)
        return self.scheduler


class Application(Protocol):
    """Whatever has a state: FastAPI, Starlette, and what `request.app` is said to be."""

    state: State


def service_state(app: Application) -> ServiceState:
    """The state of this application, made when it is first asked for."""
    state = getattr(app.state, "servicekit", None)
    if not isinstance(state, ServiceState):
        state = app.state.servicekit = ServiceState()
    return state


def check_path(option: str, path: object) -> None:
    """`ConfigurationError` unless routes can be added at the path."""
    is_path = isinstance(path, str) and path.startswith("/") and not path.endswith("/") and not set(path) & set("{}?# ")
    if not is_path:
        raise ConfigurationError(
            option, path, "a path such as '/api/v1/jobs', which begins with a slash and does not end with one"
        )


def check_free(option: str, path: str, app: FastAPI) -> None:
    """`ConfigurationError` if the application has a route at the path, which would hide the new one."""
    if any(getattr(route, "path", None) == path for route in app.routes):
        raise ConfigurationError(option, path, "a path where the application has no route yet")


class ServiceScope:
    """Middleware that tells every request which service it is in: also those that a mounted application answers."""

    def __init__(self, app: ASGIApp, *, state: ServiceState) -> None:
        self._app = app
        self._state = state

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        scope[_SCOPE_KEY] = (self._state, scope.get("root_path", ""))
        return self._app(scope, receive, send)  # awaited by who calls: a coroutine more would cost every request


def find_service(request: Request) -> ServiceState:
    """The service that this request is in: that of its application, or of the one in which this is mounted."""
    return _find(request)[0]


def jobs_path(request: Request) -> str:
    """Where the job routes are for the client of this request: behind a proxy or a mount, that comes first."""
    state, root_path = _find(request)
    return f"{root_path}{state.jobs_prefix}"


def _find(request: Request) -> tuple[ServiceState, str]:
    found = request.scope.get(_SCOPE_KEY)
    return found or (service_state(request.app), request.scope.get("root_path", ""))


def sibling(jobs_prefix: str, name: str) -> str:
    """Where other routes are, beside those of the jobs: `/api/v1/jobs` -> `/api/v1/queues`."""
    return f"{jobs_prefix.rpartition('/')[0]}/{name}"
