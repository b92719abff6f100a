"""The objects of a running service. They are in its application's state, so that one process can have two services."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from fastapi import FastAPI
from starlette.datastructures import State
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from servicekit.api.checks import HealthCheck as HealthCheck
from servicekit.api.gate import Gate
from servicekit.api.guard import Guard, OpenPages
from servicekit.api.sse import OpenStreams
from servicekit.api.start_errors import in_one_sentence
from servicekit.api.tickets import Tickets
from servicekit.engine.options import SchedulerOptionChanges
from servicekit.engine.result_hooks import ResultHook
from servicekit.engine.scheduler import Scheduler
from servicekit.engine.schedules import Schedules
from servicekit.errors import ConfigurationError
from servicekit.events.hub import EventHub
from servicekit.jobs.backoff import ErrorLog
from servicekit.ports import Notice

_log = logging.getLogger("servicekit.api")

_SCOPE_KEY: Final = "servicekit.service"


class DeclaredSchedule(Protocol):
    """A recurring job that is declared with the service, and added when the service starts."""

    @property
    def name(self) -> str:
        """The name of the schedule. No two schedules of a service have the same."""
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
    failures: ErrorLog = field(default_factory=partial(ErrorLog, _log))
    """What requests could not read or write: every client meets the same failure, again and again."""
    health_checks: dict[str, HealthCheck] = field(default_factory=dict)
    scheduler: Scheduler | None = None
    when_jobs: list[Callable[[], None]] = field(default_factory=list)
    """What features do as soon as there is a scheduler."""
    max_concurrency: int | None = None
    scheduler_options: SchedulerOptionChanges = field(default_factory=SchedulerOptionChanges)
    """The options with which the scheduler was made. A test makes its own scheduler with them."""
    result_hooks: list[ResultHook] = field(default_factory=list)
    """The hooks of features and of `Jobs`. The scheduler has the same list object, so that hooks can be added later."""
    preload: list[str] = field(default_factory=list)
    """The modules that features and `Jobs` want preloaded. The scheduler has the same list object."""
    has_started: bool = False
    """Whether its jobs were started at least once."""
    declared_schedules: list[DeclaredSchedule] = field(default_factory=list)
    jobs_prefix: str = ""
    trusted_origins: frozenset[str] = frozenset()
    middleware: Sequence[Middleware] = ()
    """The middleware of the application. A CORS middleware in it tells which other origins are allowed."""
    expose_tracebacks: bool = True
    expose_logs: bool = True
    guard: Guard | None = None
    """What demands API keys for this application, if `Auth` is installed."""
    open_pages: list[OpenPages] = field(default_factory=list)
    """What tells of pages without data, which need no API key. The guard has the same list object."""
    places: dict[str, str] = field(default_factory=dict)
    """Where features have their routes, by the names of the features."""
    gate: Gate | None = None
    """What the application itself is asked for the access of a caller, if it has an answer."""
    tickets: Tickets | None = None
    """What signs tickets for streams, as soon as there are jobs."""
    ticket_secret: bytes | None = None
    """What tickets are signed by, if the application itself says who sees what. Else it is their holders' API keys."""
    has_ticket_route: bool = False
    is_access_documented: bool = False

    def check_schedules(self) -> None:
        """Raise the error of a declared schedule that makes no sense. There must be a scheduler."""
        schedules = self.require_scheduler().schedules
        for declared in self.declared_schedules:
            declared.check(schedules)

    async def find_problem(self) -> str | None:
        """A problem that keeps jobs from being accepted or run, or `None`. To find out, it writes to the store."""
        return await self.require_scheduler().find_problem()

    async def find_notice(self) -> str | None:
        """Schedules that submit no jobs, and what else is not as it was asked for, while the rest works; or `None`."""
        scheduler = self.require_scheduler()
        broken = [
            # If a schedule cannot be read, its problem is a whole sentence with its name.
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
    """Any object with a state: FastAPI, Starlette, and the declared type of `request.app`."""

    state: State


def service_state(app: Application) -> ServiceState:
    """The state of this application. It is made at the first call."""
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
    """`ConfigurationError` if the application has a route at this path already, since that would hide the new one."""
    if any(getattr(route, "path", None) == path for route in app.routes):
        raise ConfigurationError(option, path, "a path where the application has no route yet")


class ServiceScope:
    """Middleware that tells every request its service, also the requests that a mounted application answers."""

    def __init__(self, app: ASGIApp, *, state: ServiceState) -> None:
        self._app = app
        self._state = state

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        scope[_SCOPE_KEY] = (self._state, scope.get("root_path", ""))
        if scope["type"] == "lifespan":
            send = in_one_sentence(send)
        return self._app(scope, receive, send)  # not awaited here: another coroutine would cost every request some time


def find_service(request: Request) -> ServiceState:
    """The service of this request: that of its application, or of the application in which that one is mounted."""
    return state_of(request.scope)


def state_of(scope: Scope) -> ServiceState:
    """The same by the scope of the request."""
    return _find(scope)[0]


def jobs_path(request: Request) -> str:
    """The path of the job routes for the client of this request, with the path of a proxy or a mount in front."""
    state, root_path = _find(request.scope)
    return f"{root_path}{state.jobs_prefix}"


def _find(scope: Scope) -> tuple[ServiceState, str]:
    found = scope.get(_SCOPE_KEY)
    return found or (service_state(scope["app"]), scope.get("root_path", ""))


def sibling(jobs_prefix: str, name: str) -> str:
    """The path of other routes beside the job routes: for `/api/v1/jobs` and `queues`, `/api/v1/queues`."""
    return f"{jobs_prefix.rpartition('/')[0]}/{name}"
