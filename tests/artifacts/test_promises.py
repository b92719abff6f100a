"""Artifacts that a job has promised: what is answered until they are there, and if they never will be."""

import asyncio
from pathlib import Path

import pytest

from servicekit import JobStatus, Retry
from servicekit.api import Service
from servicekit.artifacts import Artifacts
from servicekit.jobs.current import current_job
from tests.artifacts.served import URL, connect, service

PROMISED = {"artifact": "promised"}


class Door:
    """Two events of the event loop on which a test runs."""

    def __init__(self) -> None:
        self.is_reached = asyncio.Event()
        self.may_go_on = asyncio.Event()

    async def pass_through(self) -> None:
        self.is_reached.set()
        await self.may_go_on.wait()


async def test_a_promised_artifact_is_409_until_it_is_there(artifacts: Artifacts) -> None:
    door = Door()

    async def train() -> None:
        await door.pass_through()
        await artifacts.aio.save({"loss": 1}, id=current_job().id)

    app = service(artifacts)
    async with connect(app) as client:
        scheduler = Service.of(app).scheduler
        job_id = await scheduler.with_options(metadata=PROMISED).add_job(train)
        await door.is_reached.wait()
        for path in ("", "/$download", "/$tree", "/$metadata", "/$expand", "/$ancestors"):
            response = await client.get(f"{URL}/{job_id}{path}")
            assert response.status_code == 409
            assert response.headers["location"] == f"/api/v1/jobs/{job_id}"
            assert response.links["monitor"]["url"] == f"/api/v1/jobs/{job_id}"
            text = f"The artifact is not there yet: its job is running, see /api/v1/jobs/{job_id}"
            assert response.json() == {"detail": text}
        door.may_go_on.set()
        await scheduler.wait(job_id)
        told = (await client.get(f"{URL}/{job_id}")).json()
        assert (told["id"], told["job_id"], told["attempt"], told["data"]) == (job_id, job_id, 1, {"loss": 1})


@pytest.mark.parametrize("ending", ["failed", "canceled", "deleted"])
async def test_a_promise_that_is_not_kept_is_404_and_says_why(artifacts: Artifacts, ending: str) -> None:
    async def train() -> None:
        if ending == "failed":
            raise ValueError("the data are empty")
        if ending == "canceled":
            await asyncio.Event().wait()
        await artifacts.aio.save(1, id=current_job().id)

    app = service(artifacts)
    async with connect(app) as client:
        scheduler = Service.of(app).scheduler
        job_id = await scheduler.with_options(metadata=PROMISED).add_job(train)
        if ending == "canceled":
            await scheduler.cancel(job_id)
        await scheduler.wait(job_id)
        if ending == "deleted":
            assert (await client.delete(f"{URL}/{job_id}")).status_code == 204
        response = await client.get(f"{URL}/{job_id}")
        assert response.status_code == 404
        end = {
            "failed": "has failed: ValueError: the data are empty",
            "canceled": "was canceled",
            "deleted": "has completed, and the artifact was deleted since",
        }
        assert response.json() == {"detail": f"Artifact not found: its job {job_id} {end[ending]}"}
        await scheduler.delete(job_id)
        assert (await client.get(f"{URL}/{job_id}")).json() == {"detail": "Artifact not found"}


async def test_a_job_that_promises_nothing_is_no_artifact(artifacts: Artifacts) -> None:
    async def rest() -> None:
        await asyncio.Event().wait()

    app = service(artifacts)
    async with connect(app) as client:
        scheduler = Service.of(app).scheduler
        job_id = await scheduler.add_job(rest)
        response = await client.get(f"{URL}/{job_id}")
        assert (response.status_code, response.json()) == (404, {"detail": "Artifact not found"})
        await scheduler.cancel(job_id)


async def test_what_an_earlier_attempt_has_saved_is_there_while_the_next_one_runs(artifacts: Artifacts) -> None:
    door = Door()

    async def train() -> None:
        await artifacts.aio.save(current_job().attempt, id=current_job().id)
        if current_job().attempt == 1:
            raise ValueError
        await door.pass_through()

    app = service(artifacts)
    async with connect(app) as client:
        jobs = Service.of(app).scheduler.with_options(metadata=PROMISED, retry=Retry(attempts=2, delay=0))
        job_id = await jobs.add_job(train)
        await door.is_reached.wait()
        assert (await client.get(f"{URL}/{job_id}")).json()["data"] == 2
        door.may_go_on.set()
        assert (await Service.of(app).scheduler.wait(job_id)).status is JobStatus.COMPLETED


async def test_jobs_that_cannot_be_read_promise_nothing(artifacts: Artifacts, tmp_path: Path) -> None:
    app = service(artifacts, jobs_url=f"sqlite:///{tmp_path / 'jobs.db'}")
    async with connect(app) as client:
        assert (await client.get(f"{URL}/01JQRS7XK5N8Z3VQ2M4T6W8Y0A")).status_code == 404
