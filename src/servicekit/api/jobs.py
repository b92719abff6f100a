"""The jobs feature: a scheduler for the application, and the routes of its jobs."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Final, Unpack

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from servicekit.api.access_document import document_access
from servicekit.api.checks import HealthCheck, SharedCheck
from servicekit.api.collector import freeze_when_started
from servicekit.api.errors import add_error_handlers
from servicekit.api.gate import AccessFunction, Gate, check_access_function
from servicekit.api.job_routes import add_job_routes
from servicekit.api.log_routes import add_log_routes
from servicekit.api.openapi import arrange_document
from servicekit.api.origins import check_origins
from servicekit.api.queue_routes import add_queue_routes
from servicekit.api.schedule_routes import add_schedule_routes
from servicekit.api.state import ServiceScope, ServiceState, check_path, service_state, sibling
from servicekit.api.submit import document_submissions
from servicekit.api.ticket_routes import add_ticket_route
from servicekit.api.tickets import TICKET_VARIABLE, Tickets, check_ticket_secret
from servicekit.api.worker_routes import add_worker_route
from servicekit.engine.factory import create_scheduler
from servicekit.engine.options import SchedulerOptionChanges, SchedulerOptions, check_names
from servicekit.errors import ConfigurationError, StoreUnavailable, check_seconds
from servicekit.observability.console import show_on_uvicorn
from servicekit.ports import Notice

_OWN_OPTIONS: Final = (
    "url", "access", "ticket_secret", "ticket_seconds", "expose_tracebacks", "expose_logs", "trusted_origins",
    "freeze_gc", "prefix",
)  # fmt: skip
"""The options of `Jobs` that are not options of the scheduler."""
_NO_TITLE: Final = "FastAPI"  # what FastAPI calls an application that has no name


class Jobs:
    """Jobs for an application: `install(app, Jobs(max_concurrency=5))`, or the builder's `with_jobs`.

    - `max_concurrency`: how many jobs run at once, in all processes that share the jobs; `None` is no limit.
    - `url`: where jobs are kept: a file, `sqlite:///jobs.db` or `sqlite:////srv/jobs.db`; a PostgreSQL database,
      `postgresql://ada@db.example/jobs`; or `memory://`, which keeps nothing. By default the environment variable
      `SERVICEKIT_JOBS_URL`, or else the file `jobs.db` in the working directory.
    - `access`: who may see what, and act: any dependency of FastAPI that returns an `Access`, or raises 401 or 403. By
      default the roles of API keys say so (`Auth`); without keys, everybody may see and do everything.
    - `ticket_secret`: with `access`, what signs the tickets by which pages read streams: a random text, the same in all
      processes. By default the environment variable `SERVICEKIT_TICKET_SECRET`; without it there are no tickets. Those
      of API keys need none.
    - `ticket_seconds`: how long a ticket is valid.
    - `expose_tracebacks`: whether responses contain `error_traceback`. Turn it off for a public service.
    - `expose_logs`: whether clients can read and stream the logs of jobs. Turn it off if the logs are not for clients.
    - `trusted_origins`: origins whose pages may change something, besides the service's own pages and those that CORS
      allows: `["https://app.example.com"]`; `["*"]` for all.
    - `freeze_gc`: whether the garbage collector skips the objects that exist when the service has started
      (`gc.freeze`), so that its full collections do not delay requests. Turn it off if your code does that itself.
    - `prefix`: the path of the routes. The routes of queues, schedules and workers are beside it.
    - `options`: how long jobs are kept, which queues there are, and so on: see `SchedulerOptions`.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        max_concurrency: int | None = None,
        access: AccessFunction | None = None,
        ticket_secret: str | None = None,
        ticket_seconds: float = 300,
        expose_tracebacks: bool = True,
        expose_logs: bool = True,
        trusted_origins: Sequence[str] = (),
        freeze_gc: bool = True,
        prefix: str = "/api/v1/jobs",
        **options: Unpack[SchedulerOptionChanges],
    ) -> None:
        check_names(options, _OWN_OPTIONS)
        check_path("prefix", prefix)
        check_access_function(access)
        self._url = url
        self._access = access
        self._ticket_secret = check_ticket_secret(ticket_secret)
        self._ticket_seconds = check_seconds("ticket_seconds", ticket_seconds)
        self._expose_tracebacks = expose_tracebacks
        self._expose_logs = expose_logs
        self._trusted_origins = check_origins("trusted_origins", trusted_origins)
        self._freeze_gc = freeze_gc
        self._prefix = prefix
        self._max_concurrency = max_concurrency
        self._options = options

    def install(self, app: FastAPI) -> None:
        state = service_state(app)
        if state.scheduler is not None:
            sentence = "Jobs are set up a second time for this application: one with_jobs(), or Jobs(), is enough."
            raise ConfigurationError("jobs", "a second time", sentence=sentence)
        name = None if app.title == _NO_TITLE else app.title
        options: SchedulerOptionChanges = {"hub": state.hub, "service": name, **self._options}
        chosen = SchedulerOptions().changed(options)
        state.result_hooks.extend(chosen.result_hooks)
        state.preload.extend(chosen.preload)
        options["result_hooks"], options["preload"] = state.result_hooks, state.preload
        state.scheduler = create_scheduler(self._url, max_concurrency=self._max_concurrency, **options)
        state.max_concurrency, state.scheduler_options = self._max_concurrency, options
        state.jobs_prefix = self._prefix
        state.expose_tracebacks, state.expose_logs = self._expose_tracebacks, self._expose_logs
        state.trusted_origins, state.middleware = self._trusted_origins, app.user_middleware
        state.health_checks["jobs"] = _make_check(state)
        state.tickets = Tickets(f"{chosen.service or ''} {self._prefix}", self._ticket_seconds)
        if self._access is not None:
            state.gate = Gate(self._access, app)
            state.ticket_secret = self._ticket_secret or check_ticket_secret(os.environ.get(TICKET_VARIABLE) or None)
            add_ticket_route(app)
        app.add_middleware(ServiceScope, state=state)
        add_error_handlers(app)
        add_job_routes(app, self._prefix)
        if self._expose_logs:
            add_log_routes(app, self._prefix)
        add_queue_routes(app, sibling(self._prefix, "queues"))
        add_schedule_routes(app, sibling(self._prefix, "schedules"))
        add_worker_route(app, sibling(self._prefix, "workers"))
        document_submissions(app)
        arrange_document(app)
        document_access(app)
        if self._freeze_gc:
            freeze_when_started(app)
        for act in state.when_jobs:
            act()

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        state = service_state(app)
        scheduler = state.require_scheduler()
        for declared in state.declared_schedules:
            declared.declare(scheduler.schedules)
        for mounted in _list_mounted(app):
            add_error_handlers(mounted)
        state.has_started = True
        state.streams.start(on_stop=scheduler.pause)
        try:
            with self._show_lines():
                async with scheduler:
                    try:
                        yield
                    finally:
                        state.streams.stop()  # now, since streams must not stay open for the jobs' grace time
        finally:
            state.streams.end()  # last, since it ends the listening for a second signal

    def _show_lines(self) -> AbstractContextManager[None]:
        return show_on_uvicorn() if SchedulerOptions().changed(self._options).log_jobs else nullcontext()


# Whoever asks `/health` gives up after some seconds, and the store may have gone since it was asked last.
_NOTICE_SECONDS: Final = 3.0


def _make_check(state: ServiceState) -> HealthCheck:
    find_problem = SharedCheck(state.find_problem).ask

    async def check() -> str | None:
        try:
            found = await find_problem()
            if found is not None and not isinstance(found, Notice):
                return found
            async with asyncio.timeout(_NOTICE_SECONDS):
                notices = [notice for notice in (found, await state.find_notice()) if notice is not None]
            return Notice(" ".join(notices)) if notices else None
        except TimeoutError:  # the jobs were well a moment ago
            return "Jobs cannot be kept at the moment: the job store does not answer."
        except StoreUnavailable as error:  # told without the path of the file, which clients must not see
            return f"Jobs cannot be kept at the moment: {error.reason}"

    return check


def _list_mounted(app: Starlette) -> list[Starlette]:
    """The applications that are mounted in this one, at any depth, except services with jobs of their own."""
    own = [route.app for route in app.routes if isinstance(route, Mount) and isinstance(route.app, Starlette)]
    return [each for mounted in own if not _has_jobs(mounted) for each in (mounted, *_list_mounted(mounted))]


def _has_jobs(app: Starlette) -> bool:
    return service_state(app).scheduler is not None
