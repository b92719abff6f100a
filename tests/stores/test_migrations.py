"""Files that an earlier version has written."""

import json
import os
import sqlite3
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from socket import gethostname

import pytest

from servicekit import create_scheduler
from servicekit.jobs.ids import JobIds
from servicekit.jobs.options import JobOptions
from servicekit.jobs.outcome import completion
from servicekit.jobs.query import ALL_JOBS, JobFilter
from servicekit.jobs.retention import Retention
from servicekit.jobs.status import EndedBy, JobStatus
from servicekit.stores.process_name import name_of_process
from servicekit.stores.sqlite.database import find_migrations
from servicekit.stores.sqlite.processes import ProcessLock
from servicekit.stores.sqlite.store import SqliteStore
from servicekit.testing.stores.fakes import ManualClock, RecordingPublisher, RecordingSignals, submission
from tests.fakes import noop

NOON = "2026-01-31T12:00:00.000000Z"


def create_file(path: Path, schema: int) -> sqlite3.Connection:
    """A file as the version with this schema has made it, open to be filled."""
    connection = sqlite3.connect(path, isolation_level=None)
    for migration in find_migrations()[:schema]:
        connection.executescript(migration)
    connection.execute(f"PRAGMA user_version = {schema}")
    connection.execute(f"PRAGMA application_id = {0x53764B6A}")
    return connection


def test_migrations_are_numbered_without_gaps_and_none_twice() -> None:
    folder = files("servicekit.stores.sqlite") / "migrations"
    numbers = sorted(int(each.name.partition("_")[0]) for each in folder.iterdir() if each.name.endswith(".sql"))
    assert numbers == list(range(1, len(numbers) + 1))


async def test_a_job_that_is_tried_again_has_no_error_any_more(tmp_path: Path) -> None:
    job_id = JobIds().next_id()
    connection = create_file(tmp_path / "jobs.db", 1)
    connection.execute(
        "INSERT INTO jobs (id, name, turn, max_restarts, runner, submitted_at, target, arguments) "
        "VALUES (?, 'noop', 1, 1, 'coroutine', ?, 'tests.fakes:noop', '{}')",
        [job_id, NOON],
    )
    connection.execute("UPDATE jobs SET status = 'running', version = 2, attempt = 1, started_at = ?", [NOON])
    connection.execute(
        "UPDATE jobs SET status = 'pending', version = 3, started_at = NULL, failures = 1, error = 'ValueError: no', "
        "error_traceback = 'Traceback ...', attempts = ?",
        [json.dumps([[1, NOON, NOON, "ValueError: no", "target"]])],
    )
    connection.close()
    store = SqliteStore(tmp_path / "jobs.db", RecordingPublisher(), ManualClock(), Retention())
    await store.liveness.open(RecordingSignals())
    record = await store.reads.get_record(job_id)
    assert (record.status, record.error, record.error_traceback) == (JobStatus.PENDING, None, None)
    assert [(past.error, past.ended_by) for past in record.attempts] == [("ValueError: no", EndedBy.TARGET)]
    assert (await store.reads.list_transitions(job_id, 2)) == [record]
    assert [each.error for each in (await store.reads.list_records(ALL_JOBS, 10, None)).records] == [None]
    await store.liveness.close()


async def test_jobs_that_were_ready_are_claimed_in_turn(tmp_path: Path) -> None:
    ids, target = JobIds(), "tests.fakes:noop"
    jobs = {queue: [ids.next_id() for _ in range(3)] for queue in ("first", "second", "paused")}
    connection = create_file(tmp_path / "jobs.db", 1)
    for number, (name, job_id) in enumerate((queue, job_id) for queue in jobs for job_id in jobs[queue]):
        connection.execute(
            "INSERT INTO jobs (id, name, turn, max_restarts, runner, submitted_at, target, arguments, queue) "
            "VALUES (?, 'noop', ?, 1, 'coroutine', ?, ?, '{\"args\": [], \"kwargs\": {}}', ?)",
            (job_id, number, NOON, target, name),
        )
    connection.execute("UPDATE jobs SET status = 'completed', finished_at = ? WHERE id = ?", (NOON, jobs["first"][0]))
    connection.execute("INSERT INTO queues (name, is_paused) VALUES ('paused', 1)")
    connection.close()
    store = SqliteStore(tmp_path / "jobs.db", RecordingPublisher(), ManualClock(), Retention())
    await store.liveness.open(RecordingSignals())
    claimed = [(await store.attempts.claim(1, ()))[0].submission.id for _ in range(4)]
    assert claimed == [jobs["first"][1], jobs["second"][0], jobs["first"][2], jobs["second"][1]]
    assert len(await store.attempts.claim(9, ())) == 1
    await store.queues.set_queue_paused("paused", is_paused=False)
    assert len(await store.attempts.claim(9, ())) == 3
    await store.liveness.close()


async def test_a_key_that_is_held_in_a_paused_queue_is_passed_on(tmp_path: Path) -> None:
    held, waiting = JobIds().next_id(), JobIds().next_id()
    connection = create_file(tmp_path / "jobs.db", 1)
    for number, (queue, job_id) in enumerate((("paused", held), ("open", waiting))):
        connection.execute(
            "INSERT INTO jobs (id, name, turn, max_restarts, runner, submitted_at, target, arguments, queue, "
            "waits_for, concurrency_key, concurrency_limit) "
            "VALUES (?, 'noop', ?, 1, 'coroutine', ?, 'tests.fakes:noop', '{\"args\": [], \"kwargs\": {}}', ?, "
            "'key', 'k', 1)",
            (job_id, number, NOON, queue),
        )
    connection.execute("INSERT INTO queues (name, is_paused) VALUES ('paused', 1)")
    connection.close()
    store = SqliteStore(tmp_path / "jobs.db", RecordingPublisher(), ManualClock(), Retention())
    await store.liveness.open(RecordingSignals())
    assert [claim.submission.id for claim in await store.attempts.claim(9, ())] == [waiting]
    await store.liveness.close()


async def test_jobs_of_a_file_without_owners_are_nobodys_and_others_can_follow(tmp_path: Path) -> None:
    path, old = tmp_path / "jobs.db", JobIds().next_id()
    connection = create_file(path, 10)
    connection.execute(
        "INSERT INTO jobs (id, name, turn, max_restarts, runner, submitted_at, target, arguments, idempotency_key) "
        "VALUES (?, 'noop', 1, 1, 'coroutine', ?, 'tests.fakes:noop', '{\"args\": [], \"kwargs\": {}}', 'once')",
        [old, NOON],
    )
    connection.close()
    store = SqliteStore(path, RecordingPublisher(), ManualClock(), Retention())
    await store.liveness.open(RecordingSignals())
    new = submission(JobIds().next_id(), options=JobOptions(owner="ana", idempotency_key="once"))
    assert await store.submissions.insert(new) == new.id
    assert (await store.reads.get_record(old)).owner is None
    assert [await store.submissions.find_by_key("once", owner) for owner in (None, "ana")] == [old, new.id]
    for claim in await store.attempts.claim(9, ()):
        await store.attempts.end_attempt(claim, completion(None))
    mine = JobFilter(owner="ana")
    assert [each.id for each in (await store.reads.list_records(mine, 10, None)).records] == [new.id]
    assert (await store.reads.count_by_status(mine))[JobStatus.COMPLETED] == 1
    await store.submissions.delete(old)
    await store.submissions.delete(new.id)
    position = await store.changes.get_position()
    page = await store.changes.list_changes(position - 2, 10)
    assert page is not None
    assert [(each.job_id, each.owner) for each in page.changes] == [(old, None), (new.id, "ana")]
    await store.liveness.close()


@pytest.mark.parametrize("assignment", ["owned_by = 'ben'", "owned_by = NULL", "owned_by = 'ben', status = 'failed'"])
async def test_whoever_gives_a_job_away_moves_it_in_the_counts_of_owners(tmp_path: Path, assignment: str) -> None:
    path = tmp_path / "jobs.db"
    async with create_scheduler(f"sqlite:///{path}", run_jobs=False) as scheduler:
        job_id = await scheduler.with_options(owner="ana").add_job(noop)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"UPDATE jobs SET {assignment} WHERE id = ?", [job_id])
        kept = connection.execute("SELECT owned_by, status, jobs FROM owner_counts").fetchall()
        query = "SELECT owned_by, status, 1 FROM jobs WHERE owned_by IS NOT NULL"
        assert kept == connection.execute(query).fetchall()


@pytest.mark.parametrize("assignment", ["queue = 'other'", "queue = 'other', status = 'canceled'", "status = 'failed'"])
async def test_whoever_moves_a_job_moves_it_in_the_counts(tmp_path: Path, assignment: str) -> None:
    path = tmp_path / "jobs.db"
    create_file(path, 8).close()
    async with create_scheduler(f"sqlite:///{path}", run_jobs=False) as scheduler:
        job_id = await scheduler.add_job(noop)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"UPDATE jobs SET {assignment} WHERE id = ?", [job_id])
        kept = connection.execute("SELECT status, queue, jobs FROM counts WHERE jobs <> 0").fetchall()
        counted = connection.execute("SELECT status, queue, count(*) FROM jobs GROUP BY status, queue").fetchall()
    assert kept == counted


async def test_a_process_of_an_earlier_version_is_listed(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with closing(create_file(path, 11)) as connection:
        lock = ProcessLock(path)
        row = (17, lock.path.name, "2020-01-31T12:00:00.000000Z")
        connection.execute("INSERT INTO processes (pid, lock, started_at) VALUES (?, ?, ?)", row)
    store = SqliteStore(path, RecordingPublisher(), ManualClock(), Retention())
    await store.liveness.open(RecordingSignals())
    old, new = await store.queues.list_workers()
    assert (old.name, old.is_this) == (f"{gethostname()}:17", False)
    assert (old.runners, old.problems) == (None, {})
    assert (new.name, new.is_this) == (name_of_process(), True)
    lock.close()
    assert await store.queues.list_workers() == [new]
    await store.liveness.close()


@pytest.mark.parametrize(
    ("runners", "problems", "expected"),
    [
        ('["thread", "balloon", 7]', '{"thread": "no threads", "balloon": "no wind", "ray": 7}', (("thread",), True)),
        ("7", "7", (None, False)),
        ('"ray"', '["ray"]', (None, False)),
        ("{", "x'ff'", (None, False)),
        ("[" * 100_000, None, (None, False)),
    ],
)
async def test_what_a_newer_version_or_another_program_writes_of_a_process_is_read_as_far_as_it_makes_sense(
    tmp_path: Path, runners: str, problems: str | None, expected: tuple[tuple[str, ...] | None, bool]
) -> None:
    path = tmp_path / "jobs.db"
    store = SqliteStore(path, RecordingPublisher(), ManualClock(), Retention())
    await store.liveness.open(RecordingSignals())
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE processes SET runners = ?, problems = ?", [runners, problems])
    (worker,) = await store.queues.list_workers()
    assert (worker.runners, worker.problems) == (expected[0], {"thread": "no threads"} if expected[1] else {})
    await store.liveness.close()


async def test_a_process_is_listed_as_its_own_container_calls_the_machine(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    store = SqliteStore(path, RecordingPublisher(), ManualClock(), Retention())
    await store.liveness.open(RecordingSignals())
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE processes SET host = 'container'")
    (worker,) = await store.queues.list_workers()
    assert worker.name == f"container:{os.getpid()}"
    await store.liveness.close()
