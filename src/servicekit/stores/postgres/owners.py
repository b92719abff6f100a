"""How many jobs of each owner have each status.

They are counted once for each transaction, at its end, and not in the statements that change jobs: where no job has an
owner, that costs nothing. Each process changes rows of its own, as in `counts`.
"""

from typing import Final

from servicekit.stores.postgres.session import Session

_COUNT: Final = """
    INSERT INTO servicekit.owner_counts AS known (owned_by, status, shard, jobs)
    SELECT owned_by, status, %s, jobs FROM unnest(%s::text[], %s::text[], %s::bigint[]) AS rows (owned_by, status, jobs)
    ON CONFLICT (owned_by, status, shard) DO UPDATE SET jobs = known.jobs + EXCLUDED.jobs
"""
_HIDDEN: Final = "deleted"


def note(session: Session, owner: str, before: str | None, after: str | None) -> None:
    """A job of this owner is counted otherwise: `None` if it was not there before, or is not any more."""
    for status, change in ((before, -1), (after, 1)):
        if status not in (None, _HIDDEN):
            key = (owner, status)
            session.owned[key] = session.owned.get(key, 0) + change


def settle(session: Session) -> None:
    """Write what this transaction has changed."""
    changes = [(owner, status, jobs) for (owner, status), jobs in session.owned.items() if jobs]
    session.owned.clear()
    if changes:
        session.run(_COUNT, [session.shard, *map(list, zip(*changes, strict=True))])
