"""Keeps waits as long as they were when somebody sets the clock.

The file has times alone. It also says how the clock was set when they were written (`Clock.setting`): who finds it set
otherwise moves the ends of all such waits by as much, once for all processes, before it writes others. Where the two
settings cannot be compared, since the machine was started again, a clock that shows less than the newest time in the
file was set back by that much at least. How much it may have gone ahead, nobody knows then.
"""

import json
import sqlite3
from datetime import datetime, timedelta
from typing import Final

from servicekit.jobs.status import JobStatus
from servicekit.ports import SET_SECONDS, ClockSetting
from servicekit.stores.durable.nonsense import NONSENSE
from servicekit.stores.durable.operations import Rank, for_each
from servicekit.stores.durable.requests import ClockReading
from servicekit.stores.durable.times import find_moment, time_text
from servicekit.stores.sqlite.queries import get_position
from servicekit.stores.sqlite.rows import IS_ID

_NEWEST: Final = "SELECT max(at) FROM (SELECT at FROM events WHERE position > ? ORDER BY position DESC LIMIT 100)"
_IS_SOUND: Final = f"{IS_ID} AND 'blob' NOT IN (typeof(scheduled_at), typeof(expires_at))"
_WAITS: Final = f"""
    SELECT id, scheduled_at, expires_at,
           iif(typeof(options) = 'text' AND json_valid(options), json_extract(options, '$.start_at'), NULL)
    FROM jobs INDEXED BY jobs_scheduled WHERE waits_for = 'time' AND {_IS_SOUND}
    UNION ALL
    SELECT id, scheduled_at, expires_at, NULL FROM jobs INDEXED BY jobs_expiring
    WHERE status = '{JobStatus.PENDING.value}' AND expires_at IS NOT NULL AND waits_for IS NOT 'time' AND {_IS_SOUND}
"""
_MOVE: Final = """
    UPDATE jobs SET scheduled_at = json_extract(value, '$[1]'), expires_at = json_extract(value, '$[2]')
    FROM json_each(?) WHERE jobs.id = json_extract(value, '$[0]')
"""


# What another program has written there, and makes no sense, was never written.
_SETTING: Final = """
    SELECT origin, seconds, seen_at, position FROM clock
    WHERE typeof(origin) <> 'blob' AND typeof(seconds) = 'real' AND typeof(seen_at) = 'text'
    AND typeof(position) = 'integer' AND abs(seconds) < 1e12
"""


@for_each(Rank.PROCESS)
def heed(connection: sqlite3.Connection, reading: ClockReading) -> None:
    """Move the ends of waits if the clock is not set as it was when they were written."""
    row = connection.execute(_SETTING).fetchone()
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
    return max(filter(None, (find_moment(newest), find_moment(seen_at))), default=None)


def _move(connection: sqlite3.Connection, duration: timedelta) -> None:
    waits = connection.execute(_WAITS).fetchall()
    moved = [
        [job_id, _moved(start, duration), _moved(end, duration)]
        for job_id, start, end, wanted in waits
        if wanted is None or find_moment(wanted) != find_moment(start)  # else it waits for the time that was asked for
    ]
    connection.execute(_MOVE, [json.dumps(moved)])


def _moved(text: str | None, duration: timedelta) -> str | None:
    """The time moved by so much; `None` stays `None`."""
    try:
        return time_text(datetime.fromisoformat(text or "") + duration)
    except NONSENSE:
        return text
