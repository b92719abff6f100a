"""Rows of the index as artifacts, and back."""

import json
import time
from datetime import UTC, datetime
from typing import Any, Final

from servicekit.artifacts.record import Artifact, NewArtifact, Origin

COLUMNS: Final = (
    "id, parent_id, level, level_label, kind, name, media_type, size, sha256, metadata, tags, job_id, attempt, origin, "
    "keep, created_at, updated_at, is_table"
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
        json_text=json_text,
    )


def row_of(new: NewArtifact, level: int, level_label: str | None) -> Row:
    """The row of a new artifact: `COLUMNS`, and its content."""
    now = now_in_microseconds()
    return (
        new.id, new.parent_id, level, level_label, new.kind, new.name, new.media_type, new.size,
        bytes.fromhex(new.sha256), new.metadata, write_tags(new.tags), new.job_id, new.attempt, str(new.origin),
        new.keep, now, now, new.is_table, new.json_text,
    )  # fmt: skip


def write_tags(tags: tuple[str, ...]) -> str:
    """Tags as they stand in a row."""
    return json.dumps(tags, ensure_ascii=False)


def time_of(microseconds: int) -> datetime:
    """A time as it stands in a row."""
    # A float is exact enough: until the year 2242 its steps are less than a microsecond.
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC)


def now_in_microseconds() -> int:
    """The time as it stands in a row."""
    return time.time_ns() // 1_000
