"""Reading the log of events without missing any.

Positions come from a sequence, so one that is lower than others can become visible later than they, or never. Who
writes events therefore takes a shared lock before it takes positions, and keeps it until its transaction has ended:

    1. read the sequence: S. Whoever has a position up to S has taken it, and holds the lock or has ended
    2. after that, list the holders of the lock
    3. when none of these holds it any more, each event up to S is visible or will never be: S is settled

New holders do not matter: their positions are higher. Gaps do not matter either, whatever has made them. Nobody waits
for a reader, and a transaction that writes no events, of whatever program, does not delay anybody.
"""

import time
from typing import Final, NamedTuple

from psycopg import errors

from servicekit.errors import StoreUnavailable
from servicekit.jobs.status import JobStatus
from servicekit.stores.durable.records import EventRow
from servicekit.stores.postgres.rows import read_events
from servicekit.stores.postgres.session import Session

PURPOSE: Final = "events"
"""Of the advisory lock."""

# A writer that stands still in its transaction is ended by the server before that.
_PATIENCE_SECONDS: Final = 4.5
# Most transactions have ended by then.
_FIRST_PAUSE_SECONDS: Final = 0.001
_LONGEST_PAUSE_SECONDS: Final = 0.02
# A page of events is passed to the event loop in one piece. After a long outage there can be very many.
PAGE: Final = 500

# The inner query names a value of the outer one: so it is run after that.
_LOOK: Final = """
    SELECT newest, holders FROM (
        SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS newest FROM servicekit.positions OFFSET 0
    ) AS sequence CROSS JOIN LATERAL (
        SELECT coalesce(string_agg(virtualtransaction, ' '), '') AS holders FROM pg_locks
        WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND newest IS NOT NULL
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND classid::bigint = %s AND objid::bigint = %s
    ) AS locks
"""


# The timeline changes whenever a standby takes over, or a backup is restored.
_TIMELINE: Final = "SELECT substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)"
# Positions up to here are no places to go on from: a reader begins with the present.
_FORGET: Final = """
    UPDATE servicekit.forgotten SET position = greatest(position, %s)
    RETURNING set_config('synchronous_commit', 'off', true)
"""


class Look(NamedTuple):
    newest: int
    """The highest position that was taken by then."""
    holders: frozenset[str]
    """The transactions that wrote events after that."""


def look(session: Session) -> Look:
    number = session.lock_number(PURPOSE)
    [(newest, holders)] = session.run(_LOOK, [number >> 32 & 0xFFFFFFFF, number & 0xFFFFFFFF])
    return Look(newest, frozenset(holders.split()))


def settle(session: Session) -> int:
    """Wait until all that was acknowledged before can be read; return the position up to which nothing is missing.

    It takes milliseconds, and one statement if nobody writes. `StoreUnavailable` if a writer stands still.
    """
    newest, holders = look(session)
    deadline, pause = time.monotonic() + _PATIENCE_SECONDS, _FIRST_PAUSE_SECONDS
    while holders:
        if time.monotonic() > deadline:
            raise StoreUnavailable("in PostgreSQL", "another process stands still while it writes. It is tried again.")
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
        holders &= look(session).holders
    return newest


def find_timeline(session: Session) -> str | None:
    """Which history the server goes on with; `None` if it does not say."""
    try:
        [(timeline,)] = session.run(_TIMELINE)
    except (errors.InsufficientPrivilege, errors.FeatureNotSupported, errors.ObjectNotInPrerequisiteState):
        return None
    return str(timeline)


def forget_positions(session: Session) -> int:
    """Let no reader go on from a position that was given before this: its events may be lost. Return the newest one."""
    newest = settle(session)
    session.run(_FORGET, [newest])
    return newest


class Mark:
    """How far a reader that does not wait has settled the log."""

    def __init__(self) -> None:
        self.settled = 0
        self._pending = Look(0, frozenset())
        self.newest = 0
        """The highest position that was taken at the last look."""

    @property
    def is_behind(self) -> bool:
        """Whether there is something that can be settled when certain writers have ended."""
        return bool(self._pending.holders)

    def advance(self, session: Session) -> int:
        """Look once, and return the position that is settled now."""
        seen = look(session)
        self.newest = seen.newest
        # A standby that lagged behind has taken over: what it has not got is lost, and its positions are given again.
        self.settled = min(self.settled, seen.newest)
        left = self._pending.holders & seen.holders
        if left:
            self._pending = Look(self._pending.newest, left)
        else:
            self.settled = max(self.settled, self._pending.newest if seen.holders else seen.newest)
            self._pending = seen
        return self.settled


_ENDED: Final = ", ".join(f"'{status.value}'" for status in JobStatus if status.is_terminal)

_OWN: Final = "SELECT * FROM servicekit.events WHERE position > %(before)s AND writer = %(number)s"
# What others have done to the same jobs, since they were looked at.
_SAME: Final = f"""
    SELECT DISTINCT events.* FROM ({_OWN}) AS own JOIN servicekit.events ON events.job_id = own.job_id
    WHERE events.position > %(settled)s AND events.writer <> %(number)s AND events.job_id = ANY(%(followed)s)
"""
_OTHERS: Final = f"""
    SELECT * FROM servicekit.events WHERE position > %(after)s AND writer <> %(number)s
    AND (%(followed)s::text[] IS NULL OR job_id = ANY(%(followed)s) OR version IS NULL
         OR cancel_requested_at IS NOT NULL OR (started_at IS NULL AND status IN ({_ENDED})))
    ORDER BY position LIMIT {PAGE}
"""


def read_own(session: Session, before: int) -> list[EventRow]:
    """The events of this transaction, or of this process since that position."""
    return read_events(session, _OWN, {"before": before, "number": session.number})


def read_others_of_same(session: Session, before: int, settled: int, followed: list[str]) -> list[EventRow]:
    """What other processes have done, since `settled`, to the followed jobs that this transaction has changed.

    They have ended, since each job is changed by one after the other. A reader gets the events of a job in order.
    """
    values = {"before": before, "settled": settled, "number": session.number, "followed": followed}
    return read_events(session, _SAME, values)


def read_others(session: Session, after: int, followed: list[str] | None) -> list[EventRow]:
    """A page of what other processes have done and this one has to know, as far as it can be seen now.

    That is: what happened to followed jobs, or to all if these are `None`; requests to stop; deletions; and ends of
    jobs that had not started, which only this process may have been able to run. Of different jobs, what comes first
    may be seen later; of one job it is not.
    """
    return read_events(session, _OTHERS, {"after": after, "number": session.number, "followed": followed})
