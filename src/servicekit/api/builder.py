"""The builder: it makes a service in one expression."""

import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, ParamSpec, Self, Unpack

from fastapi import APIRouter, FastAPI

from servicekit.api.api_keys import ApiKey
from servicekit.api.auth import Auth
from servicekit.api.cors import Cors
from servicekit.api.features import Feature, install
from servicekit.api.gate import AccessFunction
from servicekit.api.health import Health
from servicekit.api.info import ServiceInfo
from servicekit.api.jobs import Jobs
from servicekit.api.monitoring import Monitoring
from servicekit.api.recurring import Recurring
from servicekit.api.service_logging import Logging
from servicekit.api.state import HealthCheck, service_state
from servicekit.engine.options import SchedulerOptionChanges
from servicekit.jobs.command import Command
from servicekit.jobs.timetable import Timetable

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from servicekit.artifacts import Artifacts
    from servicekit.ml import CommandModel, Model
    from servicekit.tasks import Tasks

P = ParamSpec("P")

Hook = Callable[[FastAPI], Awaitable[None] | None]
"""Called with the application when it starts or stops."""


class ServiceBuilder:
    """Collects the features of a service, and builds the application. Each feature's class documents its options."""

    def __init__(self, *, info: ServiceInfo) -> None:
        self._info = info
        self._features: list[Feature] = []
        self._routers: list[APIRouter] = []
        self._startup_hooks: list[Hook] = []
        self._shutdown_hooks: list[Hook] = []
        self._overrides: dict[Callable[..., Any], Callable[..., Any]] = {}

    def with_feature(self, feature: Feature) -> Self:
        """Add a feature, such as one of your own."""
        self._features.append(feature)
        return self

    def with_jobs(
        self,
        max_concurrency: int | None = None,
        url: str | None = None,
        *,
        access: AccessFunction | None = None,
        ticket_secret: str | None = None,
        ticket_seconds: float = 300,
        expose_tracebacks: bool = True,
        expose_logs: bool = True,
        trusted_origins: Sequence[str] = (),
        freeze_gc: bool = True,
        prefix: str = "/api/v1/jobs",
        **options: Unpack[SchedulerOptionChanges],
    ) -> Self:
        """Add a job scheduler and its routes: see `Jobs`; for the `options`, see `SchedulerOptions`."""
        return self.with_feature(
            Jobs(
                url,
                max_concurrency=max_concurrency,
                access=access,
                ticket_secret=ticket_secret,
                ticket_seconds=ticket_seconds,
                expose_tracebacks=expose_tracebacks,
                expose_logs=expose_logs,
                trusted_origins=trusted_origins,
                freeze_gc=freeze_gc,
                prefix=prefix,
                **options,
            )
        )

    def with_schedule(
        self,
        name: str,
        timetable: Timetable,
        target: Callable[P, object] | Command,
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Self:
        """Submit a job at every tick of a timetable, with these arguments of the target: see `Recurring`."""
        return self.with_feature(Recurring(name, timetable, target, *args, **kwargs))

    def with_artifacts(self, artifacts: "Artifacts") -> Self:
        """Keep what jobs produce, and serve it: see `servicekit.artifacts.Artifacts`."""
        return self.with_feature(artifacts)

    def with_tasks(self, tasks: "Tasks") -> Self:
        """Offer functions and commands by name: see `servicekit.tasks.Tasks`."""
        return self.with_feature(tasks)

    def with_ml(self, *models: "Model | CommandModel") -> Self:
        """Train models and predict with them: see `servicekit.ml.Model` and `servicekit.ml.CommandModel`."""
        for model in models:
            self.with_feature(model)
        return self

    def with_dashboard(self, *, path: str = "/jobs") -> Self:
        """Show the jobs on a page: see `servicekit.web.Dashboard`."""
        from servicekit.web import Dashboard  # late: it is made of this package

        return self.with_feature(Dashboard(path=path))

    def with_auth(
        self,
        api_keys: Sequence[ApiKey] | None = None,
        *,
        key_file: str | os.PathLike[str] | None = None,
        open_paths: Sequence[str] = ("/health",),
        open_docs: bool = False,
    ) -> Self:
        """Demand an API key for every path of the service: see `Auth`."""
        return self.with_feature(Auth(api_keys, key_file=key_file, open_paths=open_paths, open_docs=open_docs))

    def with_health(self, *, path: str = "/health", checks: Mapping[str, HealthCheck] | None = None) -> Self:
        """Add `/health`: see `Health`."""
        return self.with_feature(Health(path=path, checks=checks))

    def with_logging(self, *, level: int | str = logging.INFO) -> Self:
        """Log structured lines, with a request id: see `Logging`."""
        return self.with_feature(Logging(level=level))

    def with_monitoring(self, *, path: str = "/metrics", registry: "CollectorRegistry | None" = None) -> Self:
        """Add `/metrics` for Prometheus: see `Monitoring`."""
        return self.with_feature(Monitoring(path=path, registry=registry))

    def with_cors(self, *, allow_origins: Sequence[str], allow_credentials: bool = False) -> Self:
        """Allow pages of other origins: see `Cors`."""
        return self.with_feature(Cors(allow_origins=allow_origins, allow_credentials=allow_credentials))

    def include_router(self, router: APIRouter) -> Self:
        """Add endpoints of your own."""
        self._routers.append(router)
        return self

    def on_startup(self, hook: Hook) -> Self:
        """Call `hook(app)` when the service starts, after its features have. It may be async, and may submit jobs."""
        self._startup_hooks.append(hook)
        return self

    def on_shutdown(self, hook: Hook) -> Self:
        """Call `hook(app)` when the service stops, before its features do. It may be async."""
        self._shutdown_hooks.append(hook)
        return self

    def override_dependency(self, dependency: Callable[..., Any], override: Callable[..., Any]) -> Self:
        """Give endpoints `override` instead of `dependency`, mostly for tests."""
        self._overrides[dependency] = override
        return self

    def build(self) -> FastAPI:
        """The application, ready to be served. Every call builds a new one, with objects of its own.

        `ConfigurationError`, `InvalidTarget` or `InvalidArguments` if the features contradict each other, or a schedule
        cannot be run.
        """
        info = self._info
        app = FastAPI(
            title=info.display_name,
            version=info.version,
            summary=info.summary,
            description=info.description or "",
            lifespan=_Hooks(tuple(self._startup_hooks), tuple(self._shutdown_hooks)).lifespan,
        )
        app.state.info = info
        install(app, *self._features)
        if service_state(app).declared_schedules:
            service_state(app).require_scheduler()
        for router in self._routers:
            app.include_router(router)
        app.dependency_overrides.update(self._overrides)
        return app


class _Hooks:
    """The functions that are called when the service starts and stops."""

    def __init__(self, startup: Sequence[Hook], shutdown: Sequence[Hook]) -> None:
        self._startup = startup
        self._shutdown = shutdown

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        await _call_all(self._startup, app)
        try:
            yield
        finally:
            await _call_all(self._shutdown, app)


async def _call_all(hooks: Sequence[Hook], app: FastAPI) -> None:
    for hook in hooks:
        result = hook(app)
        if isawaitable(result):
            await result
