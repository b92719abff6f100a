"""Removes old jobs and events, in small steps, and what counts nothing."""

from collections.abc import Mapping
from typing import Final

from servicekit.stores.durable.operations import Rank, for_each
from servicekit.stores.durable.requests import Prune, PruneGroup
from servicekit.stores.postgres import owners
from servicekit.stores.postgres.feed import PURPOSE as EVENTS
from servicekit.stores.postgres.session import Session
from servicekit.stores.postgres.writes import remove

# Of each status: how many jobs have it, and whether there are rows of it that nobody needs.
_COUNTS: Final = """
    SELECT status, sum(jobs)::bigint, bool_or(jobs = 0 OR is_left_over) FROM (
        SELECT status, sum(jobs) AS jobs,
               bool_or(shard NOT IN (SELECT shard FROM servicekit.processes WHERE NOT is_dead)) AS is_left_over
        FROM servicekit.counts GROUP BY queue, status
    ) AS each GROUP BY status
"""
_DOOMED: Final = """
    SELECT id FROM (
        SELECT id, finished_at, row_number() OVER (ORDER BY finished_at, id) AS place
        FROM unnest(%(statuses)s) AS wanted CROSS JOIN LATERAL (
            SELECT id, finished_at FROM servicekit.jobs
            WHERE status = wanted AND finished_at < %(ended_before)s::timestamptz
            AND (%(excess)s > 0 OR finished_at < %(before)s::timestamptz)
            ORDER BY finished_at LIMIT %(limit)s
        ) AS ended
    ) AS oldest
    WHERE place <= %(excess)s OR finished_at < %(before)s::timestamptz ORDER BY place LIMIT %(limit)s
"""
_FORGET_DELETIONS: Final = """
    WITH oldest AS (
        SELECT position, at FROM servicekit.events WHERE version IS NULL ORDER BY position LIMIT %s
    ), gone AS (
        DELETE FROM servicekit.events
        WHERE position IN (SELECT position FROM oldest WHERE at < %s::timestamptz) RETURNING position
    )
    UPDATE servicekit.forgotten SET position = greatest(forgotten.position, newest.position)
    FROM (SELECT max(position) AS position FROM gone) AS newest WHERE newest.position IS NOT NULL
"""
# What is taken from rows is put into a row of this process, whatever others have written there meanwhile. Rows that
# others are just writing are passed over.
_FOLD: Final = """
    WITH unneeded AS (
        SELECT queue, status, shard FROM servicekit.counts AS each
        WHERE shard NOT IN (SELECT shard FROM servicekit.processes WHERE NOT is_dead)
        OR (SELECT sum(jobs) FROM servicekit.counts WHERE queue = each.queue AND status = each.status) = 0
        FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM servicekit.counts USING unneeded
        WHERE counts.queue = unneeded.queue AND counts.status = unneeded.status AND counts.shard = unneeded.shard
        RETURNING counts.queue, counts.status, counts.jobs
    )
    INSERT INTO servicekit.counts AS kept (queue, status, shard, jobs)
    SELECT queue, status, %s, sum(jobs) FROM gone GROUP BY queue, status HAVING sum(jobs) <> 0
    ON CONFLICT (queue, status, shard) DO UPDATE SET jobs = kept.jobs + EXCLUDED.jobs
"""
# Differences of sets, and no `NOT EXISTS`: each table is read once, whatever the server believes their sizes to be. Of
# thousands of new queues it knows nothing for a minute, and would look through all counts for each one.
_UNUSED: Final = """
    SELECT name FROM servicekit.queues WHERE NOT is_paused EXCEPT SELECT queue FROM servicekit.counts
"""
_UNUSED_LINES: Final = "SELECT queue FROM servicekit.lines EXCEPT SELECT name FROM servicekit.queues"
_LINES_OF_NOBODY: Final = "servicekit.lines WHERE owner <> 0 AND owner NOT IN (SELECT number FROM servicekit.processes)"


@for_each(Rank.PRUNE)
def prune(session: Session, request: Prune) -> bool:
    """Remove finished jobs that are too many or too old, the oldest first. Return whether there may be more."""
    if not _try_lock(session, "prune"):
        return False  # another process is at it
    found = session.run(_COUNTS)
    counts = {status: jobs for status, jobs, _ in found}
    left = request.limit
    for group in request.groups:
        left -= _remove_doomed(session, group, request, left, counts)
    session.run(_FORGET_DELETIONS, [request.limit, request.deletions_before])
    if any(is_unneeded for _, _, is_unneeded in found):
        session.run(_FOLD, [session.shard])
    owners.fold(session)
    _forget_queues(session)
    return left <= 0


def _forget_queues(session: Session) -> None:
    """Forget queues without jobs, if no other process is writing: it may just add a job to one of them.

    Who writes holds this lock, shared, until its commit. It is not waited for, since the next look will do.
    """
    ((is_needed,),) = session.run(
        f"SELECT EXISTS ({_UNUSED}) OR EXISTS ({_UNUSED_LINES}) OR EXISTS (SELECT 1 FROM {_LINES_OF_NOBODY})"
    )
    if is_needed and _try_lock(session, EVENTS):
        session.run(f"DELETE FROM servicekit.queues WHERE name = ANY (ARRAY({_UNUSED}))")
        session.run(f"DELETE FROM servicekit.lines WHERE queue = ANY (ARRAY({_UNUSED_LINES}))")
        session.run(f"DELETE FROM {_LINES_OF_NOBODY}")


def _try_lock(session: Session, purpose: str) -> bool:
    """Take a lock of all processes until the end of the transaction, unless another one has it."""
    [(is_taken,)] = session.run("SELECT pg_try_advisory_xact_lock(%s)", [session.lock_number(purpose)])
    return bool(is_taken)


def _remove_doomed(session: Session, group: PruneGroup, request: Prune, limit: int, counts: Mapping[str, int]) -> int:
    """Remove at most so many jobs that are not to be kept. Return how many."""
    finished = sum(counts.get(status, 0) for status in group.statuses)
    excess = 0 if group.max_count is None else max(0, finished - group.max_count)
    if limit <= 0 or not (excess or group.finished_before):
        return 0
    values = {
        "statuses": list(group.statuses),
        "ended_before": request.ended_before,
        "before": group.finished_before or "-infinity",
        "excess": excess,
        "limit": limit,
    }
    doomed = [job_id for (job_id,) in session.run(_DOOMED, values)]
    if doomed:
        remove(session, doomed)
    return len(doomed)
