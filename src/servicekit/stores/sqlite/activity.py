"""What was counted of jobs."""

import sqlite3
from typing import Final

from servicekit.stores.durable.activity_rows import ActivityRequest, ActivityRow, NewActivity
from servicekit.stores.durable.operations import Rank, for_each

_PUT: Final = "INSERT OR REPLACE INTO activity (minute, source, owned_by, groups) VALUES (?, ?, ?, ?)"
_FORGET: Final = "DELETE FROM activity WHERE minute < ? OR minute > ?"
# Another program can have put anything into the file.
_LIST: Final = """
    SELECT minute, source, owned_by, groups FROM activity WHERE owned_by = ? AND minute >= ?
    AND typeof(minute) = 'integer' AND typeof(source) = 'text' AND typeof(groups) = 'text'
"""


@for_each(Rank.COUNT)
def put(connection: sqlite3.Connection, new: NewActivity) -> None:
    """Keep rows, and drop those that are too old."""
    connection.executemany(_PUT, new.rows)
    connection.execute(_FORGET, [new.first, new.last])


def list_activity(connection: sqlite3.Connection, request: ActivityRequest) -> list[ActivityRow]:
    return [ActivityRow(*row) for row in connection.execute(_LIST, request).fetchall()]
