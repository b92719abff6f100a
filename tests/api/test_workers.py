"""The route to list the processes that work on the jobs."""

import asyncio
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from servicekit import WorkerRecord
from servicekit.api import JobSubmitted, SchedulerDependency, ServiceBuilder, ServiceInfo, SubmitJob
from servicekit.stores.process_name import name_of_process
from tests.api.conftest import Connect
from tests.api.test_processes import run_worker, submit, wait_noted, wait_until
from tests.needs import needs
from tests.places import url_of
from tests.service import run_service

WORKERS = "/api/v1/workers"
RUNNERS = ["coroutine", "thread", "process", "command"]


async def rest() -> None:
    await asyncio.sleep(3_600)


def service(url: str, **options: Any) -> FastAPI:
    builder = ServiceBuilder(info=ServiceInfo(display_name="Workers"))
    app = builder.with_jobs(url=url, shutdown_grace=0, **options).build()

    @app.post("/rest", status_code=202)
    async def submit_rest(submit: SubmitJob) -> JobSubmitted:
        return await submit(rest)

    @app.get("/names")
    async def list_names(scheduler: SchedulerDependency) -> list[str]:
        workers: list[WorkerRecord] = await scheduler.list_workers()
        return [worker.name for worker in workers]

    return app


async def start(client: httpx.AsyncClient) -> dict[str, Any]:
    """The record of a job that runs."""
    place = (await client.post("/rest")).headers["location"]
    record: dict[str, Any] = {"status": "pending"}
    while record["status"] == "pending":
        record = (await client.get(f"{place}?wait=0.01")).json()
    return record


async def test_the_process_is_listed_with_what_it_runs(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        jobs = [await start(client) for _ in range(2)]
        (worker,) = (await client.get(WORKERS)).json()
        started_at, seen_at = worker.pop("started_at"), worker.pop("seen_at")
        assert datetime.fromisoformat(started_at) <= datetime.fromisoformat(jobs[0]["started_at"])
        assert (seen_at is None) == (not jobs_url.startswith("postgres"))
        assert worker == {
            "name": jobs[0]["process"], "is_stopping": False, "runs_jobs": True, "running": 2, "is_this": True,
            "runners": RUNNERS, "problems": {},
        }  # fmt: skip
        assert (await client.get("/names")).json() == [name_of_process()]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=needs("postgresql"))])
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return url_of(request, tmp_path)


def test_a_process_that_is_killed_is_listed_no_more(shared_url: str, tmp_path: Path) -> None:
    places = {"FOLDER": str(tmp_path), "SERVICEKIT_JOBS_URL": shared_url}
    with run_service("tests.api.shared_app:app", environment={**places, "ACCEPT_ONLY": "1"}) as service:

        def listed() -> list[tuple[Any, ...]]:
            found = httpx.get(f"{service.url}{WORKERS}", timeout=30).raise_for_status().json()
            fields = ("name", "is_this", "runs_jobs", "running", "runners")
            return sorted(tuple(each[field] for field in fields) for each in found)

        alone: list[tuple[Any, ...]] = [
            (f"{os.uname().nodename}:{httpx.get(f'{service.url}/process').json()}", True, False, 0, [])
        ]
        assert listed() == alone
        with run_worker(tmp_path, **places) as worker:
            job_id = submit(service, "/hold/open")
            wait_noted(tmp_path, "open begins")
            runs_it = httpx.get(f"{service.url}/api/v1/jobs/{job_id}").json()["process"]
            assert listed() == sorted([*alone, (runs_it, False, True, 1, RUNNERS)])
            worker.kill()
            if not shared_url.startswith("postgres"):  # where a lease has to run out
                assert listed() == alone
            wait_until(lambda: listed() == alone)
