"""Submitting a job again."""

from collections import Counter
from typing import Any

import httpx
from fastapi import FastAPI

from servicekit.api import JobSubmitted, ServiceBuilder, ServiceInfo, SubmitJob
from servicekit.api.state import service_state
from tests.api.conftest import Connect

JOBS = "/api/v1/jobs"
runs: Counter[str] = Counter()


async def fail_at_first(name: str, *, factor: int) -> int:
    runs[name] += 1
    if runs[name] == 1:
        raise ValueError("Invalid input")
    return runs[name] * factor


def service(url: str, max_pending: int | None = None) -> FastAPI:
    builder = ServiceBuilder(info=ServiceInfo(display_name="Retrying"))
    app = builder.with_jobs(url=url, shutdown_grace=0, max_pending=max_pending).build()

    @app.post("/flaky/{name}", status_code=202)
    async def submit_flaky(name: str, submit: SubmitJob) -> JobSubmitted:
        runs.clear()
        return await submit.with_options(name="flaky", tags=["a"], queue="gpu", priority=7)(
            fail_at_first, name, factor=10
        )

    @app.post("/coroutine", status_code=202)
    async def submit_coroutine(submit: SubmitJob) -> JobSubmitted:
        return await submit(fail_at_first("coroutine", factor=1))

    return app


async def end(client: httpx.AsyncClient, job: str) -> dict[str, Any]:
    """The job's record when it has ended."""
    record: dict[str, Any] = (await client.get(f"{job}?wait=30")).json()
    return record


async def test_a_job_that_has_ended_is_submitted_again(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        job = (await client.post("/flaky/x")).headers["location"]
        failed = await end(client, job)
        assert failed["status"] == "failed"
        response = await client.post(f"{job}/$retry")
        job_id = response.json()["job_id"]
        assert (response.status_code, response.headers["location"]) == (202, f"{JOBS}/{job_id}")
        assert response.json().keys() == {"job_id", "message", "stream_url"}
        again = await end(client, f"{JOBS}/{job_id}")
        assert (again["status"], again["retry_of"]) == ("completed", failed["id"])
        for field in ("name", "tags", "queue", "priority"):
            assert again[field] == failed[field]
        assert (await client.get(f"{JOBS}/{job_id}/$result")).json() == 20
        assert await end(client, job) == failed


async def test_a_job_may_be_submitted_again_and_again(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        job = (await client.post("/flaky/x", headers={"Idempotency-Key": "k"})).headers["location"]
        await end(client, job)
        for result in (20, 30):
            # Neither of the headers is meant for this route, and the first job's key remains its own.
            response = await client.post(f"{job}/$retry", headers={"Idempotency-Key": "k", "Prefer": "wait=30"})
            assert response.status_code == 202
            job = response.headers["location"]
            assert (await end(client, job))["status"] == "completed"
            assert (await client.get(f"{job}/$result")).json() == result


async def test_a_canceled_job_may_be_submitted_again(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        await client.post("/api/v1/queues/gpu/$pause")
        job = (await client.post("/flaky/x")).headers["location"]
        await client.post(f"{job}/$cancel")
        again = (await client.post(f"{job}/$retry")).headers["location"]
        assert (await client.get(again)).json()["status"] == "pending"


async def test_what_has_not_ended_is_not_submitted_again(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        await client.post("/api/v1/queues/gpu/$pause")
        job = (await client.post("/flaky/x")).headers["location"]
        response = await client.post(f"{job}/$retry")
        assert response.status_code == 409
        assert "cannot be submitted again (status=pending): it has not ended" in response.json()["detail"]


async def test_a_call_that_is_not_kept_is_not_submitted_again(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        job = (await client.post("/coroutine")).headers["location"]
        await end(client, job)
        response = await client.post(f"{job}/$retry")
        assert response.status_code == 409
        assert "cannot be submitted again (status=" in response.json()["detail"]
        assert len((await client.get(JOBS)).json()) == 1


async def test_there_must_be_a_job_to_be_submitted_again(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        for job_id, status, detail in [
            ("nonsense", 400, "Invalid job ID format"),
            ("01JQRS7XK5N8Z3VQ2M4T6W8Y0A", 404, "Job not found"),
        ]:
            response = await client.post(f"{JOBS}/{job_id}/$retry")
            assert (response.status_code, response.json()) == (status, {"detail": detail})


async def test_a_full_queue_takes_nothing_again(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url, max_pending=1)) as client:
        job = (await client.post("/flaky/x")).headers["location"]
        await end(client, job)
        await client.post("/api/v1/queues/gpu/$pause")
        assert (await client.post(f"{job}/$retry")).status_code == 202
        response = await client.post(f"{job}/$retry")
        assert (response.status_code, response.headers["retry-after"]) == (429, "5")
        assert "The queue 'gpu' is full" in response.json()["detail"]


async def test_a_service_that_stops_takes_nothing_again(connect: Connect, jobs_url: str) -> None:
    app = service(jobs_url)
    async with connect(app) as client:
        job = (await client.post("/flaky/x")).headers["location"]
        await end(client, job)
        await service_state(app).require_scheduler().close()
        response = await client.post(f"{job}/$retry")
        assert (response.status_code, response.headers["retry-after"]) == (503, "5")
        assert response.json() == {"detail": "The service is stopping and takes no more jobs"}
