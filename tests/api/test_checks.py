"""The health check of the jobs: it costs a write, and is shared."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from servicekit.api import ServiceBuilder, ServiceInfo
from servicekit.api.checks import SharedCheck
from servicekit.ports import Notice


async def find_broken() -> Notice:
    return Notice("a schedule submits no jobs")


def test_all_who_ask_for_the_health_share_one_look(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    app = ServiceBuilder(info=ServiceInfo(display_name="x")).with_jobs(url=f"sqlite:///{path}").with_health().build()
    with TestClient(app) as client, closing(sqlite3.connect(path)) as other:

        def read_version() -> object:
            """A number that changes with every commit."""
            return other.execute("PRAGMA data_version").fetchone()

        began = read_version()
        assert client.get("/health").json()["status"] == "healthy"
        assert (before := read_version()) != began
        assert {client.get("/health").status_code for _ in range(20)} == {200}
        assert read_version() == before
        app.state.servicekit.find_notice = find_broken
        assert {client.get("/health").json()["status"] for _ in range(20)} == {"degraded"}
        assert read_version() == before


async def wait_for_ever() -> Notice:
    await asyncio.Event().wait()
    raise AssertionError


def test_a_store_that_has_gone_since_it_was_asked_last_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("servicekit.api.jobs._NOTICE_SECONDS", 0.01)
    app = ServiceBuilder(info=ServiceInfo(display_name="x")).with_jobs(url="memory://").with_health().build()
    with TestClient(app) as client:
        assert client.get("/health").json()["status"] == "healthy"
        app.state.servicekit.find_notice = wait_for_ever
        assert client.get("/health").status_code == 503
        assert "does not answer" in client.get("/health").text


async def test_something_wrong_is_told_to_those_who_wait_and_looked_for_again_for_the_next() -> None:
    found: list[str | None] = ["it is full", None, "it is full again"]
    may_look = asyncio.Event()

    async def look() -> str | None:
        await may_look.wait()
        return found.pop(0)

    check = SharedCheck(look)
    gone, *waiting = [asyncio.create_task(check.ask()) for _ in range(3)]
    await asyncio.sleep(0)
    gone.cancel()  # it takes nobody's answer along
    may_look.set()
    assert await asyncio.gather(*waiting) == ["it is full"] * 2
    assert [await check.ask() for _ in range(3)] == [None] * 3
    assert found == ["it is full again"]
