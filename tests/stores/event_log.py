"""What must hold in a database of jobs at any moment, whoever has written it."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import psycopg

from servicekit.jobs.record import MAX_TRANSITIONS
from servicekit.jobs.status import TRANSITIONS, JobStatus

_WITH_KEY = "concurrency_key IS NOT NULL AND finished_at IS NULL"
_HOLDERS = "sum(CASE WHEN waits_for IS NULL THEN 1 ELSE 0 END)"


Connection = sqlite3.Connection | psycopg.Connection[tuple[Any, ...]]


def check_database(url: str) -> int:
    """As `check_events`, of the jobs in the database of this address, in the schema `servicekit`."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET search_path TO servicekit")
        return check_events(connection)


def check_events(connection: Connection) -> int:
    """Hold the log of events to the transition table, and the tables to each other; how many transitions there are.

    One snapshot is read, so that others may go on.
    """
    with _snapshot(connection):
        problems, transitions = _check_lives(connection)
        problems += _check_counts(connection) + _check_rest(connection)
    assert not problems, "\n".join(problems)
    return transitions


@contextmanager
def _snapshot(connection: Connection) -> Iterator[None]:
    if isinstance(connection, sqlite3.Connection):
        with connection:
            connection.execute("BEGIN")
            yield
    else:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with connection.transaction():
            yield


def _check_lives(connection: Connection) -> tuple[list[str], int]:
    lives: dict[str, list[tuple[int, int, str, int]]] = {}
    query = "SELECT job_id, version, is_transition, status, attempt FROM events WHERE version IS NOT NULL"
    for job_id, *event in connection.execute(f"{query} ORDER BY position"):
        lives.setdefault(job_id, []).append((event[0], event[1], event[2], event[3]))
    jobs = connection.execute(
        "SELECT id, status, version, attempt, spared + failures, max_restarts FROM jobs"
    ).fetchall()
    problems = [f"{job_id} has events and is not there" for job_id in set(lives) - {job[0] for job in jobs}]
    for job_id, status, version, attempt, uncounted, max_restarts in jobs:
        life = lives.get(job_id, [])
        problems += [f"{job_id} {problem}: {life}" for problem in find_faults(life)]
        if not life or life[-1][0] != version or (life[-1][2], life[-1][3]) != (status, attempt):
            problems.append(f"{job_id} is {status} at {version} in attempt {attempt}, and its log says {life}")
        if attempt - uncounted > max_restarts + 1:
            problems.append(
                f"{job_id} was started {attempt} times, {uncounted} uncounted, with {max_restarts} restarts"
            )
    return problems, sum(event[1] for life in lives.values() for event in life)


def find_faults(life: list[tuple[int, int, str, int]]) -> list[str]:
    """What is wrong with a life, given as (version, is transition, status, attempt) of each event in order."""
    faults = []
    is_cut = sum(is_transition for _, is_transition, *_ in life) >= MAX_TRANSITIONS
    if life[:1] != [(1, 1, "pending", 0)] and not is_cut:
        faults.append("does not begin as pending")
    allowed = {(source.value, target.value) for (source, _), target in TRANSITIONS.items()}
    for (version, _, status, attempt), (next_version, is_transition, next_status, next_attempt) in pairwise(life):
        is_start = next_status == "running" and is_transition
        # Of what is no transition only the newest is kept, so that numbers are left out before such a one.
        if next_version <= version or (is_transition and next_version != version + 1):
            faults.append(f"jumps from {version} to {next_version}")
        if (status, next_status) not in allowed if is_transition else status != next_status:
            faults.append(f"goes from {status} to {next_status}")
        if next_attempt != attempt + is_start:
            faults.append(f"goes from attempt {attempt} to {next_attempt}")
        if JobStatus(status).is_terminal:
            faults.append(f"goes on after {status}")
    return faults


_BY_OWNER = "GROUP BY owned_by, status"
_OF_OWNERS = f"{_BY_OWNER} HAVING sum(jobs) <> 0"


def _check_counts(connection: Connection) -> list[str]:
    query = "SELECT status, queue, sum(jobs) FROM counts GROUP BY status, queue HAVING sum(jobs) <> 0"
    kept = set(connection.execute(query))
    query = (
        "SELECT CASE WHEN is_deleted THEN 'deleted' ELSE status END AS s, queue, count(*) FROM jobs GROUP BY s, queue"
    )
    counted = set(connection.execute(query))
    faults = [] if kept == counted else [f"counts say {kept}, and there are {counted}"]
    kept = set(connection.execute(f"SELECT owned_by, status, sum(jobs) FROM owner_counts {_OF_OWNERS}"))
    query = f"SELECT owned_by, status, count(*) FROM jobs WHERE owned_by IS NOT NULL AND NOT is_deleted {_BY_OWNER}"
    counted = set(connection.execute(query))
    return faults if kept == counted else [*faults, f"counts of owners say {kept}, and there are {counted}"]


def _check_rest(connection: Connection) -> list[str]:
    """Nothing is left of jobs that are gone, and nobody runs a job who is not there."""
    is_file = isinstance(connection, sqlite3.Connection)
    processes = f"(SELECT {'id' if is_file else 'number'} FROM processes)"
    # Elsewhere the process that ran the last attempt stays.
    owned_at_the_end = "owner IS NOT NULL" if is_file else "false"
    queries = {
        "results of no job": "SELECT job_id FROM results WHERE job_id NOT IN (SELECT id FROM jobs)",
        "tags of no job": "SELECT job_id FROM job_tags WHERE job_id NOT IN (SELECT id FROM jobs)",
        "lines of no job": "SELECT job_id FROM logs WHERE job_id NOT IN (SELECT id FROM jobs)",
        "waiting, though no more pending": "SELECT id FROM jobs WHERE status <> 'pending' AND waits_for IS NOT NULL",
        "too many with one key": f"SELECT concurrency_key FROM jobs WHERE {_WITH_KEY} GROUP BY concurrency_key "
        f"HAVING {_HOLDERS} > max(concurrency_limit)",
        "room for more with this key": f"SELECT concurrency_key FROM jobs WHERE {_WITH_KEY} GROUP BY concurrency_key "
        f"HAVING {_HOLDERS} < max(CASE waits_for WHEN 'key' THEN concurrency_limit ELSE 0 END)",
        "running without a process": "SELECT id FROM jobs WHERE status = 'running' AND "
        f"(owner IS NULL OR owner NOT IN {processes})",
        "waiting for a process that is gone": "SELECT id FROM jobs WHERE status = 'pending' AND "
        f"owner <> 0 AND owner NOT IN {processes}",
        "ended and owned": "SELECT id FROM jobs WHERE status NOT IN ('pending', 'running') AND " + owned_at_the_end,
    }
    found = {name: [row[0] for row in connection.execute(query)] for name, query in queries.items()}
    return [f"{name}: {job_ids}" for name, job_ids in found.items() if job_ids]
