"""Records as rows, and rows as records.

A newer version of servicekit, at work on the same jobs, may have words that this one does not know. What is beside the
point is then left out of a record; without a status there is none, and whoever reads many leaves that job out.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final, NamedTuple

from servicekit.errors import RecordUnreadable
from servicekit.jobs.option_texts import load_options
from servicekit.jobs.options import RunnerKind
from servicekit.jobs.outcome import clip
from servicekit.jobs.query import JobChange, JobCounts
from servicekit.jobs.record import JobRecord, PastAttempt, Progress, seconds_elapsed, seconds_remaining
from servicekit.jobs.shown_calls import KeptCall
from servicekit.jobs.status import EndedBy, JobStatus, Transition, move_of
from servicekit.stores.durable.nonsense import NONSENSE, lenient
from servicekit.stores.durable.times import read_time, time_text

_RUNNING: Final = move_of(Transition.CLAIM).target
# What is pending has no traceback: the column has the reason for which it could not begin.
_PENDING: Final = move_of(Transition.RELEASE).target
_TERMINAL: Final = frozenset(status.value for status in JobStatus if status.is_terminal)

RECORD_COLUMNS: Final = (
    "id, status, submitted_at, started_at, finished_at, error, artifact_id, name, attempt, version, progress, tags, "
    "cancel_requested_at, queue, priority, scheduled_at, ended_by, retry_of, schedule, parent, owned_by, "
    "metadata, process, error_traceback, attempts, restart_problem, runner"
)

_NUMBERS: Final = frozenset({"attempt", "version", "priority"})
_TEXT: Final = (str, type(None))
# Another program can have put anything there: SQLite takes numbers for texts, but bytes for both.
_RECORD_KINDS: Final = tuple(int if name in _NUMBERS else _TEXT for name in RECORD_COLUMNS.split(", "))

Row = Sequence[Any]

# Enough to recognise a wrong value. It stands in an error, and can be megabytes.
_MISFIT_CHARACTERS: Final = 100


class EventRow(NamedTuple):
    """An event, with the columns of its job that it shows."""

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
    owned_by: str | None
    """Of a deletion as well."""
    metadata: str | None
    process: str | None
    """The error of the attempt, if it is the job's last one."""
    attempts: str | None
    restart_problem: str | None
    runner: str | None

    @property
    def is_sound(self) -> bool:
        """Whether its numbers are numbers. The JSON has only numbers and texts."""
        return type(self.version) is type(self.attempt) is type(self.priority) is int

    @property
    def is_deletion(self) -> bool:
        return self.version is None

    @property
    def is_last(self) -> bool:
        """Whether no event can follow it, as far as this version knows."""
        return self.status is None or self.status in _TERMINAL

    @property
    def is_unwanted(self) -> bool:
        """Whether the work shall stop."""
        return self.is_deletion or self.cancel_requested_at is not None


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
        asked, queue, priority, scheduled, ended_by, retry_of, schedule, parent, owner, metadata, process, trace,
        attempts, restart_problem, runner,
    ) = row  # fmt: skip
    status, progress = read_status(id_, status_text), _progress(progress_text)
    trace, reason = (None, trace) if status is _PENDING else (trace, None)
    started_at, finished_at = read_time(started), read_time(finished)
    return JobRecord(
        id_, status, datetime.fromisoformat(submitted), started_at, finished_at, error, artifact, name, attempt,
        version, progress, _tags(tags), read_time(asked), queue, priority, read_time(scheduled), _ended_by(ended_by),
        retry_of, schedule, parent, owner, _metadata(metadata), process, seconds_elapsed(started_at, finished_at, now),
        seconds_remaining(progress, started_at, now) if status is _RUNNING else None, trace, tuple(_attempts(attempts)),
        restart_problem, reason, _runner(runner),
    )  # fmt: skip


def _find_misfit(row: Row) -> str:
    """Names the column whose value has the wrong type."""
    columns = zip(RECORD_COLUMNS.split(", "), row, _RECORD_KINDS, strict=True)
    name, value = next((name, value) for name, value, kind in columns if not isinstance(value, kind))
    return f"its {name} is {clip(repr(value), _MISFIT_CHARACTERS)}"


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
    trace, reason = (None, row.error_traceback) if status is _PENDING else (row.error_traceback, None)
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
        row.parent, row.owned_by, _metadata(row.metadata), _process_of(row, attempts),
        seconds_elapsed(started_at, finished_at, now),
        seconds_remaining(progress, started_at, now) if is_running else None, trace,
        tuple(past for past in attempts if past.attempt < before), row.restart_problem, reason,
        _runner(row.runner),
    )  # fmt: skip


def read_call(row: Row) -> KeptCall:
    """The call of a row of id, name, owner, target, arguments and options; without arguments if that makes no sense."""
    _, name, owner, target, arguments, options = row
    with suppress(*NONSENSE):
        if isinstance(target, str) and isinstance(arguments, str):
            return KeptCall(str(name), owner, target, arguments, load_options(options).mask)
    return KeptCall(str(name), owner, None, None)


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


def read_changes(events: Iterable[EventRow], now: datetime | None) -> list[JobChange]:
    """The records of jobs at these events, without those that cannot be read."""
    changes = []
    for event in events:
        with suppress(RecordUnreadable):
            record = read_event_record(event, now)
            owner = event.owned_by if event.is_deletion else None
            changes.append(JobChange(event.position, event.job_id, record, owner))
    return changes


def read_counts(counts: Mapping[str, int], statuses: Collection[JobStatus] = ()) -> JobCounts:
    """The counts of all statuses, or of these: those of the others are 0."""
    wanted = {status for status in JobStatus if not statuses or status in statuses}
    return JobCounts({each: counts.get(each.value, 0) if each in wanted else 0 for each in JobStatus}, is_exact=True)


def read_scan(rows: Iterable[tuple[str, int, int]], scan_limit: int) -> JobCounts:
    """The counts of a search: for each status how many jobs were found, and how many were looked at."""
    found = {status: (count, looked_at) for status, count, looked_at in rows}
    counts = read_counts({status: count for status, (count, _) in found.items()})
    return JobCounts(counts, is_exact=sum(looked_at for _, looked_at in found.values()) < scan_limit)


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


def _read_runner(text: str | None) -> RunnerKind | None:
    return None if text is None else RunnerKind(text)


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


_NOTHING: Final[dict[str, object]] = {}
_progress: Final = lenient(_read_progress, None)
_NO_TAGS: Final[tuple[str, ...]] = ()
_tags: Final = lenient(_read_tags, _NO_TAGS)
_metadata: Final = lenient(_read_metadata, _NOTHING)
_ended_by: Final = lenient(_read_ended_by, None)
_runner: Final = lenient(_read_runner, None)
_attempt: Final[Callable[[Sequence[Any]], PastAttempt | None]] = lenient(_read_attempt, None)
_read_list: Final[Callable[[str], list[Sequence[Any]]]] = lenient(_load_list, [])
