"""Lines of ready jobs: the jobs of one queue, owner (0: anybody), runner and priority, in the order of their turns.

Each is a range of one index, of which a claim reads the beginning. A table has the lines in which there have been jobs.
Who puts a job into another line adds it. Each process looks through the whole index once a second while it claims, and
adds what others have not.

The beginning of a range can consist of jobs that are not ready any more. The server can forget them only when no
transaction is left that could see them, and somebody may keep one open for hours. So a claim begins behind the turns
that had nothing ready a moment ago, if a look has taken long: see `find_bound`.
"""

import time
from typing import Final

from servicekit.stores.postgres.changes import PENDING
from servicekit.stores.postgres.session import Session

READY: Final = f"servicekit.jobs WHERE status = '{PENDING}' AND waits_for IS NULL"
_LOOK_SECONDS: Final = 1.0
# Until there are two, each claim passes over all that the server cannot forget, which takes it as long as a look.
_SECOND_LOOK_SECONDS: Final = 0.1
# A look takes longer only if there is much that the server cannot forget. Else there is nothing to pass over.
_SLOW_SECONDS: Final = 0.005
# A look takes no more than this part of the time, up to a limit: what nobody can forget makes it dear.
_SHARE: Final = 0.02
_LONGEST_SECONDS: Final = 5.0
# More than that are found with the next look.
_MOST_LINES: Final = 10_000
_HEAD: Final = "SELECT queue, owner, runner, -priority AS rank, turn FROM"
_ORDER: Final = "queue, owner, runner, -priority, turn"


def welcome(lines: str) -> str:
    """Parts of a statement that add those lines, and their queues, that are not there.

    A new queue stands behind those that are there, or else a new name for each job would be a way past them.
    """
    return f"""
        lined AS (
            INSERT INTO servicekit.lines (queue, owner, runner, rank)
            SELECT * FROM ({lines}) AS line WHERE NOT EXISTS (
                SELECT 1 FROM servicekit.lines AS known WHERE known.queue = line.queue AND known.owner = line.owner
                AND known.runner = line.runner AND known.rank = line.rank
            )
            ON CONFLICT DO NOTHING
        ), welcomed AS (
            INSERT INTO servicekit.queues (name, served)
            SELECT queue, (SELECT coalesce(max(served), 0) FROM servicekit.queues) + row_number() OVER (ORDER BY queue)
            FROM (SELECT DISTINCT queue FROM ({lines}) AS line) AS named
            WHERE NOT EXISTS (SELECT 1 FROM servicekit.queues WHERE name = queue)
            ON CONFLICT DO NOTHING
        )
    """


# Jobs of other processes and of paused queues are no reason to begin earlier.
_LOOK: Final = f"""
    WITH RECURSIVE heads AS (
        ({_HEAD} {READY} ORDER BY {_ORDER} LIMIT 1)
        UNION ALL
        SELECT next.* FROM heads CROSS JOIN LATERAL (
            {_HEAD} {READY} AND (queue, owner, runner, -priority) > (heads.queue, heads.owner, heads.runner, heads.rank)
            ORDER BY {_ORDER} LIMIT 1
        ) AS next
    ), found AS MATERIALIZED (SELECT * FROM heads LIMIT {_MOST_LINES}),
    {welcome("SELECT queue, owner, runner, rank FROM found")}
    SELECT least(min(turn) - 1, (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM servicekit.turns))
    FROM found
    WHERE owner IN (0, %s) AND NOT EXISTS (SELECT 1 FROM servicekit.queues WHERE name = queue AND is_paused)
"""


def find_bound(session: Session) -> int:
    """A turn up to which, as it seems, no job is ready that this process could run; -1 if it does not matter.

    It is what was so at each of the last two looks: others may have had earlier turns at the last one, and were not yet
    committed. A job may be ready again with its old turn, so a claim that begins there and gets too few looks at all.
    """
    began = time.monotonic()
    if began >= session.next_look_at:
        is_anew = not session.next_look_at
        before = -1 if is_anew else session.bounds[0]
        ((found,),) = session.run(_LOOK, [session.number])
        seconds = time.monotonic() - began
        is_slow = seconds >= _SLOW_SECONDS
        session.bounds = (found if is_slow else -1, before)
        pause = min(max(_LOOK_SECONDS, seconds / _SHARE), _LONGEST_SECONDS)
        session.next_look_at = began + seconds + (_SECOND_LOOK_SECONDS if is_anew and is_slow else pause)
    return min(session.bounds)
