"""Claims: which ready jobs a process gets. Everything here runs inside the writer's transaction."""

import json
import sqlite3
from typing import Final, NamedTuple

from servicekit.jobs.options import RunnerKind
from servicekit.jobs.status import Transition, move_of
from servicekit.stores.durable.aftermath import put_back
from servicekit.stores.durable.operations import Rank, for_all
from servicekit.stores.durable.requests import ClaimedJob, ClaimRequest, ProcessForgotten
from servicekit.stores.sqlite import keys, turns
from servicekit.stores.sqlite.ready import READY, Kind, read_first

# One statement reads all that a claim must know first. Each statement gives up Python's lock and gets it back, and on a
# busy event loop that takes longer than the statement.
_SITUATION: Final = f"""
    SELECT
        EXISTS (SELECT 1 FROM processes WHERE id = ?),
        CASE WHEN ? THEN (SELECT CAST(total(jobs) AS INTEGER) FROM counts WHERE status IN {turns.RUNNING}) ELSE 0 END,
        first,
        first IS NOT last OR (SELECT min(name) FROM moved_queues) IS NOT (SELECT max(name) FROM moved_queues),
        (SELECT CAST(total(jobs) AS INTEGER) FROM counts WHERE status IN {turns.RUNNING} AND queue = first),
        EXISTS (SELECT 1 FROM queues WHERE name = first AND is_paused),
        EXISTS (SELECT 1 FROM contested_keys)
    FROM (SELECT (SELECT min(queue) FROM {READY}) AS first, (SELECT max(queue) FROM {READY}) AS last)
"""
_CLAIM: Final = f"""
    UPDATE jobs SET status = '{move_of(Transition.CLAIM).target.value}', version = version + 1, attempt = attempt + 1,
                    owner = ?, process = ?, started_at = max(submitted_at, ?), error_traceback = NULL
    WHERE id IN (SELECT value FROM json_each(?))
"""


class _Situation(NamedTuple):
    """What a claim must know first."""

    is_known: int
    """Whether the process is on the list of processes. If others took it for dead, they have taken its jobs over."""
    running: int
    """How many jobs of all queues run in all processes, if there is a limit for that."""
    queue: str | None
    """A queue with ready jobs; `None` if there is none."""
    has_rivals: int
    """Whether other queues may have ready jobs as well, so that they take turns."""
    running_there: int
    """How many jobs of that queue run in all processes."""
    is_paused: int
    has_contested_keys: int


@for_all(Rank.CLAIM)
def claim(connection: sqlite3.Connection, requests: list[ClaimRequest]) -> list[list[ClaimedJob] | Exception]:
    """Set the first ready jobs running that a process can run; `ProcessForgotten` if it is on the list no more."""
    return [_claim(connection, request) for request in requests]


claim.abandoned(put_back)


def _claim(connection: sqlite3.Connection, request: ClaimRequest) -> list[ClaimedJob] | Exception:
    situation = _look(connection, request)
    if not situation.is_known:
        return ProcessForgotten()
    if request.is_first:
        connection.execute("UPDATE processes SET runs_jobs = 1 WHERE id = ?", (request.process,))
    jobs = _start_next(connection, request, situation)
    # Ready jobs that cannot start, say in a paused queue, may hold slots of keys for which jobs elsewhere wait. They
    # are passed on after the claim, to jobs that can start; then there may be more to claim.
    if situation.has_contested_keys and keys.pass_on(connection, request.queue_limits) and len(jobs) < request.limit:
        request = request._replace(limit=request.limit - len(jobs))
        jobs += _start_next(connection, request, _look(connection, request))
    return jobs


def _look(connection: sqlite3.Connection, request: ClaimRequest) -> _Situation:
    values = (request.process, request.max_running is not None)
    return _Situation(*connection.execute(_SITUATION, values).fetchone())


def _start_next(connection: sqlite3.Connection, request: ClaimRequest, situation: _Situation) -> list[ClaimedJob]:
    jobs = _take(connection, request, situation)
    if jobs:
        job_ids = json.dumps([job.id for job in jobs])
        connection.execute(_CLAIM, (request.process, request.process_name, request.now, job_ids))
    return jobs


def _take(connection: sqlite3.Connection, request: ClaimRequest, situation: _Situation) -> list[ClaimedJob]:
    most = request.limit
    if request.max_running is not None:
        most = min(most, request.max_running - situation.running)
    runners = [runner.value for runner in RunnerKind if runner not in request.excluding]
    kinds = [Kind(owner, runner) for owner in (0, request.process) for runner in runners]
    if situation.queue is None or most <= 0 or not kinds:
        return []
    if situation.has_rivals:  # else the queues need not be compared, which nearly every service is spared
        return turns.take(connection, kinds, most, request.queue_limits)
    if situation.queue in request.queue_limits:
        most = min(most, request.queue_limits[situation.queue] - situation.running_there)
    return [] if situation.is_paused or most <= 0 else read_first(connection, situation.queue, kinds, most)
