"""Submitting from an endpoint with options, and submitting the same again."""

from typing import Any

import pytest
from fastapi import FastAPI
from openapi_spec_validator import validate

from servicekit import job_options
from servicekit.api import JobSubmitted, ServiceBuilder, ServiceInfo, SubmitJob
from tests.api.conftest import Connect

JOBS = "/api/v1/jobs"


@job_options(name="from the decorator", tags=["decorated"])
async def target(number: int) -> None:
    """Do nothing."""


async def another(number: int) -> None:
    """Do nothing either."""


def service(url: str) -> FastAPI:
    app = ServiceBuilder(info=ServiceInfo(display_name="Test")).with_jobs(url=url, shutdown_grace=0).build()

    @app.post("/target", status_code=202)
    async def submit_target(number: int, submit: SubmitJob) -> JobSubmitted:
        return await submit(target, number)

    @app.post("/another", status_code=202)
    async def submit_another(number: int, submit: SubmitJob) -> JobSubmitted:
        return await submit(another, number)

    @app.post("/options", status_code=202)
    async def submit_with_options(options: dict[str, Any], submit: SubmitJob) -> JobSubmitted:
        return await submit.with_options(**options)(target, 1)

    @app.post("/chained", status_code=202)
    async def submit_chained(submit: SubmitJob) -> JobSubmitted:
        return await submit.with_options(name="first", tags=["kept"]).with_options(name="second")(target, 1)

    return app


async def test_the_same_request_with_the_same_key_is_the_same_job(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        first, second = [await client.post("/target?number=1", headers={"Idempotency-Key": "k"}) for _ in range(2)]
        assert (first.status_code, second.status_code) == (202, 202)
        assert first.json() == second.json()
        assert first.headers["location"] == second.headers["location"]
        for headers in ({}, {"Idempotency-Key": "other"}):
            assert (await client.post("/target?number=1", headers=headers)).json() != first.json()
        assert len((await client.get(JOBS)).json()) == 3


@pytest.mark.parametrize("path", ["/target?number=2", "/another?number=1"])
async def test_a_key_that_was_used_for_something_else_is_a_conflict(connect: Connect, jobs_url: str, path: str) -> None:
    async with connect(service(jobs_url)) as client:
        headers = {"Idempotency-Key": "k"}
        job_id = (await client.post("/target?number=1", headers=headers)).json()["job_id"]
        response = await client.post(path, headers=headers)
        assert response.status_code == 409
        sentence = f"Idempotency key 'k' was used for job {job_id}, with another target or other arguments."
        assert response.json() == {"detail": sentence}
        await client.delete(f"{JOBS}/{job_id}")
        assert (await client.post(path, headers=headers)).status_code == 202


@pytest.mark.parametrize("key", [b"", b"x" * 201, b"a\tb", b"a\xa0b", b"\x85"])
async def test_a_key_that_makes_no_sense_is_refused_by_name(connect: Connect, key: bytes) -> None:
    async with connect(service("memory://")) as client:
        response = await client.post("/target?number=1", headers={b"Idempotency-Key": key})
        assert response.status_code == 422
        (detail,) = response.json()["detail"]
        assert detail["loc"] == ["header", "Idempotency-Key"]
        assert "1 to 200 printable characters" in detail["msg"]
        assert (await client.get(JOBS)).json() == []


async def test_an_endpoint_sets_options(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        for path, body, name, tags in [
            ("/target?number=1", None, "from the decorator", ["decorated"]),
            ("/options", {"name": "own", "tags": ["b", "a"], "max_restarts": 0}, "own", ["a", "b"]),
            ("/chained", None, "second", ["kept"]),
        ]:
            location = (await client.post(path, json=body)).headers["location"]
            record = (await client.get(location)).json()
            assert (record["name"], record["tags"]) == (name, tags)


async def test_an_option_goes_before_the_header(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:

        async def submit(key: str, **options: Any) -> Any:
            response = await client.post("/options", json=options, headers={"Idempotency-Key": key})
            return response.json()["job_id"]

        first = await submit("one", idempotency_key="explicit")
        assert await submit("two", idempotency_key="explicit") == first
        assert await submit("explicit") == first
        assert await submit("explicit", idempotency_key=None) != first


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"name": "x" * 201}, "name"),
        ({"tags": "a"}, "tags"),
        ({"tags": [1]}, "tags"),
        ({"max_restarts": -1}, "max_restarts"),
        ({"idempotency_key": "\n"}, "idempotency_key"),
    ],
)
async def test_options_that_make_no_sense_are_the_clients_mistake(
    connect: Connect, options: dict[str, Any], field: str
) -> None:
    async with connect(service("memory://")) as client:
        response = await client.post("/options", json=options)
        assert response.status_code == 422
        (detail,) = response.json()["detail"]
        assert detail["loc"] == ["options", field]
        assert field in detail["msg"]


async def test_openapi_tells_of_the_key(connect: Connect) -> None:
    async with connect(service("memory://")) as client:
        document = (await client.get("/openapi.json")).json()
    validate(document)
    parameters = document["paths"]["/target"]["post"]["parameters"]
    (key,) = [parameter for parameter in parameters if parameter["in"] == "header"]
    assert (key["name"], key["required"]) == ("Idempotency-Key", False)
    assert key["description"]
