"""Removing what need not be kept any more, in small steps."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Final, NamedTuple

from servicekit.stores.sqlite.writes import REMOVE


class Prune(NamedTuple):
    groups: Sequence["PruneGroup"]
    limit: int
    ended_before: str
    """What ended later is kept in any case: other processes may not have seen it yet."""
    deletions_before: str


class PruneGroup(NamedTuple):
    """Statuses that are bounded together."""

    statuses: Sequence[str]
    max_count: int | None
    finished_before: str


_DELETIONS: Final = "SELECT position, at FROM events WHERE version IS NULL ORDER BY position LIMIT ?"
_OLDEST: Final = (
    "SELECT * FROM (SELECT id, finished_at FROM jobs WHERE status = ? AND finished_at < ? ORDER BY finished_at LIMIT ?)"
)


def prune(connection: sqlite3.Connection, request: Prune) -> bool:
    """Remove finished jobs that are too many or too old, the oldest first; say whether there may be more."""
    doomed = [job_id for group in request.groups for job_id in _find_doomed(connection, group, request)]
    if doomed:
        connection.execute(REMOVE, [json.dumps(doomed[: request.limit])])
    _forget_deletions(connection, request)
    connection.execute("DELETE FROM counts WHERE jobs = 0")
    connection.execute("DELETE FROM queues WHERE NOT is_paused AND name NOT IN (SELECT queue FROM counts)")
    return len(doomed) >= request.limit


def _find_doomed(connection: sqlite3.Connection, group: PruneGroup, request: Prune) -> list[str]:
    """Which of those that ended first have to go."""
    oldest = f"{' UNION ALL '.join([_OLDEST] * len(group.statuses))} ORDER BY finished_at LIMIT ?"
    values: list[object] = []
    for status in group.statuses:
        values += [status, request.ended_before, request.limit]
    found = connection.execute(oldest, [*values, request.limit]).fetchall()
    query = f"SELECT total(jobs) FROM counts WHERE status IN ({', '.join('?' * len(group.statuses))})"
    (finished,) = connection.execute(query, group.statuses).fetchone()
    excess = 0 if group.max_count is None else max(0, finished - group.max_count)
    return [job_id for index, (job_id, at) in enumerate(found) if index < excess or at < group.finished_before]


def _forget_deletions(connection: sqlite3.Connection, request: Prune) -> None:
    query = f"SELECT position FROM ({_DELETIONS}) WHERE at < ?"
    old = [position for (position,) in connection.execute(query, [request.limit, request.deletions_before]).fetchall()]
    if old:
        connection.execute("DELETE FROM events WHERE position IN (SELECT value FROM json_each(?))", [json.dumps(old)])
        connection.execute("UPDATE forgotten SET position = max(position, ?)", [max(old)])
