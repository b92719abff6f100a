"""Values that jobs have.

Of all jobs, an index leads from each value to the next one, however many jobs have it. Of one owner's jobs, the newest
are looked at.
"""

from typing import Final

from servicekit.jobs.query import JobFilter
from servicekit.jobs.status import JobStatus
from servicekit.jobs.suggestions import MOST_COUNTED, SuggestedField, Suggestion, choose
from servicekit.stores.durable.requests import SuggestRequest
from servicekit.stores.postgres.queries import count_by_status, find_candidates
from servicekit.stores.postgres.session import Session

_EMPTY_SHARDS: Final = (
    10  # so many values of which no job is left may stand between two others until they are tidied up
)


def _walk(following: str, count: str) -> str:
    """A query for the values, each found from the one before. Both parts are about `{value}`; the first one says by
    `{least}` whether the value itself is meant."""
    first = following.format(value="%(start)s", least=True)
    next_one = following.format(value="found.value", least=False)
    return f"""
        WITH RECURSIVE found (value, place) AS (
            SELECT ({first}), 1
            UNION ALL
            SELECT ({next_one}), place + 1 FROM found
            WHERE starts_with(found.value, %(start)s) AND place < %(most)s
        )
        SELECT value, ({count.format(value="found.value")}) FROM found
        WHERE starts_with(value, %(start)s) ORDER BY place
    """


# They compare lists, which have one index in their order: a plan that is made for a small table stays right.
def _by_job(table: str, column: str, job_id: str, condition: str) -> str:
    following = (
        f"SELECT {column} FROM servicekit.{table} "
        f"WHERE ({column}, {job_id}) > ({{value}}, CASE WHEN {{least}} THEN '' ELSE '~' END) AND {condition} "
        f"ORDER BY {column}, {job_id} LIMIT 1"
    )
    some = (
        f"SELECT 1 FROM servicekit.{table} WHERE ({column}, {job_id}) > ({{value}}, '') "
        f"AND ({column}, {job_id}) < ({{value}}, '~') AND {condition} LIMIT {MOST_COUNTED + 1}"
    )
    return _walk(following, f"SELECT count(*) FROM ({some}) AS counted")


_KEPT: Final = ", ".join(f"('{status.value}')" for status in JobStatus)
_QUEUES: Final = _walk(
    f"""
    SELECT min(queue) FROM (VALUES {_KEPT}) AS each (status) CROSS JOIN LATERAL (
        SELECT queue FROM servicekit.counts WHERE counts.status = each.status
        AND (queue > {{value}} OR {{least}} AND queue = {{value}}) AND queue >= {{value}}
        ORDER BY queue LIMIT 1
    ) AS next
    """,
    "SELECT coalesce(sum(jobs), 0)::bigint FROM servicekit.counts "
    f"WHERE queue = {{value}} AND status IN (VALUES {_KEPT})",
)
_OWNERS: Final = _walk(
    """
    SELECT owned_by FROM servicekit.owner_counts
    WHERE owned_by >= {value} AND (owned_by > {value} OR {least}) ORDER BY owned_by LIMIT 1
    """,
    "SELECT coalesce(sum(jobs), 0)::bigint FROM servicekit.owner_counts WHERE owned_by = {value}",
)
_ALL: Final = {
    SuggestedField.NAME: _by_job("jobs", "name", "id", "NOT is_deleted"),
    SuggestedField.TAG: _by_job("job_tags", "tag", "job_id", "TRUE"),
    SuggestedField.QUEUE: _QUEUES,
    SuggestedField.OWNER: _OWNERS,
}
_COUNTED: Final = frozenset({SuggestedField.QUEUE, SuggestedField.OWNER})


def suggest(session: Session, request: SuggestRequest) -> list[Suggestion]:
    """The values that are asked for, in order."""
    asked = request.asked
    if asked.owner is None:
        return _suggest_of_all(session, request)
    if asked.field is SuggestedField.OWNER:
        kept = sum(count_by_status(session, JobFilter(owner=asked.owner)).values())
        return choose({asked.owner: kept} if kept else {}, asked, is_exact=True)
    return _suggest_of_owner(session, request)


def _suggest_of_all(session: Session, request: SuggestRequest) -> list[Suggestion]:
    asked = request.asked
    is_counted = asked.field in _COUNTED
    most = asked.limit * _EMPTY_SHARDS if is_counted else asked.limit
    rows = session.run(_ALL[asked.field], {"start": asked.start, "most": most})
    found = [Suggestion(value, count if is_counted or count <= MOST_COUNTED else None) for value, count in rows]
    return [each for each in found if each.jobs != 0][: asked.limit]


def _suggest_of_owner(session: Session, request: SuggestRequest) -> list[Suggestion]:
    asked = request.asked
    candidates, values = find_candidates(JobFilter(owner=asked.owner), None)
    if asked.field is SuggestedField.TAG:
        each = "SELECT tag AS value FROM servicekit.job_tags WHERE job_id = candidate OFFSET 0"
    else:
        each = f"SELECT {asked.field} AS value FROM servicekit.jobs WHERE id = candidate LIMIT 1"
    values = {**values, "scan": request.scan_limit}
    query = f"SELECT value, count(*) FROM ({candidates}) AS ids CROSS JOIN LATERAL ({each}) AS each GROUP BY value"
    counts = dict(session.run(query, values))
    ((looked_at,),) = session.run(f"SELECT count(*) FROM ({candidates}) AS ids", values)
    return choose(counts, asked, is_exact=looked_at < request.scan_limit)
