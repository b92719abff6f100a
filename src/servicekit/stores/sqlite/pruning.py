"""Removes old jobs and events, in small steps."""

import json
import sqlite3
from typing import Final

from servicekit.stores.durable.operations import Rank, for_each
from servicekit.stores.durable.requests import Prune, PruneGroup
from servicekit.stores.sqlite.ready import READY

_DELETIONS: Final = "SELECT position, at FROM events WHERE version IS NULL ORDER BY position LIMIT ?"
# Those whose end is no time come first: another program has written it. There is nearly nothing after tomorrow to look
# at, so that they are easy to find.
_OLDEST: Final = """
    SELECT * FROM (
        SELECT id, '' AS ended FROM jobs WHERE status = ? AND finished_at > ? AND (
            typeof(finished_at) = 'blob' OR finished_at NOT GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-*'
        ) LIMIT ?
    )
    UNION ALL
    SELECT * FROM (
        SELECT id, finished_at AS ended FROM jobs WHERE status = ? AND finished_at < ? ORDER BY finished_at LIMIT ?
    )
"""


@for_each(Rank.PRUNE)
def prune(connection: sqlite3.Connection, request: Prune) -> bool:
    """Remove finished jobs that are too many or too old, the oldest first. Return whether there may be more."""
    left = request.limit
    for group in request.groups:
        left -= _remove_doomed(connection, group, request, left)
    _forget_deletions(connection, request)
    connection.execute("DELETE FROM counts WHERE jobs = 0")
    connection.execute(
        "DELETE FROM queues WHERE NOT is_paused AND name NOT IN (SELECT queue FROM counts) "
        f"AND NOT EXISTS (SELECT 1 FROM {READY} AND queue = queues.name)"  # others may have changed the counts
    )
    return left <= 0


def _remove_doomed(connection: sqlite3.Connection, group: PruneGroup, request: Prune, limit: int) -> int:
    """Remove at most so many jobs that are not to be kept. Return how many.

    By the place in which they ended, since their ids may be none that could be named.
    """
    oldest = f"{' UNION ALL '.join([_OLDEST] * len(group.statuses))} ORDER BY ended LIMIT ?"
    values: list[object] = []
    for status in group.statuses:
        values += [status, request.tomorrow, limit, status, request.ended_before, limit]
    query = f"SELECT total(jobs) FROM counts WHERE status IN ({', '.join('?' * len(group.statuses))})"
    (finished,) = connection.execute(query, group.statuses).fetchone()
    excess = 0 if group.max_count is None else max(0, finished - group.max_count)
    found = connection.execute(f"SELECT ended FROM ({oldest})", [*values, limit]).fetchall()
    doomed = [at for index, (at,) in enumerate(found) if index < excess or at < group.finished_before]
    if doomed:
        connection.execute(f"DELETE FROM jobs WHERE id IN (SELECT id FROM ({oldest}))", [*values, len(doomed)])
    return len(doomed)


def _forget_deletions(connection: sqlite3.Connection, request: Prune) -> None:
    query = f"SELECT position FROM ({_DELETIONS}) WHERE at < ?"
    old = [position for (position,) in connection.execute(query, [request.limit, request.deletions_before]).fetchall()]
    if old:
        connection.execute("DELETE FROM events WHERE position IN (SELECT value FROM json_each(?))", [json.dumps(old)])
        connection.execute("UPDATE forgotten SET position = max(CAST(position AS INTEGER), ?)", [max(old)])
