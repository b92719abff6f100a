"""Slots of concurrency keys that are held by jobs that cannot start.

A job has its place from when it is ready. If its queue is paused or full, others with its key would wait for nothing:
one in another queue gets the place instead. If the job was tried in vain, one that needs another runner gets it. A
claim looks at some keys, in turn; a pause or its end at all of them.
"""

import json
import sqlite3
from collections.abc import Mapping
from typing import Final, NamedTuple

from servicekit.jobs.status import Transition, move_of
from servicekit.stores.sqlite.turns import RUNNING

# So many contested keys and queues are looked at in one claim, so that their number does not make a claim dearer.
# The next claim looks at the rest.
_MOST_AT_ONCE: Final = 20
_MOST_QUEUES: Final = 100
_MOST_SEEKERS: Final = 100
_ALL: Final = -1  # for SQLite's LIMIT: no limit
_PENDING: Final = move_of(Transition.CLAIM).sources[0].value

_SEEKERS: Final = """
    jobs AS seeker INDEXED BY jobs_by_key_and_queue
    WHERE waits_for = 'key' AND finished_at IS NULL AND concurrency_key = holder.concurrency_key
"""
_SEEKER: Final = f"SELECT 1 FROM {_SEEKERS}"
# Of a pending job, `error_traceback` is the reason for which it could not begin.
_OTHER_RUNNER: Final = f"""
    SELECT 1 FROM (
        SELECT runner, error_traceback AS reason FROM {_SEEKERS} LIMIT {_MOST_SEEKERS}
    ) WHERE reason IS NULL AND runner <> holder.runner
"""
_READY: Final = f"waits_for IS NULL AND finished_at IS NULL AND status = '{_PENDING}'"

# Whether a queue is paused; and some keys, with whether a ready job has a place while others wait in another queue, and
# whether one that was tried in vain has a place while others wait for another runner.
_KEYS: Final = f"""
    SELECT EXISTS (SELECT 1 FROM queues INDEXED BY queues_paused WHERE is_paused),
    json_group_array(json_array(key, EXISTS (
        SELECT 1 FROM jobs AS holder INDEXED BY jobs_by_concurrency WHERE concurrency_key = key AND {_READY}
        AND (EXISTS ({_SEEKER} AND queue < holder.queue) OR EXISTS ({_SEEKER} AND queue > holder.queue))
    ), EXISTS (
        SELECT 1 FROM jobs AS holder INDEXED BY jobs_by_concurrency WHERE concurrency_key = key AND {_READY}
        AND error_traceback IS NOT NULL AND EXISTS ({_OTHER_RUNNER})
    ))) FROM (SELECT key FROM contested_keys WHERE typeof(key) = 'text' ORDER BY position LIMIT ?)
"""
_FORGET: Final = "DELETE FROM contested_keys WHERE key IN (SELECT value FROM json_each(?))"
_PUT_LAST: Final = "UPDATE contested_keys SET position = (SELECT max(position) + 1 FROM contested_keys) WHERE key = ?"

# How many places are taken, the ready jobs that have some, and the queues in which others wait for one.
_SITUATION: Final = f"""
    SELECT
        (SELECT count(*) FROM key_holders WHERE concurrency_key = :key),
        (SELECT json_group_array(json_array(
            id, queue, concurrency_limit, iif(error_traceback IS NULL, NULL, CAST(runner AS TEXT))
         )) FROM jobs INDEXED BY jobs_by_concurrency
         WHERE concurrency_key = :key AND {_READY}
         AND typeof(id) = 'text' AND typeof(queue) = 'text' AND typeof(concurrency_limit) = 'integer'),
        (WITH RECURSIVE found (queue) AS (
            SELECT min(queue) FROM jobs WHERE waits_for = 'key' AND finished_at IS NULL AND concurrency_key = :key
            UNION ALL SELECT (
                SELECT min(queue) FROM jobs WHERE waits_for = 'key' AND finished_at IS NULL AND concurrency_key = :key
                AND queue > found.queue
            ) FROM found WHERE found.queue IS NOT NULL LIMIT {_MOST_QUEUES}
        ) SELECT json_group_array(queue) FROM found WHERE typeof(queue) = 'text')
"""
_OPEN: Final = f"""
    SELECT json_group_array(json_array(
        value,
        EXISTS (SELECT 1 FROM queues WHERE name = value AND is_paused),
        (SELECT CAST(total(jobs) AS INTEGER) FROM counts WHERE status IN {RUNNING} AND queue = value)
    )) FROM json_each(?)
"""
_HEIR: Final = """
    SELECT jobs.id FROM json_each(:queues) AS queues CROSS JOIN jobs ON jobs.id = (
        SELECT first.id FROM jobs AS first INDEXED BY jobs_by_key_and_queue
        WHERE first.waits_for = 'key' AND first.finished_at IS NULL AND first.concurrency_key = :key
        AND first.queue = queues.value AND first.concurrency_limit = :taken
        ORDER BY first.priority DESC, first.turn LIMIT 1
    )
    ORDER BY jobs.priority DESC, jobs.turn LIMIT 1
"""
_HEIR_BY_OTHER_RUNNER: Final = f"""
    SELECT jobs.id FROM json_each(:queues) AS queues CROSS JOIN jobs ON jobs.id IN (
        SELECT first.id FROM jobs AS first INDEXED BY jobs_by_key_and_queue
        WHERE first.waits_for = 'key' AND first.finished_at IS NULL AND first.concurrency_key = :key
        AND first.queue = queues.value AND first.concurrency_limit = :taken
        ORDER BY first.priority DESC, first.turn LIMIT {_MOST_SEEKERS}
    )
    WHERE jobs.runner <> :runner AND jobs.error_traceback IS NULL
    ORDER BY jobs.priority DESC, jobs.turn LIMIT 1
"""
_GIVE: Final = "UPDATE jobs SET waits_for = NULL, turn = (SELECT last + 1 FROM turns) WHERE id = ?"
_TAKE: Final = "UPDATE jobs SET waits_for = 'key' WHERE id = ?"


class _Holder(NamedTuple):
    """A ready job that holds a slot."""

    id: str
    queue: str
    limit: int
    tried_runner: str | None
    """The runner by which it could not begin, if it was tried in vain."""


def pass_on(connection: sqlite3.Connection, queue_limits: Mapping[str, int], *, of_all: bool = False) -> bool:
    """Give slots of jobs that cannot start to jobs that can. Return whether there were any."""
    has_paused, text = connection.execute(_KEYS, (_ALL if of_all else _MOST_AT_ONCE,)).fetchone()
    keys: list[tuple[str, int, int]] = json.loads(text)
    forgotten = [key for key, *is_contested in keys if not any(is_contested)]
    if forgotten:
        connection.execute(_FORGET, (json.dumps(forgotten),))
    has_closed = bool(has_paused or queue_limits)
    contested = [key for key, in_queues, by_runners in keys if (in_queues and has_closed) or by_runners]
    passed = [_pass_on(connection, key, queue_limits) for key in contested]
    return any(passed)


def _pass_on(connection: sqlite3.Connection, key: str, queue_limits: Mapping[str, int]) -> bool:
    connection.execute(_PUT_LAST, (key,))
    taken, holders_text, queues_text = connection.execute(_SITUATION, {"key": key}).fetchone()
    holders = [_Holder(*each) for each in json.loads(holders_text)]
    waiting: list[str] = json.loads(queues_text)
    open_queues = _find_open(connection, {*waiting, *(holder.queue for holder in holders)}, queue_limits)
    # One whose limit is not reached would get its place back at once.
    holders = [each for each in holders if each.limit <= taken]
    values = {"key": key, "taken": taken, "queues": json.dumps(sorted(open_queues.intersection(waiting)))}
    for holder in [each for each in holders if each.queue not in open_queues][:1]:
        if _give(connection, _HEIR, values, holder):
            return True
    tried = {each.tried_runner: each for each in holders if each.tried_runner is not None}  # one of each is enough
    return any(
        _give(connection, _HEIR_BY_OTHER_RUNNER, {**values, "runner": runner}, each) for runner, each in tried.items()
    )


def _give(connection: sqlite3.Connection, find_heir: str, values: dict[str, object], holder: _Holder) -> bool:
    """Give the slot of a holder to the job that a query finds. Return whether there is one."""
    row = connection.execute(find_heir, values).fetchone()
    if row is None:
        return False
    connection.execute(_GIVE, row)  # before the other is taken, or that one would be given away as well
    connection.execute(_TAKE, (holder.id,))
    return True


def _find_open(connection: sqlite3.Connection, queues: set[str], queue_limits: Mapping[str, int]) -> set[str]:
    """Those queues in which a job could start, if it were its turn."""
    (text,) = connection.execute(_OPEN, (json.dumps(sorted(queues)),)).fetchone()
    return {
        queue
        for queue, is_paused, running in json.loads(text)
        if not is_paused and running < queue_limits.get(queue, running + 1)
    }
