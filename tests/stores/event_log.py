"""What must hold in a job file at any moment, whoever has written it."""

import sqlite3
from itertools import pairwise

from servicekit.jobs.record import MAX_TRANSITIONS
from servicekit.jobs.status import TRANSITIONS, JobStatus

_WITH_KEY = "concurrency_key IS NOT NULL AND finished_at IS NULL"


def check_events(connection: sqlite3.Connection) -> int:
    """Hold the log of events to the transition table, and the tables to each other; how many transitions there are.

    One snapshot is read, so that others may go on.
    """
    with connection:
        connection.execute("BEGIN")
        problems, transitions = _check_lives(connection)
        problems += _check_counts(connection) + _check_rest(connection)
    assert not problems, "\n".join(problems)
    return transitions


def _check_lives(connection: sqlite3.Connection) -> tuple[list[str], int]:
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


def _check_counts(connection: sqlite3.Connection) -> list[str]:
    kept = set(connection.execute("SELECT status, queue, jobs FROM counts WHERE jobs <> 0"))
    query = "SELECT iif(is_deleted, 'deleted', status) AS s, queue, count(*) FROM jobs GROUP BY s, queue"
    counted = set(connection.execute(query))
    return [] if kept == counted else [f"counts say {kept}, and there are {counted}"]


def _check_rest(connection: sqlite3.Connection) -> list[str]:
    """Nothing is left of jobs that are gone, and nobody runs a job who is not there."""
    queries = {
        "results of no job": "SELECT job_id FROM results WHERE job_id NOT IN (SELECT id FROM jobs)",
        "tags of no job": "SELECT job_id FROM job_tags WHERE job_id NOT IN (SELECT id FROM jobs)",
        "lines of no job": "SELECT job_id FROM logs WHERE job_id NOT IN (SELECT id FROM jobs)",
        "waiting, though no more pending": "SELECT id FROM jobs WHERE status <> 'pending' AND waits_for IS NOT NULL",
        "too many with one key": f"SELECT concurrency_key FROM jobs WHERE {_WITH_KEY} GROUP BY concurrency_key "
        "HAVING sum(waits_for IS NULL) > max(concurrency_limit)",
        "room for more with this key": f"SELECT concurrency_key FROM jobs WHERE {_WITH_KEY} GROUP BY concurrency_key "
        "HAVING sum(waits_for IS NULL) < max(iif(waits_for = 'key', concurrency_limit, 0))",
        "running without a process": "SELECT id FROM jobs WHERE status = 'running' AND "
        "(owner IS NULL OR owner NOT IN (SELECT id FROM processes))",
        "waiting for a process that is gone": "SELECT id FROM jobs WHERE status = 'pending' AND "
        "owner NOT IN (SELECT id FROM processes)",
        "ended and owned": "SELECT id FROM jobs WHERE status NOT IN ('pending', 'running') AND owner IS NOT NULL",
    }
    found = {name: [row[0] for row in connection.execute(query)] for name, query in queries.items()}
    return [f"{name}: {job_ids}" for name, job_ids in found.items() if job_ids]
