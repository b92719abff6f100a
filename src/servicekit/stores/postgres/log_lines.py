"""The logs of jobs. Each is bounded: its oldest lines are dropped."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from servicekit.errors import JobNotFound
from servicekit.jobs.log_lines import LogLine, LogPage
from servicekit.stores.durable.aftermath import notify_of_lines
from servicekit.stores.durable.operations import Rank, for_all
from servicekit.stores.durable.requests import LogRequest, NewLines
from servicekit.stores.postgres.session import Session, to_text
from servicekit.stores.postgres.writes import find_running

_LINE_BYTES: Final = 64
"""The bytes that a line takes besides its text."""

_LAST: Final = """
    SELECT value, last.number, last.bytes_so_far FROM json_array_elements_text(%s::json) CROSS JOIN LATERAL (
        SELECT number, bytes_so_far FROM servicekit.logs WHERE job_id = value ORDER BY number DESC LIMIT 1
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
    """Add lines to logs, each batch only if its attempt still runs. Return which were added."""
    claims = sorted({(batch.id, batch.attempt) for batch in batches})
    held = {claims[index] for index, job in find_running(session, claims).items() if not job.is_deleted}
    accepted = [batch for batch in batches if (batch.id, batch.attempt) in held]
    if accepted:
        logs = _find_logs(session, {batch.id for batch in accepted})
        session.run(_ADD, [json.dumps([row for batch in accepted for row in logs[batch.id].add(batch)])])
        for job_id, max_bytes in {batch.id: batch.max_bytes for batch in accepted}.items():
            logs[job_id].drop_oldest(session, max_bytes)
    return [(batch.id, batch.attempt) in held for batch in batches]


append.afterwards(notify_of_lines)


def _find_logs(session: Session, job_ids: set[str]) -> "dict[str, _Log]":
    found = session.run(_LAST, [json.dumps(list(job_ids))])
    return {job_id: _Log(job_id) for job_id in job_ids} | {row[0]: _Log(*row) for row in found}


class _Log:
    """The end of one job's log."""

    def __init__(self, job_id: str, number: int = 0, size: int = 0) -> None:
        self._job_id = job_id
        self._number = number
        self._size = size

    def add(self, batch: NewLines) -> Iterator[list[object]]:
        """The rows of new lines."""
        for line in batch.lines:
            self._number += 1
            self._size += len(line.text.encode()) + _LINE_BYTES
            yield [batch.id, batch.attempt, self._number, self._size, *map(to_text, line)]

    def drop_oldest(self, session: Session, max_bytes: int | None) -> None:
        """Drop the oldest lines, until the rest fits into so many bytes. The newest line stays in any case."""
        if max_bytes is not None and self._size > max_bytes:
            values = {"job_id": self._job_id, "most": self._number - 1, "excess": self._size - max_bytes}
            session.run(_DROP, values)


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
