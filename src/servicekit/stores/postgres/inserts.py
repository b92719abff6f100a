"""New jobs. Everything here runs inside the writer's transaction."""

import json
from collections.abc import Sequence
from typing import Final

from servicekit.errors import JobNotFound
from servicekit.jobs.idempotency import FirstUse
from servicekit.stores.durable.new_jobs import EndedJob, NewJob, accept, repeat
from servicekit.stores.durable.operations import Rank, for_all, for_each
from servicekit.stores.durable.requests import Resubmission
from servicekit.stores.postgres.changes import PENDING, ROWS, change, insertion, rows_of
from servicekit.stores.postgres.lines import welcome
from servicekit.stores.postgres.session import Session

_KINDS: Final = {
    **dict.fromkeys(("owner", "max_restarts", "priority", "concurrency_limit"), "::bigint"),
    **dict.fromkeys(("submitted_at", "scheduled_at", "expires_at"), "::timestamptz"),
}


def _insert_of(columns: Sequence[str]) -> str:
    """A statement that inserts rows, each with a turn behind all that are there."""
    values = [f"(value ->> {place}){_KINDS.get(name, '')}" for place, name in enumerate(columns)]
    values[columns.index("owner")] = f"coalesce({values[columns.index('owner')]}, 0)"
    # Of two jobs with one idempotency key the second one waits for the first to be committed, and is not inserted. Nor
    # is a job whose commit was not confirmed, and that is there.
    return insertion(
        f"INSERT INTO servicekit.jobs AS job (turn, {', '.join(columns)}) "
        f"SELECT nextval('servicekit.turns'), {', '.join(values)} FROM {ROWS} ON CONFLICT DO NOTHING",
        welcome("SELECT DISTINCT queue, owner, runner, -priority AS rank FROM changed"),
        kept=", job.owner, job.runner, job.priority",
    )


_PLAIN: Final = NewJob._fields.index("max_restarts") + 1
_ALL: Final = NewJob._fields.index("max_pending")
_INSERT_PLAIN: Final = _insert_of(NewJob._fields[:_PLAIN])
_INSERT: Final = _insert_of(NewJob._fields[:_ALL])
_TAG: Final = f"""
    INSERT INTO servicekit.job_tags (tag, job_id)
    SELECT DISTINCT tag, value ->> 0 FROM {ROWS} CROSS JOIN jsonb_array_elements_text(value -> 1) AS tags (tag)
"""
_WORDS: Final = f"""
    INSERT INTO servicekit.job_metadata (job_id, key, word)
    SELECT value ->> 0, key, word FROM {ROWS} CROSS JOIN jsonb_each_text(value -> 1) AS words (key, word)
"""


@for_all(Rank.SUBMIT)
def insert(session: Session, jobs: list[NewJob]) -> list[str | Exception]:
    """Keep new jobs. Return their ids, or those of the first jobs with their idempotency keys."""
    kept = find_kept(session, [job.id for job in jobs])
    answers = iter(_insert(session, [job for job in jobs if job.id not in kept]))
    return [job.id if job.id in kept else next(answers) for job in jobs]


def _insert(session: Session, jobs: list[NewJob]) -> list[str | Exception]:
    bounded = {job.queue for job in jobs if job.max_pending is not None}
    if bounded:
        lock_pending(session)
    first_uses = _find_first_uses(session, [job.idempotency_key for job in jobs if job.idempotency_key is not None])
    pending = _count_pending(session, bounded)
    accepted, answers = accept(jobs, first_uses, pending)
    written = _write(session, accepted)
    # Another process has used these first, and that was not yet to be seen.
    late = {job.idempotency_key for job in accepted if job.id not in written} - {None}
    for place, job in enumerate(jobs):
        if job.idempotency_key in late:
            (answers[place],) = insert.write(session, [job])
    return answers


_KEPT: Final = f"""
    SELECT id FROM (SELECT value #>> '{{}}' AS id FROM {ROWS}) AS asked
    WHERE EXISTS (SELECT 1 FROM servicekit.jobs WHERE jobs.id = asked.id)
    OR EXISTS (SELECT 1 FROM servicekit.events WHERE job_id = asked.id AND version IS NULL)
"""


def find_kept(session: Session, job_ids: list[str]) -> set[str]:
    """Those new jobs that were written by a transaction of whose commit nothing was heard; others may have changed them
    since, or deleted them."""
    found = session.run(_KEPT, {"rows": rows_of(job_ids)}) if session.is_unsure else []
    return {job_id for (job_id,) in found}


def _write(session: Session, jobs: list[NewJob]) -> set[str]:
    """Write those jobs that are not there. Return their ids."""
    if not jobs:
        return set()
    is_plain = all(job.is_plain for job in jobs)
    statement, end = (_INSERT_PLAIN, _PLAIN) if is_plain else (_INSERT, _ALL)
    written = {job_id for job_id, *_ in change(session, statement, {"rows": rows_of([job[:end] for job in jobs])})}
    session.is_ready |= any(job.waits_for is None for job in jobs)
    if not is_plain:
        new = [job for job in jobs if job.id in written]
        tagged = [(job.id, json.loads(job.tags)) for job in new if job.tags != "[]"]
        described = [(job.id, dict(job.words)) for job in new if job.words]
        for statement, rows in ((_TAG, tagged), (_WORDS, described)):
            if rows:
                session.run(statement, {"rows": rows_of(rows)})
    return written


def _find_first_uses(session: Session, keys: list[str]) -> dict[str, FirstUse]:
    if not keys:
        return {}
    query = (
        f"SELECT idempotency_key, id, fingerprint FROM {ROWS} "
        "JOIN servicekit.jobs ON idempotency_key = value #>> '{}'"
    )
    found = session.run(query, {"rows": rows_of(keys)})
    return {key: FirstUse(job_id, fingerprint) for key, job_id, fingerprint in found}


def lock_pending(session: Session) -> None:
    """Let no other process add jobs to a queue that is bounded until this transaction ends.

    One lock for all queues, so that there is no order in which to take several. It is a statement of its own: the next
    one sees what was committed until it has the lock.
    """
    session.run("SELECT pg_advisory_xact_lock(%s)", [session.lock_number("pending")])


def _count_pending(session: Session, queues: set[str]) -> dict[str, int]:
    """How many jobs wait. What other processes are just taking still counts."""
    if not queues:
        return {}
    query = (
        f"SELECT queue, sum(jobs)::bigint FROM {ROWS} JOIN servicekit.counts ON queue = value #>> '{{}}' "
        f"WHERE status = '{PENDING}' GROUP BY queue"
    )
    return dict(session.run(query, {"rows": rows_of(sorted(queues))}))


_REPEATED: Final = "SELECT id FROM servicekit.jobs WHERE retry_of = %s AND NOT is_deleted ORDER BY id DESC LIMIT 1"


@for_each(Rank.SUBMIT)
def resubmit(session: Session, request: Resubmission) -> str:
    """Keep a repetition of an ended job. Return its id, or that of one that is kept already and will do."""
    if find_kept(session, [request.new_id]):
        return request.new_id
    if request.is_once:
        lock_pending(session)  # another process may be about to repeat it; one lock, so that there is no order of two
        if repeated := session.run(_REPEATED, [request.job_id]):
            return str(repeated[0][0])
    query = (
        "SELECT name, runner, target, arguments, options, parent, status, restart_problem FROM servicekit.jobs "
        "WHERE id = %s AND NOT is_deleted"
    )
    rows = session.run(query, [request.job_id])
    if not rows:
        raise JobNotFound(request.job_id)
    return insert_one(session, repeat(EndedJob(*rows[0]), request))


def insert_one(session: Session, job: NewJob) -> str:
    """Keep one new job, or raise the error that refuses it."""
    (answer,) = insert.write(session, [job])
    if isinstance(answer, Exception):
        raise answer
    return answer
