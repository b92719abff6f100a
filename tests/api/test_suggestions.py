"""What the search of a page suggests."""

from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from servicekit.api import JobSubmitted, ServiceBuilder, ServiceInfo, SubmitJob
from tests.api.auth_apps import as_user, with_access
from tests.api.conftest import Connect
from tests.fakes import noop

SUGGESTIONS = "/api/v1/jobs/$suggestions"
router = APIRouter()


@router.post("/noop", status_code=202)
async def submit_noop(name: str, submit: SubmitJob, tag: str = "plain", queue: str = "default") -> JobSubmitted:
    return await submit.with_options(name=name, tags=[tag], queue=queue)(noop)


def service(url: str = "memory://") -> FastAPI:
    builder = ServiceBuilder(info=ServiceInfo(display_name="Search"))
    return builder.with_jobs(url=url, shutdown_grace=0).include_router(router).build()


async def suggested(client: httpx.AsyncClient, headers: dict[str, str] | None = None, **params: Any) -> list[Any]:
    response = await client.get(SUGGESTIONS, params=params, headers=headers)
    assert response.status_code == 200, response.text
    return [(each["value"], each["count"]) for each in response.json()]


async def test_values_are_suggested_by_their_beginning(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        for name, tag, queue in (("train", "gpu", "slow"), ("trace", "gpu", "default"), ("train", "cpu", "slow")):
            await client.post("/noop", params={"name": name, "tag": tag, "queue": queue})
        assert await suggested(client, field="name", prefix="tr") == [("trace", 1), ("train", 2)]
        assert await suggested(client, field="name", prefix="tr", limit=1) == [("trace", 1)]
        assert await suggested(client, field="tag") == [("cpu", 1), ("gpu", 2)]
        assert await suggested(client, field="queue", prefix="s") == [("slow", 2)]
        assert await suggested(client, field="owner") == []


@pytest.mark.parametrize("prefix", ["%25", "_", "%00", "%ED%A0%80", "%FF", "'", "%F0%9F%98%80", "x" * 200])
async def test_odd_beginnings_suggest_nothing(connect: Connect, jobs_url: str, prefix: str) -> None:
    async with connect(service(jobs_url)) as client:
        await client.post("/noop", params={"name": "plain"})
        for field in ("name", "queue", "tag", "owner"):
            response = await client.get(f"{SUGGESTIONS}?field={field}&prefix={prefix}")
            assert (response.status_code, response.json()) == (200, [])


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "field"),
        ("field=error", "field"),
        (f"field=name&prefix={'x' * 10_000}", "prefix"),
        ("field=name&limit=0", "limit"),
        ("field=name&limit=101", "limit"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_name(connect: Connect, query: str, field: str) -> None:
    async with connect(service()) as client:
        response = await client.get(f"{SUGGESTIONS}?{query}")
        assert response.status_code == 422
        assert response.json()["detail"][0]["loc"] == ["query", field]


async def test_nobody_learns_of_the_jobs_of_others(connect: Connect) -> None:
    async with connect(with_access()) as client:
        for user in ("ana", "ben", "ben"):
            await client.post("/noop", headers=as_user(user))
        for field in ("name", "queue"):
            assert [count for _, count in await suggested(client, as_user("ana"), field=field)] == [1]
            assert [count for _, count in await suggested(client, as_user("reader"), field=field)] == [3]
        assert await suggested(client, as_user("ana"), field="owner") == [("ana", 1)]
        assert await suggested(client, as_user("ana"), field="owner", prefix="b") == []
        assert await suggested(client, as_user("reader"), field="owner") == [("ana", 1), ("ben", 2)]
        assert (await client.get(f"{SUGGESTIONS}?field=name")).status_code == 401
