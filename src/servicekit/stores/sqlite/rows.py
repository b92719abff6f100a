"""Records as rows, and rows as records.

A newer version of servicekit, at work on the same file, may have words that this one does not know. What is beside the
point is then left out of a record; without a status there is none, and whoever reads many leaves that job out.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, TypeVar

from servicekit.errors import RecordUnreadable
from servicekit.jobs.outcome import clip
from servicekit.jobs.record import JobRecord, PastAttempt, Progress, seconds_elapsed, seconds_remaining
from servicekit.jobs.status import EndedBy, JobStatus, Transition, move_of

_RUNNING: Final = move_of(Transition.CLAIM).target
_TERMINAL: Final = frozenset(status.value for status in JobStatus if status.is_terminal)

RECORD_COLUMNS: Final = (
    "id, status, submitted_at, started_at, finished_at, error, artifact_id, name, attempt, version, progress, tags, "
    "cancel_requested_at, queue, priority, scheduled_at, ended_by, retry_of, schedule, parent, metadata, "
    "process, error_traceback, attempts, restart_problem"
)

EVENT_ARRAY: Final = (
    "json_array(e.position, e.job_id, e.version, e.is_transition, e.status, e.attempt, e.at, e.started_at, "
    "e.scheduled_at, e.cancel_requested_at, e.progress, e.error, "
    "iif(e.version = j.version, j.error_traceback, e.error_traceback), "
    "j.name, j.submitted_at, j.tags, j.queue, j.priority, j.artifact_id, j.ended_by, j.retry_of, j.schedule, "
    "j.parent, j.metadata, iif(e.attempt = j.attempt, j.process, NULL), j.attempts, "
    "j.restart_problem)"
)
"""An event `e` with what it needs of its job `j`: see `read_events`."""

IS_ID: Final = "typeof(id) = 'text' AND id NOT GLOB '*[^0-9A-Z]*'"
"""Whether a job's id can be one: else nobody can ask for it."""

_EVENTS: Final = "FROM ({}) AS e LEFT JOIN jobs AS j ON j.id = e.job_id AND NOT j.is_deleted"

_NUMBERS: Final = frozenset({"attempt", "version", "priority"})
_TEXT: Final = (str, type(None))
# Another program can have put anything into the file: SQLite takes numbers for texts, but bytes for both.
_RECORD_KINDS: Final = tuple(int if name in _NUMBERS else _TEXT for name in RECORD_COLUMNS.split(", "))

Row = Sequence[Any]
# What a text or a number raises that is none of the kind: `json.loads` of a thousand brackets a `RecursionError`.
NONSENSE: Final = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)

_MISFIT_CHARACTERS: Final = 100
_GENERAL: Final = "SQLITE_ERROR"
_NO_TEXT: Final = "Could not decode to UTF-8"  # Python has no other name for that error

P = TypeVar("P")
R = TypeVar("R")


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
    scheduled_at: str | None
    cancel_requested_at: str | None
    progress: str | None
    error: str | None
    error_traceback: str | None
    name: str | None
    submitted_at: str | None
    tags: str | None
    queue: str
    priority: int
    artifact_id: str | None
    ended_by: str | None
    retry_of: str | None
    schedule: str | None
    parent: str | None
    metadata: str | None
    process: str | None
    """Of the attempt, if it is the job's last one."""
    attempts: str | None
    restart_problem: str | None

    @property
    def is_sound(self) -> bool:
        """Whether its numbers are numbers. JSON has nothing but texts beside them."""
        return type(self.version) is type(self.attempt) is type(self.priority) is int

    @property
    def is_deletion(self) -> bool:
        return self.version is None

    @property
    def is_last(self) -> bool:
        """Whether nothing can come after it, as far as this version knows."""
        return self.status is None or self.status in _TERMINAL

    @property
    def is_unwanted(self) -> bool:
        """Whether the work shall stop."""
        return self.is_deletion or self.cancel_requested_at is not None


def is_about_values(error: sqlite3.Error) -> bool:
    """Whether it may be about what stands in a row: that has but a general code, and a full disk its own."""
    return getattr(error, "sqlite_errorname", _GENERAL) == _GENERAL


def is_too_strict(connection: sqlite3.Connection, error: sqlite3.Error) -> bool:
    """Whether there is a text that is no UTF-8, and the connection may read it with a mark in its place."""
    return _NO_TEXT in str(error) and connection.text_factory is str


def time_text(moment: datetime) -> str:
    """A time as it is stored: of one length, so that text sorts as time does."""
    return f"{moment.isoformat(timespec='microseconds')[:26]}Z"


def write_time(moment: datetime | None) -> str | None:
    return None if moment is None else time_text(moment)


def read_time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def read_record(row: Row, now: datetime) -> JobRecord:
    """The record of a row of `RECORD_COLUMNS`, as it is now; `RecordUnreadable`."""
    try:
        return _read_record(row, now)
    except NONSENSE as error:
        raise RecordUnreadable(f"Job {row[0]}", f"{type(error).__name__}: {error}") from error


def _read_record(row: Row, now: datetime) -> JobRecord:
    if not all(map(isinstance, row, _RECORD_KINDS)):
        raise TypeError(_find_misfit(row))
    (
        id_, status_text, submitted, started, finished, error, artifact, name, attempt, version, progress_text, tags,
        asked, queue, priority, scheduled, ended_by, retry_of, schedule, parent, metadata, process, trace, attempts,
        restart_problem,
    ) = row  # fmt: skip
    status, progress = read_status(id_, status_text), _progress(progress_text)
    started_at, finished_at = read_time(started), read_time(finished)
    return JobRecord(
        id_, status, datetime.fromisoformat(submitted), started_at, finished_at, error, artifact, name, attempt,
        version, progress, _tags(tags), read_time(asked), queue, priority, read_time(scheduled), _ended_by(ended_by),
        retry_of, schedule, parent, _metadata(metadata), process, seconds_elapsed(started_at, finished_at, now),
        seconds_remaining(progress, started_at, now) if status is _RUNNING else None, trace, tuple(_attempts(attempts)),
        restart_problem,
    )  # fmt: skip


def _find_misfit(row: Row) -> str:
    """Which column has a value that is none of its kind, in words."""
    columns = zip(RECORD_COLUMNS.split(", "), row, _RECORD_KINDS, strict=True)
    name, value = next((name, value) for name, value, kind in columns if not isinstance(value, kind))
    return f"its {name} is {clip(repr(value), _MISFIT_CHARACTERS)}"


class EventPage(NamedTuple):
    """Events in order, without those of which something is neither a text nor a number."""

    rows: list[EventRow]
    found: int
    """How many there are with these."""
    last: int
    """The position of the last one; 0 if there is none."""


def read_events(connection: sqlite3.Connection, events: str, values: Sequence[object]) -> EventPage:
    """The events that a query selects, each with what it needs of its job."""
    source = _EVENTS.format(events)
    try:
        (text,) = connection.execute(f"SELECT json_group_array({EVENT_ARRAY}) {source}", values).fetchone()
    except sqlite3.OperationalError as error:
        if not is_about_values(error) or is_too_strict(connection, error):
            raise
        found = connection.execute(f"SELECT e.position {source}", values).fetchall()
        positions = sorted(position for (position,) in found)
        rows = [row for position in positions if (row := _read_event(connection, position)) is not None]
        return EventPage(rows, len(positions), positions[-1] if positions else 0)
    rows = sorted(EventRow(*row) for row in json.loads(text))
    return EventPage(rows, len(rows), rows[-1].position if rows else 0)


def _read_event(connection: sqlite3.Connection, position: int) -> EventRow | None:
    """The event; `None` if something in it is neither a text nor a number, or it was removed meanwhile."""
    source = _EVENTS.format("SELECT * FROM events WHERE position = ?")
    try:
        row = connection.execute(f"SELECT {EVENT_ARRAY} {source}", [position]).fetchone()
    except sqlite3.OperationalError as error:
        if not is_about_values(error) or is_too_strict(connection, error):
            raise
        return None
    return None if row is None else EventRow(*json.loads(row[0]))


def read_event_record(row: EventRow, now: datetime | None = None) -> JobRecord | None:
    """The record as it was at an event, or as it is if nothing has happened since until `now`.

    `None` if the job was deleted, then or since; `RecordUnreadable`.
    """
    if row.version is None or row.status is None or row.attempt is None or row.name is None:
        return None
    try:
        if not row.is_sound:
            raise TypeError(
                f"its version is {row.version!r}, its attempt {row.attempt!r}, its priority {row.priority!r}"
            )
        return _read_event_record(row, row.status, row.name, row.version, row.attempt, now)
    except NONSENSE as error:
        raise RecordUnreadable(f"Job {row.job_id}", f"{type(error).__name__}: {error}") from error


def _read_event_record(
    row: EventRow, status_text: str, name: str, version: int, attempt: int, now: datetime | None
) -> JobRecord:
    now = now or datetime.fromisoformat(row.at)
    status = read_status(row.job_id, status_text)
    progress, started_at = _progress(row.progress), read_time(row.started_at)
    is_terminal, is_running = status.is_terminal, status is _RUNNING
    finished_at = read_time(row.at) if is_terminal else None
    # A job that ends while it waits for another attempt has the last one behind it.
    before, attempts = attempt + 1 if started_at is None else attempt, list(_attempts(row.attempts))
    return JobRecord(
        row.job_id, status, datetime.fromisoformat(row.submitted_at or row.at), started_at, finished_at, row.error,
        row.artifact_id if is_terminal else None, name, attempt, version, progress, _tags(row.tags or "[]"),
        read_time(row.cancel_requested_at), row.queue, row.priority, read_time(row.scheduled_at),
        _ended_by(row.ended_by) if is_terminal else None, row.retry_of, row.schedule,
        row.parent, _metadata(row.metadata), _process_of(row, attempts),
        seconds_elapsed(started_at, finished_at, now),
        seconds_remaining(progress, started_at, now) if is_running else None, row.error_traceback,
        tuple(past for past in attempts if past.attempt < before), row.restart_problem,
    )  # fmt: skip


def read_status(job_id: str, text: str) -> JobStatus:
    """`RecordUnreadable` for a status that this version does not know."""
    try:
        return JobStatus(text)
    except ValueError:
        raise RecordUnreadable(f"Job {job_id}", f"its status is {text!r}.") from None


def read_records(rows: Iterable[Row], now: datetime) -> list[JobRecord]:
    """The records of rows, without those that cannot be read."""
    records = []
    for row in rows:
        with suppress(RecordUnreadable):
            records.append(read_record(row, now))
    return records


def _lenient(read: Callable[[P], R], otherwise: R) -> Callable[[P], R]:
    """Read a part of a record; something else if that makes no sense."""

    def try_to_read(part: P) -> R:
        try:
            return read(part)
        except NONSENSE:
            return otherwise

    return try_to_read


def progress_text(progress: Progress, reported_at: datetime) -> str:
    return json.dumps([progress.done, progress.total, progress.message, time_text(reported_at)])


def _read_progress(text: str | None) -> Progress | None:
    if text is None:
        return None
    done, total, message, reported_at = json.loads(text)
    is_sound = isinstance(done, int | float) and isinstance(total, int | float | None) and isinstance(message, _TEXT)
    return Progress(done, total, message, read_time(reported_at)) if is_sound else None


def _read_tags(text: str) -> tuple[str, ...]:
    tags = () if text == "[]" else tuple(json.loads(text))
    return tags if all(isinstance(tag, str) for tag in tags) else ()


def _read_metadata(text: str | None) -> dict[str, object]:
    metadata = {} if text is None else json.loads(text)
    return metadata if isinstance(metadata, dict) else {}


def _process_of(row: EventRow, attempts: Iterable[PastAttempt]) -> str | None:
    """The process that ran the attempt of an event, if one was under way."""
    if row.started_at is None:
        return None
    return next((past.process for past in attempts if past.attempt == row.attempt), row.process)


def _read_ended_by(text: str | None) -> EndedBy | None:
    return None if text is None else EndedBy(text)


def _attempts(text: str | None) -> list[PastAttempt]:
    parts = [] if text is None else _read_list(text)
    return [attempt for part in parts if (attempt := _attempt(part)) is not None]


def _read_attempt(part: Sequence[Any]) -> PastAttempt:
    attempt, started, finished, error, ended_by, *process = part  # older ones have no process, newer ones may have more
    return PastAttempt(
        attempt, datetime.fromisoformat(started), datetime.fromisoformat(finished), error, EndedBy(ended_by),
        *process[:1],
    )  # fmt: skip


def _load_list(text: str) -> list[Sequence[Any]]:
    found = json.loads(text)
    return found if isinstance(found, list) else []


def _read_moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


_NOTHING: Final[dict[str, object]] = {}
_NO_TIME: Final[datetime | None] = None
find_time: Final = _lenient(read_time, _NO_TIME)
find_moment: Final = _lenient(_read_moment, _NO_TIME)
"""The same of a time that can be compared with others. One without a zone is UTC, as all are that are stored."""
_progress: Final = _lenient(_read_progress, None)
_NO_TAGS: Final[tuple[str, ...]] = ()
_tags: Final = _lenient(_read_tags, _NO_TAGS)
_metadata: Final = _lenient(_read_metadata, _NOTHING)
_ended_by: Final = _lenient(_read_ended_by, None)
_attempt: Final[Callable[[Sequence[Any]], PastAttempt | None]] = _lenient(_read_attempt, None)
_read_list: Final[Callable[[str], list[Sequence[Any]]]] = _lenient(_load_list, [])
