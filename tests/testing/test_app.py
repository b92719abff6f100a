"""Applications in tests: built as they are served, and run with a scheduler whose time is the test's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from servicekit import ConfigurationError, Every, JobStatus, Retry
from servicekit.api import JobSubmitted, SchedulerDependency, ServiceBuilder, ServiceInfo, SubmitJob
from servicekit.api.state import service_state
from servicekit.testing import FakeClock, running, use_test_scheduler


async def remind(text: str) -> str:
    return f"Remember: {text}"


async def fail() -> None:
    raise ValueError("no")


@pytest.fixture
def builder(tmp_path: Path) -> ServiceBuilder:
    """A service that keeps its jobs in a file, like every one."""
    return ServiceBuilder(info=ServiceInfo(display_name="Reminders")).with_jobs(1, f"sqlite:///{tmp_path}/jobs.db")


def build(builder: ServiceBuilder) -> FastAPI:
    app = builder.build()

    @app.post("/reminders", status_code=202)
    async def add_reminder(text: str, seconds: float, submit: SubmitJob) -> JobSubmitted:
        return await submit.with_options(delay=seconds)(remind, text)

    @app.get("/reminders/{job_id}")
    async def get_reminder(job_id: str, scheduler: SchedulerDependency) -> str:
        return str(await scheduler.get_result(job_id))

    return app


@asynccontextmanager
async def client_of(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


async def test_an_endpoint_submits_and_the_test_drains(builder: ServiceBuilder) -> None:
    app = build(builder)
    async with running(app) as jobs, client_of(app) as client:
        response = await client.post("/reminders", params={"text": "milk", "seconds": 86_400})
        job_id = response.json()["job_id"]
        assert (await client.get(f"/api/v1/jobs/{job_id}")).json()["status"] == "pending"
        await jobs.drain()
        assert (await client.get(f"/api/v1/jobs/{job_id}")).json()["status"] == "completed"
        assert (await client.get(f"/reminders/{job_id}")).json() == "Remember: milk"
        events = (await client.get(f"/api/v1/jobs/{job_id}/$stream")).text
        assert '"status":"completed"' in events


async def test_an_endpoint_submits_and_the_test_lets_time_pass(builder: ServiceBuilder) -> None:
    app = build(builder)
    async with running(app) as jobs, client_of(app) as client:
        job_id = (await client.post("/reminders", params={"text": "milk", "seconds": 60})).json()["job_id"]
        await jobs.advance(59)
        assert await jobs.get_status(job_id) is JobStatus.PENDING
        await jobs.advance(1)
        assert await jobs.get_status(job_id) is JobStatus.COMPLETED


def test_a_synchronous_test_client_does_the_same(builder: ServiceBuilder) -> None:
    app = build(builder)
    with use_test_scheduler(app) as jobs, TestClient(app) as client:
        job_id = client.post("/reminders", params={"text": "milk", "seconds": 60}).json()["job_id"]
        assert client.portal is not None
        client.portal.call(jobs.advance, 59)
        assert client.get(f"/api/v1/jobs/{job_id}").json()["status"] == "pending"
        (record,) = client.portal.call(jobs.drain)
        assert (record.id, record.status) == (job_id, JobStatus.COMPLETED)
        assert client.get(f"/reminders/{job_id}").json() == "Remember: milk"


async def test_the_application_s_own_file_is_left_alone(builder: ServiceBuilder, tmp_path: Path) -> None:
    app = build(builder)
    async with running(app) as jobs:
        await jobs.add_job(remind, "milk")
        await jobs.drain()
    assert list(tmp_path.iterdir()) == []


async def test_the_application_gets_its_own_scheduler_back(builder: ServiceBuilder) -> None:
    app = build(builder)
    own = service_state(app).scheduler
    async with running(app) as jobs:
        assert service_state(app).scheduler is jobs
    assert service_state(app).scheduler is own
    with pytest.raises(RuntimeError, match="broken"), use_test_scheduler(app):
        raise RuntimeError("broken")
    assert service_state(app).scheduler is own


async def test_each_test_begins_without_the_jobs_of_the_one_before(builder: ServiceBuilder) -> None:
    app = build(builder)
    for _ in range(2):
        async with running(app) as jobs:
            await jobs.add_job(remind, "milk")
            assert len(await jobs.drain()) == 1


async def test_the_options_of_the_application_s_scheduler_hold(tmp_path: Path) -> None:
    builder = ServiceBuilder(info=ServiceInfo(display_name="Queues"))
    app = builder.with_jobs(max_concurrency=1, url=f"sqlite:///{tmp_path}/jobs.db", queues={"gpu": 3}).build()
    async with running(app) as jobs:
        for _ in range(2):
            await jobs.add_job(jobs.clock.sleep, 10)
        first, second = await jobs.drain()
        assert (first.finished_at, second.started_at) == (second.started_at, first.finished_at)
        assert [(queue.name, queue.max_concurrency) for queue in await jobs.queues.list()] == [("gpu", 3)]


async def test_options_can_be_changed_for_a_test(builder: ServiceBuilder, tmp_path: Path) -> None:
    clock, url = FakeClock(), f"sqlite:///{tmp_path}/test.db"
    async with running(build(builder), url=url, clock=clock, max_pending=1) as jobs:
        assert jobs.clock is clock
        await jobs.with_options(delay=timedelta(days=365)).add_job(remind, "milk")
        with pytest.raises(RuntimeError, match="full"):
            await jobs.add_job(remind, "bread")
        (record,) = await jobs.drain()
        assert record.status is JobStatus.COMPLETED
    assert (tmp_path / "test.db").exists()


async def test_a_service_that_only_accepts_jobs_runs_them_in_tests(tmp_path: Path) -> None:
    builder = ServiceBuilder(info=ServiceInfo(display_name="Front"))
    app = builder.with_jobs(url=f"sqlite:///{tmp_path}/jobs.db", run_jobs=False).build()
    async with running(app) as jobs:
        await jobs.add_job(remind, "milk")
        (record,) = await jobs.drain()
        assert record.status is JobStatus.COMPLETED


async def test_the_application_starts_and_stops_as_it_is_served(builder: ServiceBuilder) -> None:
    seen: list[str] = []

    async def submit_at_start(app: FastAPI) -> None:
        await service_state(app).require_scheduler().with_options(delay=60).add_job(remind, "milk")
        seen.append("started")

    app = builder.on_startup(submit_at_start).on_shutdown(lambda _: seen.append("stopped")).build()
    async with running(app) as jobs:
        assert seen == ["started"]
        (record,) = await jobs.drain()
        assert record.name == "remind"
    assert seen == ["started", "stopped"]


async def test_the_schedules_of_the_application_go_on_in_the_test_s_time(builder: ServiceBuilder) -> None:
    app = builder.with_schedule("hourly", Every(timedelta(hours=1)), remind, "milk").build()
    async with running(app) as jobs, client_of(app) as client:
        await jobs.advance(timedelta(hours=2))
        assert [job["name"] for job in (await client.get("/api/v1/jobs")).json()] == ["remind", "remind"]


async def test_health_and_metrics_are_those_of_the_test_s_jobs(builder: ServiceBuilder) -> None:
    app = builder.with_health().with_monitoring().build()
    async with running(app) as jobs, client_of(app) as client:
        await jobs.with_options(retry=Retry(attempts=3)).add_job(fail)
        await jobs.drain()
        assert (await client.get("/health")).json()["status"] == "healthy"
        assert 'jobs_finished_total{status="failed"} 1.0' in (await client.get("/metrics")).text


async def test_an_application_without_jobs_has_no_scheduler_to_replace() -> None:
    app = ServiceBuilder(info=ServiceInfo(display_name="Nothing")).build()
    with pytest.raises(ConfigurationError, match="with_jobs"), use_test_scheduler(app):
        pass


async def test_a_hanging_job_does_not_hold_up_the_end_of_a_test() -> None:
    app = ServiceBuilder(info=ServiceInfo(display_name="Patient")).with_jobs(shutdown_grace=3_600).build()
    async with running(app) as jobs:
        job_id = await jobs.add_job(jobs.clock.sleep, float("inf"))
        await jobs.advance(1)
        assert await jobs.get_status(job_id) is JobStatus.RUNNING
    assert await jobs.get_status(job_id) is JobStatus.CANCELED
