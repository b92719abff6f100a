"""Routes that do something with one job, or wait for it."""

import asyncio
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel

from servicekit import current_job
from servicekit.api import JobSubmitted, ServiceBuilder, ServiceInfo, SubmitJob
from servicekit.api.state import service_state
from tests.api.conftest import Connect
from tests.service import run_service

router = APIRouter()
JOBS = "/api/v1/jobs"


class Model(BaseModel):
    loss: float


@dataclass
class Point:
    x: int


RESULTS: dict[str, Any] = {
    "model": Model(loss=0.5),
    "dataclass": Point(2**70),
    "nothing": None,
    "object": object(),
    "list": [1, "\N{GRINNING FACE}", None],
    "numbers": [2**53 + 1, 2**70, 0.1, float("nan"), float("-inf")],
    "science": {
        "mean": np.float64(0.5),
        "best": np.int64(3),
        "is_good": np.bool_(True),
        "rows": np.array([[1, 2], [3, 4]]),
        "losses": np.array([0.25, np.nan], dtype=np.float32),
    },
    "rows": [{"model": Model(loss=2), "points": (Point(-(2**64)),)}],
}


async def give(name: str) -> object:
    return RESULTS[name]


async def fail() -> None:
    raise ValueError("Invalid input")


async def rest() -> None:
    await asyncio.sleep(3_600)


async def refuse() -> None:
    """Stop only when asked twice."""
    current_job().progress(1)
    try:
        await asyncio.sleep(3_600)
    except asyncio.CancelledError:
        await asyncio.sleep(3_600)


@router.post("/give/{name}", status_code=202)
async def submit_give(name: str, submit: SubmitJob) -> JobSubmitted:
    return await submit(give, name)


@router.post("/fail", status_code=202)
async def submit_fail(submit: SubmitJob) -> JobSubmitted:
    return await submit(fail)


@router.post("/rest", status_code=202)
async def submit_rest(submit: SubmitJob) -> JobSubmitted:
    return await submit(rest)


@router.post("/refuse", status_code=202)
async def submit_refuse(submit: SubmitJob) -> JobSubmitted:
    return await submit(refuse)


@router.get("/waiting")
async def count_waiting(request: Request) -> int:
    """How many requests wait for the end of a job."""
    return len(service_state(request.app).streams._waits)


def service(url: str | None = None) -> FastAPI:
    builder = ServiceBuilder(info=ServiceInfo(display_name="Acting"))
    return builder.with_jobs(url=url, shutdown_grace=0).include_router(router).build()


app = service()


async def submit(client: httpx.AsyncClient, path: str) -> str:
    return str((await client.post(path)).headers["location"])


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("model", '{"loss":0.5}'),
        ("dataclass", '{"x":1180591620717411303424}'),
        ("nothing", "null"),
        ("list", '[1,"\N{GRINNING FACE}",null]'),
        ("numbers", "[9007199254740993,1180591620717411303424,0.1,null,null]"),
        ("science", '{"mean":0.5,"best":3,"is_good":true,"rows":[[1,2],[3,4]],"losses":[0.25,null]}'),
        ("rows", '[{"model":{"loss":2.0},"points":[{"x":-18446744073709551616}]}]'),
    ],
)
async def test_a_result_is_given_as_json(connect: Connect, jobs_url: str, name: str, body: str) -> None:
    async with connect(service(jobs_url)) as client:
        job = await submit(client, f"/give/{name}")
        await client.get(f"{job}?wait=30")
        response = await client.get(f"{job}/$result")
        assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
        assert response.text.replace(": ", ":").replace(", ", ",") == body


async def test_where_there_is_no_result_the_answer_says_why(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        for path, sentence in [
            ("/fail", "has no result (status=failed): ValueError: Invalid input"),
            ("/give/object", "it cannot be written as JSON"),
        ]:
            job = await submit(client, path)
            await client.get(f"{job}?wait=30")
            response = await client.get(f"{job}/$result")
            assert response.status_code == 409
            assert sentence in response.json()["detail"]
        job = await submit(client, "/rest")
        response = await client.get(f"{job}/$result")
        assert response.status_code == 409
        assert "is not finished (status=" in response.json()["detail"]


async def test_a_canceled_job_keeps_its_record(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        job = await submit(client, "/rest")
        response = await client.post(f"{job}/$cancel")
        assert (response.status_code, response.json()["status"]) == (200, "canceled")
        assert (await client.post(f"{job}/$cancel")).json() == response.json()  # whoever asks again is told the same
        assert (await client.get(job)).json() == response.json() | {"arguments": {}}


@pytest.mark.usefixtures("_brief_waits")
async def test_what_does_not_stop_at_once_is_said_to_be_running(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        job = await submit(client, "/refuse")
        while (await client.get(f"{job}?wait=0.01")).json()["progress"] is None:
            pass
        response = await client.post(f"{job}/$cancel")
        assert (response.status_code, response.json()["status"]) == (202, "running")
        assert response.json()["cancel_requested_at"] is not None
        while (response := await client.post(f"{job}/$cancel")).status_code == 202:
            pass  # it stops now, if not within the brief wait
        assert (response.status_code, response.json()["status"]) == (200, "canceled")


async def test_what_has_ended_cannot_be_canceled(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        job = await submit(client, "/give/nothing")
        await client.get(f"{job}?wait=30")
        response = await client.post(f"{job}/$cancel")
        assert (response.status_code, response.json()) == (
            409,
            {"detail": "The job is completed and cannot be canceled"},
        )


@pytest.mark.parametrize(("method", "action"), [("POST", "$cancel"), ("GET", "$result")])
async def test_there_must_be_a_job(connect: Connect, method: str, action: str) -> None:
    async with connect(service("memory://")) as client:
        for job_id, status, detail in [
            ("nonsense", 400, "Invalid job ID format"),
            ("01JQRS7XK5N8Z3VQ2M4T6W8Y0A", 404, "Job not found"),
        ]:
            response = await client.request(method, f"{JOBS}/{job_id}/{action}")
            assert (response.status_code, response.json()) == (status, {"detail": detail})


async def test_whoever_waits_is_answered_at_the_end_or_when_the_time_is_up(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        job = await submit(client, "/rest")
        assert (await client.get(f"{job}?wait=0.01")).json()["finished_at"] is None
        waiting = asyncio.ensure_future(client.get(f"{job}?wait=60"))
        await asyncio.sleep(0)
        await client.post(f"{job}/$cancel")
        assert (await waiting).json()["status"] == "canceled"
        assert (await client.get(f"{job}?wait=60")).json()["status"] == "canceled"


@pytest.mark.parametrize("wait", ["-1", "61", "nan", "inf", "soon"])
async def test_a_time_to_wait_that_makes_no_sense_is_refused_by_name(connect: Connect, wait: str) -> None:
    async with connect(service("memory://")) as client:
        response = await client.get(f"{JOBS}/01JQRS7XK5N8Z3VQ2M4T6W8Y0A?wait={wait}")
        assert response.status_code == 422
        assert response.json()["detail"][0]["loc"] == ["query", "wait"]


def test_whoever_waits_does_not_hold_up_the_service_when_it_stops() -> None:
    with run_service("tests.api.test_acting:app") as running, ThreadPoolExecutor(1) as threads:
        job = f"{running.url}{httpx.post(f'{running.url}/rest').headers['location']}"
        waiting = threads.submit(httpx.get, f"{job}?wait=60", timeout=60)
        running.wait_log(r"POST /rest")
        while httpx.get(f"{running.url}/waiting").json() == 0:
            pass
        running.stop(signal.SIGTERM)
        assert waiting.result().status_code == 200
