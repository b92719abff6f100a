"""Records as rows, and rows as records."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from servicekit.jobs.record import JobRecord, Progress
from servicekit.jobs.status import JobStatus

RECORD_COLUMNS: Final = (
    "id, status, submitted_at, started_at, finished_at, error, artifact_id, name, attempt, version, progress, tags, "
    "cancel_requested_at, error_traceback"
)

EVENT_ARRAY: Final = (
    "json_array(e.position, e.job_id, e.version, e.is_transition, e.status, e.attempt, e.at, e.started_at, "
    "e.cancel_requested_at, e.progress, e.error, j.name, j.submitted_at, j.tags, j.artifact_id, j.error_traceback)"
)
"""An event `e` with what it needs of its job `j`."""

Row = Sequence[Any]


class EventRow(NamedTuple):
    """An event as `EVENT_ARRAY` has it."""

    position: int
    job_id: str
    version: int | None
    is_transition: int
    status: str | None
    attempt: int | None
    at: str
    started_at: str | None
    cancel_requested_at: str | None
    progress: str | None
    error: str | None
    name: str | None
    submitted_at: str | None
    tags: str | None
    artifact_id: str | None
    error_traceback: str | None

    @property
    def is_deletion(self) -> bool:
        return self.version is None

    @property
    def is_last(self) -> bool:
        """Whether nothing can come after it."""
        return self.status is None or JobStatus(self.status).is_terminal

    @property
    def is_unwanted(self) -> bool:
        """Whether the work shall stop."""
        return self.is_deletion or self.cancel_requested_at is not None


def time_text(moment: datetime) -> str:
    """A time as it is stored: of one length, so that text sorts as time does."""
    return f"{moment.isoformat(timespec='microseconds')[:26]}Z"


def read_record(row: Row) -> JobRecord:
    """The record of a row of `RECORD_COLUMNS`."""
    (
        id_,
        status,
        submitted,
        started,
        finished,
        error,
        artifact,
        name,
        attempt,
        version,
        progress,
        tags,
        asked,
        trace,
    ) = row
    return JobRecord(
        id_, JobStatus(status), datetime.fromisoformat(submitted), _time(started), _time(finished), error, artifact,
        name, attempt, version, _progress(progress), _tags(tags), _time(asked), trace,
    )  # fmt: skip


def read_event_record(row: EventRow) -> JobRecord | None:
    """The record as it was at an event; `None` if the job was deleted, then or since."""
    if row.version is None or row.status is None or row.attempt is None or row.name is None:
        return None
    status = JobStatus(row.status)
    return JobRecord(
        row.job_id, status, datetime.fromisoformat(row.submitted_at or row.at), _time(row.started_at),
        _time(row.at) if status.is_terminal else None, row.error, row.artifact_id if status.is_terminal else None,
        row.name, row.attempt, row.version, _progress(row.progress), _tags(row.tags or "[]"),
        _time(row.cancel_requested_at), row.error_traceback if status.is_terminal else None,
    )  # fmt: skip


def progress_text(progress: Progress) -> str:
    return json.dumps([progress.done, progress.total, progress.message])


def _progress(text: str | None) -> Progress | None:
    return None if text is None else Progress(*json.loads(text))


def _tags(text: str) -> tuple[str, ...]:
    return () if text == "[]" else tuple(json.loads(text))


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
