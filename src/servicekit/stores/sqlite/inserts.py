"""New jobs. Everything here runs inside the writer's transaction."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Final

from servicekit.errors import JobNotFound
from servicekit.jobs.idempotency import FirstUse
from servicekit.jobs.status import Transition, move_of
from servicekit.stores.durable.new_jobs import EndedJob, NewJob, accept, repeat
from servicekit.stores.durable.operations import Rank, for_all, for_each
from servicekit.stores.durable.requests import Resubmission

_PENDING: Final = move_of(Transition.CLAIM).sources[0].value


def _insert_of(columns: Sequence[str]) -> str:
    """A statement that inserts rows, given as one JSON list, each with a turn behind all that are there."""
    values = ", ".join(f"json_extract(value, '$[{index}]')" for index in range(len(columns)))
    return (
        f"INSERT INTO jobs (turn, {', '.join(columns)}) "
        f"SELECT (SELECT last FROM turns) + key + 1, {values} FROM json_each(?)"
    )


_PLAIN: Final = NewJob._fields.index("max_restarts") + 1
_ALL: Final = NewJob._fields.index("max_pending")
_INSERT_PLAIN: Final = _insert_of(NewJob._fields[:_PLAIN])
_INSERT: Final = _insert_of(NewJob._fields[:_ALL])
_TAG: Final = """
    INSERT INTO job_tags (tag, job_id)
    SELECT tags.value, json_extract(rows.value, '$[0]')
    FROM json_each(?) AS rows CROSS JOIN json_each(json_extract(rows.value, '$[1]')) AS tags
"""
_WORDS: Final = """
    INSERT INTO job_metadata (job_id, key, word)
    SELECT json_extract(rows.value, '$[0]'), words.key, words.value
    FROM json_each(?) AS rows CROSS JOIN json_each(json_extract(rows.value, '$[1]')) AS words
"""


@for_all(Rank.SUBMIT)
def insert(connection: sqlite3.Connection, jobs: list[NewJob]) -> list[str | Exception]:
    """Keep new jobs. Return their ids, or those of the first jobs with their idempotency keys."""
    first_uses = _find_first_uses(connection, [job.idempotency_key for job in jobs if job.idempotency_key is not None])
    pending = _count_pending(connection, {job.queue for job in jobs if job.max_pending is not None})
    accepted, answers = accept(jobs, first_uses, pending)
    _write(connection, accepted)
    return answers


def _write(connection: sqlite3.Connection, jobs: list[NewJob]) -> None:
    if all(job.is_plain for job in jobs):
        if jobs:
            connection.execute(_INSERT_PLAIN, [json.dumps([job[:_PLAIN] for job in jobs])])
        return
    connection.execute(_INSERT, [json.dumps([job[:_ALL] for job in jobs])])
    tagged = [[job.id, json.loads(job.tags)] for job in jobs if job.tags != "[]"]
    if tagged:
        connection.execute(_TAG, [json.dumps(tagged)])
    described = [[job.id, job.words] for job in jobs if job.words]
    if described:
        connection.execute(_WORDS, [json.dumps(described)])


def _find_first_uses(connection: sqlite3.Connection, keys: list[str]) -> dict[str, FirstUse]:
    if not keys:
        return {}
    (found,) = connection.execute(
        "SELECT json_group_array(json_array(idempotency_key, CAST(id AS TEXT), CAST(fingerprint AS TEXT))) FROM jobs "
        "WHERE idempotency_key IN (SELECT value FROM json_each(?))",
        [json.dumps(keys)],
    ).fetchone()
    return {key: FirstUse(job_id, fingerprint) for key, job_id, fingerprint in json.loads(found)}


def _count_pending(connection: sqlite3.Connection, queues: set[str]) -> dict[str, int]:
    if not queues:
        return {}
    (found,) = connection.execute(
        f"SELECT json_group_object(queue, CAST(jobs AS INTEGER)) FROM counts WHERE status = '{_PENDING}' "
        "AND queue IN (SELECT value FROM json_each(?))",
        (json.dumps(list(queues)),),
    ).fetchone()
    counts: dict[str, int] = json.loads(found)
    return counts


@for_each(Rank.SUBMIT)
def resubmit(connection: sqlite3.Connection, request: Resubmission) -> str:
    """Keep a repetition of an ended job. Return its id, or that of one that is kept already and will do."""
    if request.is_once:
        repeated = "SELECT id FROM jobs WHERE retry_of = ? AND NOT is_deleted ORDER BY id DESC LIMIT 1"
        row = connection.execute(repeated, [request.job_id]).fetchone()
        if row is not None:
            return str(row[0])
    query = (
        "SELECT name, runner, target, arguments, options, parent, status, restart_problem FROM jobs "
        "WHERE id = ? AND NOT is_deleted"
    )
    row = connection.execute(query, [request.job_id]).fetchone()
    if row is None:
        raise JobNotFound(request.job_id)
    return insert_one(connection, repeat(EndedJob(*row), request))


def insert_one(connection: sqlite3.Connection, job: NewJob) -> str:
    """Keep one new job, or raise the error that refuses it."""
    (answer,) = insert.write(connection, [job])
    if isinstance(answer, Exception):
        raise answer
    return answer
