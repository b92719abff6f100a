"""Rows of an index as artifacts and back, and cursors. Every index keeps the same columns."""

import json
import time
from datetime import UTC, datetime
from typing import Any, Final

from servicekit.artifacts.decisions import Stand, write_tags
from servicekit.artifacts.record import Artifact, NewArtifact, Origin
from servicekit.errors import InvalidContent

COLUMNS: Final = (
    "id, parent_id, level, level_label, kind, name, media_type, size, sha256, metadata, tags, job_id, attempt, origin, "
    "keep, created_at, updated_at, is_table, owner"
)
"""What lists have of each artifact."""

_ORIGINS: Final = {str(origin): origin for origin in Origin}

Row = tuple[Any, ...]


def artifact_of(row: Row, json_text: str | None = None) -> Artifact:
    """The artifact of a row that begins with `COLUMNS`. A page has a thousand of them, so each must be quick."""
    created_at = time_of(row[15])
    return Artifact(
        id=row[0],
        parent_id=row[1],
        level=row[2],
        level_label=row[3],
        kind=row[4],
        name=row[5],
        media_type=row[6],
        size=row[7],
        sha256=row[8].hex(),
        metadata={} if row[9] == "{}" else json.loads(row[9]),
        tags=() if row[10] == "[]" else tuple(json.loads(row[10])),
        job_id=row[11],
        attempt=row[12],
        origin=_ORIGINS[row[13]],
        keep=row[14],
        created_at=created_at,
        updated_at=created_at if row[16] == row[15] else time_of(row[16]),
        is_table=bool(row[17]),
        owner=row[18],
        json_text=json_text,
    )


def row_of(new: NewArtifact, stand: Stand, now: int) -> Row:
    """The row of a new artifact: `COLUMNS`, and its content. `now`: in microseconds."""
    return (
        new.id, new.parent_id, stand.level, stand.label, new.kind, new.name, new.media_type, new.size,
        bytes.fromhex(new.sha256), new.metadata, write_tags(new.tags), new.job_id, new.attempt, str(new.origin),
        new.keep, now, now, new.is_table, new.owner, new.json_text,
    )  # fmt: skip


def time_of(microseconds: int) -> datetime:
    """A time as it stands in a row."""
    # A float is exact enough: until the year 2242 its steps are less than a microsecond.
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC)


def now_in_microseconds() -> int:
    """The time as it stands in a row."""
    return time.time_ns() // 1_000


def read_cursor(cursor: str, parts: int) -> list[int]:
    """The numbers of a cursor that an earlier page has given."""
    numbers = cursor.split("-")
    if len(numbers) != parts or not all(each.isascii() and each.isdigit() and len(each) < 19 for each in numbers):
        raise InvalidContent(("cursor",), "it is none that a page has given")
    return list(map(int, numbers))
