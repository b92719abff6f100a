"""The dashboard as a feature of a service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from starlette.routing import Match

from servicekit.api.routing import JobRoute
from servicekit.api.service import Service
from servicekit.api.state import check_path, service_state
from servicekit.errors import ConfigurationError
from servicekit.web.service_document import ServiceDocument
from servicekit.web.site import LOOKS, PAGES, Site


class Dashboard:
    """A page that shows the jobs of the service as they change: `install(app, Dashboard())`, or `with_dashboard()`.

    The page and its files hold no data, and so need no key. What they show comes from the routes of the jobs, which
    ask for the access of each caller: everybody sees what they may see, and has the buttons that they may press.

    - `path`: where it is. What is below it belongs to it.

    `ConfigurationError` for a path that is none, or where the application has routes already; at the start, if the
    application has no jobs.
    """

    def __init__(self, *, path: str = "/jobs") -> None:
        check_path("path", path)
        self._path = path

    def install(self, app: FastAPI) -> None:
        Service.of(app).when_jobs_are_set_up(partial(_add_routes, app, self._path))

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        _ = Service.of(app).scheduler  # an error if there is none
        yield


def _add_routes(app: FastAPI, path: str) -> None:
    site = Site(app.title, path)
    document = ServiceDocument(path, site.version)
    for each in site.list_examples():
        _check_free(app, each)
    # Routes of Starlette, which dependencies of the whole application do not guard: what they answer is for everybody.
    pages = {f"{path}/": site.show_page} | {f"{path}/{page}": site.show_page for page in PAGES}
    files = {f"{path}/assets/{name}": site.send_file for name in ("{name}", "{version}/{name}")}
    for place, answer in ({path: site.redirect} | pages | files).items():
        app.router.add_route(place, answer, methods=LOOKS, include_in_schema=False)
    add = partial(app.router.add_api_route, route_class_override=JobRoute, include_in_schema=False)
    add(f"{path}/$service", document.describe)
    add(f"{path}/$submissions", document.list_submissions)
    app.router.add_route(f"{path}/{{job_id}}", site.show_job, methods=LOOKS, include_in_schema=False)
    service_state(app).open_pages.append(site.is_open)


def _check_free(app: FastAPI, path: str) -> None:
    """`ConfigurationError` if a route of the application's would answer here.

    The page would not work; and with API keys, what is at an open path of the dashboard would be open.
    """
    scope = {"type": "http", "method": "GET", "path": path, "root_path": "", "app": app, "headers": []}
    if any(route.matches(scope)[0] is not Match.NONE for route in app.routes):
        raise ConfigurationError("path", path, "a path where the application has no route yet, nor below it")
