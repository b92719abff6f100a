"""Records as rows, and rows as records."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

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


def read_event_record(row: Row) -> JobRecord | None:
    """The record as it was at an event of `EVENT_ARRAY`; `None` if the job was deleted, then or since."""
    (
        _,
        job_id,
        version,
        _,
        status,
        attempt,
        at,
        started,
        asked,
        progress,
        error,
        name,
        submitted,
        tags,
        artifact,
        trace,
    ) = row
    if version is None or name is None:
        return None
    reached = JobStatus(status)
    is_terminal = reached.is_terminal
    return JobRecord(
        job_id, reached, datetime.fromisoformat(submitted), _time(started), _time(at) if is_terminal else None, error,
        artifact if is_terminal else None, name, attempt, version, _progress(progress), _tags(tags), _time(asked),
        trace if is_terminal else None,
    )  # fmt: skip


def progress_text(progress: Progress) -> str:
    return json.dumps([progress.done, progress.total, progress.message])


def _progress(text: str | None) -> Progress | None:
    return None if text is None else Progress(*json.loads(text))


def _tags(text: str) -> tuple[str, ...]:
    return () if text == "[]" else tuple(json.loads(text))


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
