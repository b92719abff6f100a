"""Claims: which ready jobs a process gets. Everything here runs inside the writer's transaction.

Each kind of ready job (by queue, owner and runner) is a range of its own in one index, in the order of its turn, so
that no job has to be passed over and the cost of a claim does not grow with the number of jobs that wait.
"""

import heapq
import json
import sqlite3
from collections import deque
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from servicekit.jobs.options import RunnerKind
from servicekit.jobs.status import Transition, move_of

_CLAIM_MOVE: Final = move_of(Transition.CLAIM)
# The planner would take the jobs of a status for the shorter way to the first of them.
_READY: Final = f"jobs INDEXED BY jobs_ready WHERE status = '{_CLAIM_MOVE.sources[0].value}' AND waits_for IS NULL"
_RUNNING: Final = f"('{_CLAIM_MOVE.target.value}', 'deleted')"


class ProcessForgotten(Exception):
    """Others took this process for dead, because the file that it holds locked is gone: its jobs are theirs now."""


class ClaimRequest(NamedTuple):
    process: int
    limit: int
    excluding: Collection[RunnerKind]
    max_running: int | None
    queue_limits: Mapping[str, int]
    now: str
    process_name: str


class ClaimedJob(NamedTuple):
    """A job with its place among others: those of higher priority sort first, then those whose turn is lower."""

    rank: int
    turn: int
    id: str
    attempt: int
    failures: int
    name: str
    runner: str
    target: str | None
    arguments: str | None
    options: str | None
    retry_of: str | None
    schedule: str | None
    parent: str | None


# One statement says all that must be known before: each one costs the interpreter's lock.
_SITUATION: Final = f"""
    SELECT
        EXISTS (SELECT 1 FROM processes WHERE id = ?),
        (SELECT total(jobs) FROM counts WHERE status IN {_RUNNING}),
        (WITH RECURSIVE ready (name) AS (
            SELECT min(queue) FROM {_READY}
            UNION ALL SELECT (SELECT min(queue) FROM {_READY} AND queue > ready.name) FROM ready
            WHERE name IS NOT NULL
        )
        SELECT json_group_array(json_array(
            (SELECT CAST(total(jobs) AS INTEGER) FROM counts WHERE status IN {_RUNNING} AND queue = ready.name),
            coalesce(queues.served, 0),
            ready.name
        )) FROM ready LEFT JOIN queues USING (name) WHERE name IS NOT NULL AND queues.is_paused IS NOT TRUE)
"""
# Sorted by their index: to sort all ranges together SQLite would build a tree for each, so that is done in Python.
_RANGE: Final = f"""
    SELECT * FROM (
        SELECT * FROM {_READY} AND queue = ? AND owner IS ? AND runner = ? ORDER BY priority DESC, turn, id LIMIT ?
    )
"""
_ROWS: Final = (
    "SELECT json_group_array(json_array(-priority, turn, id, attempt + 1, failures, name, runner, target, arguments, "
    "options, retry_of, schedule, parent)) FROM "
)
_CLAIM: Final = f"""
    UPDATE jobs SET status = '{_CLAIM_MOVE.target.value}', version = version + 1, attempt = attempt + 1, owner = ?,
                    process = ?, started_at = max(submitted_at, ?)
    WHERE id IN (SELECT value FROM json_each(?))
"""
_SERVE: Final = """
    INSERT INTO queues (name, served)
    SELECT value, (SELECT coalesce(max(served), 0) FROM queues) + key + 1 FROM json_each(?) WHERE TRUE
    ON CONFLICT (name) DO UPDATE SET served = excluded.served
"""


class _Queue(NamedTuple):
    """A queue with ready jobs. The one that sorts first has its turn."""

    running: int
    served: int
    """Whose number is lower was served longer ago."""
    name: str


def claim(connection: sqlite3.Connection, requests: list[ClaimRequest]) -> list[list[ClaimedJob] | Exception]:
    """Set the first ready jobs running that a process can run; `ProcessForgotten` if it is on the list no more."""
    return [_claim(connection, request) for request in requests]


def _claim(connection: sqlite3.Connection, request: ClaimRequest) -> list[ClaimedJob] | Exception:
    is_known, running, ready = connection.execute(_SITUATION, [request.process]).fetchone()
    if not is_known:
        return ProcessForgotten()
    limit = request.limit if request.max_running is None else min(request.limit, request.max_running - int(running))
    lines = [_Line(connection, request, _Queue(*row), limit) for row in json.loads(ready)]
    lines = [line for line in lines if line.room > 0]
    if not lines or len(request.excluding) == len(RunnerKind):
        return []
    jobs = lines[0].take_all() if len(lines) == 1 else _take_turns(connection, lines, limit)
    if jobs:
        job_ids = json.dumps([job.id for job in jobs])
        connection.execute(_CLAIM, [request.process, request.process_name, request.now, job_ids])
    return jobs


class _Line:
    """What one process can run of one queue, in order."""

    def __init__(self, connection: sqlite3.Connection, request: ClaimRequest, queue: _Queue, limit: int) -> None:
        self._connection = connection
        self._request = request
        self.queue = queue
        most = request.queue_limits.get(queue.name)
        self.room = limit if most is None else min(limit, most - queue.running)
        self._waiting: deque[str] | None = None

    def take_all(self) -> list[ClaimedJob]:
        """The first jobs, as many as there is room for."""
        first, values = self._first()
        return _read(self._connection, f"{_ROWS} ({first})", values)[: self.room]

    def take_one(self) -> str | None:
        """The id of the next job, unless there is none, or no room for it."""
        if self._waiting is None:
            first, values = self._first()
            query = f"SELECT json_group_array(json_array(-priority, turn, id)) FROM ({first})"
            found = json.loads(self._connection.execute(query, values).fetchone()[0])
            self._waiting = deque(job_id for _, _, job_id in sorted(found)[: self.room])
        return self._waiting.popleft() if self._waiting else None

    def _first(self) -> tuple[str, list[object]]:
        kinds = [kind.value for kind in RunnerKind if kind not in self._request.excluding]
        ranges = [
            (self.queue.name, owner, kind, self.room) for owner in (None, self._request.process) for kind in kinds
        ]
        return " UNION ALL ".join([_RANGE] * len(ranges)), [value for each in ranges for value in each]


def _take_turns(connection: sqlite3.Connection, lines: list[_Line], limit: int) -> list[ClaimedJob]:
    """One job after the other, each of the queue that has the fewest running, and was served longest ago."""
    heap = [(line.queue, line) for line in lines]  # no two queues sort alike, so that no lines are compared
    heapq.heapify(heap)
    taken: list[str] = []
    served: list[str] = []
    last = max(line.queue.served for line in lines)
    while heap and len(taken) < limit:
        queue, line = heapq.heappop(heap)
        job_id = line.take_one()
        if job_id is not None:
            taken.append(job_id)
            served.append(queue.name)
            heapq.heappush(heap, (_Queue(queue.running + 1, last + len(taken), queue.name), line))
    if not taken:
        return []
    connection.execute(_SERVE, [json.dumps(list(dict.fromkeys(reversed(served)))[::-1])])
    place = {job_id: index for index, job_id in enumerate(taken)}
    jobs = _read(connection, f"{_ROWS} jobs WHERE id IN (SELECT value FROM json_each(?))", [json.dumps(taken)])
    return sorted(jobs, key=lambda job: place[job.id])


def _read(connection: sqlite3.Connection, query: str, values: list[object]) -> list[ClaimedJob]:
    (text,) = connection.execute(query, values).fetchone()
    return sorted(ClaimedJob(*row) for row in json.loads(text))
