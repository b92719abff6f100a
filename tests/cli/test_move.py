"""Moves of all jobs of a stopped service to another file or database."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import psycopg
import pytest

from servicekit.cli.main import main
from servicekit.errors import StoreUnavailable
from servicekit.jobs.log_lines import LogPage, NewLine
from servicekit.jobs.outcome import CANCELED, completion, failure
from servicekit.jobs.query import ALL_JOBS, JobChange, JobFilter
from servicekit.jobs.queues import QueueRecord
from servicekit.jobs.record import JobRecord
from servicekit.jobs.retention import Retention
from servicekit.jobs.retry import Retry
from servicekit.jobs.schedules import ScheduleState
from servicekit.jobs.status import EndedBy, JobStatus
from servicekit.ports import JobStore
from servicekit.stores.durable.copying import TABLES
from servicekit.stores.durable.store import DurableStore
from servicekit.stores.postgres.address import read_address
from servicekit.stores.postgres.server_time import ClockTime
from servicekit.stores.postgres.store import PostgresStore
from servicekit.stores.sqlite.store import SqliteStore
from servicekit.testing.stores import StoreTests
from servicekit.testing.stores.fakes import ManualClock, RecordingPublisher, RecordingSignals, submission
from servicekit.testing.stores.schedules import NEXT, TICK, schedule
from tests.needs import needs

suite: Final = StoreTests()
LARGE: Final = {"text": "é\0" * 500_000}


def later() -> ManualClock:
    """The time after `fill`."""
    clock = ManualClock()
    clock.advance(2)
    return clock


@asynccontextmanager
async def open_store(url: str, clock: ManualClock | None = None) -> AsyncIterator[JobStore]:
    clock, publisher, retention = clock or later(), RecordingPublisher(), Retention()
    store: DurableStore
    if url.startswith("sqlite"):
        store = SqliteStore(Path(url.removeprefix("sqlite:///")), publisher, clock, retention, service="shop")
    else:
        address = read_address("url", url)
        store = PostgresStore(address, publisher, clock, retention, service="shop", time=ClockTime(clock))
    await store.liveness.open(RecordingSignals())
    try:
        yield store
    finally:
        await store.liveness.close()


async def fill(store: JobStore, clock: ManualClock) -> None:
    """Jobs in every state that does not need a process, and all that belongs to them."""
    long_ago = await suite.submit(store, outcome=completion("gone"), owner="ben")
    await store.submissions.delete(long_ago)
    await suite.submit(store, outcome=completion(LARGE), owner="ana")
    await suite.end(store, completion(None))
    claim = await suite.start(store, queue="logs", priority=9, retry=Retry(attempts=2))
    lines = [NewLine(clock.now(), "info", "log", f"line {number}\0") for number in range(5)]
    await store.attempts.append_log(claim, lines)
    await store.attempts.end_attempt(claim, failure(ValueError("no\0")).to_be_retried(clock.now()))
    clock.advance(1.5)
    (claim,) = await store.attempts.claim(1, ())
    await store.attempts.end_attempt(claim, failure(OSError("never")))
    await suite.end(store, CANCELED)
    await suite.submit(store, name="a b", tags=["x", "y"], metadata={"who": "ada\0", "n": 1, "deep": [1.5]})
    await suite.submit(store, delay=60, queue_timeout=600)
    await suite.submit(store, start_at=clock.now() + timedelta(hours=2), idempotency_key="once")
    for _ in range(3):
        await suite.submit(store, concurrency_key="k", concurrency_limit=2)
    await suite.submit(store, owner="ana", concurrency_key="k")
    await store.queues.set_queue_paused("resting", is_paused=True)
    await store.schedules.put_schedule(schedule(), TICK)
    await store.schedules.put_schedule(schedule("paused"), TICK)
    await store.schedules.set_schedule_paused("paused", None, is_paused=True)
    await store.schedules.fire_schedule("nightly", TICK, NEXT, suite.ids.next_id())


@dataclass(frozen=True)
class Snapshot:
    """All that can be seen of the jobs of a store."""

    records: list[JobRecord]
    results: dict[str, object]
    logs: dict[str, LogPage]
    pasts: dict[str, list[JobRecord]]
    changes: list[JobChange]
    position: int
    queues: list[QueueRecord]
    schedules: list[ScheduleState]
    counts: dict[JobStatus, int]
    counts_of_owner: dict[JobStatus, int]


async def look(store: JobStore) -> Snapshot:
    records = await suite.list_all(store)
    completed = [record.id for record in records if record.status is JobStatus.COMPLETED]
    return Snapshot(
        records=records,
        results={job_id: await store.reads.get_result(job_id) for job_id in completed},
        logs={record.id: await store.reads.list_log(record.id, 0, 100) for record in records},
        pasts={record.id: await store.reads.list_transitions(record.id, 0) for record in records},
        changes=await suite.changes_since(store, 0),
        position=await store.changes.get_position(),
        queues=await store.queues.list_queues(),
        schedules=await store.schedules.list_schedules(),
        counts=await store.reads.count_by_status(ALL_JOBS),
        counts_of_owner=await store.reads.count_by_status(JobFilter(owner="ana")),
    )


@pytest.fixture
async def source(tmp_path: Path) -> str:
    """A file of a service that has stopped."""
    url, clock = f"sqlite:///{tmp_path / 'jobs.db'}", ManualClock()
    async with open_store(url, clock) as store:
        await fill(store, clock)
    return url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=needs("postgresql"))])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'moved.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


async def look_at(url: str) -> Snapshot:
    async with open_store(url) as store:
        return await look(store)


async def test_there_and_back_again_all_is_as_it_was(
    source: str, target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = await look_at(source)
    assert {record.status for record in before.records} == set(JobStatus) - {JobStatus.RUNNING}
    assert LARGE in before.results.values()
    assert main(["move", source, target]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("Moved ")
    assert f"{len(before.records)} jobs, " in told.out
    assert f"jobs: {len(before.records)}\n" in told.err
    assert await look_at(target) == before
    back = f"sqlite:///{tmp_path / 'back.db'}"
    assert main(["move", target, back]) == 0
    assert await look_at(back) == before
    assert await look_at(source) == before
    assert not list(tmp_path.glob("*.unfinished*"))


async def test_what_was_moved_goes_on(source: str, target: str) -> None:
    """In the order of turns, with keys, times and idempotency keys; and the next event has the next position."""
    assert main(["move", source, target]) == 0
    clocks = later(), later()
    async with open_store(source, clocks[0]) as old, open_store(target, clocks[1]) as new:
        position = await old.changes.get_position()
        for store, clock in zip((old, new), clocks, strict=True):
            clock.advance(60)
            await store.attempts.make_due()
        claimed = [[claim.submission.id for claim in await store.attempts.claim(100, ())] for store in (old, new)]
        assert claimed[0] == claimed[1]
        assert len(claimed[0]) == 6
        keys = [await store.submissions.insert(submission(suite.ids.next_id())) for store in (old, new)]
        for store in (old, new):
            page = await store.changes.list_changes(position, 100)
            assert page
            assert [change.position for change in page.changes] == list(range(position + 1, position + 8))
        assert keys


@pytest.fixture
def abandoned(tmp_path: Path) -> str:
    """A file of a process that has died: with a job that ran, one that was deleted while it did, and one that only that
    process could run."""
    path = tmp_path / "jobs.db"
    code = f"import asyncio\nfrom tests.cli.test_move import die\nasyncio.run(die({str(path)!r}))"
    died = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=50)
    assert died.returncode == -signal.SIGKILL, died.stderr
    return f"sqlite:///{path}"


async def die(path: str) -> None:
    async def local() -> None:
        """Nobody else can import this."""

    store = SqliteStore(Path(path), RecordingPublisher(), ManualClock(), Retention())
    await store.liveness.open(RecordingSignals())
    claims = [await suite.start(store, name=name) for name in ("running", "deleted")]
    await store.submissions.delete(claims[1].submission.id)
    await store.submissions.insert(submission(suite.ids.next_id(), target=local))
    os.kill(os.getpid(), signal.SIGKILL)


async def test_what_a_dead_process_has_left_is_taken_over_at_the_target(abandoned: str, target: str) -> None:
    assert main(["move", abandoned, target]) == 0
    await check_taken_over(target)


async def test_what_a_dead_process_has_left_can_be_moved_on(abandoned: str, postgres_url: str, tmp_path: Path) -> None:
    back = f"sqlite:///{tmp_path / 'back.db'}"
    assert main(["move", abandoned, postgres_url]) == 0
    assert main(["move", postgres_url, back]) == 0
    await check_taken_over(back)


async def check_taken_over(url: str) -> None:
    async with open_store(url) as store:
        records = {record.name: record for record in await suite.list_all(store)}
        assert records["running"].status is JobStatus.PENDING
        assert records["running"].attempts[0].ended_by is EndedBy.CRASH
        assert records["local"].status is JobStatus.FAILED
        assert len(records) == 2
        assert await store.queues.list_queues() == [QueueRecord("default", is_paused=False, pending=1, running=0)]
        claims = await store.attempts.claim(10, ())
        assert [claim.attempt for claim in claims] == [2]


_KILLED: Final = """
import os, signal, sys
from servicekit.cli import move
from servicekit.cli.main import main
from servicekit.stores.postgres.copying import EmptyDatabase
from servicekit.stores.sqlite.copying import NewJobsFile

source, target, pages = sys.argv[1], sys.argv[2], int(sys.argv[3])
kind = NewJobsFile if target.startswith("sqlite") else EmptyDatabase
write, finish = kind.write, kind.finish
written = 0

def count(step):
    global written
    written += 1
    if written > pages:
        os.kill(os.getpid(), signal.SIGKILL)
    step()

kind.write = lambda self, table, rows: count(lambda: write(self, table, rows))
kind.finish = lambda self, marks: count(lambda: finish(self, marks))
move._PAGE_ROWS = 3
main(["move", source, target])
"""


def move_until_killed(source: str, target: str, pages: int) -> bool:
    """Begin a move that is killed after so many pages; return whether it was."""
    command = [sys.executable, "-c", _KILLED, source, target, str(pages)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=50)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode == -signal.SIGKILL


async def test_a_move_that_was_killed_goes_on(source: str, target: str) -> None:
    before, moves, pages = await look_at(source), 1, 7
    while move_until_killed(source, target, pages):
        moves += 1
    assert moves >= 3
    assert await look_at(target) == before


async def test_no_service_starts_with_half_of_the_jobs(
    source: str, postgres_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert move_until_killed(source, postgres_url, 10)
    with pytest.raises(StoreUnavailable, match=r"servicekit move"):
        async with open_store(postgres_url):
            pass
    other = f"sqlite:///{tmp_path / 'other.db'}"
    async with open_store(other):
        pass
    assert main(["move", other, postgres_url]) == 2
    assert "is not finished" in capsys.readouterr().err
    assert main(["move", source, postgres_url]) == 0
    assert await look_at(postgres_url) == await look_at(source)


async def test_a_source_that_has_changed_since_is_moved_anew(source: str, target: str) -> None:
    assert move_until_killed(source, target, 9)
    async with open_store(source) as store:
        (job, *_) = await suite.list_all(store)
        await store.submissions.delete(job.id)
    assert main(["move", source, target]) == 0
    assert await look_at(target) == await look_at(source)


async def test_what_has_changed_without_an_event_is_noticed(
    source: str, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert move_until_killed(source, target, 9)
    async with open_store(source) as store:
        await store.queues.set_queue_paused("resting", is_paused=False)
    assert main(["move", source, target]) == 2
    assert "its queues are not those of" in capsys.readouterr().err
    assert main(["move", source, target]) == 0
    assert await look_at(target) == await look_at(source)


async def test_a_place_where_somebody_works_is_left_alone(
    source: str, target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_store(source):
        assert main(["move", source, target]) == 2
        assert "Stop the service" in capsys.readouterr().err
    async with open_store(target):
        for urls in ((source, target), (target, f"sqlite:///{tmp_path / 'third.db'}")):
            assert main(["move", *urls]) == 2
            assert "Stop the service" in capsys.readouterr().err
    assert main(["move", source, target]) == 0


async def test_jobs_that_are_there_already_stay(source: str, target: str, capsys: pytest.CaptureFixture[str]) -> None:
    async with open_store(target) as store:
        job_id = await suite.submit(store)
    before = await look_at(target)
    assert main(["move", source, target]) == 2
    assert "has jobs already" in capsys.readouterr().err
    assert await look_at(target) == before
    assert [record.id for record in before.records] == [job_id]


async def test_a_move_that_is_complete_is_told_so(source: str, target: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["move", source, target]) == 0
    assert "Not moved, if there are any: artifacts" in capsys.readouterr().err
    assert main(["move", source, target]) == 0
    told = capsys.readouterr()
    assert " was moved to " in told.out
    assert f"{len((await look_at(source)).records)} jobs, " in told.out
    async with open_store(target) as store:
        await suite.submit(store)
    assert main(["move", source, target]) == 2
    assert "has jobs already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ("sqlite:///{folder}/none.db", "sqlite:///{folder}/new.db", "there is no such file"),
        ("sqlite:///{folder}/one.db", "sqlite:///{folder}/one.db", "another place than SOURCE"),
        ("memory://", "sqlite:///{folder}/new.db", "SOURCE must be a file or a database"),
        ("sqlite:///{folder}/one.db", "redis://ada:secret@here", "TARGET must be"),
    ],
)
def test_what_makes_no_sense_is_told(
    source: str, target: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["move", source.format(folder=tmp_path), target.format(folder=tmp_path)]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert "secret" not in told
    assert not list(tmp_path.iterdir())


# What follows from the rows, and what no process knows any more.
LEFT_OUT: Final = {
    "sqlite": {"activity", "clock", "contested_keys", "counts", "forgotten", "moved_queues", "owner_counts",
               "processes", "queue_turns", "service", "sqlite_sequence", "turns", ("jobs", "declined_by")},
    "postgres": {"activity", "clock", "counts", "forgotten", "lines", "migrations", "owner_counts", "processes",
                 "service", "unfinished_move", ("jobs", "declined_by"), ("events", "writer")},
}  # fmt: skip


async def test_no_column_is_forgotten(target: str) -> None:
    async with open_store(target):
        pass
    columns: list[tuple[str, str]]
    if target.startswith("sqlite"):
        with closing(sqlite3.connect(target.removeprefix("sqlite:///"))) as connection:
            columns = connection.execute(
                "SELECT tables.name, columns.name "
                "FROM sqlite_master AS tables, pragma_table_info(tables.name) AS columns "
                "WHERE tables.type = 'table'"
            ).fetchall()
    else:
        with psycopg.connect(target) as database:
            query = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'servicekit'"
            columns = database.execute(query).fetchall()
    left_out = LEFT_OUT["sqlite" if target.startswith("sqlite") else "postgres"]
    others = {table for table, _ in columns if table.startswith(("artifact", "task"))}  # they are no jobs
    needed = {each for each in columns if each[0] not in left_out | others and each not in left_out}
    assert needed == {(table.name, name) for table in TABLES for name in table.columns}


async def test_a_row_that_makes_no_sense_is_named(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(source.removeprefix("sqlite:///"))) as connection:
        ((job_id,),) = connection.execute("SELECT min(id) FROM jobs").fetchall()
        connection.execute("UPDATE jobs SET submitted_at = 'yesterday' WHERE id = ?", [job_id])
        connection.commit()
    assert main(["move", source, f"sqlite:///{tmp_path / 'new.db'}"]) == 2
    assert f"what jobs has of '{job_id}' makes no sense" in capsys.readouterr().err
