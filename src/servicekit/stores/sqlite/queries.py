"""Reads. Everything here runs in the reader's thread, on committed data."""

import json
import sqlite3
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
    read_record,
    read_records,
    read_scan,
    read_status,
)
from servicekit.stores.durable.requests import (
    CallsRequest,
    ChangesRequest,
    CountRequest,
    ListRequest,
    RecordRequest,
    TransitionsRequest,
)
from servicekit.stores.sqlite.rows import read_events


def get_record(connection: sqlite3.Connection, request: RecordRequest) -> JobRecord:
    query = f"SELECT {RECORD_COLUMNS} FROM jobs WHERE id = ? AND NOT is_deleted"
    row = connection.execute(query, [request.id]).fetchone()
    if row is None:
        raise JobNotFound(request.id)
    return read_record(row, request.now)


def check_exists(connection: sqlite3.Connection, job_id: str) -> None:
    """`JobNotFound` if there is no such job."""
    if connection.execute("SELECT 1 FROM jobs WHERE id = ? AND NOT is_deleted", [job_id]).fetchone() is None:
        raise JobNotFound(job_id)


def find_missing(connection: sqlite3.Connection, job_ids: list[str]) -> set[str]:
    """Those of these ids that are not kept."""
    query = (
        "SELECT asked.value FROM json_each(?) AS asked "
        "WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE id = asked.value AND NOT is_deleted)"
    )
    return {job_id for (job_id,) in connection.execute(query, [json.dumps(job_ids)])}


def list_calls(connection: sqlite3.Connection, request: CallsRequest) -> dict[str, KeptCall]:
    query = (
        "SELECT jobs.id, name, owned_by, target, substr(arguments, 1, ?), options FROM json_each(?) AS asked "
        "CROSS JOIN jobs ON jobs.id = asked.value AND NOT is_deleted"
    )
    values = [request.most_characters + 1, json.dumps(request.job_ids)]
    return {row[0]: read_call(row) for row in connection.execute(query, values)}


def find_by_key(connection: sqlite3.Connection, idempotency_key: str) -> str | None:
    # A job that was deleted while it runs has no key any more.
    row = connection.execute("SELECT id FROM jobs WHERE idempotency_key = ?", [idempotency_key]).fetchone()
    return None if row is None else str(row[0])


def find_old_call(connection: sqlite3.Connection, job_id: str) -> CallDescription | None:
    """The call of a job whose arguments an earlier version has written in its own way."""
    query = "SELECT target, arguments FROM jobs WHERE id = ? AND target IS NOT NULL AND instr(arguments, '\"typed\"')"
    row = connection.execute(query, [job_id]).fetchone()
    return None if row is None else CallDescription(*row)


def get_result(connection: sqlite3.Connection, job_id: str) -> object:
    query = "SELECT status, error FROM jobs WHERE id = ? AND NOT is_deleted"
    row = connection.execute(query, [job_id]).fetchone()
    if row is None:
        raise JobNotFound(job_id)
    status = read_status(job_id, row[0])
    check_completed(job_id, status, row[1])
    row = connection.execute("SELECT value FROM results WHERE job_id = ?", [job_id]).fetchone()
    if row is None:
        return None
    if row[0] is None:
        raise ResultDropped(job_id, status)
    try:
        return read_result(row[0])
    except ValueError as reason:  # Python reads no number of more than 4,300 digits
        raise ResultDropped(job_id, status) from reason


def list_records(connection: sqlite3.Connection, request: ListRequest) -> JobPage:
    """One page, the newest jobs first, by the most selective index. The rest is a bounded search."""
    wanted, limit, before, _, now = request
    scan_limit = request.most_looked_at
    candidates, values = find_candidates(wanted, before)
    conditions, more_values = _conditions(wanted)
    values["scan"] = scan_limit
    rows = connection.execute(
        # Not sorted again: the candidates come in order, and each leads to one job.
        f"SELECT {RECORD_COLUMNS} FROM ({candidates}) CROSS JOIN jobs ON id = candidate "
        f"WHERE {conditions} LIMIT :limit",
        {**values, **more_values, "limit": limit + 1},
    ).fetchall()
    records = read_records(rows[:limit], now)
    if len(rows) > limit:
        return JobPage(records, rows[limit - 1][0])
    scanned, last = connection.execute(f"SELECT count(*), min(candidate) FROM ({candidates})", values).fetchone()
    return JobPage(records, last if scanned == scan_limit else None)


def find_candidates(wanted: JobFilter, before: str | None) -> tuple[str, dict[str, Any]]:
    """A query for the ids that an index finds, the newest first, and the query's values."""
    above = wanted.above_id if before is None else min(before, wanted.above_id)
    values: dict[str, Any] = {"above": above, "lowest": wanted.lowest_id, "tag": wanted.tag, "name": wanted.name,
                              "parent": wanted.parent, "owner": wanted.owner}  # fmt: skip
    by_id = "id < :above AND id >= :lowest AND NOT is_deleted ORDER BY id DESC LIMIT :scan"
    if wanted.parent is not None:
        of_owner = "" if wanted.owner is None else "owned_by = :owner AND "
        return f"SELECT id AS candidate FROM jobs WHERE parent = :parent AND {of_owner}{by_id}", values
    if wanted.owner is not None:
        return _candidates_by_status("owned_by = :owner AND ", wanted.statuses or JobStatus, by_id, values)
    # A job loses its metadata and its tags when it is deleted.
    by_job_id = "job_id < :above AND job_id >= :lowest ORDER BY job_id DESC LIMIT :scan"
    if wanted.metadata:
        key, word = next(iter(wanted.metadata.items()))
        query = f"SELECT job_id AS candidate FROM job_metadata WHERE key = :key AND word = :word AND {by_job_id}"
        return query, {**values, "key": key, "word": word}
    if wanted.tag is not None:
        return f"SELECT job_id AS candidate FROM job_tags WHERE tag = :tag AND {by_job_id}", values
    if wanted.name is not None:
        return f"SELECT id AS candidate FROM jobs WHERE name = :name AND {by_id}", values
    if not wanted.statuses:
        return f"SELECT id AS candidate FROM jobs WHERE {by_id}", values
    return _candidates_by_status("", wanted.statuses, by_id, values)


def _candidates_by_status(
    condition: str, statuses: Iterable[JobStatus], by_id: str, values: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    names = {f"status{number}": status.value for number, status in enumerate(sorted(statuses))}
    ranges = [f"SELECT id AS candidate FROM jobs WHERE {condition}status = :{name} AND {by_id}" for name in names]
    if len(ranges) == 1:
        return ranges[0], {**values, **names}
    parts = " UNION ALL ".join(f"SELECT * FROM ({each})" for each in ranges)
    return f"{parts} ORDER BY candidate DESC LIMIT :scan", {**values, **names}


_HAS_WORDS: Final = (
    "NOT EXISTS (SELECT 1 FROM json_each(:words) AS wanted WHERE NOT EXISTS (SELECT 1 FROM job_metadata "
    "WHERE key = wanted.key AND word = wanted.value AND job_id = jobs.id))"
)


def _conditions(wanted: JobFilter) -> tuple[str, dict[str, Any]]:
    conditions, values = ["TRUE"], dict[str, Any]()
    if wanted.statuses:
        conditions.append("+status IN (SELECT value FROM json_each(:statuses))")
        values["statuses"] = json.dumps(sorted(wanted.statuses))
    for column, value in (("owned_by", wanted.owner), ("name", wanted.name), ("queue", wanted.queue)):
        if value is not None:
            conditions.append(f"+{column} = :wanted_{column}")
            values[f"wanted_{column}"] = value
    if wanted.tag is not None:
        conditions.append("EXISTS (SELECT 1 FROM job_tags WHERE tag = :wanted_tag AND job_id = jobs.id)")
        values["wanted_tag"] = wanted.tag
    if wanted.metadata:
        conditions.append(_HAS_WORDS)
        values["words"] = json.dumps(dict(wanted.metadata))
    if wanted.search is not None:
        conditions.append("(instr(lower(name), lower(:search)) OR instr(lower(error), lower(:search)))")
        values["search"] = wanted.search.encode("utf-8", "replace").decode()
    if wanted.error is not None:
        conditions.append("instr(lower(error), lower(:error))")
        values["error"] = wanted.error.encode("utf-8", "replace").decode()
    return " AND ".join(conditions), values


def count_wanted(connection: sqlite3.Connection, request: CountRequest) -> JobCounts:
    """How many of the newest jobs that an index finds pass the filter, by status."""
    candidates, values = find_candidates(request.wanted, None)
    conditions, more_values = _conditions(request.wanted)
    rows = connection.execute(
        f"SELECT status, count(*) FILTER (WHERE {conditions}), count(*) FROM ({candidates}) "
        "CROSS JOIN jobs ON id = candidate GROUP BY status",
        {**values, **more_values, "scan": request.scan_limit},
    )
    return read_scan(rows, request.scan_limit)


def list_transitions(connection: sqlite3.Connection, request: TransitionsRequest) -> list[JobRecord]:
    check_exists(connection, request.id)
    events = (
        "SELECT * FROM events WHERE job_id = ? AND version > ? AND is_transition "
        f"ORDER BY version DESC LIMIT {MAX_TRANSITIONS}"
    )
    changes = read_changes(read_events(connection, events, request).rows, None)
    return [change.record for change in changes if change.record is not None]


def list_changes(connection: sqlite3.Connection, request: ChangesRequest) -> ChangePage | None:
    newest = get_position(connection, None)
    (forgotten,) = connection.execute("SELECT CAST(position AS INTEGER) FROM forgotten").fetchone()
    if not forgotten <= request.after <= newest:
        return None
    asked = "SELECT * FROM events WHERE position > ? ORDER BY position LIMIT ?"
    page = read_events(connection, asked, [request.after, request.limit])
    last = {event.job_id: event for event in page.rows}
    newest_of_each = [event for event in page.rows if last[event.job_id] is event]
    changes = read_changes(newest_of_each, request.now)
    is_last = page.found < request.limit
    return ChangePage(changes, newest if is_last else page.last, is_last)


def get_position(connection: sqlite3.Connection, _: None) -> int:
    row = connection.execute("SELECT CAST(seq AS INTEGER) FROM sqlite_sequence WHERE name = 'events'").fetchone()
    return 0 if row is None else row[0] or 0


def count_by_status(connection: sqlite3.Connection, wanted: JobFilter) -> JobCounts:
    """How many jobs have each status: all, or those of the filter's owner or queue."""
    if wanted.owner is not None:
        query, values = "SELECT status, CAST(jobs AS INTEGER) FROM owner_counts WHERE owned_by = ?", [wanted.owner]
    elif wanted.queue is not None:
        in_queue = "queue = ? AND status IN (SELECT value FROM json_each(?))"
        query = f"SELECT status, CAST(jobs AS INTEGER) FROM counts WHERE {in_queue}"
        values = [wanted.queue, json.dumps(list(JobStatus))]
    else:
        query, values = "SELECT status, CAST(total(jobs) AS INTEGER) FROM counts GROUP BY status", []
    return read_counts(dict(connection.execute(query, values).fetchall()), wanted.statuses)
