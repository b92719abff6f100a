"""Rows that this process can make nothing of: one bad row is one bad row."""

import asyncio
import json
import logging
import sqlite3
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from servicekit import Cron, EndedBy, Every, JobStatus, create_scheduler
from servicekit.api import Service, ServiceBuilder, ServiceInfo
from servicekit.api.state import service_state
from servicekit.errors import JobNotFound, RecordUnreadable
from servicekit.jobs.endings import LOST
from servicekit.stores.durable.times import find_moment, time_text
from servicekit.stores.sqlite.database_thread import read_leniently
from servicekit.stores.sqlite.rows import read_events
from servicekit.stores.sqlite.writes import give_up
from servicekit.testing import FakeClock, TestScheduler
from tests.fakes import Stubborn, noop

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


def change(path: Path, statement: str, *values: object) -> None:
    """What a newer version would have written."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute(statement, values).rowcount == 1


async def list_ticks(scheduler: TestScheduler, name: str) -> int:
    return len([record for record in await scheduler.get_all_records() if record.schedule == name])


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("timetable", '{"cron": "@daily", "time_zone": "Mars/Olympus", "missed": "once", "overlap": "skip"}'),
        ("timetable", json.dumps({"moon": "full"})),
        ("timetable", "{"),
        ("options", json.dumps({"mood": "good"})),
        ("missed", "twice"),
        ("overlap", "kill"),
        ("next_at", "tomorrow"),
    ],
)  # fmt: skip
async def test_a_schedule_that_cannot_be_read_is_left_out_and_shown_with_the_reason(
    path: Path, column: str, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with TestScheduler(url=f"sqlite:///{path}", clock=FakeClock(NOON)) as scheduler:
        for name in ("bad", "good"):
            await scheduler.schedules.add(name, Every(60), noop)
        change(path, "UPDATE schedules SET last_at = 'yesterday' WHERE name = 'good'")
        change(path, f"UPDATE schedules SET {column} = ? WHERE name = 'bad'", text)
        await scheduler.advance(3 * MINUTE)
        assert (await list_ticks(scheduler, "bad"), await list_ticks(scheduler, "good")) == (0, 3)
        bad, good = await scheduler.schedules.list()
        assert (bad.name, bad.target_name, good.problem) == ("bad", "noop", None)
        assert bad.problem is not None
        assert bad.problem.startswith("Schedule 'bad' cannot be read by this version")
        (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert "Schedule 'bad' submits no jobs" in line
        assert (await scheduler.schedules.pause("bad")).is_paused
        if bad.timetable is None and column != "next_at":  # to pause it has mended that one
            with pytest.raises(RecordUnreadable):
                await scheduler.schedules.resume("bad")
        await scheduler.schedules.add("bad", Cron("@daily"), noop)  # who says it anew mends it
        assert (await scheduler.schedules.get("bad")).problem is None
        await scheduler.schedules.remove("bad")


@pytest.fixture
def module() -> ModuleType:
    """A module of the service, of another version tomorrow."""
    module = ModuleType("a_service_of_today")
    exec("async def clean_up() -> None: ...", module.__dict__)
    sys.modules[module.__name__] = module
    return module


async def test_a_schedule_whose_function_is_gone_is_told_of_once_and_fails_no_jobs(
    path: Path, module: ModuleType, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module.__name__, module)
    url, clean_up = f"sqlite:///{path}", module.clean_up
    async with TestScheduler(url=url, clock=FakeClock(NOON)) as scheduler:
        await scheduler.schedules.add("clean up", Every(60), clean_up)
        await scheduler.advance(MINUTE)
        assert await list_ticks(scheduler, "clean up") == 1
    del module.clean_up
    async with TestScheduler(url=url, clock=FakeClock(NOON + 2 * MINUTE)) as scheduler:
        await scheduler.advance(3 * MINUTE)
        (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert "'clean up' submits no jobs" in line
        assert "a_service_of_today:clean_up cannot be imported: there is no such name" in line
        assert "DELETE .../schedules/clean%20up, or schedules.remove('clean up')" in line
        assert await list_ticks(scheduler, "clean up") == 1
        assert "cannot be imported" in str((await scheduler.schedules.get("clean up")).problem)
    monkeypatch.setattr(module, "clean_up", clean_up, raising=False)
    async with TestScheduler(url=url, clock=FakeClock(NOON + 5 * MINUTE + timedelta(seconds=30))) as scheduler:
        await scheduler.advance(MINUTE)
        assert await list_ticks(scheduler, "clean up") == 3  # one for all that were missed, and this minute's
        assert (await scheduler.schedules.get("clean up")).problem is None


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("progress", "[1, 2, null, null, 5]"),
        ("progress", "half"),
        ("tags", "{"),
        ("metadata", "{"),
        ("ended_by", "moonlight"),
        ("runner", "moonlight"),
        ("attempts", '[[1, "2026-01-01T12:00:00Z", "2026-01-01T12:00:00Z", null, "moonlight"], [2]]'),
        ("attempts", "{"),
    ],
)
async def test_of_a_record_of_a_newer_version_what_can_be_read_is_shown(path: Path, column: str, text: str) -> None:
    async with create_scheduler(f"sqlite:///{path}") as scheduler:
        job_id = await scheduler.add_job(noop)
        await scheduler.wait(job_id)
        change(path, f"UPDATE jobs SET {column} = ? WHERE id = ?", text, job_id)
        record = await scheduler.get_record(job_id)
        assert (record.id, record.status, record.progress, record.tags) == (job_id, JobStatus.COMPLETED, None, ())
        assert [each.id for each in await scheduler.list_records()] == [job_id]


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("submitted_at", "yesterday"),
        ("started_at", "yesterday"),
        ("finished_at", "2026-01-01T12:00:00"),
        ("scheduled_at", "[]"),
        ("cancel_requested_at", ""),
    ],
)
async def test_a_job_with_a_time_that_is_none_is_left_out_and_is_deleted(path: Path, column: str, text: str) -> None:
    async with create_scheduler(f"sqlite:///{path}") as scheduler:
        bad, good = await scheduler.add_job(noop), await scheduler.add_job(noop)
        await scheduler.wait(bad)
        await scheduler.wait(good)
        change(path, f"UPDATE jobs SET {column} = ?, version = version + 1 WHERE id = ?", text, bad)
        assert [each.id for each in await scheduler.list_records()] == [good]
        for ask in (scheduler.get_record, scheduler.cancel):
            with pytest.raises(RecordUnreadable, match=f"Job {bad} cannot be read"):
                await ask(bad)
        async with asyncio.timeout(10), scheduler.follow(after=0) as feed:
            assert await feed.next_event() is not None
        await scheduler.delete(bad)
        with pytest.raises(JobNotFound):
            await scheduler.get_record(bad)


async def test_a_job_that_cannot_be_read_can_be_canceled_and_deleted(path: Path) -> None:
    app = make_service(path)
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        scheduler = app.state.servicekit.require_scheduler()
        target = Stubborn()
        later, runs = await scheduler.with_options(delay=3_600).add_job(noop), await scheduler.add_job(target.run)
        async with scheduler.watch(runs) as watch:
            while (event := await watch.next_event()) is None or event.record.started_at is None:
                pass
        for job_id in (later, runs):
            change(path, "UPDATE jobs SET submitted_at = 'yesterday', version = version + 1 WHERE id = ?", job_id)
            answer = await client.post(f"/api/v1/jobs/{job_id}/$cancel")
            assert (answer.status_code, f"Job {job_id} cannot be read" in answer.json()["detail"]) == (202, True)
        with closing(sqlite3.connect(path)) as connection:
            found = connection.execute(
                "SELECT status, cancel_requested_at IS NOT NULL FROM jobs ORDER BY id"
            ).fetchall()
        assert found == [("canceled", 1), ("running", 1)]
        for job_id in (later, runs):
            assert (await client.delete(f"/api/v1/jobs/{job_id}")).status_code == 204
            assert (await client.get(f"/api/v1/jobs/{job_id}")).status_code == 404
        target.released.set()


async def test_tags_without_an_end_are_left_out(path: Path) -> None:
    async with create_scheduler(f"sqlite:///{path}") as scheduler:
        job_id = await scheduler.add_job(noop)
        await scheduler.wait(job_id)
        change(path, "UPDATE jobs SET tags = ? WHERE id = ?", "[" * 100_000, job_id)
        assert [each.tags for each in await scheduler.list_records()] == [()]


async def test_a_class_whose_module_ends_the_program_fails_its_job_and_nothing_else(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_module_that_exits.py").write_text("import sys; sys.exit('install something')")
    monkeypatch.syspath_prepend(tmp_path)
    async with create_scheduler(f"sqlite:///{path}", run_jobs=False) as scheduler:
        bad, good = await scheduler.add_job(take_any, 1), await scheduler.add_job(take_any, 2)
        text = json.dumps({"args": [{"$type": "a_module_that_exits:Order"}], "kwargs": {}, "form": 2})
        change(path, "UPDATE jobs SET arguments = ? WHERE id = ?", text, bad)
    async with create_scheduler(f"sqlite:///{path}") as scheduler:
        assert (await scheduler.wait(good, timeout=60)).status is JobStatus.COMPLETED
        record = await scheduler.wait(bad, timeout=60)
        assert (record.status, "SystemExit: install something" in str(record.error)) == (JobStatus.FAILED, True)


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("options", "["),
        ("options", "[]"),
        ("options", '{"queue_timeout": "soon"}'),
        ("options", '{"queue_timeout": 1e300}'),
        ("max_restarts", "many"),
    ],
)
async def test_a_job_of_a_dead_process_that_makes_no_sense_fails_and_the_others_run_again(
    path: Path, column: str, text: str
) -> None:
    async with create_scheduler(f"sqlite:///{path}", run_jobs=False) as scheduler:
        bad, good = [await scheduler.add_job(noop) for _ in range(2)]
    change(path, "INSERT INTO processes (id, pid, lock, started_at) VALUES (999, 1, 'gone', '2026-01-01T12:00:00Z')")
    for job_id in (bad, good):
        running = "UPDATE jobs SET status = 'running', started_at = submitted_at, attempt = 1, owner = 999 WHERE id = ?"
        change(path, running, job_id)
    change(path, f"UPDATE jobs SET {column} = ? WHERE id = ?", text, bad)
    async with create_scheduler(f"sqlite:///{path}") as scheduler:
        record = await scheduler.wait(good, timeout=60)
        assert (record.status, record.attempt) == (JobStatus.COMPLETED, 2)
        record = await scheduler.wait(bad, timeout=60)
        assert (record.status, record.ended_by) == (JobStatus.FAILED, EndedBy.CRASH)
        assert f"Job {bad} cannot be read" in str(record.error)


def say_five_lines() -> None:
    print(*"abcde", sep="\n")


async def test_a_page_of_a_log_is_never_empty_before_the_last(path: Path) -> None:
    async with create_scheduler(f"sqlite:///{path}") as scheduler:
        job_id = await scheduler.add_job(say_five_lines)
        await scheduler.wait(job_id)
        for number in (1, 2, 3, 5):
            change(path, "UPDATE logs SET at = 'once' WHERE number = ?", number)
        page = await scheduler.get_log(job_id, limit=2)
        assert ([line.text for line in page.lines], page.is_last) == (["d"], False)
        assert await scheduler.get_log(job_id, after=4, limit=2) == ([], True, 0)
        async with asyncio.timeout(20):
            assert [line.text async for line in scheduler.stream_log(job_id)] == ["d"]


async def take_any(value: object) -> None: ...


def make_service(path: Path) -> FastAPI:
    info = ServiceInfo(display_name="Bakery")
    app = ServiceBuilder(info=info).with_jobs(url=f"sqlite:///{path}").with_health().build()

    @app.post("/bake")
    async def bake() -> str:
        scheduler = app.state.servicekit.require_scheduler()
        return str(await scheduler.add_job(noop))

    return app


async def test_with_a_status_that_nobody_knows_all_other_jobs_go_on(path: Path) -> None:
    app = make_service(path)
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        scheduler = app.state.servicekit.require_scheduler()
        ids = [(await client.post("/bake")).json() for _ in range(3)]
        for job_id in ids:
            await scheduler.wait(job_id)
        change(path, "UPDATE jobs SET status = 'napping', version = version + 1 WHERE id = ?", ids[1])
        ids.append((await client.post("/bake")).json())
        assert (await scheduler.wait(ids[3])).status is JobStatus.COMPLETED
        expected = [ids[3], ids[2], ids[0]]
        assert [record["id"] for record in (await client.get("/api/v1/jobs")).json()] == expected
        pages = [(await client.get("/api/v1/jobs", params={"limit": 2})).json()]
        assert [record["id"] for record in pages[0]] == expected[:2]
        for path_of_one in (f"/api/v1/jobs/{ids[1]}", f"/api/v1/jobs/{ids[1]}/$result"):
            answer = await client.get(path_of_one)
            assert (answer.status_code, "its status is 'napping'" in answer.json()["detail"]) == (503, True)
        assert (await client.post(f"/api/v1/jobs/{ids[1]}/$retry")).status_code == 503
        async with asyncio.timeout(10), scheduler.follow(after=0) as feed:
            seen = [await feed.next_event() for _ in range(3)]
        assert {change.job_id for change in seen if change is not None} == set(expected)
        async with asyncio.timeout(10), scheduler.follow(job_ids=ids) as feed:
            seen = [await feed.next_event() for _ in range(3)]
        assert {change.job_id for change in seen if change is not None} == set(expected)
        async with asyncio.timeout(10):  # it ends, and its reader comes back, to a process of a newer version perhaps
            stream = await client.get(f"/api/v1/jobs/{ids[1]}/$stream")
        assert (stream.status_code, stream.text) == (200, "")
        assert (await client.get("/health")).json()["status"] == "healthy"


async def test_a_problem_that_begins_like_a_sentence_of_ours_is_said_with_the_name_of_its_schedule(path: Path) -> None:
    app = make_service(path)
    async with app.router.lifespan_context(app):
        scheduler = Service.of(app).scheduler
        await scheduler.schedules.add("nightly", Cron("@daily"), noop)
        change(path, "UPDATE schedules SET target = 'Schedule of nights:run'")
        notice = await service_state(app).find_notice()
        assert notice is not None
        assert notice.startswith("Schedule 'nightly' submits no jobs here: Schedule of nights:run cannot be imported")


async def test_the_service_says_that_a_schedule_submits_nothing_and_is_fit_for_work(path: Path) -> None:
    app = make_service(path)
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        scheduler = app.state.servicekit.require_scheduler()
        await scheduler.schedules.add("nightly", Cron("@daily"), noop)
        change(path, "UPDATE schedules SET missed = 'twice'")
        answer = await client.get("/health")
        check = answer.json()["checks"]["jobs"]
        assert (answer.status_code, answer.json()["status"], check["state"]) == (200, "degraded", "degraded")
        assert "Schedule 'nightly' cannot be read" in check["message"]
        (shown,) = (await client.get("/api/v1/schedules")).json()
        assert (shown["timetable"], shown["problem"]) == (None, check["message"])
        assert (await client.post("/api/v1/schedules/nightly/$pause")).json()["is_paused"]
        assert (await client.post("/api/v1/schedules/nightly/$resume")).status_code == 503
        await scheduler.schedules.remove("nightly")
        assert (await client.get("/health")).json()["status"] == "healthy"


EVENTS = "SELECT * FROM events ORDER BY position"


class Raced(sqlite3.Connection):
    """Somebody else removes all events just before a query that begins so."""

    before = ""

    def execute(self, statement: str, values: Any = ()) -> sqlite3.Cursor:
        if self.before and statement.startswith(self.before):
            super().execute("DELETE FROM events")
        return super().execute(statement, values)


async def add_bad_event(path: Path, value: str) -> None:
    async with create_scheduler(f"sqlite:///{path}", run_jobs=False) as scheduler:
        await scheduler.add_job(noop)
    change(path, f"UPDATE events SET error = {value}")


@pytest.mark.parametrize("query", ["SELECT e.position", "SELECT json_array("])
async def test_an_event_that_is_removed_while_a_bad_one_is_looked_for_is_left_out(path: Path, query: str) -> None:
    await add_bad_event(path, "x'ff'")
    with closing(sqlite3.connect(path, factory=Raced)) as connection:
        connection.before = query
        assert read_events(connection, EVENTS, []).rows == []


async def test_an_event_with_a_text_that_is_no_utf8_is_read_with_a_mark_in_its_place(path: Path) -> None:
    await add_bad_event(path, "CAST(x'61ff62' AS TEXT)")
    with closing(sqlite3.connect(path)) as connection:
        with pytest.raises(sqlite3.OperationalError):
            read_events(connection, EVENTS, [])
        read_leniently(connection)
        assert [row.error for row in read_events(connection, EVENTS, []).rows] == ["a\ufffdb"]
    async with (
        create_scheduler(f"sqlite:///{path}", run_jobs=False) as scheduler,
        asyncio.timeout(20),
        scheduler.follow(after=0) as feed,
    ):
        assert await feed.next_event() is not None


@pytest.mark.parametrize(
    ("text", "hour"), [("2026-03-01T12:00:00", 12), ("2026-03-01T12:00:00+02:00", 10), ("2026-03-01T12:00:00Z", 12)]
)
def test_a_time_without_a_zone_is_utc(text: str, hour: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert find_moment(text) == NOON.replace(hour=hour)
    finally:
        monkeypatch.undo()
        time.tzset()


async def test_an_error_that_ends_the_transaction_is_told_and_not_its_aftermath(path: Path) -> None:
    async with create_scheduler(f"sqlite:///{path}", run_jobs=False) as scheduler:
        job_id = await scheduler.add_job(noop)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(
            "CREATE TRIGGER fails BEFORE UPDATE ON jobs BEGIN SELECT RAISE(ROLLBACK, 'all is undone'); END"
        )
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.IntegrityError, match="all is undone"):
            give_up(connection, job_id, LOST, time_text(NOON))
