"""What a feature may use of the service that it is a part of."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Annotated, Self

from fastapi import Depends, Request

from servicekit.api.checks import HealthCheck
from servicekit.api.sse import Closable
from servicekit.api.state import Application, ServiceState, find_service, jobs_path, service_state, sibling
from servicekit.engine.result_hooks import ResultHook
from servicekit.engine.scheduler import Scheduler
from servicekit.errors import ConfigurationError
from servicekit.events.hub import Listener


@dataclass(frozen=True, slots=True)
class Service:
    """What a feature may use of the service that it is a part of: `Service.of(app)` in a feature, `get_service` in a
    route.

    Features are installed in any order, so that jobs may be missing in a feature's `install`; when its `lifespan`
    begins, all are there.
    """

    _state: ServiceState

    @classmethod
    def of(cls, app: Application) -> Self:
        """The service that this application is."""
        return cls(service_state(app))

    @property
    def has_jobs(self) -> bool:
        """Whether jobs are set up, by now."""
        return self._state.scheduler is not None

    @property
    def scheduler(self) -> Scheduler:
        """The service's scheduler: in a test with `servicekit.testing`, the test's.

        Ask for it whenever it is needed. `ConfigurationError` if no jobs are set up.
        """
        return self._state.require_scheduler()

    @property
    def jobs_prefix(self) -> str:
        """Where the routes of jobs are in the application, `/api/v1/jobs` as a rule."""
        self._state.require_scheduler()
        return self._state.jobs_prefix

    @property
    def open_stream_count(self) -> int:
        """How many event streams are open."""
        return len(self._state.streams)

    def path_beside_jobs(self, name: str) -> str:
        """Where a feature's own routes may be, beside those of jobs: `artifacts` -> `/api/v1/artifacts`."""
        return sibling(self.jobs_prefix, name)

    def job_url(self, request: Request, job_id: str) -> str:
        """The path of a job for the client of this request, which may be behind a proxy or in a mounted application."""
        self._state.require_scheduler()
        return f"{jobs_path(request)}/{job_id}"

    def add_health_check(self, name: str, check: HealthCheck) -> None:
        """Show the check in `/health`, where the service has that: see `Health`.

        `ConfigurationError` if there is a check of this name.
        """
        if name in self._state.health_checks:
            raise ConfigurationError("name", name, "the name of one health check")
        self._state.health_checks[name] = check

    def add_listener(self, listener: Listener) -> None:
        """Call `listener(event)` for every event of every job of this process from now on, on the event loop.

        It must be quick. What it raises is logged, and changes nothing.
        """
        self._state.hub.add_listener(listener)

    def add_result_hook(self, hook: ResultHook) -> None:
        """Show the hook how every attempt of this process ends, before that is written: see `ResultHook`.

        Hooks are called in the order in which they were added.
        """
        self._state.result_hooks.append(hook)

    def close_at_stop(self, closable: Closable) -> AbstractContextManager[None]:
        """Within the block, close what a request waits for as soon as the service is told to stop.

        A server waits for open requests before it stops, so one that may take long must end by itself. If the service
        is stopping already, it is closed at once.
        """
        return self._state.streams.close_at_stop(closable)


async def get_service(request: Request) -> Service:
    """The service of the application that serves this request, or of the one in which that is mounted.

    A dependency, such as `get_scheduler`; `ServiceDependency` for short.
    """
    return Service(find_service(request))


ServiceDependency = Annotated[Service, Depends(get_service)]
