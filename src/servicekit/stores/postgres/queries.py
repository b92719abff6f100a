"""Reads of jobs. Each statement of the reader sees what was committed before it began."""

import json
from collections.abc import Iterable
from typing import Any, Final

from servicekit.errors import JobNotFound, ResultDropped
from servicekit.jobs.query import ChangePage, JobCounts, JobFilter, JobPage
from servicekit.jobs.record import MAX_TRANSITIONS, JobRecord
from servicekit.jobs.results import check_completed, read_result
from servicekit.jobs.shown_calls import KeptCall
from servicekit.jobs.status import JobStatus
from servicekit.jobs.submission import CallDescription
from servicekit.stores.durable.records import (
    RECORD_COLUMNS,
    read_call,
    read_changes,
    read_counts,
    read_records,
    read_scan,
    read_status,
)
from servicekit.stores.durable.requests import (
    CallsRequest,
    ChangesRequest,
    CountRequest,
    ListRequest,
    TransitionsRequest,
)
from servicekit.stores.postgres.feed import settle
from servicekit.stores.postgres.rows import get_record as get_record
from servicekit.stores.postgres.rows import read_events
from servicekit.stores.postgres.session import Session, to_text


def check_exists(session: Session, job_id: str) -> None:
    """`JobNotFound` if there is no such job."""
    if not session.run("SELECT 1 FROM servicekit.jobs WHERE id = %s AND NOT is_deleted", [job_id]):
        raise JobNotFound(job_id)


def find_missing(session: Session, job_ids: list[str]) -> set[str]:
    """Those of these ids that are not kept."""
    query = (
        "SELECT value FROM json_array_elements_text(%s::json) "
        "WHERE NOT EXISTS (SELECT 1 FROM servicekit.jobs WHERE id = value AND NOT is_deleted)"
    )
    return {job_id for (job_id,) in session.run(query, [json.dumps(list(map(to_text, job_ids)))])}


def list_calls(session: Session, request: CallsRequest) -> dict[str, KeptCall]:
    query = (
        "SELECT id, name, owned_by, target, left(arguments, %s), options "
        "FROM servicekit.jobs WHERE id = ANY(%s) AND NOT is_deleted"
    )
    rows = session.run(query, [request.most_characters + 1, list(map(to_text, request.job_ids))])
    return {row[0]: read_call(row) for row in rows}


def find_by_key(session: Session, idempotency_key: str) -> str | None:
    # A job that was deleted while it runs has no key any more.
    rows = session.run("SELECT id FROM servicekit.jobs WHERE idempotency_key = %s", [idempotency_key])
    return rows[0][0] if rows else None


def find_old_call(session: Session, job_id: str) -> CallDescription | None:
    """The call of a job, moved here, whose arguments an earlier version has written in its own way."""
    query = (
        "SELECT target, arguments FROM servicekit.jobs "
        "WHERE id = %s AND target IS NOT NULL AND strpos(arguments, '\"typed\"') > 0"
    )
    rows = session.run(query, [job_id])
    return CallDescription(*rows[0]) if rows else None


def get_result(session: Session, job_id: str) -> object:
    query = (
        "SELECT status, error, job_id IS NOT NULL, value FROM servicekit.jobs "
        "LEFT JOIN servicekit.results ON job_id = id WHERE id = %s AND NOT is_deleted"
    )
    rows = session.run(query, [job_id])
    if not rows:
        raise JobNotFound(job_id)
    status_text, error, has_result, text = rows[0]
    status = read_status(job_id, status_text)
    check_completed(job_id, status, error)
    if not has_result:
        return None
    if text is None:
        raise ResultDropped(job_id, status)
    try:
        return read_result(text)
    except ValueError as reason:  # Python reads no number of more than 4,300 digits
        raise ResultDropped(job_id, status) from reason


# The limit keeps the planner from another order of the two: it would read a whole table where it expects much.
_EACH: Final = "LATERAL (SELECT *, {0} AS is_wanted FROM servicekit.jobs WHERE id = candidate AND {1} LIMIT 1) AS job"


def list_records(session: Session, request: ListRequest) -> JobPage:
    """One page, the newest jobs first, by the most selective index. The rest is a bounded search."""
    wanted, limit, before, _, now = request
    scan_limit = request.most_looked_at
    candidates, values = find_candidates(wanted, before)
    condition, more_values = _condition(wanted)
    # The last one that is looked at comes in any case: the next page begins behind it.
    found = session.run(
        f"SELECT {RECORD_COLUMNS}, is_wanted, place FROM "
        f"(SELECT candidate, row_number() OVER (ORDER BY candidate DESC) AS place FROM ({candidates}) AS ids) AS ids "
        f"CROSS JOIN {_EACH.format(condition, f'({condition} OR place = %(scan)s)')} "
        "ORDER BY candidate DESC LIMIT %(limit)s",
        {**values, **more_values, "scan": scan_limit, "limit": limit + 1},
    )
    rows = [row[:-2] for row in found if row[-2]]
    records = read_records(rows[:limit], now)
    if len(rows) > limit:
        return JobPage(records, rows[limit - 1][0])
    return JobPage(records, found[-1][0] if found and found[-1][-1] == scan_limit else None)


def find_candidates(wanted: JobFilter, before: str | None) -> tuple[str, dict[str, Any]]:
    """A query for the ids that an index finds, the newest first, and the query's values."""
    above = wanted.above_id if before is None else min(before, wanted.above_id)
    values: dict[str, Any] = {"above": above, "lowest": wanted.lowest_id, "tag": wanted.tag, "name": wanted.name,
                              "parent": wanted.parent, "owner": wanted.owner}  # fmt: skip
    if wanted.parent is not None and wanted.owner is not None:
        condition = "parent IS NOT NULL AND owned_by IS NOT NULL AND NOT is_deleted"  # as in the index: see below
        return _range("jobs", "id", condition, parent="%(parent)s", owned_by="%(owner)s"), values
    if wanted.parent is not None:
        return _range("jobs", "id", "parent = %(parent)s AND NOT is_deleted"), values
    if wanted.owner is not None:
        # Named, since the server does not see by the comparison of lists that its index of jobs with an owner will do.
        condition = "owned_by IS NOT NULL AND NOT is_deleted"
        return _candidates_by_status(wanted.statuses or JobStatus, values, condition, owned_by="%(owner)s")
    # A job loses its metadata and its tags when it is deleted.
    if wanted.metadata:
        key, word = next(iter(wanted.metadata.items()))
        return _range("job_metadata", "job_id", key="%(key)s", word="%(word)s"), {**values, "key": key, "word": word}
    if wanted.tag is not None:
        return _range("job_tags", "job_id", tag="%(tag)s"), values
    if wanted.name is not None:
        return _range("jobs", "id", "NOT is_deleted", name="%(name)s"), values
    if not wanted.statuses:
        return _range("jobs", "id", "NOT is_deleted"), values
    return _candidates_by_status(wanted.statuses, values)


def _candidates_by_status(
    statuses: Iterable[JobStatus], values: dict[str, Any], condition: str = "NOT is_deleted", **equal: str
) -> tuple[str, dict[str, Any]]:
    names = {f"status{number}": status.value for number, status in enumerate(sorted(statuses))}
    ranges = [f"({_range('jobs', 'id', condition, **equal, status=f'%({name})s')})" for name in names]
    found = f"({' UNION ALL '.join(ranges)}) AS ids"
    return f"SELECT candidate FROM {found} ORDER BY candidate DESC LIMIT %(scan)s", {**values, **names}


def _range(table: str, job_id: str, condition: str = "TRUE", **equal: str) -> str:
    """A query for the newest ids among the rows in which these columns are equal to these values.

    It compares lists, which have one index in their order. With conditions apart, the planner may read all jobs by
    their ids where it expects many of them to have the values, and there are none.
    """
    columns = [*equal, job_id]
    upper, lower = ([*equal.values(), value] for value in ("%(above)s", "%(lowest)s"))
    order = ", ".join(f"{column} DESC" for column in columns)
    listed, above, lowest = (", ".join(each) for each in (columns, upper, lower))
    return (
        f"SELECT {job_id} AS candidate FROM servicekit.{table} "
        f"WHERE ({listed}) < ({above}) AND ({listed}) >= ({lowest}) AND {condition} ORDER BY {order} LIMIT %(scan)s"
    )


_HAS_WORDS: Final = (
    "NOT EXISTS (SELECT 1 FROM json_each_text(%(words)s::json) AS wanted WHERE NOT EXISTS "
    "(SELECT 1 FROM servicekit.job_metadata WHERE key = wanted.key AND word = wanted.value AND job_id = jobs.id))"
)


def _condition(wanted: JobFilter) -> tuple[str, dict[str, Any]]:
    conditions, values = ["TRUE"], dict[str, Any]()
    if wanted.statuses:
        conditions.append("status = ANY(%(statuses)s)")
        values["statuses"] = [status.value for status in sorted(wanted.statuses)]
    for column, value in (("owned_by", wanted.owner), ("name", wanted.name), ("queue", wanted.queue)):
        if value is not None:
            conditions.append(f"{column} = %(wanted_{column})s")
            values[f"wanted_{column}"] = value
    if wanted.tag is not None:
        conditions.append("EXISTS (SELECT 1 FROM servicekit.job_tags WHERE tag = %(tag)s AND job_id = jobs.id)")
    if wanted.metadata:
        conditions.append(_HAS_WORDS)
        values["words"] = json.dumps({to_text(key): to_text(word) for key, word in wanted.metadata.items()})
    if wanted.search is not None:
        conditions.append(f"({_contains('name', 'search')} OR {_contains('error', 'search')})")
        values["search"] = wanted.search.encode("utf-8", "replace").decode()
    if wanted.error is not None:
        conditions.append(_contains("error", "error"))
        values["error"] = wanted.error.encode("utf-8", "replace").decode()
    return f"({' AND '.join(conditions)})", values


def _contains(column: str, value: str) -> str:
    """With this collation, ASCII letters alone have another case."""
    return f'strpos(lower({column} COLLATE "C"), lower(%({value})s COLLATE "C")) > 0'


def count_wanted(session: Session, request: CountRequest) -> JobCounts:
    """How many of the newest jobs that an index finds pass the filter, by status."""
    candidates, values = find_candidates(request.wanted, None)
    condition, more_values = _condition(request.wanted)
    rows = session.run(
        f"SELECT status, count(*) FILTER (WHERE is_wanted), count(*) FROM ({candidates}) AS ids "
        f"CROSS JOIN {_EACH.format(condition, 'TRUE')} GROUP BY status",
        {**values, **more_values, "scan": request.scan_limit},
    )
    return read_scan(rows, request.scan_limit)


def list_transitions(session: Session, request: TransitionsRequest) -> list[JobRecord]:
    events = (
        "SELECT * FROM servicekit.events WHERE job_id = %s AND version > %s AND is_transition "
        f"ORDER BY version DESC LIMIT {MAX_TRANSITIONS}"
    )
    changes = read_changes(read_events(session, events, request), None)
    check_exists(session, request.id)  # afterwards: it may have been deleted just now
    return [change.record for change in changes if change.record is not None]


def list_changes(session: Session, request: ChangesRequest) -> ChangePage | None:
    newest = settle(session)
    events = "SELECT * FROM servicekit.events WHERE position > %s AND position <= %s ORDER BY position LIMIT %s"
    page = read_events(session, events, [request.after, newest, request.limit])
    # Afterwards: what was forgotten meanwhile is not in the page.
    ((forgotten,),) = session.run("SELECT position FROM servicekit.forgotten")
    if not forgotten <= request.after <= newest:
        return None
    last = {event.job_id: event for event in page}
    changes = read_changes([event for event in page if last[event.job_id] is event], request.now)
    is_last = len(page) < request.limit
    return ChangePage(changes, newest if is_last else page[-1].position, is_last)


def get_position(session: Session, _: None) -> int:
    return settle(session)


def count_by_status(session: Session, wanted: JobFilter) -> JobCounts:
    """How many jobs have each status: all, or those of the filter's owner or queue."""
    table, condition = "counts", "TRUE"
    if wanted.owner is not None:
        table, condition = "owner_counts", "owned_by = %(owner)s"
    elif wanted.queue is not None:
        condition = "status = ANY(%(statuses)s) AND queue = %(queue)s"
    query = f"SELECT status, sum(jobs)::bigint FROM servicekit.{table} WHERE {condition} GROUP BY status"
    values = {"owner": wanted.owner, "queue": wanted.queue, "statuses": list(JobStatus)}
    return read_counts(dict(session.run(query, values)), wanted.statuses)
