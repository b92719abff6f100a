"""Ready jobs, in the order in which they are claimed.

Each kind of them (by queue, owner and runner) is a range of its own in one index, in the order of its turn, so that no
job has to be passed over and the cost of a claim does not grow with the number of jobs that wait.
"""

import json
import sqlite3
from collections.abc import Collection
from typing import Final, NamedTuple

from servicekit.jobs.status import Transition, move_of
from servicekit.stores.durable.requests import ClaimedJob
from servicekit.stores.sqlite.rows import IS_ID

# The planner would take the jobs of a status for the shorter way to the first of them.
READY: Final = (
    f"jobs INDEXED BY jobs_ready WHERE status = '{move_of(Transition.CLAIM).sources[0].value}' AND waits_for IS NULL"
)
# Another program can have put anything into the file. A job of which something is of the wrong kind is passed over.
SOUND: Final = f"""
    {IS_ID} AND typeof(queue) = 'text' AND typeof(priority) = 'integer'
    AND typeof(turn) IN ('integer', 'real') AND typeof(version) = 'integer' AND typeof(attempt) = 'integer'
    AND typeof(failures) = 'integer' AND 'blob' NOT IN (
        typeof(name), typeof(target), typeof(arguments), typeof(options), typeof(retry_of), typeof(schedule),
        typeof(parent)
    )
"""
# Sorted by their index. To sort all ranges together SQLite would build a tree for each: Python does it instead.
_RANGE: Final = f"""
    SELECT * FROM (
        SELECT * FROM {READY} AND queue = ? AND owner IS nullif(?, 0) AND runner = ? AND {SOUND}
        ORDER BY priority DESC, turn, id LIMIT ?
    )
"""
_ROWS: Final = (
    "SELECT json_group_array(json_array(-priority, turn, id, attempt + 1, failures, name, runner, target, arguments, "
    "options, retry_of, schedule, parent, CAST(coalesce(scheduled_at, submitted_at) AS TEXT))) FROM "
)


class Kind(NamedTuple):
    """Jobs that a process can run: whose they are (0: anybody's), and the runner that they need."""

    owner: int
    runner: str


def read_first(connection: sqlite3.Connection, queue: str, kinds: Collection[Kind], count: int) -> list[ClaimedJob]:
    """The first ready jobs of these kinds in the queue, at most `count`."""
    ranges = " UNION ALL ".join([_RANGE] * len(kinds))
    values = tuple(value for kind in kinds for value in (queue, *kind, count))
    (text,) = connection.execute(f"{_ROWS} ({ranges})", values).fetchone()
    return sorted(ClaimedJob(*row) for row in json.loads(text))[:count]
