"""The logs of jobs. Each is bounded: its oldest lines are dropped."""

import json
import sqlite3
from typing import Final

from servicekit.jobs.log_lines import LogLine, LogPage
from servicekit.stores.durable.aftermath import notify_of_lines
from servicekit.stores.durable.log_ends import LogEnd
from servicekit.stores.durable.operations import Rank, for_all
from servicekit.stores.durable.requests import LogRequest, NewLines
from servicekit.stores.durable.times import find_time
from servicekit.stores.sqlite.queries import check_exists
from servicekit.stores.sqlite.writes import find_running

_LAST: Final = """
    SELECT json_group_array(json_array(value, last.number, CAST(last.bytes_so_far AS INTEGER))) FROM json_each(?)
    CROSS JOIN logs AS last ON job_id = value
    AND number = (SELECT max(number) FROM logs WHERE job_id = value AND number < '' AND typeof(number) = 'integer')
"""
_ADD: Final = f"""
    INSERT INTO logs (job_id, attempt, number, bytes_so_far, at, level, source, text)
    SELECT {", ".join(f"json_extract(value, '$[{index}]')" for index in range(8))} FROM json_each(?)
"""
_DROP: Final = """
    DELETE FROM logs WHERE job_id = :job_id AND number <= min(:most, (
        SELECT number FROM logs WHERE job_id = :job_id AND bytes_so_far >= :excess ORDER BY number LIMIT 1
    ))
"""


@for_all(Rank.REPORT)
def append(connection: sqlite3.Connection, batches: list[NewLines]) -> list[bool]:
    """Add lines to logs, each batch only if its attempt still runs. Return which were added."""
    claims = sorted({(batch.id, batch.attempt) for batch in batches})
    held = {claims[index] for index, job in find_running(connection, claims).items() if not job.is_deleted}
    accepted = [batch for batch in batches if (batch.id, batch.attempt) in held]
    if accepted:
        logs = _find_logs(connection, {batch.id for batch in accepted})
        connection.execute(_ADD, [json.dumps([row for batch in accepted for row in logs[batch.id].add(batch)])])
        for job_id, max_bytes in {batch.id: batch.max_bytes for batch in accepted}.items():
            if (excess := logs[job_id].find_excess(max_bytes)) is not None:
                connection.execute(_DROP, excess)
    return [(batch.id, batch.attempt) in held for batch in batches]


append.afterwards(notify_of_lines)


def _find_logs(connection: sqlite3.Connection, job_ids: set[str]) -> dict[str, LogEnd]:
    (text,) = connection.execute(_LAST, [json.dumps(list(job_ids))]).fetchone()
    return {job_id: LogEnd(job_id) for job_id in job_ids} | {row[0]: LogEnd(*row) for row in json.loads(text)}


# Another program can have put anything into the file. Numbers sort before texts, and so the index is of use.
_IS_LINE: Final = (
    "number < '' AND typeof(number) = 'integer' AND typeof(attempt) = 'integer' "
    "AND 'blob' NOT IN (typeof(level), typeof(source), typeof(text))"
)


def list_log(connection: sqlite3.Connection, request: LogRequest) -> LogPage:
    check_exists(connection, request.id)
    query = f"SELECT min(number) FROM logs WHERE job_id = ? AND {_IS_LINE}"
    (first,) = connection.execute(query, [request.id]).fetchone()
    lines, after, is_last = _read_page(connection, request)
    while not lines and not is_last:
        lines, after, is_last = _read_page(connection, request._replace(after=after))
    return LogPage(lines, is_last, 0 if first is None else first - 1)


def _read_page(connection: sqlite3.Connection, request: LogRequest) -> tuple[list[LogLine], int, bool]:
    """The lines of a page of rows, the number of the last row, and whether it is the last page."""
    rows = connection.execute(
        f"SELECT number, at, attempt, level, source, text FROM logs WHERE job_id = ? AND number > ? AND {_IS_LINE} "
        "ORDER BY number LIMIT ?",
        [request.id, request.after, request.limit + 1],
    ).fetchall()
    page = rows[: request.limit]
    lines = [line for row in page if (line := _read_line(*row)) is not None]
    return lines, page[-1][0] if page else request.after, len(rows) <= request.limit


def _read_line(number: int, at: str, attempt: int, *texts: str) -> LogLine | None:
    """The line; `None` if its time is none."""
    moment = find_time(at)
    return None if moment is None else LogLine(number, moment, attempt, *texts)
