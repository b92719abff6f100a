"""The ticks of the schedule: the database itself notes each of them, with its job, when it is fired."""

from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from servicekit import create_scheduler
from tests.crash.members import Place, Row, RowConnection
from tests.crash.targets import SCHEDULE

_TABLE: Final = "CREATE TABLE fired_ticks (tick TEXT NOT NULL, job_id TEXT NOT NULL)"
_NOTE: Final = "INSERT INTO {} VALUES (NEW.last_at, NEW.last_job_id);"
_ON_CHANGE: Final = "CREATE TRIGGER note_tick AFTER UPDATE OF last_job_id ON schedules FOR EACH ROW"
_IN_A_FILE: Final = [_TABLE, f"{_ON_CHANGE} BEGIN {_NOTE.format('fired_ticks')} END"]
_ON_A_SERVER: Final = [
    _TABLE,
    "CREATE FUNCTION note_tick() RETURNS trigger LANGUAGE plpgsql "
    f"AS $$ BEGIN {_NOTE.format('servicekit.fired_ticks')} RETURN NULL; END $$",
    f"{_ON_CHANGE} EXECUTE FUNCTION note_tick()",
]


async def note_ticks(place: Place) -> None:
    """Have each tick noted from now on. A tick and its note are one transaction."""
    async with create_scheduler(place.url, run_jobs=False):  # which makes the tables
        pass
    with place.connect() as connection:
        for statement in _IN_A_FILE if place.server_url is None else _ON_A_SERVER:
            connection.execute(statement)


def check_ticks(connection: RowConnection, jobs: dict[str, Row], longest_pause: timedelta) -> list[str]:
    """Ticks are whole seconds, each has one job, which is there, no other job is, and there was no long pause."""
    fired = [(row["tick"], row["job_id"]) for row in connection.execute("SELECT tick, job_id FROM fired_ticks")]
    if not fired:
        return ["no job was submitted by the schedule"]
    counts = Counter(tick for tick, _ in fired)
    problems = [f"{count} jobs were submitted for the tick of {tick}" for tick, count in counts.items() if count > 1]
    problems += [f"{tick} is no tick" for tick in counts if datetime.fromisoformat(tick).microsecond]
    submitted = {job_id for job_id, job in jobs.items() if job["schedule"] == SCHEDULE}
    noted = {job_id for _, job_id in fired}
    problems += [f"{job_id} was submitted by the schedule, for no tick" for job_id in sorted(submitted - noted)]
    problems += [f"{job_id} was submitted by the schedule, and is not there" for job_id in sorted(noted - submitted)]
    moments = sorted(datetime.fromisoformat(str(jobs[job_id]["submitted_at"])) for job_id in submitted)
    longest = max((later - earlier for earlier, later in pairwise(moments)), default=timedelta())
    return problems + ([f"no job was submitted by the schedule for {longest}"] if longest > longest_pause else [])
