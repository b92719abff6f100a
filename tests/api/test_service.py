"""What a feature may use of its service: one that is written with public names alone."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from fastapi.testclient import TestClient

from servicekit import ConfigurationError, JobStatus
from servicekit.api import (
    Feature,
    Health,
    JobEvent,
    Jobs,
    Notice,
    Service,
    ServiceBuilder,
    ServiceDependency,
    ServiceInfo,
    install,
)
from servicekit.testing import running

INFO = ServiceInfo(display_name="Baking")


async def bake(loaf: str) -> str:
    return loaf


class Closing:
    """What a request waits for until the service stops."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()

    def close(self) -> None:
        self.closed.set()


def list_imported(names: list[str]) -> list[str]:
    return [name for name in names if name in sys.modules]


class Bakery:
    """A page, a route that starts a job, a health check and a listener."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.prefix: str | None = None

    def install(self, app: FastAPI) -> None:
        service = Service.of(app)
        service.add_listener(self._observe)
        service.add_health_check("oven", lambda: Notice("it is cold") if not self.ended else None)

        @app.post("/loaves")
        async def start(request: Request, service: ServiceDependency) -> dict[str, str]:
            job_id = await service.scheduler.add_job(bake, "rye")
            await service.scheduler.wait(job_id)
            return {"url": service.job_url(request, job_id)}

        @app.get("/bakery", response_class=HTMLResponse)
        async def show() -> str:
            return f"<p>{len(self.ended)} loaves</p>"

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        self.prefix = Service.of(app).path_beside_jobs("loaves")
        yield

    def _observe(self, event: JobEvent) -> None:
        if event.record is not None and event.record.status is JobStatus.COMPLETED:
            self.ended.append(event.job_id)


@pytest.mark.parametrize("root_path", ["", "/behind/a/proxy"])
def test_a_feature_of_ones_own_adds_a_page_a_route_a_health_check_and_a_listener(root_path: str) -> None:
    bakery = Bakery()
    feature: Feature = bakery
    app = ServiceBuilder(info=INFO).with_feature(feature).with_jobs(url="memory://").with_health().build()
    with TestClient(app, root_path=root_path) as client:
        health = client.get("/health")
        assert (health.status_code, health.json()["checks"]["oven"]["message"]) == (200, "it is cold")
        url = client.post("/loaves").json()["url"]
        assert url.startswith(f"{root_path}/api/v1/jobs/")
        assert client.get(url.removeprefix(root_path)).json()["status"] == "completed"
        assert bakery.ended == [url.rpartition("/")[2]]
        assert client.get("/bakery").text == "<p>1 loaves</p>"
        assert client.get("/health").json()["status"] == "healthy"
    assert bakery.prefix == "/api/v1/loaves"


async def test_a_service_has_the_scheduler_of_a_test() -> None:
    app = ServiceBuilder(info=INFO).with_feature(Bakery()).with_jobs(url="memory://").build()
    async with running(app) as jobs:
        assert Service.of(app).scheduler is jobs


def test_a_mounted_application_is_in_the_service_that_it_is_mounted_in() -> None:
    inner, outer = FastAPI(), FastAPI()
    install(outer, Jobs("memory://"))

    @inner.get("/prefix")
    async def show(service: ServiceDependency) -> str:
        return service.path_beside_jobs("loaves")

    outer.mount("/inner", inner)
    with TestClient(outer) as client:
        assert client.get("/inner/prefix").json() == "/api/v1/loaves"
    assert (Service.of(outer).has_jobs, Service.of(inner).has_jobs) == (True, False)


def test_a_service_without_jobs_says_what_is_missing() -> None:
    service = Service.of(FastAPI())
    with pytest.raises(ConfigurationError, match="This application has no jobs"):
        _ = service.scheduler
    with pytest.raises(ConfigurationError, match="This application has no jobs"):
        service.path_beside_jobs("loaves")


def test_two_health_checks_of_one_name_are_refused() -> None:
    app = FastAPI()
    install(app, Health(checks={"oven": lambda: None}))
    with pytest.raises(ConfigurationError, match="'oven'"):
        Service.of(app).add_health_check("oven", lambda: None)


def test_what_is_no_function_is_refused_when_it_is_added() -> None:
    service = Service.of(FastAPI())
    with pytest.raises(ConfigurationError, match="check must be a function"):
        service.add_health_check("oven", "no")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="listener must be a function"):
        service.add_listener("no")  # type: ignore[arg-type]


@pytest.mark.parametrize("feature", [Health, object()])
def test_what_is_no_feature_is_refused(feature: object) -> None:
    with pytest.raises(ConfigurationError, match="an object, not a class, with the methods install and lifespan"):
        ServiceBuilder(info=INFO).with_feature(feature).build()  # type: ignore[arg-type]


class Preloading:
    """A feature that has modules imported for the processes of jobs."""

    def __init__(self, *modules: str) -> None:
        self.modules = modules

    def install(self, app: FastAPI) -> None:
        Service.of(app).preload(*self.modules)

    def lifespan(self, app: FastAPI) -> AbstractAsyncContextManager[None]:
        return nullcontext()


async def test_features_have_modules_preloaded_whenever_they_are_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["preloaded_early", "preloaded_by_jobs", "preloaded_late"]
    for name in names:
        (tmp_path / f"{name}.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    builder = ServiceBuilder(info=INFO).with_feature(Preloading(names[0]))
    builder.with_jobs(url="memory://", preload=names[1:2]).with_feature(Preloading(names[2], names[1]))
    app = builder.build()
    async with running(app) as jobs:
        job_id = await jobs.with_options(runner="process").add_job(list_imported, names)
        record = await jobs.wait(job_id)  # and not `drain`, whose patience a slow start of the launcher can exceed
        assert record.status is JobStatus.COMPLETED
        assert await jobs.get_result(job_id) == names
        assert jobs.find_notice() is None
    with pytest.raises(ConfigurationError, match="call preload in the feature's install"):
        Service.of(app).preload("json")
    async with running(builder.build()) as jobs:  # a service of its own, with a list of its own
        assert jobs.find_notice() is None


def test_only_names_of_modules_are_preloaded() -> None:
    for name in ("", "no-module", "a..b", 7):
        with pytest.raises(ConfigurationError, match="names of modules"):
            Service.of(FastAPI()).preload(name)  # type: ignore[arg-type]


async def test_what_a_request_waits_for_is_closed_when_the_service_stops_and_at_once_afterwards() -> None:
    app = ServiceBuilder(info=INFO).with_jobs(url="memory://").build()
    service, waited, late, left = Service.of(app), Closing(), Closing(), Closing()
    async with running(app):
        with service.close_at_stop(left):
            pass
        waiting = service.close_at_stop(waited)
        waiting.__enter__()
        assert not waited.closed.is_set()
    assert waited.closed.is_set()
    with service.close_at_stop(late):
        assert late.closed.is_set()
    waiting.__exit__(None, None, None)
    assert not left.closed.is_set()
