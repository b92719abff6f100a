"""Reads rows of the file, whatever another program has written there."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Final, NamedTuple

from servicekit.stores.durable.records import EventRow

EVENT_ARRAY: Final = (
    "json_array(e.position, e.job_id, e.version, e.is_transition, e.status, e.attempt, e.at, e.started_at, "
    "e.scheduled_at, e.cancel_requested_at, e.progress, e.error, "
    "iif(e.version = j.version, j.error_traceback, e.error_traceback), "
    "j.name, j.submitted_at, j.tags, j.queue, j.priority, j.artifact_id, j.ended_by, j.retry_of, j.schedule, "
    "j.parent, coalesce(e.owned_by, j.owned_by), j.metadata, iif(e.attempt = j.attempt, j.process, NULL), j.attempts, "
    "j.restart_problem, j.runner)"
)
"""An event `e` with what it needs of its job `j`: see `read_events`."""

IS_ID: Final = "typeof(id) = 'text' AND id NOT GLOB '*[^0-9A-Z]*'"
"""Whether a job's id can be one: else nobody can ask for it."""

_EVENTS: Final = "FROM ({}) AS e LEFT JOIN jobs AS j ON j.id = e.job_id AND NOT j.is_deleted"

_GENERAL: Final = "SQLITE_ERROR"

_NO_TEXT: Final = "Could not decode to UTF-8"  # Python has no other name for that error


def is_about_values(error: sqlite3.Error) -> bool:
    """Whether the error may be about a value in a row. Such errors have only SQLite's general code."""
    return getattr(error, "sqlite_errorname", _GENERAL) == _GENERAL


def is_too_strict(connection: sqlite3.Connection, error: sqlite3.Error) -> bool:
    """Whether a text is not UTF-8, and the connection may read it with a mark in place of the wrong bytes."""
    return _NO_TEXT in str(error) and connection.text_factory is str


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
