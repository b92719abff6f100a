"""The routes to look at queues, pause and resume them."""

import asyncio
from collections.abc import Mapping
from urllib.parse import quote

import pytest
from fastapi import FastAPI
from openapi_spec_validator import validate

from servicekit.api import Jobs, JobSubmitted, ServiceBuilder, ServiceInfo, SubmitJob, install
from tests.api.conftest import Connect

QUEUES = "/api/v1/queues"


async def rest() -> None:
    await asyncio.sleep(3_600)


def service(url: str, queues: Mapping[str, int] | None = None) -> FastAPI:
    builder = ServiceBuilder(info=ServiceInfo(display_name="Queues"))
    app = builder.with_jobs(url=url, shutdown_grace=0, queues=queues or {}).build()

    @app.post("/rest/{queue}", status_code=202)
    async def submit_rest(queue: str, submit: SubmitJob) -> JobSubmitted:
        return await submit.with_options(queue=queue)(rest)

    return app


async def test_queues_are_listed_by_name(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url, queues={"gpu": 1})) as client:
        limited = {"name": "gpu", "is_paused": False, "pending": 0, "running": 0, "max_concurrency": 1}
        assert (await client.get(QUEUES)).json() == [limited]
        await client.post(f"{QUEUES}/batch/$pause")
        for queue in ("batch", "gpu", "gpu"):
            await client.post(f"/rest/{queue}")
        while (queues := (await client.get(QUEUES)).json())[-1]["running"] == 0:
            await asyncio.sleep(0)
        assert queues == [
            {"name": "batch", "is_paused": True, "pending": 1, "running": 0, "max_concurrency": None},
            {"name": "gpu", "is_paused": False, "pending": 1, "running": 1, "max_concurrency": 1},
        ]


async def test_a_paused_queue_starts_no_jobs_until_it_is_resumed(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        paused = {"name": "gpu", "is_paused": True, "pending": 0, "running": 0, "max_concurrency": None}
        for _ in range(2):
            response = await client.post(f"{QUEUES}/gpu/$pause")
            assert (response.status_code, response.json()) == (200, paused)
        held = (await client.post("/rest/gpu")).headers["location"]
        free = (await client.post("/rest/other")).headers["location"]
        while (await client.get(f"{free}?wait=0.01")).json()["status"] == "pending":
            pass
        assert (await client.get(held)).json()["status"] == "pending"
        response = await client.post(f"{QUEUES}/gpu/$resume")
        assert (response.status_code, response.json()["is_paused"]) == (200, False)
        while (await client.get(f"{held}?wait=0.01")).json()["status"] == "pending":
            pass


async def test_a_queue_that_is_not_there_may_be_resumed(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        nothing = {"name": "gpu", "is_paused": False, "pending": 0, "running": 0, "max_concurrency": None}
        assert (await client.post(f"{QUEUES}/gpu/$resume")).json() == nothing
        assert (await client.get(QUEUES)).json() == []


@pytest.mark.parametrize("name", ["a/b", "a b", "ä", "$pause", "a?b#c", "a%2Fb", "x" * 200])
async def test_every_name_of_a_queue_has_its_path(connect: Connect, name: str) -> None:
    async with connect(service("memory://")) as client:
        for action, is_paused in [("$pause", True), ("$resume", False)]:
            response = await client.post(f"{QUEUES}/{quote(name, safe='')}/{action}")
            assert (response.status_code, response.json()["name"]) == (200, name)
            assert response.json()["is_paused"] is is_paused


@pytest.mark.parametrize("name", ["x" * 201, "a\0b", "\x7f"])
@pytest.mark.parametrize("action", ["$pause", "$resume"])
async def test_what_cannot_be_a_name_is_refused(connect: Connect, name: str, action: str) -> None:
    async with connect(service("memory://")) as client:
        response = await client.post(f"{QUEUES}/{quote(name, safe='')}/{action}")
        assert response.status_code == 422
        (detail,) = response.json()["detail"]
        assert detail["loc"] == ["path", "name"]
        assert "1 to 200 characters" in detail["msg"]


async def test_a_name_that_an_address_would_shorten_is_refused(connect: Connect) -> None:
    async with connect(service("memory://")) as client:
        response = await client.post(f"{QUEUES}/{quote('a/../b', safe='')}/$pause")
        assert response.status_code == 422
        assert "part of an address" in response.json()["detail"][0]["msg"]


async def test_the_routes_are_beside_those_of_the_jobs(connect: Connect) -> None:
    app = FastAPI()
    install(app, Jobs("memory://", prefix="/v2/jobs"))
    async with connect(app) as client:
        assert (await client.get("/v2/queues")).json() == []
        document = (await client.get("/openapi.json")).json()
    validate(document)
    assert {"/v2/queues", "/v2/queues/{name}/$pause", "/v2/queues/{name}/$resume"} <= document["paths"].keys()
    operation = document["paths"]["/v2/queues/{name}/$pause"]["post"]
    assert operation["summary"]
    assert operation["description"]
    assert {"200", "422", "503"} <= operation["responses"].keys()
