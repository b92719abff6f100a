"""The list of processes that work on the file, and the jobs of processes that stop or have died.

Many jobs are given up in steps, each a transaction of its own, so that nobody else waits long for the writer's lock.
The process is struck off the list with the last step: whoever finds it there goes on.
"""

import json
import sqlite3
from typing import Final, NamedTuple

from servicekit.jobs.endings import end_abandoned, end_process
from servicekit.jobs.options import RunnerKind
from servicekit.jobs.status import JobStatus, Transition
from servicekit.stores.durable.operations import Rank, for_each
from servicekit.stores.durable.readiness import ReadinessRow
from servicekit.stores.durable.requests import Departure, Member, OwnedJob, Step
from servicekit.stores.sqlite.rows import IS_ID
from servicekit.stores.sqlite.writes import end_jobs, give_up

# So many jobs of a process that has gone are taken over in one transaction, for which other processes wait.
_STEP: Final = 500
_PENDING: Final = JobStatus.PENDING.value
_RUNNING: Final = JobStatus.RUNNING.value
# Nobody can do anything about a job whose id is none.
_OWNED: Final = f"jobs INDEXED BY jobs_owned WHERE owner IS NOT NULL AND {IS_ID}"
_NOBODY: Final = -1
# Another program can have made something of an owner that is no number.
_FIND_ODD: Final = (
    f"UPDATE jobs SET owner = {_NOBODY} WHERE id IN (SELECT id FROM {_OWNED} "
    f"AND status IN ('{_PENDING}', '{_RUNNING}') AND typeof(owner) <> 'integer')"
)
# What was left to a process because others could not run it, not because only that one could.
_HAND_BACK: Final = (
    f"UPDATE jobs SET owner = NULL WHERE id IN (SELECT id FROM {_OWNED} AND status = '{_PENDING}' AND owner = ? "
    "AND target IS NOT NULL)"
)


class RegistrationRequest(NamedTuple):
    id: int | None
    pid: int
    lock: str
    now: str
    service: str | None
    host: str | None = None


class ListedProcess(NamedTuple):
    """A process that is on the list, with what the file has of it, whatever another program has made of that."""

    member: Member
    host: object
    started_at: str
    is_stopping: object
    runs_jobs: object
    runners: object
    problems: object
    running: int


@for_each(Rank.PROCESS)
def register(connection: sqlite3.Connection, registration: RegistrationRequest) -> int:
    """Put this process on the list, or put it there anew."""
    connection.execute(
        "INSERT INTO processes (id, pid, lock, started_at, service, host) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET is_stopping = 0, lock = excluded.lock",
        registration,
    )
    query = "SELECT id FROM processes WHERE lock = ?"
    return int(connection.execute(query, [registration.lock]).fetchone()[0])


@for_each(Rank.PROCESS)
def introduce(connection: sqlite3.Connection, service: str) -> list[str]:
    """Note the name of this service. Return the other services that use the file, or did until now."""
    before = connection.execute("SELECT name FROM service").fetchall()
    others = connection.execute("SELECT DISTINCT service FROM processes WHERE service IS NOT NULL").fetchall()
    if before != [(service,)]:
        connection.execute("DELETE FROM service")
        connection.execute("INSERT INTO service VALUES (?)", [service])
    return sorted({name for (name,) in before + others if isinstance(name, str)} - {service})


@for_each(Rank.RETIRE)
def retire(connection: sqlite3.Connection, departure: Departure) -> Step:
    """This process claims no more. End some of the pending jobs that only it could run."""
    connection.execute("UPDATE processes SET is_stopping = 1 WHERE id = ?", [departure.process])
    failed = _end_waiting(connection, departure, is_in_order=True)
    return Step(len(failed) < _STEP, failed, len(failed))


@for_each(Rank.LEAVE)
def leave(connection: sqlite3.Connection, process: int) -> bool:
    """Take this process off the list, unless its attempts still run, or jobs wait for it."""
    is_free = not any(_list_owned(connection, status, process) for status in (_PENDING, _RUNNING))
    if is_free:
        connection.execute("DELETE FROM processes WHERE id = ?", [process])
    return is_free


@for_each(Rank.TAKE_OVER)
def take_over(connection: sqlite3.Connection, departure: Departure) -> Step:
    """Take over some jobs of a process that has died."""
    if departure.process == _NOBODY:
        connection.execute(_FIND_ODD)
    row = connection.execute("SELECT is_stopping FROM processes WHERE id = ?", [departure.process]).fetchone()
    is_stopping = bool(row and row[0])
    failed = _end_waiting(connection, departure, is_in_order=is_stopping)
    running = _list_owned(connection, _RUNNING, departure.process)
    is_last, taken = max(len(failed), len(running)) < _STEP, len(failed) + len(running)
    ending = end_process(is_in_order=is_stopping)
    fates = [(job_id, give_up(connection, job_id, ending, departure.now)) for job_id in running]
    failed += [job_id for job_id, fate in fates if fate is not None and fate.transition is Transition.FAIL]
    if is_last:
        connection.execute("DELETE FROM processes WHERE id = ?", [departure.process])
    return Step(is_last, failed, taken)


def _end_waiting(connection: sqlite3.Connection, departure: Departure, *, is_in_order: bool) -> list[str]:
    """End some of the pending jobs that only that process could run."""
    connection.execute(_HAND_BACK, [departure.process])
    waiting = _list_owned(connection, _PENDING, departure.process)
    if waiting:
        end_jobs(connection, end_abandoned(is_in_order=is_in_order), waiting, departure.now)
    return waiting


def _list_owned(connection: sqlite3.Connection, status: str, process: int) -> list[str]:
    query = f"SELECT json_group_array(id) FROM (SELECT id FROM {_OWNED} AND status = ? AND owner = ? LIMIT ?)"
    (text,) = connection.execute(query, [status, process, _STEP]).fetchone()
    found: list[str] = json.loads(text)
    return found


@for_each(Rank.PROCESS)
def touch(connection: sqlite3.Connection, process: int) -> None:
    """Write a few bytes, to see whether that is possible."""
    for step in (1, -1):  # SQLite writes nothing for a value that stays the same
        connection.execute("UPDATE processes SET pid = pid + ? WHERE id = ?", [step, process])


@for_each(Rank.PROCESS)
def put_readiness(connection: sqlite3.Connection, row: ReadinessRow) -> None:
    statement = "UPDATE processes SET runners = :runners, problems = :problems WHERE id = :process"
    connection.execute(statement, row._asdict())


def count_processes(connection: sqlite3.Connection) -> int:
    """How many processes are on the list, this one and dead ones included."""
    (count,) = connection.execute("SELECT count(*) FROM processes").fetchone()
    return int(count)


def list_running(connection: sqlite3.Connection, process: int) -> list[OwnedJob]:
    """The jobs that this process runs, as the file has it."""
    query = (
        f"SELECT id, attempt, is_deleted OR cancel_requested_at IS NOT NULL FROM {_OWNED} AND status = ? AND owner = ?"
    )
    return [OwnedJob(*row) for row in connection.execute(query, [_RUNNING, process]).fetchall()]


def _each_owner(status: str) -> str:
    """A query for the owners of jobs with a status, which steps from one to the next in an index."""
    least = f"SELECT min(owner) FROM {_OWNED} AND status = '{status}'"
    return (
        f"SELECT * FROM (WITH RECURSIVE owners (owner) AS ({least} UNION ALL "
        f"SELECT ({least} AND owner > owners.owner) FROM owners WHERE owners.owner IS NOT NULL) "
        "SELECT owner FROM owners WHERE owner IS NOT NULL)"
    )


def _read_member(number: int, lock: object, pid: object) -> Member:
    return Member(number, lock if isinstance(lock, str) else None, pid if isinstance(pid, int) else None)


def runs_on_cluster(connection: sqlite3.Connection, process: int) -> bool:
    """Whether this process runs jobs on a cluster, as the file has it."""
    query = f"SELECT 1 FROM {_OWNED} AND status = '{_RUNNING}' AND owner = ? AND runner = '{RunnerKind.RAY}'"
    return connection.execute(query, (process,)).fetchone() is not None


def list_members(connection: sqlite3.Connection, _: None) -> list[Member]:
    """All processes that are on the list, or have jobs without being on it."""
    listed = [_read_member(*row) for row in connection.execute("SELECT id, lock, pid FROM processes").fetchall()]
    owners = connection.execute(f"{_each_owner(_RUNNING)} UNION {_each_owner(_PENDING)}").fetchall()
    numbers = {owner if isinstance(owner, int) else _NOBODY for (owner,) in owners}
    return listed + [Member(number, None, None) for number in numbers - {member.id for member in listed}]


# The jobs of each are found in an index, and those that have ended are not in this part of it.
_WORKERS: Final = f"""
    SELECT id, lock, pid, host, started_at, is_stopping, runs_jobs, runners, problems, (
        SELECT count(*) FROM jobs INDEXED BY jobs_owned
        WHERE owner IS NOT NULL AND status = '{_RUNNING}' AND owner = processes.id
    ) FROM processes
"""


def list_listed(connection: sqlite3.Connection, _: None) -> list[ListedProcess]:
    """The processes that are on the list, dead ones included."""
    rows = connection.execute(_WORKERS).fetchall()
    return [ListedProcess(_read_member(number, lock, pid), *row) for number, lock, pid, *row in rows]
