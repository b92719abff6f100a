"""Queues: their pauses, and how many jobs they have."""

import sqlite3
from typing import Final

from servicekit.jobs.queues import QueueRecord
from servicekit.jobs.status import Transition, move_of
from servicekit.stores.durable.operations import Rank, for_each
from servicekit.stores.durable.requests import Pause
from servicekit.stores.sqlite import keys

_CLAIM: Final = move_of(Transition.CLAIM)
_PENDING: Final = _CLAIM.sources[0].value
_RUNNING: Final = _CLAIM.target.value

_QUEUES: Final = f"""
    SELECT name, total(is_paused), CAST(total(pending) AS INTEGER), CAST(total(running) AS INTEGER) FROM (
        SELECT queue AS name, 0 AS is_paused, iif(status = '{_PENDING}', jobs, 0) AS pending,
               iif(status = '{_PENDING}', 0, jobs) AS running
        FROM counts WHERE status IN ('{_PENDING}', '{_RUNNING}', 'deleted') AND jobs > 0
        UNION ALL SELECT name, 1, 0, 0 FROM queues WHERE is_paused
    ) WHERE typeof(name) = 'text' GROUP BY name ORDER BY name
"""


def list_queues(connection: sqlite3.Connection, _: None) -> list[QueueRecord]:
    """The queues that have jobs pending or running, or are paused."""
    return [
        QueueRecord(name, bool(is_paused), pending, running)
        for name, is_paused, pending, running in connection.execute(_QUEUES).fetchall()
    ]


@for_each(Rank.SETTING)
def set_paused(connection: sqlite3.Connection, pause: Pause) -> None:
    """Pause or resume a queue."""
    connection.execute(
        "INSERT INTO queues (name, is_paused) VALUES (?, ?) "
        "ON CONFLICT (name) DO UPDATE SET is_paused = excluded.is_paused",
        pause,
    )
    keys.pass_on(connection, {}, of_all=True)
