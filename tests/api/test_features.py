"""The builder and its features, and the same for applications that exist already."""

import asyncio
import json
import logging
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, FastAPI, Header, Request
from fastapi.testclient import TestClient
from prometheus_client import REGISTRY, CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from servicekit import ConfigurationError, InMemoryScheduler, Scheduler
from servicekit.api import (
    Health,
    Jobs,
    JobSubmitted,
    Monitoring,
    SchedulerDependency,
    ServiceBuilder,
    ServiceInfo,
    SubmitJob,
    get_scheduler,
    install,
)
from servicekit.api import dependencies as api_dependencies
from servicekit.api.checks import HealthCheck
from tests.api.conftest import Connect
from tests.fakes import noop

INFO = ServiceInfo(display_name="My Service")
router = APIRouter()


async def fail() -> None:
    raise ValueError("Invalid input")


@router.post("/noop", status_code=202)
async def submit_noop(submit: SubmitJob, scheduler: SchedulerDependency) -> JobSubmitted:
    submitted = await submit(noop)
    await scheduler.wait(submitted.job_id)
    return submitted


@router.post("/fail", status_code=202)
async def submit_fail(submit: SubmitJob, scheduler: SchedulerDependency) -> JobSubmitted:
    submitted = await submit(fail)
    await scheduler.wait(submitted.job_id)
    return submitted


def test_the_guides_names_are_where_the_guide_has_them() -> None:
    assert api_dependencies.get_scheduler is get_scheduler


def test_a_service_needs_only_a_name() -> None:
    assert (INFO.id, INFO.version) == ("my-service", "1.0.0")
    app = ServiceBuilder(info=INFO).build()
    assert (app.title, app.version) == ("My Service", "1.0.0")


@pytest.mark.parametrize("name", ["", None])
def test_a_service_needs_a_name(name: str) -> None:
    with pytest.raises(ValueError, match="display_name"):
        ServiceInfo(display_name=name)


@pytest.mark.parametrize("options", [{"max_concurrency": 0}, {"shutdown_grace": -1}, {"max_threads": 0}])
def test_a_wrong_option_fails_when_the_service_is_built(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ConfigurationError, match=name):
        ServiceBuilder(info=INFO).with_jobs(**options).build()


def test_an_option_with_a_near_name_is_refused_with_the_right_one() -> None:
    misspelt: Any = {"max_concurency": 2}
    with pytest.raises(ConfigurationError, match=r"no option 'max_concurency'\. Did you mean 'max_concurrency'\?"):
        ServiceBuilder(info=INFO).with_jobs(**misspelt)
    with pytest.raises(ConfigurationError, match=r"Did you mean 'max_concurrency'\?"):
        InMemoryScheduler(max_concurency=2)  # type: ignore[call-arg] # that is what is wrong with it
    with pytest.raises(ConfigurationError, match=r"Did you mean 'prefix'\?.* expose_logs, .* url\."):
        Jobs(prefx="/jobs")  # type: ignore[call-arg] # that is what is wrong with it


@pytest.mark.parametrize("path", ["jobs", "/jobs/", "/", "", "/jobs?", "/{tenant}/jobs", "/my jobs", None])
def test_routes_are_at_paths(path: Any) -> None:
    for feature in (lambda: Jobs(prefix=path), lambda: Health(path=path), lambda: Monitoring(path=path)):
        with pytest.raises(ConfigurationError, match="begins with a slash"):
            feature()


def test_what_is_there_once_is_set_up_once() -> None:
    with pytest.raises(ConfigurationError, match="set up a second time"):
        ServiceBuilder(info=INFO).with_jobs().with_jobs(max_concurrency=2).build()
    with pytest.raises(ConfigurationError, match="/health"):
        ServiceBuilder(info=INFO).with_health().with_health(checks={}).build()
    with pytest.raises(ConfigurationError, match="/metrics"):
        ServiceBuilder(info=INFO).with_monitoring().with_monitoring().build()
    ServiceBuilder(info=INFO).with_health().with_health(path="/ready").build()


async def test_hooks_run_inside_the_features_life(connect: Connect) -> None:
    told: list[str] = []

    async def start(app: FastAPI) -> None:
        scheduler = app.state.servicekit.require_scheduler()
        await scheduler.wait(await scheduler.add_job(lambda: told.append("job of the start-up")))

    def stop(app: FastAPI) -> None:
        assert not app.state.servicekit.require_scheduler().is_closed
        told.append("stop")

    app = ServiceBuilder(info=INFO).on_startup(start).on_shutdown(stop).with_jobs().build()
    async with connect(app):
        told.append("serving")
    assert told == ["job of the start-up", "serving", "stop"]
    assert app.state.servicekit.require_scheduler().is_closed


async def test_an_application_may_start_again(connect: Connect) -> None:
    app = ServiceBuilder(info=INFO).with_jobs().include_router(router).build()
    for _ in range(2):
        async with connect(app) as client:
            assert (await client.post("/noop")).status_code == 202


def test_the_frameworks_test_client_works_with_and_without_a_lifespan() -> None:
    app = ServiceBuilder(info=INFO).with_jobs().include_router(router).build()
    with TestClient(app) as client:
        location = client.post("/noop").headers["location"]
        assert client.get(location).json()["status"] == "completed"
        assert '"completed"' in client.get(f"{location}/$stream").text
    app = ServiceBuilder(info=INFO).with_jobs().include_router(router).build()
    assert TestClient(app).post("/noop").status_code == 202
    asyncio.run(app.state.servicekit.require_scheduler().close())  # there is nothing else that would end it


async def test_a_stopping_service_takes_no_jobs_and_says_so(connect: Connect) -> None:
    app = ServiceBuilder(info=INFO).with_jobs().with_health().include_router(router).build()
    async with connect(app) as client:
        await app.state.servicekit.require_scheduler().close()
        response = await client.post("/noop")
        assert response.status_code == 503
        assert "stopping" in response.json()["detail"]
        health = await client.get("/health")
        assert (health.status_code, health.json()["status"]) == (503, "degraded")


async def test_an_existing_application_gets_the_same(connect: Connect) -> None:
    told = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        told.append("own start")
        yield {"own": "state"}
        told.append("own stop")

    app = FastAPI(lifespan=lifespan)
    install(app, Monitoring(), Health(), Jobs(max_concurrency=1))
    app.include_router(router)
    async with connect(app) as client:
        job_id = (await client.post("/noop")).json()["job_id"]
        assert (await client.get(f"/api/v1/jobs/{job_id}")).json()["status"] == "completed"
        assert (await client.get("/health")).json() == {
            "status": "healthy",
            "checks": {"jobs": {"state": "healthy", "message": None}},
        }
        assert "jobs_submitted_total 1.0" in (await client.get("/metrics")).text
    assert told == ["own start", "own stop"]


async def test_without_jobs_the_error_says_what_to_do(connect: Connect) -> None:
    async with connect(ServiceBuilder(info=INFO).include_router(router).build()) as client:
        with pytest.raises(ConfigurationError, match=r"with_jobs\(\)"):
            await client.post("/noop")


async def test_two_services_in_one_process_do_not_know_each_other(connect: Connect) -> None:
    builder = ServiceBuilder(info=INFO).with_jobs().with_monitoring().with_health().include_router(router)
    async with connect(builder.build()) as first, connect(builder.build()) as second:
        job_id = (await first.post("/noop")).json()["job_id"]
        assert (await second.get(f"/api/v1/jobs/{job_id}")).status_code == 404
        assert "jobs_submitted_total 1.0" in (await first.get("/metrics")).text
        assert "jobs_submitted_total 0.0" in (await second.get("/metrics")).text


async def test_dependencies_can_be_overridden(connect: Connect) -> None:
    scheduler = InMemoryScheduler()

    async def get_other_scheduler() -> Scheduler:
        return scheduler

    builder = ServiceBuilder(info=INFO).with_jobs().include_router(router)
    async with connect(builder.override_dependency(get_scheduler, get_other_scheduler).build()) as client:
        job_id = (await client.post("/noop")).json()["job_id"]
    assert [record.id for record in await scheduler.get_all_records()] == [job_id]
    await scheduler.close()


async def test_what_stands_for_the_scheduler_may_have_dependencies_of_its_own(connect: Connect) -> None:
    async with InMemoryScheduler() as scheduler:
        ended: list[str] = []

        async def get_other_scheduler(request: Request, tenant: Annotated[str, Header()]) -> AsyncIterator[Scheduler]:
            yield scheduler
            ended.append(f"{tenant} {request.url.path}")

        app = ServiceBuilder(info=INFO).with_jobs().build()

        @app.post("/noop", status_code=202)
        async def submit_noop(submit: SubmitJob) -> JobSubmitted:
            return await submit(noop)

        app.dependency_overrides[get_scheduler] = get_other_scheduler
        async with connect(app) as client:
            job_id = (await client.post("/noop", headers={"tenant": "one"})).json()["job_id"]
            assert (await client.post("/noop")).status_code == 422
        assert [record.id for record in await scheduler.get_all_records()] == [job_id]
        assert ended == ["one /noop"]


async def test_a_service_without_what_it_was_to_preload_is_fit_for_work(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ends_its_process.py").write_text("import os\nos._exit(0)")
    monkeypatch.syspath_prepend(str(tmp_path))
    jobs = ServiceBuilder(info=INFO).with_health().with_jobs(url="memory://", preload=["ends_its_process"])
    async with connect(jobs.build()) as client:
        while (health := await client.get("/health")).json()["status"] == "healthy":  # until it was tried
            await asyncio.sleep(0.01)
    assert health.status_code == 200
    assert "imports ends_its_process by itself" in health.json()["checks"]["jobs"]["message"]


async def test_health_runs_the_services_own_checks(connect: Connect) -> None:
    problem: str | None = None

    async def check_disk() -> str | None:
        return problem

    async def check_network() -> str | None:
        raise OSError("unplugged")

    app = ServiceBuilder(info=INFO).with_health(checks={"disk": check_disk}).build()
    async with connect(app) as client:
        assert (await client.get("/health")).json()["status"] == "healthy"
        problem = "full"
        response = await client.get("/health")
        assert response.status_code == 503
        assert response.json()["checks"]["disk"] == {"state": "degraded", "message": "full"}
    async with connect(ServiceBuilder(info=INFO).with_health(checks={"net": check_network}).build()) as client:
        assert (await client.get("/health")).json()["checks"]["net"]["message"] == "OSError: unplugged"


def check_disk_in_thread() -> str | None:
    assert threading.current_thread() is not threading.main_thread()
    return "full"


class Disk:
    async def __call__(self) -> str | None:
        return "full"


@pytest.mark.parametrize("check", [check_disk_in_thread, Disk(), lambda: Disk()()])
async def test_a_health_check_is_any_function(connect: Connect, check: HealthCheck) -> None:
    async with connect(ServiceBuilder(info=INFO).with_health(checks={"disk": check}).build()) as client:
        assert (await client.get("/health")).json()["checks"]["disk"]["message"] == "full"


def test_a_health_check_that_is_no_function_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="functions that say what is wrong"):
        ServiceBuilder(info=INFO).with_health(checks={"disk": "full"})  # type: ignore[dict-item]


async def test_metrics_count_what_happens(connect: Connect) -> None:
    app = ServiceBuilder(info=INFO).with_monitoring().with_jobs().include_router(router).build()
    async with connect(app) as client:
        for path in ("/noop", "/noop", "/fail"):
            await client.post(path)
        response = await client.get("/metrics")
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert samples["jobs_submitted_total",] == 3
    assert samples["jobs_finished_total", "completed"] == 2
    assert samples["jobs_finished_total", "failed"] == 1
    assert samples["jobs_finished_total", "canceled"] == 0
    assert samples["job_duration_seconds_count",] == 3
    assert samples["jobs_pending",] == samples["jobs_running",] == samples["job_streams_open",] == 0
    assert samples["process_resident_memory_bytes",] > 0


async def test_deleted_jobs_are_counted_and_logged(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    app = ServiceBuilder(info=INFO).with_monitoring().with_logging().with_jobs().include_router(router).build()
    async with connect(app) as client:
        assert "jobs_deleted_total 0.0" in (await client.get("/metrics")).text
        job_id = (await client.post("/noop")).json()["job_id"]
        assert (await client.delete(f"/api/v1/jobs/{job_id}")).status_code == 204
        metrics = (await client.get("/metrics")).text
    assert "jobs_deleted_total 1.0" in metrics
    assert 'jobs_finished_total{status="completed"} 1.0' in metrics
    (line,) = [record for record in caplog.records if record.getMessage() == f"Job {job_id} was deleted"]
    assert (line.levelno, vars(line)["job_id"]) == (logging.INFO, job_id)


async def test_metrics_do_not_meet_those_of_others(connect: Connect) -> None:
    own = Counter("jobs_submitted_total", "Total jobs submitted")
    try:
        registry = CollectorRegistry()
        app = ServiceBuilder(info=INFO).with_jobs().with_monitoring(registry=registry).include_router(router).build()
        async with connect(app) as client:
            await client.post("/noop")
            assert registry.get_sample_value("jobs_submitted_total") == 1
            assert REGISTRY.get_sample_value("jobs_submitted_total") == 0
    finally:
        REGISTRY.unregister(own)


async def test_pages_of_other_origins_need_leave(connect: Connect) -> None:
    origin = "https://app.example.com"
    builder = ServiceBuilder(info=INFO).with_jobs().include_router(router)
    async with connect(builder.build()) as client:
        response = await client.get("/api/v1/jobs", headers={"Origin": origin})
        assert "access-control-allow-origin" not in response.headers
    async with connect(builder.with_cors(allow_origins=[origin]).build()) as client:
        response = await client.post("/noop", headers={"Origin": origin})
        assert response.headers["access-control-allow-origin"] == origin
        assert "Location" in response.headers["access-control-expose-headers"]
        stream = await client.get(response.json()["stream_url"], headers={"Origin": origin})
        assert stream.headers["access-control-allow-origin"] == origin
        other = await client.get("/api/v1/jobs", headers={"Origin": "https://evil.example.com"})
        assert "access-control-allow-origin" not in other.headers


def test_origins_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="a list of origins"):
        ServiceBuilder(info=INFO).with_cors(allow_origins="https://app.example.com")
    with pytest.raises(ConfigurationError, match="named origins"):
        ServiceBuilder(info=INFO).with_cors(allow_origins=["*"], allow_credentials=True)


LOGGING_SERVICE = """
import asyncio, logging, httpx
from servicekit.api import ServiceBuilder, ServiceInfo, SubmitJob, JobSubmitted, SchedulerDependency

app = ServiceBuilder(info=ServiceInfo(display_name="Logs")).with_jobs().with_logging().build()

async def work():
    logging.getLogger("mine").info("inside", extra={"rows": 3})
    raise ValueError("Invalid input")

@app.post("/work", status_code=202)
async def submit_work(submit: SubmitJob, scheduler: SchedulerDependency) -> JobSubmitted:
    logging.getLogger("mine").info("accepted")
    submitted = await submit(work)
    await scheduler.wait(submitted.job_id)
    return submitted

async def main():
    async with app.router.lifespan_context(app):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test") as client:
            for request_id in ("abc-123", "not one\\x7f"):
                response = await client.post("/work", headers={"X-Request-ID": request_id})
                print(response.headers["x-request-id"])

asyncio.run(main())
"""


def test_logs_are_json_with_the_request_and_the_job() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOGGING_SERVICE], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    first_id, second_id = done.stdout.split()
    assert first_id == "abc-123"
    assert re.fullmatch("[0-9a-f]{16}", second_id)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    mine = [line for line in lines if line.get("request_id") == "abc-123"]
    assert [line["message"] for line in mine] == ["accepted", "request"]
    assert (mine[1]["method"], mine[1]["path"], mine[1]["status"]) == ("POST", "/work", 202)
    assert mine[1]["duration_ms"] > 0
    inside = next(line for line in lines if line["message"] == "inside")
    failed = next(line for line in lines if line["level"] == "ERROR")
    assert inside["rows"] == 3
    assert inside["job_id"] == failed["job_id"]
    assert (failed["level"], failed["error"], failed["job_name"]) == ("ERROR", "ValueError: Invalid input", "work")
    assert failed["message"].startswith(f"Job work ({failed['job_id']}) failed after ")
    assert failed["exc_info"].splitlines()[-1] == "ValueError: Invalid input"
    assert "timestamp" in failed


def test_logging_leaves_handlers_that_are_there_alone() -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    assert handlers  # those of pytest
    try:
        ServiceBuilder(info=INFO).with_logging(level="WARNING").build()
        assert root.handlers == handlers
        assert root.level == logging.WARNING
    finally:
        root.setLevel(level)


@pytest.mark.parametrize(("feature", "package"), [("monitoring", "prometheus_client"), ("logging", "pythonjsonlogger")])
def test_a_missing_extra_is_named(feature: str, package: str) -> None:
    program = f"""
import sys
sys.modules["{package}"] = None
from servicekit import MissingExtra
from servicekit.api import ServiceBuilder, ServiceInfo
try:
    ServiceBuilder(info=ServiceInfo(display_name="x")).with_{feature}().build()
except MissingExtra as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert f"extra [{feature}]" in done.stdout, done.stderr
    assert f'pip install "/path/to/servicekit[{feature}]"' in done.stdout
