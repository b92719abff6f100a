"""Jobs that wait for a time: those that come due, and those that have waited too long."""

import json
import sqlite3
from collections.abc import Mapping
from typing import Final

from servicekit.jobs.endings import end_expired
from servicekit.jobs.status import Transition, move_of
from servicekit.stores.durable.operations import Rank, for_each
from servicekit.stores.sqlite.rows import IS_ID
from servicekit.stores.sqlite.writes import end_jobs

# So many jobs at most become due in one transaction, for which other processes wait.
_STEP: Final = 500
_PENDING: Final = move_of(Transition.CLAIM).sources[0].value

# The planner would take the jobs of a status for the shorter way to the first of them.
_EXPIRING: Final = f"jobs INDEXED BY jobs_expiring WHERE status = '{_PENDING}' AND expires_at IS NOT NULL"

_NEXT: Final = f"""
    SELECT min(moment) FROM (
        SELECT min(scheduled_at) AS moment FROM jobs WHERE waits_for = 'time' AND typeof(scheduled_at) = 'text'
        UNION ALL SELECT min(expires_at) FROM {_EXPIRING} AND typeof(expires_at) = 'text' AND {IS_ID}
    )
"""
_TIMEOUT: Final = (
    "iif(typeof(options) = 'text' AND json_valid(options), CAST(json_extract(options, '$.queue_timeout') AS REAL), 0.0)"
)
_EXPIRED: Final = f"""
    SELECT json_group_object(id, {_TIMEOUT}) FROM (
        SELECT id, options FROM {_EXPIRING} AND expires_at <= ? AND {IS_ID} ORDER BY expires_at LIMIT ?
    )
"""
_MAKE_DUE: Final = """
    UPDATE jobs SET waits_for = iif(concurrency_key IS NULL, NULL, 'key'), turn = due.turn
    FROM (
        SELECT id AS due_id, (SELECT last FROM turns) + row_number() OVER (ORDER BY scheduled_at, id) AS turn
        FROM (
            SELECT id, scheduled_at FROM jobs WHERE waits_for = 'time' AND scheduled_at <= ?
            ORDER BY scheduled_at, id LIMIT ?
        )
    ) AS due
    WHERE id = due_id
"""


def find_next(connection: sqlite3.Connection, _: None) -> str | None:
    """The next moment at which a job comes due, or has waited too long."""
    moment: str | None = connection.execute(_NEXT).fetchone()[0]
    return moment


@for_each(Rank.TIME)
def make_due(connection: sqlite3.Connection, now: str) -> list[str]:
    """Make some jobs ready that have come due, and fail some that have waited too long. Return the failed ones."""
    (text,) = connection.execute(_EXPIRED, [now, _STEP]).fetchone()
    expired: Mapping[str, float | None] = json.loads(text)
    for seconds in {each or 0.0 for each in expired.values()}:
        job_ids = [job_id for job_id, each in expired.items() if (each or 0.0) == seconds]
        end_jobs(connection, end_expired(seconds), job_ids, now)
    connection.execute(_MAKE_DUE, [now, _STEP])
    return list(expired)
