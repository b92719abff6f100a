"""Values that jobs have. Everything here runs in the reader's thread, on committed data.

Of all jobs, an index leads from each value to the next one, however many jobs have it. Of one owner's jobs, the newest
are looked at.
"""

import sqlite3
from typing import Final, NamedTuple

from servicekit.jobs.query import JobFilter
from servicekit.jobs.status import JobStatus
from servicekit.jobs.suggestions import MOST_COUNTED, SuggestedField, Suggestion, choose
from servicekit.stores.durable.requests import SuggestRequest
from servicekit.stores.sqlite.queries import count_by_status, find_candidates


class _Values(NamedTuple):
    """How the values of a field are found."""

    first: str
    """The first one that is not before this."""
    next: str
    """The first one after this."""
    number: str
    """How many jobs have it."""


def _values(table: str, column: str, condition: str = "TRUE") -> _Values:
    found = f"SELECT {column} FROM {table} WHERE {column} {{}} :value AND {condition} ORDER BY {column} LIMIT 1"
    some = f"SELECT 1 FROM {table} WHERE {column} = :value AND {condition} LIMIT {MOST_COUNTED + 1}"
    return _Values(found.format(">="), found.format(">"), f"SELECT count(*) FROM ({some})")


_KEPT: Final = ", ".join(f"('{status.value}')" for status in JobStatus)
_IN_QUEUES: Final = (
    f"SELECT min(found) FROM (SELECT (SELECT min(queue) FROM counts WHERE status = column1 AND queue {{}} :value) "
    f"AS found FROM (VALUES {_KEPT}))"
)
_IN_QUEUE: Final = (
    f"SELECT CAST(total(jobs) AS INTEGER) FROM counts WHERE queue = :value AND status IN (VALUES {_KEPT})"
)
_ALL: Final = {
    SuggestedField.NAME: _values("jobs", "name", "NOT is_deleted"),
    SuggestedField.TAG: _values("job_tags", "tag"),
    SuggestedField.QUEUE: _Values(_IN_QUEUES.format(">="), _IN_QUEUES.format(">"), _IN_QUEUE),
    SuggestedField.OWNER: _values("owner_counts", "owned_by")._replace(
        number="SELECT CAST(total(jobs) AS INTEGER) FROM owner_counts WHERE owned_by = :value"
    ),
}
_COUNTED: Final = frozenset({SuggestedField.QUEUE, SuggestedField.OWNER})
_TAGS: Final = "json_each(iif(typeof(tags) = 'text' AND json_valid(tags), tags, '[]')) AS each"


def suggest(connection: sqlite3.Connection, request: SuggestRequest) -> list[Suggestion]:
    """The values that are asked for, in order."""
    asked = request.asked
    if asked.owner is None:
        return _suggest_of_all(connection, request)
    if asked.field is SuggestedField.OWNER:
        kept = sum(count_by_status(connection, JobFilter(owner=asked.owner)).values())
        return choose({asked.owner: kept} if kept else {}, asked, is_exact=True)
    return _suggest_of_owner(connection, request)


def _suggest_of_all(connection: sqlite3.Connection, request: SuggestRequest) -> list[Suggestion]:
    asked, values = request.asked, _ALL[request.asked.field]
    found = list[Suggestion]()
    (value,) = connection.execute(values.first, {"value": asked.start}).fetchone() or (None,)
    # What is no text was written by another program, and comes after all texts.
    while isinstance(value, str) and value.startswith(asked.start) and len(found) < asked.limit:
        (count,) = connection.execute(values.number, {"value": value}).fetchone()
        is_exact = asked.field in _COUNTED or count <= MOST_COUNTED
        found.append(Suggestion(value, count if is_exact else None))
        (value,) = connection.execute(values.next, {"value": value}).fetchone() or (None,)
    return found


def _suggest_of_owner(connection: sqlite3.Connection, request: SuggestRequest) -> list[Suggestion]:
    asked = request.asked
    candidates, values = find_candidates(JobFilter(owner=asked.owner), None)
    values["scan"] = request.scan_limit
    jobs = f"({candidates}) CROSS JOIN jobs ON jobs.id = candidate"
    if asked.field is SuggestedField.TAG:
        query = f"SELECT each.value, count(*) FROM {jobs} CROSS JOIN {_TAGS} GROUP BY each.value"
    else:
        query = f"SELECT {asked.field}, count(*) FROM {jobs} GROUP BY {asked.field}"
    counts = {value: count for value, count in connection.execute(query, values) if isinstance(value, str)}
    (looked_at,) = connection.execute(f"SELECT count(*) FROM ({candidates})", values).fetchone()
    return choose(counts, asked, is_exact=looked_at < request.scan_limit)
