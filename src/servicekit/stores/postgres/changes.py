"""Changes of jobs. Each writes its events and its counts in the same statement, so that none can be left out.

Triggers would leave none out either, and cost as much as all the rest of a job. A statement that is made here has a
part for each duty; all of them see the jobs as `changed`.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from servicekit.jobs.status import JobStatus
from servicekit.stores.postgres import owners
from servicekit.stores.postgres.session import Session, to_text

PENDING: Final = JobStatus.PENDING.value
RUNNING: Final = JobStatus.RUNNING.value

ROWS: Final = "jsonb_array_elements(%(rows)s::jsonb) WITH ORDINALITY AS rows (value, place)"
"""Rows that are given as one JSON list: a parameter for each column would cost the client ten times as much."""


def each_of(source: str, job_id: str) -> str:
    """The same rows as a subquery, for an `UPDATE` of the jobs that have the ids in this column.

    One job after the other is looked up by its id. A join would be planned for a table as large as it is at that time;
    one that is new would be read whole, and go on to be when it has grown, since the plan is kept.
    """
    known = f"SELECT id FROM servicekit.jobs WHERE id = {job_id} OFFSET 0"
    return f"(SELECT source.*, known.id AS known_id FROM {source} CROSS JOIN LATERAL ({known}) AS known OFFSET 0)"


def asked_for(guard: str) -> str:
    """The end of a statement for the jobs of the rows, whose first value is the id, that fulfil the guard.

    The guard is in a `coalesce`, so that no other index looks better than that of the ids.
    """
    asked = each_of(ROWS.replace("AS rows", "AS source"), "value ->> 0")
    return f"{asked} AS asked WHERE job.id = known_id AND coalesce({guard}, FALSE)"


_COUNTED: Final = f"CASE WHEN job.is_deleted AND job.status = '{RUNNING}' THEN 'deleted' ELSE job.status END"
_EVENT: Final = (
    "version, status, attempt, at, started_at, scheduled_at, cancel_requested_at, progress, error, error_traceback"
)
_CHANGED: Final = (
    "job.id, job.queue, job.concurrency_key, job.owned_by, job.version, job.status, job.attempt, "
    "coalesce(job.finished_at, job.started_at, job.submitted_at) AS at, job.started_at, job.scheduled_at, "
    "job.cancel_requested_at, job.progress, job.error, "
    "CASE WHEN job.finished_at IS NULL THEN job.error_traceback END AS error_traceback"
)
OWNED: Final = "CASE WHEN owned_by IS NOT NULL THEN json_build_array(owned_by, before, counted) END"
"""Whose job it is, and how it was counted before and is now: NULL for a job without an owner."""
_ANSWER: Final = f"SELECT id, concurrency_key, {OWNED} FROM changed"
_IN: Final = "SELECT queue, counted AS status, 1 AS jobs FROM changed"
_OUT: Final = "SELECT queue, before AS status, -1 AS jobs FROM changed"


def insertion(insert: str, *more: str, kept: str) -> str:
    """A statement that inserts jobs, and returns the ids of those that were not there."""
    changed = f"{insert} RETURNING {_CHANGED}, {_COUNTED} AS counted, NULL::text AS before{kept}"
    return _build(changed, _log(is_transition=True), _count(_IN), *more)


def transition(
    update: str, before: JobStatus, *more: str, answer: str = _ANSWER, kept: str = "", first: str = ""
) -> str:
    """A statement that moves jobs, none of them hidden, from one status to another: an `UPDATE` without its ending.

    - `more`: other parts of the statement; `first` are those that come before the update.
    - `kept`: what the update returns besides, for them and for `answer`.
    """
    changed = f"{update} RETURNING {_CHANGED}, {_COUNTED} AS counted, '{before.value}' AS before{kept}"
    return _build(
        changed, _log(is_transition=True), _count(f"{_IN} UNION ALL {_OUT}"), *more, answer=answer, first=first
    )


def touch(update: str) -> str:
    """A statement that changes something else than the status. Of such events the newest is enough."""
    forgotten = _forget("events", "version = changed.version - 1 AND NOT is_transition")
    return _build(
        f"{update} RETURNING {_CHANGED}",
        _log(is_transition=False),
        forgotten,
        answer="SELECT id, NULL, NULL FROM changed",
    )


def _build(changed: str, *parts: str, answer: str = _ANSWER, first: str = "") -> str:
    return f"WITH {first} changed AS ({changed}), {', '.join(parts)} {answer}"


def _log(*, is_transition: bool) -> str:
    return (
        f"logged AS (INSERT INTO servicekit.events (writer, is_transition, job_id, {_EVENT}) "
        f"SELECT %(number)s::bigint, {is_transition}, id, {_EVENT} FROM changed)"
    )


def _count(changes: str) -> str:
    # Grouped, since one statement must not change one row twice.
    return f"""
        counted AS (
            INSERT INTO servicekit.counts AS known (queue, status, shard, jobs)
            SELECT queue, status, %(shard)s::integer, sum(jobs) FROM ({changes}) AS each
            GROUP BY queue, status HAVING sum(jobs) <> 0
            ON CONFLICT (status, queue, shard) DO UPDATE SET jobs = known.jobs + EXCLUDED.jobs
        )
    """


def _forget(table: str, condition: str = "TRUE") -> str:
    """A part that removes what a table has of these jobs. Its rows are looked up job by job: see `each_of`."""
    found = f"SELECT ctid FROM servicekit.{table} WHERE job_id = changed.id AND {condition} OFFSET 0"
    return (
        f"no_{table} AS (DELETE FROM servicekit.{table} WHERE ctid = ANY (ARRAY("
        f"SELECT found.ctid FROM changed CROSS JOIN LATERAL ({found}) AS found)))"
    )


_FOUND: Final = ", ".join(map(_forget, ("job_tags", "job_metadata")))

_RUNS: Final = f"job.status = '{RUNNING}' AND NOT job.is_deleted"
HIDE_RUNNING: Final = _build(
    "UPDATE servicekit.jobs AS job SET is_deleted = TRUE, idempotency_key = NULL "
    f"FROM {asked_for(_RUNS)} "
    f"RETURNING job.id, job.queue, NULL AS concurrency_key, job.owned_by, 'deleted' AS counted, '{RUNNING}' AS before",
    _count(f"{_IN} UNION ALL {_OUT}"),
    _FOUND,
)
"""Hides running jobs until their attempts have ended. They keep the slots of their keys until then."""

_IS_OVER: Final = f"(NOT job.is_deleted AND job.status <> '{RUNNING}' OR job.is_deleted AND %(are_hidden)s)"
REMOVE: Final = _build(
    f"DELETE FROM servicekit.jobs AS job USING {asked_for(_IS_OVER)} RETURNING job.id, "
    f"job.queue, CASE WHEN job.finished_at IS NULL THEN job.concurrency_key END AS concurrency_key, "
    f"job.owned_by, {_COUNTED} AS before, NULL::text AS counted",
    _count(_OUT),
    _FOUND,
    _forget("events", "version IS NOT NULL"),
    _forget("results"),
    _forget("logs"),
)
"""Removes jobs, with all that is kept of them but the events of their deletion. It spares those that run."""


def change(session: Session, statement: str, values: Mapping[str, object]) -> list[tuple[Any, ...]]:
    """Run a statement that was made here. Return what it answers for each job that it has changed."""
    rows = session.run(statement, {"number": session.number, "shard": session.shard, **values})
    session.is_changed |= bool(rows)
    session.keys.update(row[1] for row in rows if row[1] is not None)
    for row in rows:
        if row[2] is not None:
            owners.note(session, *json.loads(row[2]))
    return rows


def rows_of(rows: object) -> str:
    """Rows as one parameter."""
    text = json.dumps(rows)
    return json.dumps(_marked(rows)) if "\\u0000" in text or "\\ufdd0" in text else text


def _marked(value: object) -> object:
    match value:
        case str():
            return to_text(value)
        case list() | tuple():
            return [_marked(each) for each in value]
        case dict():
            return {_marked(key): _marked(each) for key, each in value.items()}
        case _:
            return value
