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
# As with `counts`, what is taken from rows is put into a row of this process. There may be as many rows as there have
# been users: so many owners are looked at in one transaction, and the next ones in the next.
_OWNERS_AT_ONCE: Final = 500
_FOLD: Final = f"""
    WITH asked AS MATERIALIZED (
        SELECT owned_by FROM servicekit.owner_counts WHERE owned_by > %(after)s
        GROUP BY owned_by ORDER BY owned_by LIMIT {_OWNERS_AT_ONCE}
    ), unneeded AS (
        SELECT owned_by, status, shard FROM servicekit.owner_counts AS each
        WHERE owned_by = ANY (ARRAY(SELECT owned_by FROM asked)) AND (
            shard NOT IN (SELECT shard FROM servicekit.processes WHERE NOT is_dead)
            OR (SELECT sum(jobs) FROM servicekit.owner_counts AS all_of
                WHERE all_of.owned_by = each.owned_by AND all_of.status = each.status) = 0
        )
        FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM servicekit.owner_counts AS each USING unneeded
        WHERE each.owned_by = unneeded.owned_by AND each.status = unneeded.status AND each.shard = unneeded.shard
        RETURNING each.owned_by, each.status, each.jobs
    ), kept AS (
        INSERT INTO servicekit.owner_counts AS known (owned_by, status, shard, jobs)
        SELECT owned_by, status, %(shard)s, sum(jobs) FROM gone GROUP BY owned_by, status HAVING sum(jobs) <> 0
        ON CONFLICT (owned_by, status, shard) DO UPDATE SET jobs = known.jobs + EXCLUDED.jobs
    )
    SELECT max(owned_by), count(*) FROM asked
"""


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


def fold(session: Session) -> None:
    """Remove rows that count nothing, and those of processes that are gone: of some owners, and then of the next."""
    [(last, count)] = session.run(_FOLD, {"after": session.folded_owner, "shard": session.shard})
    session.folded_owner = last if count == _OWNERS_AT_ONCE else ""
