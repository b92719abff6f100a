"""What is asked of the index. Each function is one statement, and so sees one state."""

import json
import sqlite3
from collections.abc import Collection
from typing import Any, Final

from servicekit.artifacts.ports import Expirable
from servicekit.artifacts.record import (
    Artifact,
    ArtifactFilter,
    ArtifactPage,
    ArtifactStats,
    ArtifactTree,
    KindStats,
)
from servicekit.artifacts.rows import COLUMNS, artifact_of, read_cursor, time_of
from servicekit.errors import ArtifactNotFound

_GET: Final = f"SELECT {COLUMNS}, json_text FROM artifacts WHERE id = ?"

# The queue of a recursive query is a sorted one, so that it comes level by level, and stops when the page is full.
_TREE: Final = f"""
    WITH RECURSIVE below (depth, place) AS (
        SELECT 0, number FROM artifacts WHERE id = :id {{and_seen}}
        UNION ALL
        SELECT depth + 1, child.number FROM below
        JOIN artifacts AS parent ON parent.number = place JOIN artifacts AS child ON child.parent_id = parent.id
        {{where_seen}} ORDER BY 1, 2
    )
    SELECT {COLUMNS}, depth, number
    FROM (SELECT depth, place FROM below WHERE (depth, place) > (:depth, :number) LIMIT :limit)
    JOIN artifacts ON number = place ORDER BY depth, number
"""
_WHOLE_TREE: Final = _TREE.format(and_seen="", where_seen="")
_OWN_TREE: Final = _TREE.format(and_seen="AND owner = :owner", where_seen="WHERE child.owner = :owner")
_ANCESTORS: Final = f"""
    WITH RECURSIVE above (height, place) AS (
        SELECT 0, ?
        UNION ALL
        SELECT height + 1, parent_id FROM above JOIN artifacts ON id = place WHERE parent_id IS NOT NULL
        LIMIT ?
    )
    SELECT {COLUMNS} FROM above JOIN artifacts ON id = place ORDER BY height DESC
"""
# The same content is counted once, by an index that has all that is needed.
_STATS: Final = """
    SELECT kind, sum(copies), sum(size) FROM
    (SELECT kind, size, count(*) AS copies FROM artifacts {which} GROUP BY kind, sha256, size) GROUP BY kind
    UNION ALL
    SELECT NULL, NULL, coalesce(sum(size), 0) FROM (SELECT DISTINCT sha256, size FROM artifacts {which})
"""
_ALL_STATS: Final = _STATS.format(which="")
_OWN_STATS: Final = _STATS.format(which="WHERE owner = :owner")
_EXPIRABLE: Final = """
    SELECT number, id, size, created_at,
        EXISTS (SELECT 1 FROM artifacts AS child WHERE child.parent_id = artifacts.id)
    FROM artifacts WHERE {which} AND number > ? AND keep IS NOT 'always' ORDER BY number LIMIT ?
"""


def get(connection: sqlite3.Connection, artifact_id: str) -> Artifact:
    row = connection.execute(_GET, [artifact_id]).fetchone()
    if row is None:
        raise ArtifactNotFound(artifact_id)
    return artifact_of(row, row[-1])


def list_page(connection: sqlite3.Connection, wanted: ArtifactFilter, limit: int, cursor: str | None) -> ArtifactPage:
    table, conditions, values = "artifacts", ["TRUE"], list[Any]()
    number = "number"
    if wanted.tag is not None and wanted.owner is not None:  # else all that others have tagged would be looked at
        conditions.append("EXISTS (SELECT 1 FROM tags WHERE tag = ? AND tags.number = artifacts.number)")
        values.append(wanted.tag)
    elif wanted.tag is not None:
        table, number = "tags JOIN artifacts USING (number)", "tags.number"
        conditions.append("tag = ?")
        values.append(wanted.tag)
    # Of an owner's many kinds rather than of a kind's many owners: a plus sign keeps SQLite from that index.
    kind = "kind" if wanted.owner is None else "+kind"
    given = {kind: wanted.kind, "parent_id": wanted.parent_id, "job_id": wanted.job_id, "owner": wanted.owner}
    for column, value in given.items():
        if value is not None:
            conditions.append(f"{column} = ?")
            values.append(value)
    if cursor is not None:
        conditions.append(f"{number} < ?")
        values.append(read_cursor(cursor, 1)[0])
    query = f"SELECT {COLUMNS}, {number} FROM {table} WHERE {' AND '.join(conditions)} ORDER BY {number} DESC LIMIT ?"
    rows = connection.execute(query, [*values, limit + 1]).fetchall()
    following = str(rows[limit - 1][-1]) if len(rows) > limit else None
    return ArtifactPage(tuple(map(artifact_of, rows[:limit])), following)


def get_tree(
    connection: sqlite3.Connection, artifact_id: str, limit: int, cursor: str | None, owner: str | None
) -> ArtifactTree:
    depth, number = (-1, 0) if cursor is None else read_cursor(cursor, 2)
    values = {"id": artifact_id, "depth": depth, "number": number, "limit": limit + 1, "owner": owner}
    rows = connection.execute(_WHOLE_TREE if owner is None else _OWN_TREE, values).fetchall()
    if not rows and cursor is None:
        raise ArtifactNotFound(artifact_id)
    following = "-".join(map(str, rows[limit - 1][-2:])) if len(rows) > limit else None
    return ArtifactTree(tuple(map(artifact_of, rows[:limit])), following)


def list_ancestors(connection: sqlite3.Connection, artifact_id: str, limit: int) -> list[Artifact]:
    rows = connection.execute(_ANCESTORS, [artifact_id, limit]).fetchall()
    if not rows:
        raise ArtifactNotFound(artifact_id)
    return list(map(artifact_of, rows))


def get_stats(connection: sqlite3.Connection, owner: str | None) -> ArtifactStats:
    query = _ALL_STATS if owner is None else _OWN_STATS
    *kinds, (_, _, total) = connection.execute(query, {"owner": owner}).fetchall()
    by_kind = {kind: KindStats(count, size) for kind, count, size in kinds}
    return ArtifactStats(sum(each.count for each in by_kind.values()), total, by_kind)


def find_blobs(connection: sqlite3.Connection, blobs: Collection[str]) -> set[str]:
    query = "SELECT 1 FROM artifacts WHERE sha256 = ? AND json_text IS NULL LIMIT 1"
    return {each for each in blobs if connection.execute(query, [bytes.fromhex(each)]).fetchone() is not None}


def list_expirable(
    connection: sqlite3.Connection, kind: str | None, except_kinds: Collection[str], after: int, limit: int
) -> list[Expirable]:
    if kind is not None:
        query, values = _EXPIRABLE.format(which="kind = ?"), [kind]
    else:
        query, values = _EXPIRABLE.format(which="kind NOT IN (SELECT value FROM json_each(?))"), [_list(except_kinds)]
    rows = connection.execute(query, [*values, after, limit])
    return [Expirable(number, id_, size, time_of(at), bool(parent)) for number, id_, size, at, parent in rows]


def sum_bytes(connection: sqlite3.Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT kind, sum(size) FROM artifacts WHERE keep IS NOT 'always' GROUP BY kind"))


def list_job_ids(connection: sqlite3.Connection, after: str, limit: int) -> list[str]:
    query = "SELECT DISTINCT job_id FROM artifacts WHERE keep = 'job' AND job_id > ? ORDER BY job_id LIMIT ?"
    return [job_id for (job_id,) in connection.execute(query, [after, limit])]


def _list(texts: Collection[str]) -> str:
    return json.dumps([*texts])
