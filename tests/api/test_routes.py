"""The routes as the guide says, over the application's interface."""

import asyncio
import json
import re
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from openapi_spec_validator import validate

from servicekit import InMemoryScheduler, Retention
from servicekit.api import JobSubmitted, ServiceBuilder, ServiceInfo, SubmitJob, get_scheduler
from tests.api.conftest import Connect
from tests.fakes import Gate, noop

UNKNOWN = "01JQRS7XK5N8Z3VQ2M4T6W8Y0A"
JOBS = "/api/v1/jobs"


async def fail(text: str) -> None:
    raise ValueError(text)


def service(**options: Any) -> FastAPI:
    builder = ServiceBuilder(info=ServiceInfo(display_name="Test")).with_jobs(shutdown_grace=0, **options)
    app = builder.build()
    gate = app.state.gate = Gate()

    @app.post("/hold", status_code=202)
    async def submit_hold(submit: SubmitJob) -> JobSubmitted:
        submitted = await submit(gate.enter)
        return submitted.with_message("Job submitted. Holding...")

    @app.post("/noop", status_code=202)
    async def submit_noop(submit: SubmitJob) -> JobSubmitted:
        return await submit(noop)

    @app.post("/fail", status_code=202)
    async def submit_fail(text: str, submit: SubmitJob) -> JobSubmitted:
        return await submit(fail, text)

    return app


async def submit(client: httpx.AsyncClient, path: str) -> str:
    response = await client.post(path)
    assert response.status_code == 202
    return str(response.json()["job_id"])


async def ended(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    while True:
        record = dict((await client.get(f"{JOBS}/{job_id}")).json())
        if record["finished_at"] is not None:
            return record
        await asyncio.sleep(0)


async def test_a_submission_says_where_to_look(connect: Connect) -> None:
    async with connect(service()) as client:
        response = await client.post("/hold")
        job_id = response.json()["job_id"]
        assert response.status_code == 202
        assert re.fullmatch("[0-9A-HJKMNP-TV-Z]{26}", job_id)
        assert response.headers["location"] == f"{JOBS}/{job_id}"
        assert response.json() == {
            "job_id": job_id,
            "message": "Job submitted. Holding...",
            "stream_url": f"{JOBS}/{job_id}/$stream",
        }


async def test_a_record_has_the_guides_fields(connect: Connect) -> None:
    async with connect(service()) as client:
        record = await ended(client, await submit(client, "/fail?text=Invalid input"))
        time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"
        assert all(re.fullmatch(time, record[name]) for name in ("submitted_at", "started_at", "finished_at"))
        assert record["status"] == "failed"
        assert record["error"] == "ValueError: Invalid input"
        assert record["error_traceback"].startswith("Traceback (most recent call last):\n")
        assert record["artifact_id"] is None


async def test_a_list_is_newest_first_and_without_tracebacks_and_past_attempts(connect: Connect) -> None:
    async with connect(service()) as client:
        ids = [await submit(client, "/fail?text=x") for _ in range(3)]
        for job_id in ids:
            await ended(client, job_id)
        response = await client.get(JOBS)
        assert response.status_code == 200
        assert [record["id"] for record in response.json()] == ids[::-1]
        single = (await client.get(f"{JOBS}/{ids[-1]}")).json()
        for name in ("error_traceback", "attempts", "restart_problem", "arguments", "pending_reason", "runner"):
            del single[name]
        assert response.json()[0] == single
        assert "link" not in response.headers


async def test_a_list_is_filtered_by_status(connect: Connect) -> None:
    app = service()
    async with connect(app) as client:
        failed = await submit(client, "/fail?text=x")
        await ended(client, failed)
        held = await submit(client, "/hold")
        await app.state.gate.wait_entered(1)
        for status, expected in {"failed": [failed], "running": [held], "completed": []}.items():
            listed = (await client.get(JOBS, params={"status_filter": status})).json()
            assert [record["id"] for record in listed] == expected


async def test_a_list_is_paged_by_its_links(connect: Connect) -> None:
    async with connect(service()) as client:
        ids = [await submit(client, "/noop") for _ in range(7)]
        await ended(client, ids[-1])
        url: str | None = f"{JOBS}?limit=3&status_filter=completed"
        pages = []
        while url is not None:
            response = await client.get(url)
            pages.append([record["id"] for record in response.json()])
            link = re.fullmatch('<(.*)>; rel="next"', response.headers.get("link", ""))
            url = link[1] if link else None
        assert pages == [ids[:3:-1], ids[3:0:-1], ids[:1]]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status_filter=done", "status_filter"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
    ],
)
async def test_a_list_that_makes_no_sense_is_refused_by_name(connect: Connect, query: str, field: str) -> None:
    async with connect(service()) as client:
        response = await client.get(f"{JOBS}?{query}")
        assert response.status_code == 422
        assert response.json()["detail"][0]["loc"][:2] == ["query", field]


@pytest.mark.parametrize("odd", ["01JQRS7X...", "x", "8ZZZZZZZZZZZZZZZZZZZZZZZZZ", "%00", "%F0%9F%98%80", "a" * 5_000])
@pytest.mark.parametrize(("method", "suffix"), [("GET", ""), ("DELETE", ""), ("GET", "/$stream"), ("HEAD", "/$stream")])
async def test_what_is_no_id_is_400_on_every_route(connect: Connect, odd: str, method: str, suffix: str) -> None:
    async with connect(service()) as client:
        response = await client.request(method, f"{JOBS}/{odd}{suffix}")
        assert response.status_code == 400
        if method != "HEAD":
            assert response.json() == {"detail": "Invalid job ID format"}


async def test_a_cursor_that_is_no_id_is_400(connect: Connect) -> None:
    async with connect(service()) as client:
        response = await client.get(f"{JOBS}?cursor=x")
        assert (response.status_code, response.json()) == (400, {"detail": "Invalid job ID format"})


@pytest.mark.parametrize(("method", "suffix"), [("GET", ""), ("DELETE", ""), ("GET", "/$stream")])
async def test_what_is_not_there_is_404_on_every_route(connect: Connect, method: str, suffix: str) -> None:
    async with connect(service()) as client:
        response = await client.request(method, f"{JOBS}/{UNKNOWN}{suffix}")
        assert (response.status_code, response.json()) == (404, {"detail": "Job not found"})


async def test_an_id_is_read_in_either_case(connect: Connect) -> None:
    async with connect(service()) as client:
        job_id = await submit(client, "/noop")
        assert (await client.get(f"{JOBS}/{job_id.lower()}")).json()["id"] == job_id


async def test_a_deleted_job_is_gone(connect: Connect) -> None:
    app = service()
    async with connect(app) as client:
        job_id = await submit(client, "/hold")
        await app.state.gate.wait_entered(1)
        response = await client.delete(f"{JOBS}/{job_id}")
        assert (response.status_code, response.content) == (204, b"")
        assert (await client.get(f"{JOBS}/{job_id}")).status_code == 404
        assert (await client.delete(f"{JOBS}/{job_id}")).status_code == 404
        assert (await client.get(JOBS)).json() == []
        while app.state.gate.inside:
            await asyncio.sleep(0)


async def test_jobs_are_not_submitted_directly(connect: Connect) -> None:
    async with connect(service()) as client:
        assert (await client.post(JOBS)).status_code == 405


async def test_tracebacks_can_be_kept_inside(connect: Connect) -> None:
    async with connect(service(expose_tracebacks=False)) as client:
        job_id = await submit(client, "/fail?text=secret")
        record = await ended(client, job_id)
        assert record["error"] == "ValueError: secret"
        assert record["error_traceback"] is None
        stream = (await client.get(f"{JOBS}/{job_id}/$stream")).text
        assert '"error_traceback":null' in stream
        assert "Traceback" not in stream


async def test_odd_error_texts_do_not_break_any_answer(connect: Connect) -> None:
    async with connect(service()) as client:
        job_id = await submit(client, "/fail?text=%0A%0D%00%22%5C%E2%80%A8data:%20x%C2%85%E2%80%A9%0A%0A")
        record = await ended(client, job_id)
        assert record["error"] == 'ValueError: \n\r\\x00"\\\u2028data: x\x85\u2029\n\n'
        assert (await client.get(JOBS)).json()[0]["error"] == record["error"]
        events = (await client.get(f"{JOBS}/{job_id}/$stream")).text
        (data,) = [line for line in events.splitlines() if line.startswith("data: ")]
        assert json.loads(data[6:]) | {"arguments": record["arguments"]} == record


async def test_a_path_before_the_service_is_in_every_address(connect: Connect) -> None:
    inner, outer = service(), FastAPI()
    outer.mount("/inner", inner)
    async with connect(inner), connect(outer) as client:
        response = await client.post("/inner/noop")
        location = response.headers["location"]
        assert location.startswith("/inner/api/v1/jobs/")
        assert response.json()["stream_url"] == f"{location}/$stream"
        assert (await client.get(location)).status_code == 200
        await client.post("/inner/noop")
        link = (await client.get("/inner/api/v1/jobs?limit=1")).headers["link"]
        assert link.startswith("</inner/api/v1/jobs?limit=1&cursor=")


async def test_tests_can_bring_a_scheduler_of_their_own(connect: Connect) -> None:
    app = service()
    async with InMemoryScheduler(retention=Retention(max_count=1)) as scheduler:
        app.dependency_overrides[get_scheduler] = lambda: scheduler
        async with connect(app) as client:
            job_id = await submit(client, "/noop")
            await scheduler.wait(job_id)
            assert (await client.get(f"{JOBS}/{job_id}")).json()["status"] == "completed"
            assert [record["id"] for record in (await client.get(JOBS)).json()] == [job_id]
            assert '"completed"' in (await client.get(f"{JOBS}/{job_id}/$stream")).text


async def test_openapi_tells_every_answer(connect: Connect) -> None:
    async with connect(service()) as client:
        document = (await client.get("/openapi.json")).json()
    validate(document)
    paths = {path: item for path, item in document["paths"].items() if path.startswith(JOBS)}
    answers = {
        f"{method} {path.removeprefix(JOBS)}": sorted(operation["responses"])
        for path, item in paths.items()
        for method, operation in item.items()
    }
    assert answers == {
        "get ": ["200", "400", "422", "503"],
        "get /$stats": ["200", "400", "422", "503"],
        "get /$stream": ["200", "400", "422"],
        "get /$activity": ["200", "422", "503"],
        "get /$calls": ["200", "400", "422", "503"],
        "get /$suggestions": ["200", "422", "503"],
        "post /$cancel": ["200", "400", "403", "422", "503"],
        "post /$retry": ["200", "400", "403", "422", "503"],
        "post /$delete": ["200", "400", "403", "422", "503"],
        "get /{job_id}": ["200", "400", "404", "422", "503"],
        "get /{job_id}/$stream": ["200", "204", "400", "404", "422"],
        "get /{job_id}/$result": ["200", "400", "404", "409", "422", "503"],
        "get /{job_id}/$logs": ["200", "400", "404", "422", "503"],
        "post /{job_id}/$cancel": ["200", "202", "400", "403", "404", "409", "422", "503"],
        "post /{job_id}/$retry": ["202", "400", "403", "404", "409", "422", "429", "503"],
        "delete /{job_id}": ["204", "400", "403", "404", "422", "503"],
    }
    operations = [operation for item in paths.values() for operation in item.values()]
    assert all(operation["summary"] and operation["description"] for operation in operations)
    for path in (f"{JOBS}/$stream", f"{JOBS}/{{job_id}}/$stream"):
        assert list(paths[path]["get"]["responses"]["200"]["content"]) == ["text/event-stream"]
    assert "JobRecord" in document["components"]["schemas"]
    properties = document["components"]["schemas"]["JobRecord"]["properties"]
    assert all("description" in about for about in properties.values())


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/v1/jobs/01JQRS7XK5N8Z3VQ2M4T6W8Y0A", {"GET", "DELETE"}),
        ("/api/v1/jobs/01JQRS7XK5N8Z3VQ2M4T6W8Y0A/$cancel", {"POST"}),
        ("/api/v1/jobs/01JQRS7XK5N8Z3VQ2M4T6W8Y0A/$stream", {"GET", "HEAD"}),
        ("/api/v1/jobs", {"GET"}),
        ("/api/v1/schedules/nightly", {"GET", "DELETE"}),
        ("/api/v1/queues/gpu/$pause", {"POST"}),
    ],
)
async def test_a_method_that_is_not_allowed_is_told_which_are(connect: Connect, path: str, allowed: set[str]) -> None:
    async with connect(service()) as client:
        response = await client.patch(path)
        assert (response.status_code, response.json()) == (405, {"detail": "Method Not Allowed"})
        assert set(response.headers["allow"].split(", ")) == allowed
