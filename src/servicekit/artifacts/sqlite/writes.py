"""What is written into the index. Each function is one call within a transaction."""

import json
import sqlite3
from collections.abc import Callable, Collection, Sequence
from typing import Final

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
from servicekit.artifacts.rows import COLUMNS, artifact_of, now_in_microseconds, row_of
from servicekit.artifacts.sqlite.connections import AfterCommit
from servicekit.errors import ArtifactNotFound

_INSERT: Final = f"INSERT INTO artifacts ({COLUMNS}, json_text) VALUES ({', '.join('?' * 20)})"
_SUBTREE: Final = """
    WITH RECURSIVE below (id) AS (
        SELECT value FROM json_each(?)
        UNION SELECT artifacts.id FROM artifacts JOIN below ON artifacts.parent_id = below.id
    )
    SELECT number, sha256, owner FROM artifacts JOIN below USING (id)
"""
# By the tags that stand in the rows: the table has no index of numbers.
_DELETE_TAGS: Final = """
    DELETE FROM tags WHERE (tag, number) IN (
        SELECT tag.value, artifacts.number FROM json_each(?) AS number
        JOIN artifacts ON artifacts.number = number.value JOIN json_each(artifacts.tags) AS tag
    )
"""


def declare(connection: sqlite3.Connection, hierarchies: Sequence[Hierarchy]) -> None:
    for each in hierarchies:
        rows = rules_of(each)
        there = connection.execute("SELECT * FROM hierarchies WHERE hierarchy = ?", [each.name]).fetchall()
        if set(there) == set(rows):  # as usual: then there is nothing to sync to the disk
            continue
        connection.execute("DELETE FROM hierarchies WHERE hierarchy = ?", [each.name])
        connection.executemany("INSERT OR REPLACE INTO hierarchies VALUES (?, ?, ?)", rows)


def add(connection: sqlite3.Connection, new: NewArtifact, place: Callable[[], None]) -> Added:
    stand = _find_place(connection, new)
    released = _make_room(connection, new)
    place()  # before the row, so that there is never a row without its blob
    row = row_of(new, stand, now_in_microseconds())
    number = connection.execute(_INSERT, row).lastrowid
    _insert_tags(connection, number, new.tags)
    return Added(artifact_of(row, new.json_text), released)


def _find_place(connection: sqlite3.Connection, new: NewArtifact) -> Stand:
    parent = connection.execute("SELECT kind, level FROM artifacts WHERE id = ?", [new.parent_id]).fetchone()
    rule = connection.execute("SELECT hierarchy, parent_kind FROM hierarchies WHERE kind = ?", [new.kind]).fetchone()
    return find_stand(new, parent and Parent(*parent), rule and Rule(*rule))


def _make_room(connection: sqlite3.Connection, new: NewArtifact) -> list[str]:
    """Remove what an earlier attempt of the same job has saved under this id. Return its blob."""
    query = "SELECT number, job_id, attempt, parent_id, kind, sha256 FROM artifacts WHERE id = ?"
    there = connection.execute(query, [new.id]).fetchone()
    if there is None:
        return []
    number, *known, sha256 = there
    check_replacement(new, Earlier(*known), lambda: _has_children(connection, new.id))
    _delete(connection, [number])
    return [sha256.hex()]


def update(connection: sqlite3.Connection, artifact_id: str, changes: Changes) -> Artifact:
    query = f"SELECT {COLUMNS}, json_text, number FROM artifacts WHERE id = ?"
    row = connection.execute(query, [artifact_id]).fetchone()
    if row is None:
        raise ArtifactNotFound(artifact_id)
    values = {"updated_at": now_in_microseconds(), **values_of(changes, keep=row[14])}
    if changes.tags is not None:
        _delete_tags(connection, [row[-1]])
        _insert_tags(connection, row[-1], changes.tags)
    columns = ", ".join(f"{name} = ?" for name in values)
    connection.execute(f"UPDATE artifacts SET {columns} WHERE number = ?", [*values.values(), row[-1]])
    row = connection.execute(query, [artifact_id]).fetchone()
    return artifact_of(row, row[-2])


def remove(connection: sqlite3.Connection, artifact_id: str, recursive: bool, owner: str | None) -> Removed:
    row = connection.execute("SELECT owner FROM artifacts WHERE id = ?", [artifact_id]).fetchone()
    if row is None or owner not in (None, row[0]):
        raise ArtifactNotFound(artifact_id)
    if not recursive and _has_children(connection, artifact_id):
        raise refuse_parent(artifact_id)
    rows = _list_with_all_below(connection, [artifact_id])
    if any(owner not in (None, each) for *_, each in rows):
        raise refuse_others(artifact_id)
    return _remove_rows(connection, rows)


def remove_kept(connection: sqlite3.Connection, job_ids: Collection[str]) -> Removed:
    query = "SELECT id FROM artifacts WHERE keep = 'job' AND job_id IN (SELECT value FROM json_each(?))"
    return _remove_all(connection, [row[0] for row in connection.execute(query, [json.dumps([*job_ids])])])


def remove_expired(connection: sqlite3.Connection, artifact_ids: Collection[str]) -> Removed:
    query = """
        SELECT id FROM artifacts WHERE id IN (SELECT value FROM json_each(?)) AND keep IS NOT 'always'
        AND NOT EXISTS (SELECT 1 FROM artifacts AS child WHERE child.parent_id = artifacts.id)
    """
    return _remove_all(connection, [row[0] for row in connection.execute(query, [json.dumps([*artifact_ids])])])


def release(connection: sqlite3.Connection, blobs: Collection[str], remove: Callable[[str], None]) -> AfterCommit[int]:
    query = "SELECT 1 FROM artifacts WHERE sha256 = ? AND json_text IS NULL LIMIT 1"
    unused = [each for each in blobs if connection.execute(query, [bytes.fromhex(each)]).fetchone() is None]
    if unused:
        # The log may have a row that nobody sees: of a process that was killed when its commit was in the log, but
        # before it could tell that to the others. SQLite finds it when it reads the log anew, after the death of all
        # processes, unless somebody has written in its place. So something is written, the number that stands there,
        # and the blobs are removed only afterwards: else the row would come back without its blob.
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        connection.execute(f"PRAGMA user_version = {version}")

    def remove_unused() -> int:
        for each in unused:  # nobody can refer to it meanwhile, since this process has the lock of writers
            remove(each)
        return len(unused)

    return AfterCommit(remove_unused)


_Row = tuple[int, bytes, str | None]
"""The number of an artifact, the hash of its content, and its owner."""


def _list_with_all_below(connection: sqlite3.Connection, artifact_ids: Sequence[str]) -> list[_Row]:
    rows: list[_Row] = connection.execute(_SUBTREE, [json.dumps([*artifact_ids])]).fetchall()
    return rows


def _remove_all(connection: sqlite3.Connection, artifact_ids: Sequence[str]) -> Removed:
    """Remove these, and all that stands below them."""
    return _remove_rows(connection, _list_with_all_below(connection, artifact_ids))


def _remove_rows(connection: sqlite3.Connection, rows: Sequence[_Row]) -> Removed:
    _delete(connection, [number for number, *_ in rows])
    return Removed(len(rows), [each.hex() for each in {sha256 for _, sha256, _ in rows}])


def _delete(connection: sqlite3.Connection, numbers: Sequence[int]) -> None:
    _delete_tags(connection, numbers)
    query = "DELETE FROM artifacts WHERE number IN (SELECT value FROM json_each(?))"
    connection.execute(query, [json.dumps([*numbers])])


def _delete_tags(connection: sqlite3.Connection, numbers: Sequence[int]) -> None:
    connection.execute(_DELETE_TAGS, [json.dumps([*numbers])])


def _insert_tags(connection: sqlite3.Connection, number: int | None, tags: Sequence[str]) -> None:
    if tags:
        connection.executemany("INSERT INTO tags VALUES (?, ?)", [(tag, number) for tag in tags])


def _has_children(connection: sqlite3.Connection, artifact_id: str) -> bool:
    return connection.execute("SELECT 1 FROM artifacts WHERE parent_id = ?", [artifact_id]).fetchone() is not None
