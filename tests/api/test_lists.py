"""Finding jobs among many: the filters of the list, and the counts."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from servicekit import Retention
from servicekit.api import JobSubmitted, SchedulerDependency, ServiceBuilder, ServiceInfo, SubmitJob
from servicekit.api.state import service_state
from servicekit.engine.clock import SystemClock
from servicekit.engine.parts import SchedulerParts
from servicekit.engine.scheduler import Scheduler
from servicekit.events.hub import EventHub
from servicekit.jobs.ids import parse_job_id
from servicekit.stores.memory import MemoryStore
from servicekit.testing.stores.fakes import submission
from tests.api.broken_store import break_store
from tests.api.conftest import Connect
from tests.fakes import Gate, noop

JOBS = "/api/v1/jobs"


async def fail(text: str) -> None:
    raise ValueError(text)


def service(url: str) -> FastAPI:
    app = ServiceBuilder(info=ServiceInfo(display_name="Test")).with_jobs(url=url, shutdown_grace=0).build()
    gate = app.state.gate = Gate()

    @app.post("/noop", status_code=202)
    async def submit_noop(
        submit: SubmitJob,
        name: str | None = None,
        tag: str = "some",
        owner: str | None = None,
        queue: str = "default",
        text: str | None = None,
    ) -> JobSubmitted:
        with_options = submit.with_options(
            name=name, tags=[tag], metadata={"a": "b:c", "d": "&"}, owner=owner, queue=queue
        )
        return await (with_options(noop) if text is None else with_options(fail, text))

    @app.post("/about", status_code=202)
    async def submit_about(about: dict[str, Any], submit: SubmitJob) -> JobSubmitted:
        return await submit.with_options(metadata=about)(noop)

    @app.post("/hold", status_code=202)
    async def submit_hold(submit: SubmitJob) -> JobSubmitted:
        return await submit(gate.enter)

    @app.post("/fail", status_code=202)
    async def submit_fail(text: str, submit: SubmitJob) -> JobSubmitted:
        return await submit(fail, text)

    @app.post("/wait/{job_id}")
    async def wait(job_id: str, scheduler: SchedulerDependency) -> None:
        await scheduler.wait(job_id)

    return app


async def submit(client: httpx.AsyncClient, path: str, *, is_awaited: bool = True, **params: str) -> str:
    response = await client.post(path, params=params)
    assert response.status_code == 202
    job_id = str(response.json()["job_id"])
    if is_awaited:
        await client.post(f"/wait/{job_id}")
    return job_id


async def listed(client: httpx.AsyncClient, params: Any) -> list[str]:
    """The ids on all pages."""
    ids: list[str] = []
    url = str(httpx.URL(JOBS, params=params))
    while url:
        response = await client.get(url)
        assert response.status_code == 200
        ids += [record["id"] for record in response.json()]
        link = re.fullmatch('<(.*)>; rel="next"', response.headers.get("link", ""))
        url = link[1] if link else ""
    return ids


async def test_a_list_is_filtered_by_everything_that_is_asked_for(connect: Connect, jobs_url: str) -> None:
    app = service(jobs_url)
    async with connect(app) as client:
        nightly = await submit(client, "/noop", name="train model", tag="nightly", owner="ana@example", queue="slow")
        plain = await submit(client, "/noop")
        failed = await submit(client, "/fail", text="No SPACE left & so on")
        held = await submit(client, "/hold", is_awaited=False)
        await app.state.gate.wait_entered(1)
        cases: list[tuple[dict[str, Any], list[str]]] = [
            ({"status_filter": ["failed", "completed"]}, [failed, plain, nightly]),
            ({"status_filter": ["running", "running"]}, [held]),
            ({"name": "train model"}, [nightly]),
            ({"tag": "nightly"}, [nightly]),
            ({"owner": "ana@example"}, [nightly]),
            ({"owner": "ana@example", "tag": "nightly", "status_filter": ["completed", "failed"]}, [nightly]),
            ({"owner": "ana@example", "status_filter": "running"}, []),
            ({"owner": "ben"}, []),
            ({"search": "space LEFT &"}, [failed]),
            ({"search": "noop", "status_filter": "completed"}, [plain]),
            ({"name": "noop", "tag": "nightly"}, []),
            ({"error": "space LEFT &"}, [failed]),
            ({"error": "noop"}, []),
            ({"queue": "slow"}, [nightly]),
            ({"queue": "default", "status_filter": "completed"}, [plain]),
        ]
        for params, expected in cases:
            for limit in ("1", "100"):
                assert await listed(client, {**params, "limit": limit}) == expected


async def test_jobs_are_found_by_their_metadata(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        about = {"customer": "c 17: süd", "order": 4, "paid": False}
        for values in (about, {"customer": "c-18"}):
            assert (await client.post("/about", json=values)).status_code == 202
        (record,) = (await client.get(JOBS, params={"metadata": "customer:c 17: süd"})).json()
        assert record["metadata"] == about
        assert (await client.get(f"{JOBS}/{record['id']}")).json()["metadata"] == about
        both = {"metadata": ["paid:false", "order:4"]}
        assert await listed(client, both) == [record["id"]]
        assert await listed(client, {"metadata": ["paid:false", "order:5"]}) == []
        assert (await client.get(f"{JOBS}/$stats", params=both)).json()["total"] == 1
        assert (await client.get(f"{JOBS}/$stats")).json()["total"] == 2


async def test_metadata_that_cannot_be_looked_for_is_a_422(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        for query in (
            "metadata=a",
            "metadata=:b",
            "metadata=a:1&metadata=a:2",
            "metadata=a:%00",
            "metadata=a:" + "x" * 201,
        ):
            for path in (JOBS, f"{JOBS}/$stats", f"{JOBS}/$stream"):
                assert (await client.get(f"{path}?{query}")).status_code == 422, query
        assert (await client.post("/about", json={"a:b": 1})).status_code == 422
        assert (await client.get(f"{JOBS}/$stats", params={"parent": "no id"})).status_code == 400


async def test_a_list_is_filtered_by_time(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        job_id = await submit(client, "/noop")
        now = datetime.now(UTC)
        past, future = now - timedelta(hours=1), now + timedelta(hours=1)
        for after, before, expected in [
            (past, future, [job_id]),
            (past.astimezone(), future.astimezone(), [job_id]),
            (future, None, []),
            (None, past, []),
            (future, past, []),
            (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), [job_id]),
        ]:
            times = {"submitted_after": after, "submitted_before": before}
            params = {name: moment.isoformat() for name, moment in times.items() if moment}
            assert await listed(client, params) == expected


async def test_a_link_keeps_everything_that_was_asked_for(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        for _ in range(2):
            await submit(client, "/noop", name="ä & b", tag="c=d", owner="ana & co", text="an ä & so")
        asked: list[tuple[str, Any]] = [
            ("status_filter", "completed"),
            ("status_filter", "failed"),
            ("name", "ä & b"),
            ("tag", "c=d"),
            ("owner", "ana & co"),
            ("metadata", "a:b:c"),
            ("metadata", "d:&"),
            ("search", "ä &"),
            ("queue", "default"),
            ("error", "ä &"),
            ("submitted_after", "2020-01-01T12:00:00+02:00"),
            ("submitted_before", "2100-01-01T00:00:00+00:00"),
            ("limit", "1"),
        ]
        response = await client.get(JOBS, params=httpx.QueryParams(asked))
        (record,) = response.json()
        link = re.fullmatch('<(.*)>; rel="next"', response.headers["link"])
        assert link
        query = httpx.URL(link[1]).params.multi_items()
        assert sorted(query) == sorted([*asked, ("cursor", record["id"])])


async def test_a_page_that_was_cut_short_leads_on(connect: Connect) -> None:
    app = service("memory://")
    hub = EventHub()
    store = MemoryStore(hub, SystemClock(), Retention(), scan_limit=3)
    service_state(app).scheduler = scheduler = Scheduler(
        SchedulerParts(store=store, hub=hub, runners={}, clock=SystemClock())
    )
    ids = [parse_job_id(f"01JQRS7XK5N8Z3VQ2M4T6W8Y0{letter}") for letter in "ABCDEFGH"]
    async with connect(app) as client:
        scheduler._worker.set_max_concurrency(0)
        for job_id in ids:
            await store.submissions.insert(submission(job_id))
        first = await client.get(JOBS, params={"search": "nothing like that"})
        assert first.json() == []
        assert "link" in first.headers
        assert await listed(client, {"search": "nothing like that"}) == []
        assert await listed(client, {"search": "noop", "limit": "5"}) == ids[::-1]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status_filter=completed&status_filter=done", "status_filter"),
        ("status_filter=", "status_filter"),
        ("name=", "name"),
        ("tag=", "tag"),
        ("search=", "search"),
        ("queue=", "queue"),
        ("error=", "error"),
        (f"error={'x' * 201}", "error"),
        (f"search={'x' * 201}", "search"),
        ("submitted_after=yesterday", "submitted_after"),
        ("submitted_after=2026-01-31T12:00:00", "submitted_after"),
        ("submitted_before=2026-01-31", "submitted_before"),
        ("submitted_before=nan", "submitted_before"),
        ("submitted_before=1e999", "submitted_before"),
    ],
)
@pytest.mark.parametrize("path", ["", "/$stream"])
async def test_a_filter_that_makes_no_sense_is_refused_by_name(
    connect: Connect, path: str, query: str, field: str
) -> None:
    async with connect(service("memory://")) as client:
        response = await client.get(f"{JOBS}{path}?{query}")
        assert response.status_code == 422
        assert response.json()["detail"][0]["loc"][:2] == ["query", field]


@pytest.mark.parametrize("path", [JOBS, f"{JOBS}/$stats", f"{JOBS}/$stream"])
@pytest.mark.parametrize(("name", "right_name"), [("status", "status_filter"), ("tags", "tag")])
async def test_a_filter_with_a_near_name_is_refused_with_the_right_one(
    connect: Connect, path: str, name: str, right_name: str
) -> None:
    async with connect(service("memory://")) as client:
        response = await client.get(path, params={name: "failed", "_": "1"})
        assert response.status_code == 422
        (detail,) = response.json()["detail"]
        assert (detail["loc"], detail["msg"].split()[-1]) == (["query", name], right_name)
        assert (await client.get(JOBS, params={"_": "1"})).status_code == 200


async def test_odd_texts_find_nothing_and_break_nothing(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        await submit(client, "/noop")
        for odd in ("%00", "%FF", "%ED%A0%80", "%F0%9F%98%80", "'", "%25", "_", "\\", '"'):
            for field in ("name", "tag", "search", "queue", "error"):
                response = await client.get(f"{JOBS}?{field}={odd}")
                assert (response.status_code, response.json()) == (200, []), (field, odd)


async def test_jobs_are_counted(connect: Connect, jobs_url: str) -> None:
    app = service(jobs_url)
    async with connect(app) as client:
        none = dict.fromkeys(["pending", "running", "completed", "failed", "canceled", "total"], 0)
        assert (await client.get(f"{JOBS}/$stats")).json() == none
        await submit(client, "/noop")
        await submit(client, "/fail", text="x")
        for _ in range(2):
            await submit(client, "/hold", is_awaited=False)
        await app.state.gate.wait_entered(2)
        assert (await client.get(f"{JOBS}/$stats")).json() == {
            **none,
            "completed": 1,
            "failed": 1,
            "running": 2,
            "total": 4,
        }
        await submit(client, "/noop", owner="ana")
        of_ana = {**none, "completed": 1, "total": 1}
        assert (await client.get(f"{JOBS}/$stats", params={"owner": "ana"})).json() == of_ana
        assert (await client.get(f"{JOBS}/$stats", params={"owner": "ana", "status_filter": "failed"})).json() == none
        assert (await client.get(f"{JOBS}/$stats", params={"owner": "ben"})).json() == none
        (record,) = (await client.get(JOBS, params={"owner": "ana"})).json()
        assert record["owner"] == "ana"


async def test_a_store_that_does_not_work_is_told_as_such(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    app = service("memory://")
    break_store(app)
    job = f"{JOBS}/01JQRS7XK5N8Z3VQ2M4T6W8Y0A"
    async with connect(app) as client:
        for method, path in [
            ("GET", JOBS),
            ("GET", f"{JOBS}/$stats"),
            ("GET", job),
            ("DELETE", job),
            ("POST", "/noop"),
        ]:
            response = await client.request(method, path)
            assert (response.status_code, response.headers["retry-after"]) == (503, "5"), path
            assert response.json() == {"detail": "Jobs cannot be read or written at the moment"}
        assert "disk I/O error" in caplog.text
        for path in (f"{JOBS}/$stream", f"{job}/$stream"):  # at a 503, an EventSource would never come back
            stream = await asyncio.wait_for(client.get(path), 10)
            assert (stream.status_code, stream.content) == (200, b"")
