"""The list of processes that work on the jobs, and the jobs of processes that stop or have died.

Many jobs are given up in steps, each a transaction of its own, so that nobody else waits long for their rows. The
process is struck off the list with the last step: whoever finds it there goes on.
"""

import json
from datetime import UTC, datetime
from typing import Final, NamedTuple

from servicekit.errors import StoreUnavailable
from servicekit.jobs.endings import end_abandoned, end_process
from servicekit.jobs.options import RunnerKind
from servicekit.jobs.status import JobStatus, Transition
from servicekit.jobs.workers import WorkerRecord
from servicekit.stores.durable.operations import Rank, for_each
from servicekit.stores.durable.readiness import ReadinessRow, read_problems, read_runners
from servicekit.stores.durable.requests import Departure, Member, OwnedJob, Step
from servicekit.stores.postgres.leases import NOT_AHEAD, Terms
from servicekit.stores.postgres.session import Session
from servicekit.stores.postgres.writes import end_jobs, give_up

# So many jobs of a process that has gone are taken over in one transaction.
_STEP: Final = 500
_PENDING: Final = JobStatus.PENDING.value
_RUNNING: Final = JobStatus.RUNNING.value
_IS_OWNED: Final = f"owner <> 0 AND finished_at IS NULL AND status IN ('{_PENDING}', '{_RUNNING}')"  # as in an index


class RegistrationRequest(NamedTuple):
    number: int
    name: str
    machine: str | None
    pid: int
    pid_started: int | None
    service: str | None


_LOCK: Final = "SELECT pg_advisory_xact_lock(%s)"
# The lowest shard that nobody has: so there are never more of them than there were processes at a time.
_REGISTER: Final = """
    INSERT INTO servicekit.processes (
        number, name, machine, pid, pid_started, service, shard, started_at, renewed_at
    )
    SELECT %(number)s, %(name)s, %(machine)s, %(pid)s, %(pid_started)s, %(service)s, (
        SELECT min(shard) FROM (
            SELECT 0 AS shard UNION ALL SELECT shard + 1 FROM servicekit.processes
        ) AS next WHERE shard NOT IN (SELECT shard FROM servicekit.processes)
    ), clock_timestamp(), clock_timestamp()
    ON CONFLICT (number) DO UPDATE SET is_stopping = false, renewed_at = excluded.renewed_at
    WHERE NOT processes.is_dead
    RETURNING shard
"""


@for_each(Rank.PROCESS)
def register(session: Session, request: RegistrationRequest) -> int | None:
    """Put this process on the list, or put it there anew, and return its shard. `None`: it is marked as dead."""
    session.run(_LOCK, [session.lock_number("processes")])  # two must not take the same shard
    for (origin,) in session.run("SELECT location FROM servicekit.unfinished_move"):
        reason = f"the move of {origin} into it is not finished. Run `servicekit move` again: it goes on."
        raise StoreUnavailable("in PostgreSQL", reason)
    session.run(NOT_AHEAD)
    rows = session.run(_REGISTER, request._asdict())
    if not rows:
        return None
    session.number, session.shard = request.number, int(rows[0][0])
    return session.shard


@for_each(Rank.PROCESS)
def introduce(session: Session, service: str) -> list[str]:
    """Note the name of this service. Return the other services that use the jobs, or did until now."""
    session.run(_LOCK, [session.lock_number("processes")])
    before = session.run("SELECT name FROM servicekit.service")
    others = session.run("SELECT DISTINCT service FROM servicekit.processes WHERE service IS NOT NULL")
    if before != [(service,)]:
        session.run("DELETE FROM servicekit.service")
        session.run("INSERT INTO servicekit.service VALUES (%s)", [service])
    return sorted({name for (name,) in before + others} - {service})


@for_each(Rank.PROCESS)
def touch(session: Session, process: int) -> None:
    """Write a few bytes, to see whether that is possible."""
    session.run("UPDATE servicekit.processes SET pid = pid WHERE number = %s", [process])


@for_each(Rank.PROCESS)
def put_readiness(session: Session, row: ReadinessRow) -> None:
    statement = (
        "UPDATE servicekit.processes SET runners = %(runners)s, problems = %(problems)s WHERE number = %(process)s"
    )
    session.run(statement, row._asdict())


def runs_on_cluster(session: Session, process: int) -> bool:
    """Whether this process runs jobs on a cluster, as the database has it."""
    query = (
        "SELECT EXISTS (SELECT FROM servicekit.jobs "
        f"WHERE owner = %s AND status = '{_RUNNING}' AND {_IS_OWNED} AND runner = '{RunnerKind.RAY}')"
    )
    return bool(session.run(query, [process])[0][0])


def list_running(session: Session, process: int) -> list[OwnedJob]:
    """The jobs that this process runs, as the database has it."""
    query = (
        "SELECT id, attempt, is_deleted OR cancel_requested_at IS NOT NULL FROM servicekit.jobs "
        f"WHERE owner = %s AND status = '{_RUNNING}' AND {_IS_OWNED}"
    )
    return [OwnedJob(*row) for row in session.run(query, [process])]


# A process that has renewed its lease meanwhile is left alone: whichever of the two comes first to the row wins.
_MARK_DEAD: Final = """
    UPDATE servicekit.processes SET is_dead = true
    FROM json_array_elements(%s::json) AS suspects (value)
    WHERE number = (value ->> 0)::bigint
    AND (is_dead OR renewed_at < clock_timestamp() - make_interval(secs => (value ->> 1)::float8))
    RETURNING number, pid, name
"""


@for_each(Rank.PROCESS)
def mark_dead(session: Session, suspicion: tuple[list[tuple[int, bool]], Terms]) -> list[Member]:
    """Mark those of the processes that have died: from the commit on, nothing that they write counts."""
    suspects, terms = suspicion
    seconds = [[number, terms.gone if is_gone else terms.death] for number, is_gone in suspects]
    rows = session.run(_MARK_DEAD, [json.dumps(seconds)])
    return [Member(number, None, pid, name) for number, pid, name in rows]


@for_each(Rank.RETIRE)
def retire(session: Session, departure: Departure) -> Step:
    """This process claims no more. End some of the pending jobs that only it could run."""
    session.run("UPDATE servicekit.processes SET is_stopping = true WHERE number = %s", [departure.process])
    failed = _end_waiting(session, departure, is_in_order=True)
    return Step(len(failed) < _STEP, failed, len(failed))


@for_each(Rank.TAKE_OVER)
def take_over(session: Session, departure: Departure) -> Step:
    """Take over some jobs of a process that is marked as dead, or is not on the list."""
    session.run(_LOCK, [session.lock_number("rescue")])  # others look for the same jobs: let each take others
    query = "SELECT is_dead, is_stopping FROM servicekit.processes WHERE number = %s"
    is_dead, is_stopping = next(iter(session.run(query, [departure.process])), (True, False))
    if not is_dead:  # a stranger that has joined meanwhile
        return Step(True, [], 0)
    failed = _end_waiting(session, departure, is_in_order=is_stopping)
    fates = give_up(session, departure.process, _STEP, end_process(is_in_order=is_stopping), departure.now)
    taken = len(failed) + len(fates)
    failed += [job_id for job_id, fate in fates.items() if fate is not None and fate.transition is Transition.FAIL]
    is_last = not _owns(session, departure.process)
    if is_last:
        _strike_off(session, departure.process)
    return Step(is_last, failed, taken)


# What was left to a process because others could not run it, not because only that one could.
_HAND_BACK: Final = f"""
    UPDATE servicekit.jobs SET owner = 0
    WHERE owner = %s AND status = '{_PENDING}' AND {_IS_OWNED} AND target IS NOT NULL RETURNING id
"""


_WAITING: Final = f"""
    SELECT id FROM servicekit.jobs WHERE owner = %s AND status = '{_PENDING}' AND {_IS_OWNED} ORDER BY id LIMIT %s
"""


def _end_waiting(session: Session, departure: Departure, *, is_in_order: bool) -> list[str]:
    """End some of the pending jobs that only that process could run."""
    session.is_ready |= bool(session.run(_HAND_BACK, [departure.process]))
    waiting = [job_id for (job_id,) in session.run(_WAITING, [departure.process, _STEP])]
    return end_jobs(session, end_abandoned(is_in_order=is_in_order), waiting, departure.now)


@for_each(Rank.LEAVE)
def leave(session: Session, process: int) -> bool:
    """Take this process off the list, unless its attempts still run, or jobs wait for it."""
    is_free = not _owns(session, process)
    if is_free:
        _strike_off(session, process)
    return is_free


def _owns(session: Session, process: int) -> bool:
    query = f"SELECT EXISTS (SELECT FROM servicekit.jobs WHERE owner = %s AND {_IS_OWNED})"
    return bool(session.run(query, [process])[0][0])


def _strike_off(session: Session, process: int) -> None:
    session.run("DELETE FROM servicekit.processes WHERE number = %s", [process])


# It steps from one owner to the next in an index.
_STRANGERS: Final = f"""
    WITH RECURSIVE owners (owner) AS (
        SELECT min(owner) FROM servicekit.jobs WHERE {_IS_OWNED}
        UNION ALL
        SELECT (SELECT min(owner) FROM servicekit.jobs WHERE {_IS_OWNED} AND owner > owners.owner)
        FROM owners WHERE owner IS NOT NULL
    )
    SELECT owner FROM owners WHERE owner NOT IN (SELECT number FROM servicekit.processes) AND owner <> %s
"""


def list_strangers(session: Session, process: int) -> list[int]:
    """Those that have jobs and are not on the list, other than this process."""
    return [number for (number,) in session.run(_STRANGERS, [process])]


_WORKERS: Final = f"""
    SELECT name, started_at, is_stopping, runs_jobs, (
        SELECT count(*) FROM servicekit.jobs WHERE owner = number AND status = '{_RUNNING}' AND {_IS_OWNED}
    ), number = %s, renewed_at, runners, problems FROM servicekit.processes WHERE NOT is_dead
"""


def list_workers(session: Session, process: int) -> list[WorkerRecord]:
    """The processes that are on the list and are not marked as dead. `process` is the one that asks."""
    return [_read_worker(*row) for row in session.run(_WORKERS, [process])]


def _read_worker(
    name: str, started_at: str, is_stopping: bool, runs_jobs: bool, running: int, is_this: bool, seen_at: str,
    runners: str | None, problems: str | None,
) -> WorkerRecord:  # fmt: skip
    return WorkerRecord(
        name, _read_time(started_at), is_stopping, runs_jobs, running, is_this, _read_time(seen_at),
        read_runners(runners), read_problems(problems),
    )  # fmt: skip


def _read_time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
