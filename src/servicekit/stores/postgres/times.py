"""Jobs that wait for a time: those that come due, and those that have waited too long."""

import json
from datetime import datetime
from itertools import groupby
from typing import Final

from servicekit.jobs.endings import end_expired
from servicekit.stores.durable.nonsense import lenient
from servicekit.stores.durable.operations import Rank, for_each
from servicekit.stores.durable.times import time_text
from servicekit.stores.postgres.changes import PENDING
from servicekit.stores.postgres.session import Session
from servicekit.stores.postgres.writes import end_jobs

# So many jobs at most become due in one transaction, for which the other calls of this process wait.
_STEP: Final = 500
_NEXT: Final = f"""
    SELECT least(
        (SELECT min(scheduled_at) FROM servicekit.jobs WHERE waits_for = 'time'),
        (SELECT min(expires_at) FROM servicekit.jobs WHERE status = '{PENDING}' AND expires_at IS NOT NULL)
    )
"""
_EXPIRED: Final = f"""
    SELECT id, options FROM servicekit.jobs
    WHERE status = '{PENDING}' AND expires_at <= %s::timestamptz ORDER BY expires_at LIMIT {_STEP}
"""
# Those that another process is just making due are passed over.
_MAKE_DUE: Final = f"""
    WITH due AS MATERIALIZED (
        SELECT id, nextval('servicekit.turns') AS turn FROM (
            SELECT id FROM servicekit.jobs WHERE waits_for = 'time' AND scheduled_at <= %s::timestamptz
            ORDER BY scheduled_at, id LIMIT {_STEP} FOR UPDATE SKIP LOCKED
        ) AS found
    )
    UPDATE servicekit.jobs AS job
    SET waits_for = CASE WHEN concurrency_key IS NULL THEN NULL ELSE 'key' END, turn = due.turn
    FROM due WHERE job.id = due.id RETURNING concurrency_key
"""


def find_next(session: Session, _: None) -> str | None:
    """The next moment at which a job comes due, or has waited too long."""
    ((moment,),) = session.run(_NEXT)
    return None if moment is None else time_text(datetime.fromisoformat(moment))


@for_each(Rank.TIME)
def make_due(session: Session, now: str) -> list[str]:
    """Make some jobs ready that have come due, and fail some that have waited too long. Return the failed ones."""
    expired = sorted((_timeout_of(text), job_id) for job_id, text in session.run(_EXPIRED, [now]))
    failed: list[str] = []
    for seconds, jobs in groupby(expired, lambda job: job[0]):
        failed += end_jobs(session, end_expired(seconds), [job_id for _, job_id in jobs], now)
    due = session.run(_MAKE_DUE, [now])
    session.keys.update(key for (key,) in due if key is not None)
    session.is_ready |= bool(due)
    return failed


def _read_timeout(options: str | None) -> float:
    return float(json.loads(options or "{}").get("queue_timeout") or 0.0)


_timeout_of: Final = lenient(_read_timeout, 0.0)
