"""Files that others have edited: a value that makes no sense harms its own row, and nothing else.

Each kind of wrong value is put into each column of each table, a few at once. Then a service works on that file, with
all that a service does.
"""

import asyncio
import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, NamedTuple

import httpx
import pytest
from fastapi import FastAPI

from servicekit import Every, Retry, create_scheduler
from servicekit.api import ServiceBuilder, ServiceInfo
from servicekit.jobs.retention import Retention
from servicekit.jobs.status import JobStatus
from servicekit.stores.sqlite.store import SqliteStore
from servicekit.testing.stores.fakes import ManualClock, RecordingPublisher, RecordingSignals
from tests.fakes import noop

BYTES: Final = "x'ff00ff'"
NO_UTF8: Final = "CAST(x'61ff62' AS TEXT)"
NONSENSE: Final = {"INTEGER": "'many'", "REAL": "'much'", "TEXT": "'['"}
_AT_ONCE: Final = 2  # what does harm is then looked for alone
TABLES: Final = (
    "activity", "clock", "contested_keys", "counts", "events", "forgotten", "job_metadata", "job_tags", "jobs", "logs",
    "moved_queues", "owner_counts", "processes", "queue_turns", "queues", "results", "schedules", "service",
    "sqlite_sequence", "turns",
)  # fmt: skip


class Prepared(NamedTuple):
    """A file with something in each table."""

    path: Path
    bad: dict[str, str]
    """Jobs whose rows will be edited, by what they do."""
    good: str
    columns: dict[str, dict[str, str]]
    """The columns of each table, with their types."""


async def fill(path: Path) -> tuple[dict[str, str], str]:
    ids: dict[str, str] = {}
    async with create_scheduler(f"sqlite:///{path}") as scheduler:
        about = scheduler.with_options(tags=["bad"], metadata={"of": "bad"}, idempotency_key="bad")
        ids["ended"] = await about.add_job(say)
        await scheduler.wait(ids["ended"])
        tried = scheduler.with_options(retry=Retry(attempts=2, delay=0))
        ids["tried"] = await tried.add_job(fail)
        await scheduler.wait(ids["tried"])
        good = await scheduler.with_options(tags=["good"], metadata={"of": "good"}).add_job(say)
        await scheduler.wait(good)
        for name in ("bad", "good"):
            await scheduler.schedules.add(name, Every(3600), noop)
        await scheduler.queues.pause("paused")
    async with create_scheduler(f"sqlite:///{path}", run_jobs=False) as scheduler:
        ids["ready"] = await scheduler.with_options(tags=["bad"]).add_job(noop)
        ids["later"] = await scheduler.with_options(delay=3600, queue_timeout=7200).add_job(noop)
        for name, queue in (("holder", "paused"), ("seeker", "default")):
            keyed = scheduler.with_options(concurrency_key="key", concurrency_limit=1, queue=queue)
            ids[name] = await keyed.add_job(noop)
        ids["running"] = await scheduler.add_job(noop)
    return ids, good


def say() -> str:
    print("hello")
    return "result"


async def fail() -> None:
    raise ValueError("no")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    path = tmp_path_factory.mktemp("prepared") / "jobs.db"
    ids, good = asyncio.run(fill(path))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        running = "UPDATE jobs SET status = 'running', started_at = submitted_at, attempt = 1, owner = 999 WHERE id = ?"
        connection.execute(running, [ids["running"]])
        connection.execute("UPDATE schedules SET next_at = '2026-01-01T12:00:00.000000Z'")
        connection.execute(
            "INSERT INTO processes (id, pid, lock, started_at, service) VALUES (999, 1, 'gone', '2026-01-01', 'other')"
        )
        connection.execute("INSERT INTO queue_turns VALUES (0, 'coroutine', 0, 0, 'ghost')")
        connection.execute("INSERT INTO moved_queues VALUES ('moved') ON CONFLICT DO NOTHING")
        columns = {
            table: {name: kind for _, name, kind, *_ in connection.execute(f"PRAGMA table_info({table})")}
            for table in TABLES
        }
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return Prepared(path, ids, good, columns)


class Edit(NamedTuple):
    """A value for a column of some rows."""

    table: str
    column: str
    value: str
    job_id: str = ""
    """Of the only row, else all rows."""


def edit(prepared: Prepared, path: Path, edits: Iterable[Edit]) -> int:
    """Have a copy of the file with these values in it, as far as its tables allow them; say how many were put in."""
    for leftover in path.parent.iterdir():
        leftover.unlink()
    shutil.copy(prepared.path, path)
    edited = 0
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for table, column, value, job_id in edits:
            with suppress(sqlite3.Error):
                rows = f"id = '{job_id}'" if job_id else which_rows(prepared, table)
                statement = f"UPDATE OR IGNORE {table} SET {column} = {value} WHERE {rows}"
                edited += connection.execute(statement).rowcount
    return edited


def which_rows(prepared: Prepared, table: str) -> str:
    columns = prepared.columns[table]
    bad = ", ".join(f"'{job_id}'" for job_id in prepared.bad.values())
    if "job_id" in columns:
        return f"job_id IN ({bad})"
    return f"id IN ({bad})" if table == "jobs" else "name IS NOT 'good'" if "name" in columns else "TRUE"


def list_edits(prepared: Prepared, value: str | None, step: int) -> list[Edit]:
    """Some columns of each table that has so many."""
    chosen = [(table, list(prepared.columns[table].items())[step : step + _AT_ONCE]) for table in TABLES]
    return [Edit(table, name, value or NONSENSE[kind or "TEXT"]) for table, found in chosen for name, kind in found]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("edited")


@pytest.fixture(scope="module")
def app(folder: Path) -> FastAPI:
    info = ServiceInfo(display_name="Bakery")
    app = (
        ServiceBuilder(info=info)
        .with_jobs(url=f"sqlite:///{folder / 'jobs.db'}", max_concurrency=5)
        .with_health()
        .build()
    )

    @app.post("/bake")
    async def bake() -> list[str]:
        scheduler = app.state.servicekit.require_scheduler()
        keyed = scheduler.with_options(concurrency_key="key", concurrency_limit=5, tags=["new"])
        return [
            await scheduler.add_job(say),
            await scheduler.with_options(queue="other", metadata={"of": "new"}).add_job(say),
            await scheduler.with_options(delay=0.001, queue_timeout=60).add_job(say),
            await scheduler.with_options(retry=Retry(attempts=2, delay=0)).add_job(fail),
            await keyed.add_job(say),
        ]

    return app


@pytest.mark.timeout(300)  # dozens of services, one after the other: ten seconds or so where nothing else runs
@pytest.mark.parametrize("value", [BYTES, NO_UTF8, None])
async def test_a_wrong_value_harms_its_own_row_alone(
    prepared: Prepared, app: FastAPI, folder: Path, value: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    harms: list[str] = []
    for step in range(0, len(prepared.columns["jobs"]), _AT_ONCE):
        edits = list_edits(prepared, value, step)
        # The counts apart: jobs that are moved make false numbers of nonsense, which nobody can tell from true ones.
        for together in ([each for each in edits if (each.table == "counts") is alone] for alone in (False, True)):
            if together and (harm := await find_harm(prepared, app, folder, together, caplog)):
                harms.append(f"all of these together: {harm}")
                harms += [f"{each}: {await find_harm(prepared, app, folder, [each], caplog)}" for each in together]
    assert not harms, "\n".join(harms)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("value", [BYTES, NO_UTF8, None])
async def test_an_id_that_is_none_harms_its_own_job_alone(
    prepared: Prepared, app: FastAPI, folder: Path, value: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Ids differ, and so one statement edits no more than one."""
    harms = {
        name: harm
        for name, job_id in prepared.bad.items()
        if (
            harm := await find_harm(
                prepared, app, folder, [Edit("jobs", "id", value or NONSENSE["TEXT"], job_id)], caplog
            )
        )
    }
    assert not harms


async def find_harm(
    prepared: Prepared, app: FastAPI, folder: Path, edits: list[Edit], caplog: pytest.LogCaptureFixture
) -> str:
    """What does not work with a file that was edited so."""
    caplog.clear()
    print(edits)  # shown with a failure: what hangs is ended by the test's own limit
    if not edit(prepared, folder / "jobs.db", edits):
        return "none of these values could be put in"
    try:
        await work(prepared, app)
    except Exception as error:
        return describe(error)
    return "; ".join(list_errors(caplog))


def describe(error: Exception) -> str:
    errors = error.exceptions if isinstance(error, ExceptionGroup) else [error]
    return "; ".join(f"{type(each).__name__}: {each}" for each in errors)


def list_errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged with a traceback. The lines on jobs that fail have theirs as text."""
    found = [record for record in caplog.records if record.exc_info]
    return [f"{record.getMessage()[:200]} {record.exc_info and record.exc_info[1]!r}" for record in found]


async def work(prepared: Prepared, app: FastAPI) -> None:
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        scheduler = app.state.servicekit.require_scheduler()
        jobs = "/api/v1/jobs"
        new = (await client.post("/bake")).json()
        ends = [(await scheduler.wait(job_id)).status for job_id in new]
        assert ends == [*[JobStatus.COMPLETED] * 3, JobStatus.FAILED, JobStatus.COMPLETED]
        async with scheduler.follow() as feed:
            while not any(each.schedule == "good" and each.finished_at for each in await scheduler.get_all_records()):
                await feed.next_event()
        for query in ("", "?limit=2", "?tag=good", "?metadata=of:good", "?status_filter=completed", "?name=say"):
            assert prepared.good in [each["id"] for each in await list_pages(client, jobs + query)], query
        for route in (
            f"{jobs}/{prepared.good}",
            f"{jobs}/{prepared.good}/$result",
            f"{jobs}/$stats",
            f"{jobs}/$activity",
            "/health",
        ):
            answer = await client.get(route)
            assert answer.status_code == 200, (route, answer.text)
        for route in (f"{jobs}/{prepared.good}/$logs", "/api/v1/queues", "/api/v1/schedules", "/api/v1/workers"):
            assert (await client.get(route)).status_code == 200, route
        assert {each["name"] for each in (await client.get("/api/v1/schedules")).json()} >= {"good"}
        for job_id in prepared.bad.values():
            for part in ("", "/$result", "/$logs"):
                assert (await client.get(f"{jobs}/{job_id}{part}")).status_code in (200, 404, 409, 503)
            assert (await client.post(f"{jobs}/{job_id}/$retry")).status_code in (202, 404, 409, 422, 503)
            assert (await client.post(f"{jobs}/{job_id}/$cancel")).status_code in (200, 202, 404, 409, 503)
            assert (await client.delete(f"{jobs}/{job_id}")).status_code in (204, 404)
        assert (await client.delete("/api/v1/schedules/bad")).status_code in (204, 404)
        assert prepared.good in [each["id"] for each in await list_pages(client, jobs)]


async def list_pages(client: httpx.AsyncClient, url: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    while url:
        answer = await client.get(url)
        assert answer.status_code == 200, answer.text
        found += answer.json()
        url = answer.links.get("next", {}).get("url", "")
    return found


@pytest.mark.parametrize("value", [BYTES, NO_UTF8, None])
async def test_jobs_that_cannot_be_read_are_dropped_when_their_time_has_come(
    prepared: Prepared, tmp_path: Path, value: str | None
) -> None:
    for column in [name for name in prepared.columns["jobs"] if name != "status"]:
        path = tmp_path / "edited" / "jobs.db"
        path.parent.mkdir(exist_ok=True)
        edits = [Edit("jobs", column, value or NONSENSE[prepared.columns["jobs"][column]])]
        edit(prepared, path, edits)
        clock = ManualClock()
        store = SqliteStore(path, RecordingPublisher(), clock, Retention())
        await store.liveness.open(RecordingSignals())
        clock.advance(50 * 365 * 86_400)
        while await store.liveness.prune(3):
            pass
        await store.liveness.close()
        with closing(sqlite3.connect(path)) as connection:
            ended = "SELECT count(*) FROM jobs WHERE status NOT IN ('pending', 'running')"
            assert connection.execute(ended).fetchone() == (0,), edits
            for table in () if column == "id" else ("results", "logs", "job_tags", "job_metadata"):
                left = f"SELECT count(*) FROM {table} WHERE job_id NOT IN (SELECT id FROM jobs)"
                assert connection.execute(left).fetchone() == (0,), (table, edits)
