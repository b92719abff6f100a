"""Slots of concurrency keys.

A job with a concurrency key is written as one that waits for its key. Before the transaction ends, it gets a slot if
one is free; and so do others, if a job has let its slot go. Two transactions that each saw a free slot would both give
it: so the keys are locked by a statement, and the next one, which sees what was committed before, gives the slots.
"""

import time
from collections.abc import Mapping
from typing import Final

from servicekit.stores.postgres.changes import PENDING, ROWS, RUNNING, each_of, rows_of
from servicekit.stores.postgres.session import Session

_NUMBER: Final = "hashtextextended(key, %(purpose)s::bigint)"
_LOCK: Final = f"SELECT pg_advisory_xact_lock(hashtextextended(value #>> '{{}}', %(purpose)s::bigint)) FROM {ROWS}"
_LOCK_THOSE_OF: Final = f"""
    SELECT pg_advisory_xact_lock({_NUMBER}) FROM (
        SELECT DISTINCT concurrency_key AS key FROM servicekit.jobs
        WHERE id IN (SELECT jsonb_array_elements_text(%(rows)s::jsonb)) AND concurrency_key IS NOT NULL
        AND finished_at IS NULL ORDER BY key
    ) AS wanted
"""
_HOLDERS: Final = """
    SELECT count(*) FROM servicekit.jobs WHERE concurrency_key = key AND waits_for IS NULL AND finished_at IS NULL
"""
_SEEKERS: Final = "servicekit.jobs WHERE concurrency_key = key AND waits_for = 'key' AND finished_at IS NULL"
_ORDER: Final = "concurrency_limit, -priority, turn, id"
# A job waits while as many as its limit hold its key. So the next one is the first whose limit is higher than that, and
# all that come before it have limits that are reached. One that seeks the key since this transaction keeps its turn.
_GIVE: Final = f"""
    WITH RECURSIVE given AS (
        SELECT key, held + 1 AS held, seeker.* FROM (
            SELECT key, ({_HOLDERS}) AS held FROM jsonb_array_elements_text(%(rows)s::jsonb) AS asked (key)
        ) AS found CROSS JOIN LATERAL (
            SELECT id, concurrency_limit, priority, turn FROM {_SEEKERS} AND concurrency_limit > held
            ORDER BY {_ORDER} LIMIT 1
        ) AS seeker
        UNION ALL
        SELECT key, held + 1, seeker.* FROM given CROSS JOIN LATERAL (
            SELECT id, concurrency_limit, priority, turn FROM {_SEEKERS} AND concurrency_limit > held
            AND ({_ORDER}) > (given.concurrency_limit, -given.priority, given.turn, given.id)
            ORDER BY {_ORDER} LIMIT 1
        ) AS seeker
    )
    UPDATE servicekit.jobs AS job SET waits_for = NULL, turn = CASE
        WHEN job.xmin = pg_current_xact_id()::xid THEN job.turn ELSE nextval('servicekit.turns')
    END
    FROM {each_of("given AS source", "source.id")} AS given
    WHERE job.id = known_id AND coalesce(job.waits_for = 'key' AND job.finished_at IS NULL, FALSE) RETURNING job.id
"""


def settle(session: Session) -> None:
    """Give the free slots of all keys for which this transaction has something done."""
    if not session.keys:
        return
    keys = rows_of(sorted(session.keys))
    session.keys.clear()
    session.run(_LOCK, {"rows": keys, "purpose": session.lock_number("keys")})
    session.is_ready |= bool(session.run(_GIVE, {"rows": keys}))
    session.passed_on_at = 0.0


def lock_those_of(session: Session, job_ids: list[str]) -> None:
    """Lock the keys of jobs that wait, before the jobs are: whoever gives slots locks them in that order."""
    session.run(_LOCK_THOSE_OF, {"rows": rows_of(job_ids), "purpose": session.lock_number("keys")})


# A job has its slot from when it is ready. If its queue is paused or full, others with its key would wait for nothing:
# one in another queue gets the slot instead. If the job was tried in vain (of a pending job, `error_traceback` is the
# reason), one that needs another runner gets it. This happens when a queue is paused, and else with a claim: at once if
# slots were given here meanwhile, and after a second if that happened elsewhere: then the writer asks for the claim.
_LOOK_SECONDS: Final = 1.0
_MOST_AT_ONCE: Final = 100  # so many keys in one claim: the next claim looks at the rest
_BLOCKED: Final = f"""
    blocked AS MATERIALIZED (
        SELECT name FROM servicekit.queues WHERE is_paused
        UNION SELECT name FROM jsonb_each_text(%(limits)s::jsonb) AS limits (name, most) WHERE most::bigint <= (
            SELECT coalesce(sum(jobs), 0) FROM servicekit.counts
            WHERE status IN ('{RUNNING}', 'deleted') AND queue = name
        )
    )
"""
_IS_BLOCKED: Final = "queue IN (SELECT name FROM blocked)"
# In a `coalesce`, so that the index of all ready jobs does not look better than that of those with keys.
_IS_STUCK: Final = (
    f"waits_for IS NULL AND finished_at IS NULL AND coalesce(status = '{PENDING}', FALSE) "
    f"AND ({_IS_BLOCKED} OR error_traceback IS NOT NULL)"
)
_MAY_BEGIN: Final = (
    f"NOT {_IS_BLOCKED} AND (holder.is_blocked OR (runner <> holder.runner AND error_traceback IS NULL))"
)
# Locked in the same statement, if nobody else has the lock. To wait for it could be to wait for each other.
_CONTESTED: Final = f"""
    WITH {_BLOCKED}, contested AS MATERIALIZED (
        SELECT DISTINCT key FROM (
            SELECT concurrency_key AS key, runner, {_IS_BLOCKED} AS is_blocked FROM servicekit.jobs
            WHERE concurrency_key IS NOT NULL AND {_IS_STUCK}
        ) AS holder WHERE EXISTS (SELECT 1 FROM {_SEEKERS} AND {_MAY_BEGIN}) LIMIT %(most)s
    )
    SELECT key FROM contested WHERE pg_try_advisory_xact_lock({_NUMBER})
"""
_PASS_ON: Final = f"""
    WITH {_BLOCKED}, stuck AS MATERIALIZED (
        SELECT key, taken, holder.* FROM (
            SELECT key, ({_HOLDERS}) AS taken FROM jsonb_array_elements_text(%(rows)s::jsonb) AS asked (key)
        ) AS found CROSS JOIN LATERAL (
            SELECT id, runner, {_IS_BLOCKED} AS is_blocked FROM servicekit.jobs
            WHERE concurrency_key = key AND concurrency_limit <= taken AND {_IS_STUCK}
            ORDER BY is_blocked DESC LIMIT 1 FOR UPDATE SKIP LOCKED
        ) AS holder
    ), passed AS MATERIALIZED (
        SELECT holder.id AS holder_id, heir.id AS heir_id FROM stuck AS holder CROSS JOIN LATERAL (
            SELECT id FROM {_SEEKERS} AND concurrency_limit >= taken AND {_MAY_BEGIN}
            ORDER BY priority DESC, turn, id LIMIT 1
        ) AS heir
    ), taken AS (
        UPDATE servicekit.jobs SET waits_for = 'key'
        FROM {each_of("passed AS source", "holder_id")} AS passed WHERE jobs.id = known_id
    )
    UPDATE servicekit.jobs SET waits_for = NULL, turn = nextval('servicekit.turns')
    FROM {each_of("passed AS source", "heir_id")} AS passed WHERE jobs.id = known_id RETURNING jobs.id
"""


def pass_on(session: Session, queue_limits: Mapping[str, int], *, of_all: bool = False) -> bool:
    """Give slots of jobs that cannot start to jobs that can. Return whether there were any."""
    next_look_at = session.passed_on_at + _LOOK_SECONDS
    if not of_all and time.monotonic() < next_look_at:
        session.claim_again_at = next_look_at
        return False
    session.passed_on_at, session.claim_again_at = time.monotonic(), None
    if of_all:
        session.next_look_at = 0.0  # jobs of a queue that was paused may be ready with old turns
    limits = {"limits": rows_of(dict(queue_limits))}
    most, purpose = (None if of_all else _MOST_AT_ONCE), session.lock_number("keys")
    keys = [key for (key,) in session.run(_CONTESTED, {**limits, "most": most, "purpose": purpose})]
    if not keys or not session.run(_PASS_ON, {**limits, "rows": rows_of(keys)}):
        return False
    session.is_ready, session.passed_on_at = True, 0.0  # and there may be more
    return True
