"""The list of processes that work on the jobs, and the jobs of processes that stop or have died.

Many jobs are given up in steps, each a transaction of its own, so that nobody else waits long for their rows. The
process is struck off the list with the last step: whoever finds it there goes on.
"""

import json
from typing import Final, NamedTuple

from servicekit.jobs.status import JobStatus
from servicekit.stores.durable.operations import Rank, for_each
from servicekit.stores.durable.requests import Member, OwnedJob
from servicekit.stores.postgres.leases import Terms
from servicekit.stores.postgres.session import Session

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
