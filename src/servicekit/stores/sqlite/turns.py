"""Whose turn it is, where jobs are ready in several queues.

Next is the queue that has the fewest running, and of several such the one that was served longest ago. A table has the
queues in that order. Their places are found anew only for those of which something has changed, and a claim looks at no
more queues than it takes jobs. So it costs nothing that thousands are paused, or wait for their turn.
"""

import heapq
import json
import sqlite3
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import Final, NamedTuple

from servicekit.jobs.options import RunnerKind
from servicekit.jobs.status import Transition, move_of
from servicekit.stores.durable.requests import ClaimedJob
from servicekit.stores.sqlite.ready import READY, SOUND, Kind, read_first

_CLAIM: Final = move_of(Transition.CLAIM)
RUNNING: Final = f"('{_CLAIM.target.value}', 'deleted')"
_PENDING: Final = _CLAIM.sources[0].value

_LAST_SERVED: Final = "(SELECT coalesce(max(served), 0) FROM queues WHERE served < '')"  # numbers sort before texts
# A queue with nothing in it is forgotten. Jobs that are ready count as well: others may have changed the counts.
# A new queue stands behind those that are there, or else a new name for each job would be a way past them.
_FORGET: Final = f"""
    DELETE FROM queues WHERE name IN (SELECT name FROM moved_queues) AND NOT is_paused AND NOT EXISTS (
        SELECT 1 FROM counts WHERE status IN ('{_PENDING}', '{_CLAIM.target.value}', 'deleted') AND queue = queues.name
    ) AND NOT EXISTS (SELECT 1 FROM {READY} AND queue = queues.name)
"""
_WELCOME: Final = f"""
    INSERT INTO queues (name, served)
    SELECT name, {_LAST_SERVED} + row_number() OVER (ORDER BY name) FROM moved_queues
    WHERE NOT EXISTS (SELECT 1 FROM queues AS known WHERE known.name = moved_queues.name)
    AND (
        EXISTS (SELECT 1 FROM counts WHERE status = '{_PENDING}' AND queue = moved_queues.name)
        OR EXISTS (SELECT 1 FROM {READY} AND queue = moved_queues.name)
    )
"""
_TAKE_OUT: Final = "DELETE FROM queue_turns WHERE queue IN (SELECT name FROM moved_queues)"
_PUT_IN: Final = f"""
    INSERT INTO queue_turns (owner, runner, running, served, queue)
    SELECT owners.id, kinds.value,
           (SELECT CAST(total(jobs) AS INTEGER) FROM counts WHERE status IN {RUNNING} AND queue = queues.name),
           CAST(queues.served AS INTEGER), queues.name
    FROM moved_queues CROSS JOIN queues ON queues.name = moved_queues.name AND NOT queues.is_paused
    CROSS JOIN (SELECT 0 AS id UNION ALL SELECT id FROM processes) AS owners
    CROSS JOIN json_each('{json.dumps([kind.value for kind in RunnerKind])}') AS kinds
    WHERE EXISTS (
        SELECT 1 FROM {READY} AND queue = queues.name AND owner IS nullif(owners.id, 0) AND runner = kinds.value
        AND {SOUND}
    )
"""
# By its numbers, which nearly always tell places apart: its name may be none that can be asked for.
_MOVE_PLACE: Final = (
    "INSERT INTO moved_queues SELECT queue FROM queue_turns WHERE running = ? AND served = ? ON CONFLICT DO NOTHING"
)
_TAKE_OUT_PLACE: Final = "DELETE FROM queue_turns WHERE running = ? AND served = ?"
_ARRANGED: Final = "DELETE FROM moved_queues"
_NEXT: Final = """
    SELECT * FROM (
        SELECT running, served, queue, owner, runner FROM queue_turns WHERE owner = ? AND runner = ?
        AND typeof(running) = 'integer' AND typeof(served) = 'integer' AND typeof(queue) = 'text'
        ORDER BY running, served, queue LIMIT ?
    )
"""
_SERVE: Final = f"""
    INSERT INTO queues (name, served)
    SELECT value, {_LAST_SERVED} + key + 1 FROM json_each(?) WHERE TRUE
    ON CONFLICT (name) DO UPDATE SET served = excluded.served
"""


class _Place(NamedTuple):
    """The place of a queue among others. The queue that sorts first has its turn."""

    running: int
    served: int
    """A queue with a lower number was served longer ago."""
    queue: str


def take(
    connection: sqlite3.Connection, kinds: Collection[Kind], most: int, queue_limits: Mapping[str, int]
) -> list[ClaimedJob]:
    """The next jobs, one of each queue in turn."""
    for statement in (_FORGET, _WELCOME, _TAKE_OUT, _PUT_IN, _ARRANGED):
        connection.execute(statement)
    taken, strangers = _take(connection, kinds, most, queue_limits)
    while strangers:  # they must not keep others from their turns
        connection.executemany(_MOVE_PLACE, strangers)
        connection.executemany(_TAKE_OUT_PLACE, strangers)
        taken, strangers = _take(connection, kinds, most, queue_limits)
    if taken:
        last_served = dict.fromkeys(queue for queue, _ in reversed(taken))
        connection.execute(_SERVE, (json.dumps(list(last_served)[::-1]),))
    return [job for _, job in taken]


def _take(
    connection: sqlite3.Connection, kinds: Collection[Kind], most: int, queue_limits: Mapping[str, int]
) -> tuple[list[tuple[str, ClaimedJob]], list[tuple[int, int]]]:
    """The same jobs, each with its queue; and the places without a job, which another program has written."""
    lines = _find_lines(connection, kinds, most, queue_limits)
    taken = list(islice(_take_in_turn(lines), most))
    return taken, [place[:2] for place, line in lines.items() if line.is_empty]


def _find_lines(
    connection: sqlite3.Connection, kinds: Collection[Kind], most: int, queue_limits: Mapping[str, int]
) -> "dict[_Place, _Line]":
    """The first queues with jobs of these kinds: as many as there are jobs to take, beside those that may be full."""
    ranges = " UNION ALL ".join([_NEXT] * len(kinds))
    values = tuple(value for kind in kinds for value in (*kind, most + len(queue_limits)))
    found: dict[_Place, list[Kind]] = {}
    for running, served, queue, owner, runner in connection.execute(ranges, values).fetchall():
        found.setdefault(_Place(running, served, queue), []).append(Kind(owner, runner))
    rooms = {place: queue_limits.get(place.queue, place.running + most) - place.running for place in sorted(found)}
    places = [place for place, room in rooms.items() if room > 0][:most]
    portion = -(-most // max(1, len(places)))
    return {place: _Line(connection, place.queue, found[place], min(most, rooms[place]), portion) for place in places}


def _take_in_turn(lines: "Mapping[_Place, _Line]") -> Iterator[tuple[str, ClaimedJob]]:
    heap = list(lines.items())  # no two places are the same, so that no lines are compared
    heapq.heapify(heap)
    number = max((place.served for place in lines), default=0)
    while heap:
        place, line = heapq.heappop(heap)
        job = line.take_one()
        if job is not None:
            number += 1
            yield place.queue, job
            heapq.heappush(heap, (_Place(place.running + 1, number, place.queue), line))


class _Line:
    """The jobs of one queue that a process can run, in order. They are read in portions that double."""

    def __init__(
        self, connection: sqlite3.Connection, queue: str, kinds: Collection[Kind], room: int, portion: int
    ) -> None:
        self._connection = connection
        self._queue = queue
        self._kinds = kinds
        self._room = room
        self._portion = portion
        self._read = 0
        self._has_any = False
        self._waiting: deque[ClaimedJob] = deque()

    @property
    def is_empty(self) -> bool:
        """Whether its first job was looked for and not found."""
        return self._read > 0 and not self._has_any

    def take_one(self) -> ClaimedJob | None:
        """The next job; `None` if there is none, or no room for it."""
        if not self._waiting and self._read < self._room:
            count = min(self._room, 2 * self._read or self._portion)
            jobs = read_first(self._connection, self._queue, self._kinds, count)
            self._has_any = bool(jobs)
            self._waiting.extend(jobs[self._read :])
            self._read = count
        return self._waiting.popleft() if self._waiting else None
