"""The logs of jobs. Each is bounded: its oldest lines are dropped."""

from datetime import datetime
from typing import Final

from servicekit.errors import JobNotFound
from servicekit.jobs.log_lines import LogLine, LogPage
from servicekit.stores.durable.aftermath import notify_of_lines
from servicekit.stores.durable.log_ends import LogEnd
from servicekit.stores.durable.operations import Rank, for_all
from servicekit.stores.durable.requests import LogRequest, LogRow, NewLines
from servicekit.stores.durable.times import time_text
from servicekit.stores.postgres.changes import rows_of
from servicekit.stores.postgres.session import Session
from servicekit.stores.postgres.writes import find_running

_LAST: Final = """
    SELECT value, last.* FROM json_array_elements_text(%s::json) CROSS JOIN LATERAL (
        SELECT number, bytes_so_far, attempt, at, level, source, text FROM servicekit.logs
        WHERE job_id = value ORDER BY number DESC LIMIT 1
    ) AS last
"""
_ADD: Final = """
    INSERT INTO servicekit.logs (job_id, attempt, number, bytes_so_far, at, level, source, text)
    SELECT value ->> 0, (value ->> 1)::integer, (value ->> 2)::bigint, (value ->> 3)::bigint,
           (value ->> 4)::timestamptz, value ->> 5, value ->> 6, value ->> 7
    FROM json_array_elements(%s::json)
"""
_DROP: Final = """
    DELETE FROM servicekit.logs WHERE job_id = %(job_id)s AND number <= least(%(most)s, (
        SELECT number FROM servicekit.logs WHERE job_id = %(job_id)s AND bytes_so_far >= %(excess)s
        ORDER BY number LIMIT 1
    ))
"""
# The job, the number of its first line, and the lines of a page: all of one moment.
_PAGE: Final = """
    SELECT first, line.* FROM servicekit.jobs
    CROSS JOIN LATERAL (SELECT min(number) AS first FROM servicekit.logs WHERE job_id = id) AS log
    LEFT JOIN LATERAL (
        SELECT number, at, attempt, level, source, text FROM servicekit.logs WHERE job_id = id AND number > %s
        ORDER BY number LIMIT %s
    ) AS line ON TRUE
    WHERE id = %s AND NOT is_deleted ORDER BY number
"""


@for_all(Rank.REPORT)
def append(session: Session, batches: list[NewLines]) -> list[bool]:
    """Add lines to logs, each batch only if its attempt still runs. Return which were added.

    A batch may come again, with later lines behind it, since nothing was heard of its commit. Its lines up to the last
    line of the log are there already then.
    """
    claims = sorted({(batch.id, batch.attempt) for batch in batches})
    held = {claims[index] for index, job in find_running(session, claims).items() if not job.is_deleted}
    accepted = [batch for batch in batches if (batch.id, batch.attempt) in held]
    if accepted:
        logs, newest = _find_logs(session, {batch.id for batch in accepted})
        new = [_leave_out(batch, newest.get(batch.id)) for batch in accepted] if session.has_lost_answers else accepted
        session.run(_ADD, [rows_of([row for batch in new for row in logs[batch.id].add(batch)])])
        for job_id, max_bytes in {batch.id: batch.max_bytes for batch in accepted}.items():
            if (excess := logs[job_id].find_excess(max_bytes)) is not None:
                session.run(_DROP, excess)
    return [(batch.id, batch.attempt) in held for batch in batches]


append.afterwards(notify_of_lines)


def _find_logs(session: Session, job_ids: set[str]) -> tuple[dict[str, LogEnd], dict[str, tuple[int, LogRow]]]:
    """The ends of logs, and of those that have lines the last one, with its attempt."""
    found = session.run(_LAST, [rows_of(list(job_ids))])
    ends = {job_id: LogEnd(job_id) for job_id in job_ids} | {row[0]: LogEnd(*row[:3]) for row in found}
    return ends, {job_id: (attempt, _row_of(at, *rest)) for job_id, _, _, attempt, at, *rest in found}


def _row_of(at: str, level: str, source: str, text: str) -> LogRow:
    return LogRow(time_text(datetime.fromisoformat(at)), level, source, text)


def _leave_out(batch: NewLines, newest: tuple[int, LogRow] | None) -> NewLines:
    """The batch without the lines that are there already."""
    if newest is None or newest[0] != batch.attempt or newest[1] not in batch.lines:
        return batch
    return batch._replace(lines=batch.lines[batch.lines.index(newest[1]) + 1 :])


def list_log(session: Session, request: LogRequest) -> LogPage:
    rows = session.run(_PAGE, [request.after, request.limit + 1, request.id])
    if not rows:
        raise JobNotFound(request.id)
    first = rows[0][0]
    lines = [
        LogLine(number, datetime.fromisoformat(at), *rest)
        for _, number, at, *rest in rows[: request.limit]
        if number is not None  # the row of a job without lines
    ]
    return LogPage(lines, len(rows) <= request.limit, 0 if first is None else first - 1)
