"""Keeps waits as long as they were when somebody sets the clock of the server.

The tables have times alone, and they are those of the server. Each process notices when the server's clock is set: by
its own clock, which nobody sets, it knows what the server should tell. The first process to notice moves the ends of
all waits, and counts that in a row for all; the others see by the count that it was done. If no process is at work when
the clock is set, nobody knows.
"""

import json
from typing import Final

from servicekit.jobs.status import JobStatus
from servicekit.ports import SET_SECONDS
from servicekit.stores.durable.nonsense import lenient
from servicekit.stores.durable.operations import Rank, for_each
from servicekit.stores.durable.requests import ClockReading
from servicekit.stores.durable.times import find_moment
from servicekit.stores.postgres.leases import NOT_AHEAD
from servicekit.stores.postgres.session import Session

# How often waits were moved; how often that was, and how the clock was set, when this process last looked.
_LOOK: Final = """
    SELECT clock.moves, moves_seen, clock_seconds FROM servicekit.clock CROSS JOIN servicekit.processes
    WHERE number = %s FOR UPDATE OF clock
"""
_NOTE: Final = "UPDATE servicekit.processes SET moves_seen = %s, clock_seconds = %s WHERE number = %s"
# Some of these may have been submitted for a time of the day.
_DATED: Final = """
    SELECT id, scheduled_at, options FROM servicekit.jobs WHERE waits_for = 'time' AND strpos(options, '"start_at"') > 0
"""
_MOVE: Final = f"""
    UPDATE servicekit.jobs SET scheduled_at = scheduled_at + make_interval(secs => %(seconds)s),
                               expires_at = expires_at + make_interval(secs => %(seconds)s)
    WHERE status = '{JobStatus.PENDING.value}' AND (waits_for = 'time' OR expires_at IS NOT NULL)
    AND id <> ALL(%(dated)s)
"""


@for_each(Rank.PROCESS)
def heed(session: Session, reading: ClockReading) -> None:
    """Move the ends of waits if the clock is not set as it was, unless another process has done so."""
    for moves, seen, before in session.run(_LOOK, [session.number]):
        seconds = 0.0 if before is None or seen != moves else reading.setting.seconds - before
        is_set = abs(seconds) > SET_SECONDS
        if is_set:
            _move(session, seconds)
        session.run(_NOTE, [moves + is_set, reading.setting.seconds, session.number])


def _move(session: Session, seconds: float) -> None:
    found = session.run(_DATED)
    # These wait for the time that was asked for, whatever the clock shows.
    dated = [job_id for job_id, at, text in found if find_moment(_find_start(text)) == find_moment(at)]
    session.run(_MOVE, {"seconds": seconds, "dated": dated})
    session.run("UPDATE servicekit.clock SET moves = moves + 1")
    session.run(NOT_AHEAD)


def _read_start(options: str) -> str | None:
    start: str | None = json.loads(options).get("start_at")
    return start


_NO_START: Final[str | None] = None
_find_start: Final = lenient(_read_start, _NO_START)
