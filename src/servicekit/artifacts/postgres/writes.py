"""What is written into the index. Each function is one call within a transaction."""

from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

from servicekit.artifacts.decisions import (
    Earlier,
    Parent,
    Rule,
    Stand,
    check_replacement,
    find_stand,
    refuse_others,
    refuse_parent,
    rules_of,
    values_of,
)
from servicekit.artifacts.hierarchy import Hierarchy
from servicekit.artifacts.ports import Added, Removed
from servicekit.artifacts.record import Artifact, Changes, NewArtifact
from servicekit.artifacts.rows import COLUMNS, artifact_of, row_of
from servicekit.errors import ArtifactNotFound
from servicekit.stores.postgres.session import Session

_NOW: Final = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_INSERT: Final = f"""
    WITH added AS (
        INSERT INTO servicekit.artifacts ({COLUMNS}, json_text) VALUES ({", ".join(["%s"] * 20)}) RETURNING number
    )
    INSERT INTO servicekit.artifact_tags SELECT tag, number FROM added, unnest(%s::text[]) AS tag
"""
_DELETE: Final = """
    WITH untagged AS (DELETE FROM servicekit.artifact_tags WHERE number = ANY(%(numbers)s))
    DELETE FROM servicekit.artifacts WHERE number = ANY(%(numbers)s)
"""
_SUBTREE: Final = """
    WITH RECURSIVE below (id) AS (
        SELECT unnest(%s::text[]) COLLATE "C"
        UNION SELECT artifacts.id FROM servicekit.artifacts JOIN below ON artifacts.parent_id = below.id
    )
    SELECT number, sha256, owner FROM servicekit.artifacts JOIN below USING (id)
"""
# In order, so that two that need the same rows wait for each other, and not both for ever.
_LOCK_ROWS: Final = "SELECT 1 FROM servicekit.artifacts WHERE number = ANY(%s) ORDER BY number FOR UPDATE"

_Row = tuple[Any, ...]
"""The number of an artifact, the hash of its content, and its owner."""


def declare(session: Session, hierarchies: Sequence[Hierarchy]) -> None:
    session.run("SELECT pg_advisory_xact_lock(%s)", [session.lock_number("artifact kinds")])
    for each in hierarchies:
        rows = rules_of(each)
        there = session.run("SELECT * FROM servicekit.artifact_kinds WHERE hierarchy = %s", [each.name])
        if set(there) == set(rows):
            continue
        session.run(
            "DELETE FROM servicekit.artifact_kinds WHERE hierarchy = %s OR kind = ANY(%s)", [each.name, [*each.kinds]]
        )
        for row in rows:
            session.run("INSERT INTO servicekit.artifact_kinds VALUES (%s, %s, %s)", row)


def add(session: Session, new: NewArtifact, place: Callable[[], None]) -> Added:
    if new.json_text is None:
        session.run("SELECT pg_advisory_xact_lock_shared(%s)", [_number_of(session, new.sha256)])
    stand = _find_place(session, new)
    released = _make_room(session, new)
    place()  # before the row, so that there is never a row without its blob
    [(now,)] = session.run(f"SELECT {_NOW}")
    row = row_of(new, stand, now)
    session.run(_INSERT, [*row, [*new.tags]])
    return Added(artifact_of(row, new.json_text), released)


def _find_place(session: Session, new: NewArtifact) -> Stand:
    parent = None
    if new.parent_id is not None:
        # Locked, so that it is not removed meanwhile. If a later attempt of its job is taking its place just now, the
        # first look waits for that and finds nothing, and the second finds the new row.
        query = "SELECT kind, level FROM servicekit.artifacts WHERE id = %s FOR KEY SHARE"
        found = session.run(query, [new.parent_id]) or session.run(query, [new.parent_id])
        parent = Parent(*found[0]) if found else None
    rules = session.run("SELECT hierarchy, parent_kind FROM servicekit.artifact_kinds WHERE kind = %s", [new.kind])
    return find_stand(new, parent, Rule(*rules[0]) if rules else None)


def _make_room(session: Session, new: NewArtifact) -> list[str]:
    """Remove what an earlier attempt of the same job has saved under this id. Return its blob."""
    query = "SELECT number, job_id, attempt, parent_id, kind, sha256 FROM servicekit.artifacts WHERE id = %s FOR UPDATE"
    there = session.run(query, [new.id])
    if not there:
        return []
    number, *known, sha256 = there[0]
    check_replacement(new, Earlier(*known), lambda: _has_children(session, new.id))
    session.run(_DELETE, {"numbers": [number]})
    return [sha256.hex()]


def update(session: Session, artifact_id: str, changes: Changes) -> Artifact:
    query = f"SELECT {COLUMNS}, json_text, number, {_NOW} FROM servicekit.artifacts WHERE id = %s FOR UPDATE"
    rows = session.run(query, [artifact_id])
    if not rows:
        raise ArtifactNotFound(artifact_id)
    *row, json_text, number, now = rows[0]
    values = {"updated_at": now, **values_of(changes, keep=row[14])}
    if changes.tags is not None:
        session.run("DELETE FROM servicekit.artifact_tags WHERE number = %s", [number])
        session.run("INSERT INTO servicekit.artifact_tags SELECT unnest(%s::text[]), %s", [[*changes.tags], number])
    columns = ", ".join(f"{name} = %({name})s" for name in values)
    session.run(f"UPDATE servicekit.artifacts SET {columns} WHERE number = %(number)s", {**values, "number": number})
    changed = dict(zip(COLUMNS.split(", "), row, strict=True)) | values
    return artifact_of(tuple(changed.values()), json_text)


def remove(session: Session, artifact_id: str, recursive: bool, owner: str | None) -> Removed:
    found = session.run("SELECT owner FROM servicekit.artifacts WHERE id = %s FOR UPDATE", [artifact_id])
    if not found or owner not in (None, found[0][0]):
        raise ArtifactNotFound(artifact_id)
    if not recursive and _has_children(session, artifact_id):
        raise refuse_parent(artifact_id)
    rows = _lock_with_all_below(session, [artifact_id])
    if any(owner not in (None, each) for *_, each in rows):
        raise refuse_others(artifact_id)
    return _remove_rows(session, rows)


def remove_kept(session: Session, job_ids: Collection[str]) -> Removed:
    query = "SELECT id FROM servicekit.artifacts WHERE keep = 'job' AND job_id = ANY(%s)"
    return _remove_all(session, [artifact_id for (artifact_id,) in session.run(query, [[*job_ids]])])


def remove_expired(session: Session, artifact_ids: Collection[str]) -> Removed:
    locked = session.run(
        "SELECT number FROM servicekit.artifacts WHERE id = ANY(%s) ORDER BY number FOR UPDATE", [[*artifact_ids]]
    )
    # A statement of its own: it sees what was added below them until they were locked.
    query = """
        SELECT number, sha256, owner FROM servicekit.artifacts
        WHERE number = ANY(%s) AND keep IS DISTINCT FROM 'always'
        AND NOT EXISTS (SELECT 1 FROM servicekit.artifacts AS child WHERE child.parent_id = artifacts.id)
    """
    return _remove_rows(session, session.run(query, [[number for (number,) in locked]]))


def release(session: Session, blobs: Collection[str], remove: Callable[[str], None]) -> int:
    # In order, as above. In a statement of its own, so that the next one sees whatever these locks have waited for.
    numbers = sorted(_number_of(session, each) for each in blobs)
    session.run("SELECT pg_advisory_xact_lock(number) FROM unnest(%s::bigint[]) AS number", [numbers])
    used = find_blobs(session, blobs)
    unused = [each for each in blobs if each not in used]
    for each in unused:
        remove(each)
    return len(unused)


def find_blobs(session: Session, blobs: Collection[str]) -> set[str]:
    query = """
        SELECT sha256 FROM servicekit.artifacts WHERE sha256 = ANY(%(blobs)s) AND json_text IS NULL
        UNION SELECT sha256 FROM servicekit.artifact_marks WHERE sha256 = ANY(%(blobs)s)
    """
    return {sha256.hex() for (sha256,) in session.run(query, {"blobs": [bytes.fromhex(each) for each in blobs]})}


def _remove_all(session: Session, artifact_ids: Sequence[str]) -> Removed:
    """Remove these, and all that stands below them."""
    return _remove_rows(session, _lock_with_all_below(session, artifact_ids))


def _lock_with_all_below(session: Session, artifact_ids: Sequence[str]) -> list[_Row]:
    """These and all that stands below them, which nobody changes from now on."""
    locked: set[int] = set()
    while True:
        rows = session.run(_SUBTREE, [[*artifact_ids]])
        numbers = {number for number, *_ in rows}
        if numbers <= locked:
            return rows
        # Others may be adding below those that are not locked yet, so it is looked once more.
        session.run(_LOCK_ROWS, [[*numbers]])
        locked |= numbers


def _remove_rows(session: Session, rows: Sequence[_Row]) -> Removed:
    session.run(_DELETE, {"numbers": [number for number, *_ in rows]})
    return Removed(len(rows), [each.hex() for each in {sha256 for _, sha256, _ in rows}])


def _has_children(session: Session, artifact_id: str) -> bool:
    return bool(session.run("SELECT 1 FROM servicekit.artifacts WHERE parent_id = %s LIMIT 1", [artifact_id]))


def _number_of(session: Session, sha256: str) -> int:
    """The advisory lock of a content."""
    return session.lock_number(f"blob {sha256}")
