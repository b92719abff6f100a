"""Submitting from an endpoint with options, submitting the same again, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from openapi_spec_validator import validate
from pydantic import BaseModel

from servicekit import ConfigurationError, job_options
from servicekit.api import JobSubmitted, SchedulerDependency, ServiceBuilder, ServiceInfo, SubmitJob
from tests.api.conftest import Connect

JOBS = "/api/v1/jobs"


NO_JSON: dict[str, dict[str, Any]] = {
    "metadata": {"metadata": {"number": object()}},
    "retry": {"retry": object()},
    "delay": {"delay": float("nan")},
    "name": {"name": "\ud800"},
    "queue": {"queue": b"\xff"},
}


@job_options(name="from the decorator", tags=["decorated"])
async def target(number: int) -> None:
    """Do nothing."""


async def another(number: int) -> None:
    """Do nothing either."""


class Row(BaseModel):
    id: int


async def read(rows: dict[str, list[int]], row: Row | None = None) -> None:
    """Do nothing as well."""


def service(url: str, max_pending: int | None = None) -> FastAPI:
    builder = ServiceBuilder(info=ServiceInfo(display_name="Test"))
    app = builder.with_jobs(url=url, shutdown_grace=0, max_pending=max_pending).build()

    @app.post("/target", status_code=202)
    async def submit_target(number: int, submit: SubmitJob) -> JobSubmitted:
        return await submit(target, number)

    @app.post("/another", status_code=202)
    async def submit_another(number: int, submit: SubmitJob) -> JobSubmitted:
        return await submit(another, number)

    @app.post("/options", status_code=202)
    async def submit_with_options(options: dict[str, Any], submit: SubmitJob) -> JobSubmitted:
        return await submit.with_options(**options)(target, 1)

    @app.post("/own-options", status_code=202)
    async def submit_with_own_options(which: str, submit: SubmitJob) -> JobSubmitted:
        return await submit.with_options(**NO_JSON[which])(target, 1)

    @app.post("/any", status_code=202)
    async def submit_any(kwargs: dict[str, Any], submit: SubmitJob) -> JobSubmitted:
        return await submit.with_options(tags=["any"])(read, **kwargs)

    @app.post("/direct", status_code=202)
    async def add_directly(kwargs: dict[str, Any], scheduler: SchedulerDependency) -> str:
        return await scheduler.add_job(read, **kwargs)

    @app.post("/chained", status_code=202)
    async def submit_chained(submit: SubmitJob) -> JobSubmitted:
        return await submit.with_options(name="first", tags=["kept"]).with_options(name="second")(target, 1)

    return app


async def test_the_location_is_one_and_that_of_the_job_that_the_answer_names(connect: Connect, jobs_url: str) -> None:
    app = service(jobs_url)

    @app.post("/two", status_code=202)
    async def submit_two(submit: SubmitJob, response: Response) -> JobSubmitted:
        response.headers["Location"] = "/elsewhere"
        await submit(another, 1)
        return await submit(target, 1)

    async with connect(app) as client:
        response = await client.post("/two")
        assert response.headers.get_list("location") == [f"{JOBS}/{response.json()['job_id']}"]


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


@pytest.mark.parametrize("key", [b"", b"x" * 201, b"a\tb", b"\x85"])
async def test_a_key_that_makes_no_sense_is_refused_by_name(connect: Connect, key: bytes) -> None:
    async with connect(service("memory://")) as client:
        response = await client.post("/target?number=1", headers={b"Idempotency-Key": key})
        assert response.status_code == 422
        (detail,) = response.json()["detail"]
        assert detail["loc"] == ["header", "Idempotency-Key"]
        assert "1 to 200 characters" in detail["msg"]
        assert (await client.get(JOBS)).json() == []


@pytest.mark.parametrize("key", ["東京\u3000支店".encode(), b"n\xa05", "n\u00a05".encode()])
async def test_a_key_may_be_in_any_language(connect: Connect, jobs_url: str, key: bytes) -> None:
    async with connect(service(jobs_url)) as client:
        headers = {b"Idempotency-Key": key}
        first = await client.post("/target?number=1", headers=headers)
        assert first.status_code == 202
        assert (await client.post("/target?number=1", headers=headers)).json() == first.json()


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


async def test_an_option_that_does_not_exist_is_the_endpoints_mistake(connect: Connect) -> None:
    async with connect(service("memory://")) as client:
        with pytest.raises(ConfigurationError, match="There is no option 'run_timout'"):
            await client.post("/options", json={"run_timout": 3})


@pytest.mark.parametrize("option", NO_JSON)
async def test_an_option_that_no_json_can_show_is_refused_all_the_same(connect: Connect, option: str) -> None:
    async with connect(service("memory://")) as client:
        response = await client.post("/own-options", params={"which": option})
        assert response.status_code == 422
        assert response.json()["detail"][0]["loc"] == ["options", option]


@pytest.mark.parametrize(
    ("arguments", "location", "text"),
    [
        ({}, ["arguments", "rows"], "it is missing"),
        ({"rows": {}, "speed": 1}, ["arguments", "speed"], "the target takes none of this name"),
        ({"rows": "x"}, ["arguments", "rows"], "Input should be a valid dictionary, not str"),
        ({"rows": {"a": [1, "2"]}}, ["arguments", "rows.a.1"], "Input should be a valid integer, not str"),
        ({"rows": {}, "row": {"id": 1}}, ["arguments", "row"], "Input should be an instance of Row, not dict"),
    ],
)
async def test_arguments_that_do_not_fit_are_refused_by_name(
    connect: Connect, jobs_url: str, arguments: dict[str, Any], location: list[str], text: str
) -> None:
    async with connect(service(jobs_url)) as client:
        response = await client.post("/any", json=arguments)
        assert response.status_code == 422
        (detail,) = response.json()["detail"]
        sentence = f"Invalid argument {location[1]!r} of read: {text}"
        assert detail == {"type": "value_error", "loc": location, "msg": sentence}
        response = await client.post("/direct", json=arguments)
        assert (response.status_code, response.json()) == (422, {"detail": sentence})
        assert (await client.get(JOBS)).json() == []


async def test_a_full_queue_takes_no_more_until_there_is_room(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url, max_pending=1)) as client:
        await client.post("/api/v1/queues/default/$pause")
        job = (await client.post("/target?number=1")).headers["location"]
        response = await client.post("/target?number=2")
        assert (response.status_code, response.headers["retry-after"]) == (429, "5")
        sentence = "The queue 'default' is full: 1 jobs wait in it. Try again later."
        assert response.json() == {"detail": sentence}
        assert (await client.post("/options", json={"queue": "another"})).status_code == 202
        await client.delete(job)
        assert (await client.post("/target?number=2")).status_code == 202


async def test_an_accepted_job_is_answered_with_where_it_is_and_nothing_else(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        response = await client.post("/target?number=1")
        job_id = response.json()["job_id"]
        assert (response.status_code, response.headers["location"]) == (202, f"{JOBS}/{job_id}")
        assert response.json() == {
            "job_id": job_id,
            "message": "Job submitted. Stream real-time status...",
            "stream_url": f"{JOBS}/{job_id}/$stream",
        }
        assert "preference-applied" not in response.headers


async def test_openapi_tells_of_the_headers_and_of_a_full_queue(connect: Connect) -> None:
    async with connect(service("memory://")) as client:
        document = (await client.get("/openapi.json")).json()
        assert (await client.get("/openapi.json")).json() == document
    validate(document)
    operation = document["paths"]["/target"]["post"]
    headers = [parameter for parameter in operation["parameters"] if parameter["in"] == "header"]
    assert [(header["name"], header["required"]) for header in headers] == [
        ("Idempotency-Key", False),
        ("Prefer", False),
    ]
    assert all(header["description"] for header in headers)
    # The page at /docs fills in an example: the second request from there would be answered with the job of the first.
    assert "example" not in headers[0]
    assert {"200", "202", "403", "409", "422", "429", "503"} == operation["responses"].keys()
    assert "parameters" not in document["paths"]["/direct"]["post"]
    retry = document["paths"][f"{JOBS}/{{job_id}}/$retry"]["post"]
    assert [parameter["name"] for parameter in retry["parameters"]] == ["job_id"]
    assert set(document["components"]["schemas"]["JobSubmitted"]["required"]) == {"job_id", "message", "stream_url"}


async def echo(value: object) -> object:
    return value


async def test_no_value_of_a_client_breaks_a_service_that_leaves_its_jobs_to_others(
    connect: Connect, tmp_path: Path
) -> None:
    builder = ServiceBuilder(info=ServiceInfo(display_name="Test"))
    app = builder.with_jobs(url=f"sqlite:///{tmp_path}/jobs.db", run_jobs=False, shutdown_grace=0).build()

    @app.post("/echo")
    async def submit_echo(request: Request, scheduler: SchedulerDependency) -> str:
        return await scheduler.add_job(echo, json.loads(await request.body()))

    deep, deepest = f"{'[' * 150}NaN{']' * 150}", f"{'[' * 900}{']' * 900}"
    async with connect(app) as client:
        for body in ("NaN", "1e999", '{"$set": [NaN]}'):
            assert (await client.post("/echo", content=body)).status_code == 200
        response = await client.post("/echo", content=deep)
        assert response.status_code == 422
        assert "it contains itself, or is nested too deeply" in response.json()["detail"]
        assert (await client.post("/echo", content=deepest)).status_code in (200, 422)
