"""Random lives of jobs, lived by several threads of several processes at once."""

import json
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from servicekit.engine.clock import SystemClock
from servicekit.jobs.retention import Retention
from servicekit.stores.sqlite.store import SqliteStore
from servicekit.testing.stores.fakes import RecordingPublisher
from tests.needs import needs
from tests.service import ROOT
from tests.stores.event_log import Connection, check_events, find_faults
from tests.stores.random_lives import Signals, create_store

PROCESSES = 3
OPERATIONS = 80

START = (1, 1, "pending", 0)
RUN = (2, 1, "running", 1)
PROGRESS = (3, 0, "running", 1)
BACK = (3, 1, "pending", 1)
END = (3, 1, "completed", 1)


@pytest.mark.timeout(300)
async def test_random_threads_of_random_processes_live_legal_lives(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with closing(sqlite3.connect(path)) as connection:
        await live_and_check(str(path), connection)
        assert list(connection.execute("SELECT count(*) FROM processes")) == [(0,)]
    assert list(tmp_path.glob("*-process-*")) == []


@needs("postgresql")
@pytest.mark.timeout(300)
async def test_random_threads_of_random_processes_live_legal_lives_in_a_database(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("SET search_path TO servicekit")
        await live_and_check(postgres_url, connection, OPERATIONS // 2)


async def live_and_check(place: str, connection: Connection, operations: int = OPERATIONS) -> None:
    seed = random.randrange(1_000_000)
    print(f"{seed=}")
    facts = list(run_processes(place, seed, operations))
    rescuer = create_store(place)
    await rescuer.liveness.open(Signals())  # takes over what the processes have left behind
    try:
        while len(list(connection.execute("SELECT 1 FROM processes"))) > 1:
            await rescuer.liveness.rescue()
        assert check_events(connection) > PROCESSES * operations
        check_facts(connection, facts)
        assert list(connection.execute("SELECT 1 FROM jobs WHERE status = 'running'")) == []
    finally:
        await rescuer.liveness.close()


def run_processes(place: str, seed: int, operations: int) -> Iterator[dict[str, Any]]:
    """What the processes were told by the store."""
    command = [sys.executable, "-m", "tests.stores.random_lives", place]
    processes = [
        subprocess.Popen(
            [*command, str(seed + number), str(operations)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for number in range(PROCESSES)
    ]  # fmt: skip
    try:
        for process in processes:
            output, errors = process.communicate(timeout=100)
            assert process.returncode == 0, errors
            yield from map(json.loads, output.splitlines())
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def check_facts(connection: Connection, facts: list[dict[str, Any]]) -> None:
    """What was acknowledged is so: jobs are there, each attempt was one process's, and one end was written."""
    jobs = {row[0]: row[1:] for row in connection.execute("SELECT id, status, attempt FROM jobs WHERE NOT is_deleted")}
    deleted = {fact["job_id"] for fact in facts if fact["what"] == "deleting"}
    inserted = {fact["job_id"] for fact in facts if fact["what"] == "inserted"}
    assert inserted - deleted == set(jobs) - deleted
    claims = [(fact["job_id"], fact["attempt"]) for fact in facts if fact["what"] == "claimed"]
    assert len(claims) == len(set(claims))
    ends = [(fact["job_id"], fact["attempt"]) for fact in facts if fact["what"] in ("finished", "released", "retried")]
    assert len(ends) == len(set(ends))
    finished = {fact["job_id"]: fact for fact in facts if fact["what"] == "finished"}
    statuses = {"complete": "completed", "fail": "failed", "cancel": "canceled"}
    for job_id, (status, attempt) in jobs.items():
        if job_id in finished:
            assert (statuses[finished[job_id]["transition"]], finished[job_id]["attempt"]) == (status, attempt)
        elif job_id not in deleted:
            assert status != "completed"
    keys = {(fact["key"], fact["job_id"]) for fact in facts if fact["what"] == "inserted" and fact["key"]}
    kept = [key for key, job_id in keys if job_id in jobs]
    assert len(kept) == len(set(kept))


@pytest.mark.parametrize(
    ("life", "fault"),
    [
        ([RUN, END], "does not begin"),
        ([START, END], "jumps from 1 to 3"),
        ([START, (2, 1, "completed", 1)], "goes from pending to completed"),
        ([START, RUN, RUN], "jumps from 2 to 2"),
        ([START, RUN, (3, 1, "running", 2)], "goes from running to running"),
        ([START, RUN, END, (4, 1, "running", 2)], "goes on after completed"),
        ([START, RUN, END, (4, 0, "completed", 1)], "goes on after completed"),
        ([START, RUN, BACK, (4, 1, "running", 1)], "goes from attempt 1 to 1"),
        ([START, RUN, PROGRESS, (5, 1, "failed", 1)], "jumps from 3 to 5"),
    ],
)
def test_a_life_that_cannot_be_is_found(life: list[tuple[int, int, str, int]], fault: str) -> None:
    assert fault in " and ".join(find_faults(life))


def test_a_life_that_can_be_has_no_fault() -> None:
    assert find_faults([START, RUN, (7, 0, "running", 1), (8, 1, "canceled", 1)]) == []
    assert find_faults([START, RUN, BACK, (4, 1, "running", 2), (5, 1, "failed", 2)]) == []


@contextmanager
def damaged(path: Path, statement: str) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # Those that see to it that nobody waits in vain for a key would repair what is damaged.
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name GLOB 'key*'"
        for (name,) in connection.execute(query).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(
            "INSERT INTO jobs (id, name, turn, max_restarts, runner, submitted_at, concurrency_key, concurrency_limit, "
            "owned_by) VALUES ('1', 'x', 1, 1, 'thread', '', 'k', 1, 'ana')"
        )
        connection.execute(statement)
        yield connection


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("DELETE FROM events", "does not begin"),
        ("INSERT INTO counts VALUES ('running', 'default', 7)", "counts say"),
        ("INSERT INTO owner_counts VALUES ('ana', 'running', 7)", "counts of owners say"),
        ("UPDATE owner_counts SET jobs = 2", "counts of owners say"),
        ("UPDATE jobs SET status = 'completed', version = 2", "goes from pending to completed"),
        ("UPDATE jobs SET status = 'running', version = 2, attempt = 1, owner = 99", "running without a process"),
        ("UPDATE jobs SET status = 'running', version = 2, attempt = 3, failures = 0", "was started 3 times"),
        ("UPDATE jobs SET owner = 99", "waiting for a process that is gone"),
        ("INSERT INTO results VALUES ('2', '1')", "results of no job"),
        ("INSERT INTO job_tags VALUES ('a', '2')", "tags of no job"),
        ("INSERT INTO logs VALUES ('2', 1, '', 1, 'info', 'log', '', 0)", "lines of no job"),
        ("UPDATE jobs SET status = 'canceled', waits_for = 'time', version = 2", "waiting, though no more pending"),
        ("UPDATE jobs SET concurrency_limit = 0", "too many with one key"),
        (
            "UPDATE jobs SET waits_for = 'key'",
            "room for more with this key",
        ),
    ],
)
async def test_tables_that_disagree_are_found(tmp_path: Path, statement: str, problem: str) -> None:
    path = tmp_path / "jobs.db"
    store = SqliteStore(path, RecordingPublisher(), SystemClock(), Retention())
    await store.liveness.open(Signals())
    await store.liveness.close()
    with damaged(path, statement) as connection, pytest.raises(AssertionError, match=problem):
        check_events(connection)
