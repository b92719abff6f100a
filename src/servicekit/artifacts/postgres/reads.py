"""What is asked of the index. Each function is one statement, and so sees one state."""

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
from servicekit.stores.postgres.session import Session

_TREE: Final = f"""
    WITH RECURSIVE below (depth, place, parent) AS (
        SELECT 0::bigint, number, id FROM servicekit.artifacts WHERE id = %(id)s {{and_seen}}
        UNION ALL
        SELECT depth + 1, child.number, child.id FROM below
        JOIN servicekit.artifacts AS child ON child.parent_id = below.parent {{where_seen}}
    )
    SELECT {COLUMNS}, depth, number
    FROM (
        SELECT depth, place FROM below WHERE (depth, place) > (%(depth)s, %(number)s)
        ORDER BY depth, place LIMIT %(limit)s
    ) AS page
    JOIN servicekit.artifacts ON number = place ORDER BY depth, number
"""
_WHOLE_TREE: Final = _TREE.format(and_seen="", where_seen="")
_OWN_TREE: Final = _TREE.format(and_seen="AND owner = %(owner)s", where_seen="WHERE child.owner = %(owner)s")
_ANCESTORS: Final = f"""
    WITH RECURSIVE above (height, place) AS (
        SELECT 1::bigint, %s::text COLLATE "C"
        UNION ALL
        SELECT height + 1, parent_id FROM above JOIN servicekit.artifacts ON id = place
        WHERE parent_id IS NOT NULL AND height < %s
    )
    SELECT {COLUMNS} FROM above JOIN servicekit.artifacts ON id = place ORDER BY height DESC
"""
# The same content is counted once, by an index that has all that is needed.
_STATS: Final = """
    SELECT kind, sum(copies)::bigint, sum(size)::bigint FROM
    (SELECT kind, size, count(*) AS copies FROM servicekit.artifacts {which} GROUP BY kind, sha256, size) AS contents
    GROUP BY kind
    UNION ALL
    SELECT NULL, NULL, coalesce(sum(size), 0)::bigint
    FROM (SELECT DISTINCT sha256, size FROM servicekit.artifacts {which}) AS contents
"""
_ALL_STATS: Final = _STATS.format(which="")
_OWN_STATS: Final = _STATS.format(which="WHERE owner = %(owner)s")
_EXPIRABLE: Final = """
    SELECT number, id, size, created_at,
        EXISTS (SELECT 1 FROM servicekit.artifacts AS child WHERE child.parent_id = artifacts.id)
    FROM servicekit.artifacts
    WHERE (kind = %(kind)s OR (%(kind)s::text IS NULL AND kind <> ALL(%(except_kinds)s)))
    AND number > %(after)s AND keep IS DISTINCT FROM 'always' ORDER BY number LIMIT %(limit)s
"""


def get(session: Session, artifact_id: str) -> Artifact:
    rows = session.run(f"SELECT {COLUMNS}, json_text FROM servicekit.artifacts WHERE id = %s", [artifact_id])
    if not rows:
        raise ArtifactNotFound(artifact_id)
    return artifact_of(rows[0], rows[0][-1])


def list_page(session: Session, wanted: ArtifactFilter, limit: int, cursor: str | None) -> ArtifactPage:
    table, number = "servicekit.artifacts", "artifacts.number"
    conditions, values = ["TRUE"], list[Any]()
    if wanted.tag is not None:
        table, number = "servicekit.artifact_tags JOIN servicekit.artifacts USING (number)", "artifact_tags.number"
        conditions.append("tag = %s")
        values.append(wanted.tag)
    given = {"kind": wanted.kind, "parent_id": wanted.parent_id, "job_id": wanted.job_id, "owner": wanted.owner}
    for column, value in given.items():
        if value is not None:
            conditions.append(f"{column} = %s")
            values.append(value)
    if cursor is not None:
        conditions.append(f"{number} < %s")
        values.append(read_cursor(cursor, 1)[0])
    query = f"SELECT {COLUMNS}, {number} FROM {table} WHERE {' AND '.join(conditions)} ORDER BY {number} DESC LIMIT %s"
    rows = session.run(query, [*values, limit + 1])
    following = str(rows[limit - 1][-1]) if len(rows) > limit else None
    return ArtifactPage(tuple(map(artifact_of, rows[:limit])), following)


def get_tree(session: Session, artifact_id: str, limit: int, cursor: str | None, owner: str | None) -> ArtifactTree:
    depth, number = (-1, 0) if cursor is None else read_cursor(cursor, 2)
    values = {"id": artifact_id, "depth": depth, "number": number, "limit": limit + 1, "owner": owner}
    rows = session.run(_WHOLE_TREE if owner is None else _OWN_TREE, values)
    if not rows and cursor is None:
        raise ArtifactNotFound(artifact_id)
    following = "-".join(map(str, rows[limit - 1][-2:])) if len(rows) > limit else None
    return ArtifactTree(tuple(map(artifact_of, rows[:limit])), following)


def list_ancestors(session: Session, artifact_id: str, limit: int) -> list[Artifact]:
    rows = session.run(_ANCESTORS, [artifact_id, limit])
    if not rows:
        raise ArtifactNotFound(artifact_id)
    return list(map(artifact_of, rows))


def get_stats(session: Session, owner: str | None) -> ArtifactStats:
    *kinds, (_, _, total) = session.run(_ALL_STATS if owner is None else _OWN_STATS, {"owner": owner})
    by_kind = {kind: KindStats(count, size) for kind, count, size in kinds}
    return ArtifactStats(sum(each.count for each in by_kind.values()), total, by_kind)


def list_expirable(
    session: Session, kind: str | None, except_kinds: Collection[str], after: int, limit: int
) -> list[Expirable]:
    values = {"kind": kind, "except_kinds": [*except_kinds], "after": after, "limit": limit}
    rows = session.run(_EXPIRABLE, values)
    return [Expirable(number, id_, size, time_of(at), parent) for number, id_, size, at, parent in rows]


def sum_bytes(session: Session) -> dict[str, int]:
    query = """
        SELECT kind, sum(size)::bigint FROM servicekit.artifacts WHERE keep IS DISTINCT FROM 'always' GROUP BY kind
    """
    return dict(session.run(query))


def list_job_ids(session: Session, after: str, limit: int) -> list[str]:
    query = """
        SELECT DISTINCT job_id FROM servicekit.artifacts WHERE keep = 'job' AND job_id > %s ORDER BY job_id LIMIT %s
    """
    return [job_id for (job_id,) in session.run(query, [after, limit])]
