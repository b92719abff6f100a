"""`Prefer: wait=5`: whoever submits a job can be answered with what came of it."""

import asyncio
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel

from servicekit import InMemoryScheduler
from servicekit.api import JobSubmitted, ServiceBuilder, ServiceInfo, SubmitJob, get_scheduler
from servicekit.api.state import service_state
from servicekit.errors import StoreUnavailable
from servicekit.jobs.record import JobRecord
from tests.api.conftest import Connect
from tests.service import run_service

router = APIRouter()
JOBS = "/api/v1/jobs"
ACCEPTED = {"job_id", "message", "stream_url"}


class Model(BaseModel):
    loss: float


@dataclass
class Point:
    x: int


RESULTS: dict[str, Any] = {
    "text": "\N{GRINNING FACE}",
    "nothing": None,
    "numbers": [2**70, 2**53 + 1, float("nan"), float("inf"), 0.1],
    "model": Model(loss=0.5),
    "dataclass": Point(1),
    "object": object(),
    "too long": 10**5_000,
}


async def give(name: str) -> object:
    return RESULTS[name]


async def fail() -> None:
    raise ValueError("Invalid input")


async def rest() -> None:
    await asyncio.sleep(3_600)


@router.post("/give/{name}", status_code=202)
async def submit_give(name: str, submit: SubmitJob) -> JobSubmitted:
    return (await submit.with_options(tags=["given"])(give, name)).with_message("Here it is")


@router.post("/fail", status_code=202)
async def submit_fail(submit: SubmitJob) -> JobSubmitted:
    return await submit(fail)


@router.post("/rest", status_code=202)
async def submit_rest(submit: SubmitJob) -> JobSubmitted:
    return await submit(rest)


@router.get("/waiting")
async def count_waiting(request: Request) -> int:
    """How many requests wait for the end of a job."""
    return len(service_state(request.app).streams._waits)


def service(url: str | None = None) -> FastAPI:
    builder = ServiceBuilder(info=ServiceInfo(display_name="Waits"))
    return builder.with_jobs(url=url, shutdown_grace=0).include_router(router).build()


app = service()


async def post(client: httpx.AsyncClient, path: str, prefer: str = "wait=30") -> httpx.Response:
    return await client.post(path, headers={"Prefer": prefer})


async def only_job(client: httpx.AsyncClient) -> str:
    """The path of the one job that there will be."""
    while not (jobs := (await client.get(JOBS)).json()):
        await asyncio.sleep(0)
    return f"{JOBS}/{jobs[0]['id']}"


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("text", "\N{GRINNING FACE}"),
        ("nothing", None),
        ("numbers", [2**70, 2**53 + 1, None, None, 0.1]),
        ("model", {"loss": 0.5}),
        ("dataclass", {"x": 1}),
    ],
)
async def test_a_quick_job_is_answered_with_its_result(
    connect: Connect, jobs_url: str, name: str, result: object
) -> None:
    async with connect(service(jobs_url)) as client:
        response = await post(client, f"/give/{name}")
        assert (response.status_code, response.headers["preference-applied"]) == (200, "wait=30")
        job_id = response.json()["job_id"]
        assert response.headers["location"] == f"{JOBS}/{job_id}"
        assert response.json() == {
            "job_id": job_id,
            "message": "Here it is",
            "stream_url": f"{JOBS}/{job_id}/$stream",
            "status": "completed",
            "result": result,
        }
        assert (await client.get(f"{JOBS}/{job_id}/$result")).json() == result


@pytest.mark.parametrize("name", ["object", "too long"])
async def test_a_result_that_is_no_json_is_left_out(connect: Connect, jobs_url: str, name: str) -> None:
    async with connect(service(jobs_url)) as client:
        response = await post(client, f"/give/{name}")
        assert (response.status_code, response.json()["status"]) == (200, "completed")
        assert response.json().keys() == ACCEPTED | {"status"}


async def test_a_job_that_fails_is_answered_with_its_error(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        response = await post(client, "/fail")
        assert response.status_code == 200
        assert response.json().keys() == ACCEPTED | {"status", "error"}
        assert (response.json()["status"], response.json()["error"]) == ("failed", "ValueError: Invalid input")


async def test_a_job_that_takes_longer_is_answered_as_ever(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        response = await post(client, "/rest", "wait=1")
        assert (response.status_code, response.headers["preference-applied"]) == (202, "wait=1")
        assert response.json().keys() == ACCEPTED


@pytest.mark.parametrize(
    "prefer",
    [
        "WAIT=30",
        'respond-async, wait="30"',
        "wait = 30;foo",
        ", ,wait=30,wait=1",
        "return=minimal;wait=1, wait=30",
        'foo="a,wait=50", wait=30',
    ],
)
async def test_the_preference_may_be_spelled_as_the_standard_allows(connect: Connect, prefer: str) -> None:
    async with connect(service("memory://")) as client:
        response = await post(client, "/give/text", prefer)
        assert (response.status_code, response.headers["preference-applied"]) == (200, "wait=30")


async def test_nobody_waits_for_more_than_a_minute(connect: Connect) -> None:
    async with connect(service("memory://")) as client:
        for prefer in ("wait=3600", "wait=99999999999", f"wait={'9' * 5_000}", "wait=00000000000061"):
            assert (await post(client, "/give/text", prefer)).headers["preference-applied"] == "wait=60"


async def test_the_preference_may_stand_in_any_of_several_headers(connect: Connect) -> None:
    async with connect(service("memory://")) as client:
        headers = [("Prefer", "respond-async"), ("Prefer", "wait=30"), ("Prefer", "wait=1")]
        response = await client.post("/give/text", headers=headers)
        assert (response.status_code, response.headers["preference-applied"]) == (200, "wait=30")


@pytest.mark.parametrize(
    "prefer",
    [
        "",
        "wait",
        "wait=",
        "wait=-1",
        "wait=1.5",
        "wait=soon",
        "wait=soon, wait=30",
        "wait=²",
        "x=1",
        'foo="a,wait=50"',
        'foo="a\\",wait=50"',
        'foo="a,wait=50',
        'wait="5,6"',
    ],
)
async def test_what_makes_no_sense_is_ignored(connect: Connect, prefer: str) -> None:
    async with connect(service("memory://")) as client:
        response = await client.post("/rest", headers={b"Prefer": prefer.encode()})
        assert response.status_code == 202
        assert response.json().keys() == ACCEPTED
        assert "preference-applied" not in response.headers


async def test_the_same_key_is_answered_with_the_result_of_the_first_job(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        headers = {"Prefer": "wait=30", "Idempotency-Key": "k"}
        first, second = [await client.post("/give/text", headers=headers) for _ in range(2)]
        assert first.json() == second.json()
        assert second.json()["result"] == "\N{GRINNING FACE}"


async def test_a_job_that_is_canceled_ends_the_wait(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        waiting = asyncio.ensure_future(post(client, "/rest"))
        await client.post(f"{await only_job(client)}/$cancel")
        response = await waiting
        assert (response.status_code, response.json()["status"]) == (200, "canceled")
        assert response.json().keys() == ACCEPTED | {"status"}


async def test_a_job_that_is_deleted_ends_the_wait(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        waiting = asyncio.ensure_future(post(client, "/rest"))
        await client.delete(await only_job(client))
        response = await waiting
        assert response.status_code == 202
        assert response.json().keys() == ACCEPTED


class Blind(InMemoryScheduler):
    """Accepts jobs, and then cannot read them."""

    async def get_record(self, job_id: object) -> JobRecord:
        raise StoreUnavailable("the file", "the disk is gone")


async def test_what_was_accepted_is_not_refused_because_it_cannot_be_read(connect: Connect) -> None:
    app = service("memory://")
    async with Blind() as scheduler:
        app.dependency_overrides[get_scheduler] = lambda: scheduler
        async with connect(app) as client:
            response = await post(client, "/give/text")
            assert response.status_code == 202
            assert response.json().keys() == ACCEPTED


def test_a_wait_ends_with_the_service_and_outlives_no_client_for_long() -> None:
    with run_service("tests.api.test_waits:app") as running, ThreadPoolExecutor(1) as threads:
        with socket.create_connection(("127.0.0.1", running.port)) as client:
            client.sendall(b"POST /rest HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=1\r\nContent-Length: 0\r\n\r\n")
            while not httpx.get(f"{running.url}{JOBS}").json():
                pass
        while httpx.get(f"{running.url}/waiting").json() != 0:
            pass
        waiting = threads.submit(httpx.post, f"{running.url}/rest", headers={"Prefer": "wait=60"}, timeout=60)
        while httpx.get(f"{running.url}/waiting").json() == 0:
            pass
        running.stop(signal.SIGTERM)
        assert waiting.result().status_code == 202
