"""A wait for so long stays that long, however the clock is set meanwhile.

The file has times alone. It also says how the clock was set when they were written (`Clock.setting`): who finds it set
otherwise moves the ends of all such waits by as much, once for all processes, before it writes others. Where the two
settings cannot be compared, since the machine was started again, a clock that shows less than the newest time in the
file was set back by that much at least. How much it may have gone ahead, nobody knows then.
"""

import json
import sqlite3
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from servicekit.jobs.status import JobStatus
from servicekit.ports import SET_SECONDS, ClockSetting
from servicekit.stores.sqlite.queries import get_position
from servicekit.stores.sqlite.rows import read_time, time_text, write_time

_NEWEST: Final = "SELECT max(at) FROM (SELECT at FROM events WHERE position > ? ORDER BY position DESC LIMIT 100)"
_WAITS: Final = f"""
    SELECT id, scheduled_at, expires_at, json_extract(options, '$.start_at') FROM jobs INDEXED BY jobs_scheduled
    WHERE waits_for = 'time'
    UNION ALL
    SELECT id, scheduled_at, expires_at, NULL FROM jobs INDEXED BY jobs_expiring
    WHERE status = '{JobStatus.PENDING.value}' AND expires_at IS NOT NULL AND waits_for IS NOT 'time'
"""
_MOVE: Final = """
    UPDATE jobs SET scheduled_at = json_extract(value, '$[1]'), expires_at = json_extract(value, '$[2]')
    FROM json_each(?) WHERE jobs.id = json_extract(value, '$[0]')
"""


class ClockReading(NamedTuple):
    setting: ClockSetting
    now: datetime


def heed(connection: sqlite3.Connection, reading: ClockReading) -> None:
    """Move the ends of waits if the clock is not set as it was when they were written."""
    row = connection.execute("SELECT origin, seconds, seen_at, position FROM clock").fetchone()
    before = None if row is None else ClockSetting(*row[:2])
    if before is not None and before.origin is not None and reading.setting.is_like(before):
        return
    seconds = None if before is None or before.origin is None else reading.setting.seconds_since(before)
    if seconds is None:
        newest = _find_newest(connection, *(("", 0) if row is None else row[2:]))
        seconds = 0.0 if newest is None else min(0.0, (reading.now - newest).total_seconds())
    if abs(seconds) > SET_SECONDS:
        _move(connection, timedelta(seconds=seconds))
    connection.execute("DELETE FROM clock")
    values = [*reading.setting, time_text(reading.now), get_position(connection, None)]
    connection.execute("INSERT INTO clock (origin, seconds, seen_at, position) VALUES (?, ?, ?, ?)", values)


def _find_newest(connection: sqlite3.Connection, seen_at: str, position: int) -> datetime | None:
    """The newest time that is known to have been shown."""
    (newest,) = connection.execute(_NEWEST, [position]).fetchone()
    text = max(newest or "", seen_at)
    return datetime.fromisoformat(text) if text else None


def _move(connection: sqlite3.Connection, duration: timedelta) -> None:
    waits = connection.execute(_WAITS).fetchall()
    moved = [
        [job_id, _moved(start, duration), _moved(end, duration)]
        for job_id, start, end, wanted in waits
        if wanted is None or read_time(wanted) != read_time(start)  # else it waits for the time that was asked for
    ]
    connection.execute(_MOVE, [json.dumps(moved)])


def _moved(text: str | None, duration: timedelta) -> str | None:
    return write_time(None if text is None else datetime.fromisoformat(text) + duration)
