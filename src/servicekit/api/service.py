"""The part of a service that its features may use."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Annotated, Self

from fastapi import Depends, Request

from servicekit.api.checks import HealthCheck
from servicekit.api.sse import Closable
from servicekit.api.state import Application, ServiceState, find_service, jobs_path, service_state, sibling
from servicekit.engine.options import check_preload
from servicekit.engine.result_hooks import ResultHook, check_hooks
from servicekit.engine.scheduler import Scheduler
from servicekit.errors import ConfigurationError
from servicekit.events.hub import Listener


@dataclass(frozen=True, slots=True)
class Service:
    """The service, as its features may use it: `Service.of(app)` in a feature, `get_service` in a route.

    Features are installed in any order, so there may be no jobs yet in a feature's `install`. When its `lifespan`
    begins, all features are installed.
    """

    _state: ServiceState

    @classmethod
    def of(cls, app: Application) -> Self:
        """The service of this application."""
        return cls(service_state(app))

    @property
    def has_jobs(self) -> bool:
        """Whether jobs are set up already."""
        return self._state.scheduler is not None

    @property
    def scheduler(self) -> Scheduler:
        """The service's scheduler. In a test with `servicekit.testing` it is that of the test.

        Do not keep it, but ask for it whenever you need it. `ConfigurationError` if no jobs are set up.
        """
        return self._state.require_scheduler()

    @property
    def jobs_prefix(self) -> str:
        """The path of the job routes in the application, `/api/v1/jobs` by default."""
        self._state.require_scheduler()
        return self._state.jobs_prefix

    @property
    def open_stream_count(self) -> int:
        """How many event streams are open."""
        return len(self._state.streams)

    def path_beside_jobs(self, name: str) -> str:
        """A path for a feature's own routes, beside the job routes: for `artifacts`, `/api/v1/artifacts`."""
        return sibling(self.jobs_prefix, name)

    def tell_place(self, name: str, path: str) -> None:
        """Tell the dashboard where a feature has its routes."""
        self._state.places[name] = path

    def when_jobs_are_set_up(self, act: Callable[[], None]) -> None:
        """Call `act()` now if jobs are set up, else as soon as they are.

        For `install`, where the jobs may come later, and routes beside theirs must be added before the service starts.
        """
        if self.has_jobs:
            act()
        else:
            self._state.when_jobs.append(act)

    def job_url(self, request: Request, job_id: str) -> str:
        """The path of a job for the client of this request, which may be behind a proxy or in a mounted application."""
        self._state.require_scheduler()
        return f"{jobs_path(request)}/{job_id}"

    def add_health_check(self, name: str, check: HealthCheck) -> None:
        """Show the check in `/health`, if the service has the feature `Health`.

        `ConfigurationError` if there is a check of this name, or if it cannot be called.
        """
        if name in self._state.health_checks:
            sentence = f"There is a health check {name!r} already. Give this one another name."
            raise ConfigurationError("name", name, sentence=sentence)
        if not callable(check):
            raise ConfigurationError("check", check, "a function that says what is wrong, or returns None")
        self._state.health_checks[name] = check

    def add_listener(self, listener: Listener) -> None:
        """Call `listener(event)` for every event of every job of this process from now on, on the event loop.

        It must be quick. Its errors are logged, and do no harm. `ConfigurationError` if it cannot be called.
        """
        if not callable(listener):
            raise ConfigurationError("listener", listener, "a function that takes an event")
        self._state.hub.add_listener(listener)

    def add_result_hook(self, hook: ResultHook) -> None:
        """Call the hook with the end of every attempt of this process, before it is written: see `ResultHook`.

        Hooks are called in the order in which they were added. `ConfigurationError` for what is none.
        """
        check_hooks("hook", [hook])
        self._state.result_hooks.append(hook)

    def preload(self, *modules: str) -> None:
        """Import these modules once for all jobs with `runner="process"`, as `with_jobs(preload=...)` does.

        For `install`. `ConfigurationError` if these are no names of modules, or if the service has started: then it
        is too late.
        """
        check_preload(modules)
        if self._state.has_started:
            sentence = "Modules are preloaded when the service starts: call preload in the feature's install."
            raise ConfigurationError("preload", modules, sentence=sentence)
        self._state.preload.extend(modules)

    def close_at_stop(self, closable: Closable) -> AbstractContextManager[None]:
        """Within the block, close `closable`, which a request waits for, as soon as the service is told to stop.

        A server waits for open requests before it stops, so a request that can take long must end by itself. If the
        service is stopping already, `closable` is closed at once.
        """
        return self._state.streams.close_at_stop(closable)


async def get_service(request: Request) -> Service:
    """The service of the application that serves this request, or of the application in which that one is mounted.

    It is a dependency, as `get_scheduler` is; `ServiceDependency` for short.
    """
    return Service(find_service(request))


ServiceDependency = Annotated[Service, Depends(get_service)]
