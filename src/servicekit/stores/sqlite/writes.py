"""What becomes of jobs that are there. Everything here runs inside the writer's transaction."""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from servicekit.errors import (
    JobNotFound,
    RecordUnreadable,
)
from servicekit.jobs.lost_attempts import LostAttempt, find_fate
from servicekit.jobs.outcome import describe_error
from servicekit.jobs.record import MAX_PAST_ATTEMPTS, JobRecord
from servicekit.jobs.status import EndedBy, JobStatus, Transition, move_of
from servicekit.jobs.submission import Submission
from servicekit.stores.sqlite.options import expiry_after_text
from servicekit.stores.sqlite.queries import RecordRequest, get_record
from servicekit.stores.sqlite.rows import NONSENSE, is_about_values, read_status

_PENDING: Final = JobStatus.PENDING.value
_RUNNING: Final = JobStatus.RUNNING.value
_TARGETS: Final = {transition: move_of(transition).target.value for transition in Transition}
_REMOVE: Final = "DELETE FROM jobs WHERE id IN (SELECT value FROM json_each(?))"


_LARGE_RESULT: Final = 100_000


class Held(NamedTuple):
    """What is known of a job whose attempt runs."""

    is_deleted: int
    is_asked_to_stop: int
    is_local: int
    """Whether only its owner can run it."""


_HELD: Final = f"""
    SELECT json_group_array(
        json_array(rows.key, iif(jobs.is_deleted, 1, 0), jobs.cancel_requested_at IS NOT NULL, jobs.target IS NULL)
    )
    FROM json_each(?) AS rows CROSS JOIN jobs
    ON jobs.id = json_extract(rows.value, '$[0]')
    WHERE +jobs.status = '{_RUNNING}' AND jobs.attempt = json_extract(rows.value, '$[1]')
"""


def find_running(connection: sqlite3.Connection, claims: Sequence[tuple[object, ...]]) -> dict[int, Held]:
    """Which claims, given as id and attempt, still hold, by index. Of one that is there twice, the first does."""
    (found,) = connection.execute(_HELD, [json.dumps(claims)]).fetchone()
    held = {index: Held(*facts) for index, *facts in json.loads(found)}
    first = {claims[index]: index for index in sorted(held, reverse=True)}
    return {index: held[index] for index in first.values()}


class End(NamedTuple):
    """How an attempt ended."""

    id: str
    attempt: int
    status: str
    now: str
    error: str | None
    error_traceback: str | None
    ended_by: str
    artifact_id: str | None = None
    has_result: bool = False
    result: str | None = None


_END: Final = """
    UPDATE jobs SET status = json_extract(value, '$[2]'), version = version + 1, owner = NULL,
                    finished_at = max(started_at, json_extract(value, '$[3]')), error = json_extract(value, '$[4]'),
                    error_traceback = json_extract(value, '$[5]'), ended_by = json_extract(value, '$[6]'),
                    artifact_id = json_extract(value, '$[7]')
    FROM json_each(?)
    WHERE jobs.id = json_extract(value, '$[0]')
"""

_END_ALONE: Final = f"""
    UPDATE jobs SET status = ?, version = version + 1, owner = NULL, finished_at = max(started_at, ?), error = ?,
                    error_traceback = ?, ended_by = ?, artifact_id = ?
    WHERE id = ? AND attempt = ? AND +status = '{_RUNNING}' AND NOT is_deleted
"""

# There can be one only if another program has written it, and then no end of the job may fail for that.
_KEEP_RESULT: Final = "INSERT OR REPLACE INTO results (job_id, value)"


def finish(connection: sqlite3.Connection, ends: list[End]) -> list[bool]:
    """Write how attempts ended, each only if it is the one that runs its job."""
    if len(ends) == 1 and _end_alone(connection, ends[0]):
        return [True]
    held = find_running(connection, [end[:2] for end in ends])
    written = {index: end for index, end in enumerate(ends) if index in held and not held[index].is_deleted}
    _end(connection, list(written.values()))
    _remove(connection, [ends[index].id for index in held if index not in written])
    return [index in written for index in range(len(ends))]


def _end_alone(connection: sqlite3.Connection, end: End) -> bool:
    """Write how an attempt ended, if it is the one that runs its job, and say whether it is."""
    job_id, attempt, *columns = end[:8]
    is_written = connection.execute(_END_ALONE, [*columns, job_id, attempt]).rowcount > 0
    if is_written and end.has_result:
        connection.execute(f"{_KEEP_RESULT} VALUES (?, ?)", [job_id, end.result])
    return is_written


def _end(connection: sqlite3.Connection, ends: list[End]) -> None:
    if ends:
        connection.execute(_END, [json.dumps([end[:8] for end in ends])])
    results = [[end.id, end.result] for end in ends if end.has_result]
    if any(len(end.result or "") > _LARGE_RESULT for end in ends):  # in one text, all other threads would wait for it
        connection.executemany(f"{_KEEP_RESULT} VALUES (?, ?)", results)
    elif results:
        connection.execute(
            f"{_KEEP_RESULT} SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?)",
            [json.dumps(results)],
        )


def _remove(connection: sqlite3.Connection, job_ids: list[str]) -> None:
    """Remove jobs that were deleted while they ran, and run no more."""
    if job_ids:
        connection.execute(_REMOVE, [json.dumps(job_ids)])


class Retry(NamedTuple):
    """How an attempt failed, and when the next one shall start."""

    failure: End
    scheduled_at: str
    is_due: bool
    expires_at: str | None
    submission: Submission

    @property
    def columns(self) -> list[object]:
        return [*self.failure[:7], self.scheduled_at, self.is_due, self.expires_at]


class Retried(StrEnum):
    """What has become of the job."""

    LOST = "lost"
    """It was not this attempt's to write any more."""
    ENDED = "ended"
    """It was asked to stop meanwhile."""
    PENDING = "pending"
    PENDING_HERE = "pending here"
    """Nobody else can run it."""


_PENDING_AGAIN: Final = (Retried.PENDING, Retried.PENDING_HERE)


def _past(now: str, error: str, ended_by: str) -> str:
    """The past attempts and one more; its parts are given in SQL. Those that are none are left out."""
    past = _list_of("attempts")
    earlier = f"iif(json_array_length({past}) >= {MAX_PAST_ATTEMPTS}, json_remove({past}, '$[0]'), {past})"
    started_at = "CAST(started_at AS TEXT)"
    return (
        f"json_insert({earlier}, '$[#]', json_array(CAST(attempt AS INTEGER), {started_at}, max({started_at}, {now}), "
        f"{error}, {ended_by}, CAST(process AS TEXT)))"
    )


def _list_of(column: str) -> str:
    """The column's JSON list, in SQL: an empty one if it has none."""
    is_list = f"typeof({column}) = 'text' AND json_valid({column}) AND json_type({column}) = 'array'"
    return f"CASE WHEN {is_list} THEN {column} ELSE '[]' END"


_RETRY: Final = f"""
    UPDATE jobs SET status = '{_TARGETS[Transition.RETRY]}', version = version + 1, failures = failures + 1,
                    owner = iif(target IS NULL, owner, NULL), started_at = NULL, progress = NULL,
                    process = NULL,
                    attempts = {_past("json_extract(value, '$[3]')", "json_extract(value, '$[4]')",
                                      "json_extract(value, '$[6]')")},
                    scheduled_at = json_extract(value, '$[7]'), expires_at = json_extract(value, '$[9]'),
                    waits_for = iif(json_extract(value, '$[8]'), NULL, 'time'),
                    turn = iif(json_extract(value, '$[8]'), (SELECT last + 1 FROM turns), turn)
    FROM json_each(?)
    WHERE jobs.id = json_extract(value, '$[0]')
"""  # fmt: skip


def retry(connection: sqlite3.Connection, retries: list[Retry]) -> list[Retried]:
    """Set jobs pending again whose attempts have failed, each only if it is the one that runs its job."""
    held = find_running(connection, [retry.failure[:2] for retry in retries])
    retried = [_judge(held.get(index)) for index in range(len(retries))]
    pending = [retry.columns for retry, what in zip(retries, retried, strict=True) if what in _PENDING_AGAIN]
    if pending:
        connection.execute(_RETRY, [json.dumps(pending)])
    _end(connection, [retry.failure for retry, what in zip(retries, retried, strict=True) if what is Retried.ENDED])
    _remove(connection, [retries[index].failure.id for index, job in held.items() if job.is_deleted])
    return retried


def _judge(job: Held | None) -> Retried:
    if job is None or job.is_deleted:
        return Retried.LOST
    if job.is_asked_to_stop:
        return Retried.ENDED
    return Retried.PENDING_HERE if job.is_local else Retried.PENDING


class Release(NamedTuple):
    id: str
    attempt: int
    now: str
    submission: Submission | None = None
    """Of a job whose submission was taken already."""


_GIVE_BACK: Final = f"""
    UPDATE jobs SET status = '{_TARGETS[Transition.RELEASE]}', version = version + 1, owner = NULL,
                    attempts = {_past("?", "NULL", "?")}, started_at = NULL, progress = NULL, process = NULL,
                    spared = spared + ?, expires_at = ?
    WHERE id = ?
"""
_CLOSE: Final = (
    "UPDATE jobs SET status = ?, version = version + 1, owner = NULL, waits_for = NULL, finished_at = "
    "max(coalesce(started_at, submitted_at), ?), error = ?, error_traceback = NULL, ended_by = ? "
    "WHERE id IN (SELECT value FROM json_each(?))"
)


def release(connection: sqlite3.Connection, release: Release) -> bool:
    """Give a job back whose attempt was stopped with its process."""
    job = _find_one(connection, release)
    if job is not None:
        give_up(connection, release.id, release.now, is_spared=True)
    return job is not None and not job.is_deleted


def unclaim(connection: sqlite3.Connection, release: Release) -> Retried:
    """Give a job back that was claimed and never began: it is ready again, in its old place."""
    job = _find_one(connection, release)
    what = _judge(job)
    if job is not None and what not in _PENDING_AGAIN:
        give_up(connection, release.id, release.now, is_spared=True)
    if what not in _PENDING_AGAIN:
        return what
    connection.execute(
        f"UPDATE jobs SET status = '{_TARGETS[Transition.RELEASE]}', version = version + 1, started_at = NULL, "
        "process = NULL, owner = iif(target IS NULL, owner, NULL), spared = spared + 1 WHERE id = ?",
        [release.id],
    )
    return what


_DECLINE: Final = f"""
    UPDATE jobs SET status = '{_TARGETS[Transition.RELEASE]}', version = version + 1, started_at = NULL,
                    process = NULL, spared = spared + 1, owner = ?,
                    declined_by = json_insert({_list_of("declined_by")}, '$[#]', CAST(owner AS INTEGER))
    WHERE id = ?
"""
# The one that has the least to do: the job waits for it alone.
_OTHER: Final = f"""
    SELECT id FROM processes
    WHERE id <> (SELECT owner FROM jobs WHERE id = ?) AND runs_jobs AND NOT is_stopping
    AND id NOT IN (SELECT value FROM json_each((SELECT {_list_of("declined_by")} FROM jobs WHERE id = ?)))
    ORDER BY (SELECT count(*) FROM jobs WHERE status IN ('{_PENDING}', '{_RUNNING}') AND owner = processes.id), id
    LIMIT 1
"""


def decline(connection: sqlite3.Connection, release: Release) -> bool:
    """Leave a job that this process has claimed, and can make nothing of, to another that has not tried.

    `False`: there is no such process, and the job has to end here.
    """
    job = _find_one(connection, release)
    if job is None:
        return True
    other = None if _judge(job) is not Retried.PENDING else connection.execute(_OTHER, [release.id] * 2).fetchone()
    if other is not None:
        connection.execute(_DECLINE, [*other, release.id])
    return other is not None


def _find_one(connection: sqlite3.Connection, release: Release) -> Held | None:
    return find_running(connection, [release[:2]]).get(0)


def give_up(connection: sqlite3.Connection, job_id: str, now: str, *, is_spared: bool) -> bool:
    """What becomes of a job whose attempt will not end by itself: say whether it has failed.

    A job of which something makes no sense fails, too, and does not hold up the others.
    """
    connection.execute("SAVEPOINT job")
    try:
        return _give_up(connection, job_id, now, is_spared=is_spared)
    except (*NONSENSE, sqlite3.OperationalError) as error:
        if isinstance(error, sqlite3.OperationalError) and not is_about_values(error):
            raise
        connection.execute("ROLLBACK TO job")
        reason = RecordUnreadable(f"Job {job_id}", f"{type(error).__name__}: {error}")
        close(connection, Transition.FAIL, [job_id], now, EndedBy.CRASH, reason)
        return True
    finally:
        with suppress(sqlite3.OperationalError):  # an error that has ended the transaction is told, not its aftermath
            connection.execute("RELEASE job")


def _give_up(connection: sqlite3.Connection, job_id: str, now: str, *, is_spared: bool) -> bool:
    query = (
        "SELECT is_deleted, cancel_requested_at, target, max_restarts, attempt - spared - failures, options FROM jobs "
        "WHERE id = ?"
    )
    is_deleted, asked, target, max_restarts, attempts, options = connection.execute(query, [job_id]).fetchone()
    fate = find_fate(
        LostAttempt(is_spared, bool(is_deleted), asked is not None, target is not None, max_restarts, attempts)
    )
    if fate.transition is None:
        connection.execute("DELETE FROM jobs WHERE id = ?", [job_id])
    elif fate.transition is Transition.RELEASE:
        expires_at = expiry_after_text(options, datetime.fromisoformat(now))
        connection.execute(_GIVE_BACK, [now, fate.ended_by, int(is_spared), expires_at, job_id])
    else:
        close(connection, fate.transition, [job_id], now, fate.ended_by, fate.error)
    return fate.transition is Transition.FAIL


def close(
    connection: sqlite3.Connection,
    transition: Transition,
    job_ids: list[str],
    now: str,
    ended_by: EndedBy,
    error: Exception | None = None,
) -> None:
    """End jobs that no attempt will end."""
    reason = None if error is None else describe_error(error)
    connection.execute(_CLOSE, [_TARGETS[transition], now, reason, ended_by, json.dumps(job_ids)])


class ProgressReport(NamedTuple):
    id: str
    attempt: int
    progress: str


def report_progress(connection: sqlite3.Connection, reports: list[ProgressReport]) -> list[None]:
    """Write how far attempts are."""
    newest = list({report[:2]: report for report in reports}.values())
    held = find_running(connection, [report[:2] for report in newest])
    written = [newest[index] for index, job in held.items() if not job.is_deleted]
    if written:
        connection.execute(
            "UPDATE jobs SET progress = json_extract(value, '$[2]'), version = version + 1 FROM json_each(?) "
            "WHERE jobs.id = json_extract(value, '$[0]')",
            [json.dumps(written)],
        )
    return [None] * len(reports)


class Request(NamedTuple):
    """Something that is asked about one job, at a time."""

    id: str
    now: str

    @property
    def for_record(self) -> RecordRequest:
        return RecordRequest(self.id, datetime.fromisoformat(self.now))


def request_cancel(connection: sqlite3.Connection, request: Request) -> JobRecord | None:
    """Cancel a pending job, mark a running one; `None` if nothing but its status can be read."""
    query = "SELECT status, cancel_requested_at FROM jobs WHERE id = ? AND NOT is_deleted"
    row = connection.execute(query, [request.id]).fetchone()
    if row is None:
        raise JobNotFound(request.id)
    status = read_status(request.id, row[0])
    if status in move_of(Transition.CANCEL).sources and row[1] is None:
        if status is JobStatus.PENDING:
            connection.execute(
                "UPDATE jobs SET cancel_requested_at = max(submitted_at, ?) WHERE id = ?", [request.now, request.id]
            )
            close(connection, Transition.CANCEL, [request.id], request.now, EndedBy.CANCEL)
        else:
            connection.execute(
                "UPDATE jobs SET cancel_requested_at = max(started_at, ?), version = version + 1 WHERE id = ?",
                [request.now, request.id],
            )
    try:
        return get_record(connection, request.for_record)
    except RecordUnreadable:
        if status.is_terminal:
            raise
        return None


def delete(connection: sqlite3.Connection, request: Request) -> None:
    """Forget a job; one that runs is hidden until its attempt has ended. It need not be readable."""
    row = connection.execute("SELECT status FROM jobs WHERE id = ? AND NOT is_deleted", [request.id]).fetchone()
    if row is None:
        raise JobNotFound(request.id)
    if row[0] == _RUNNING:
        connection.execute("UPDATE jobs SET is_deleted = 1, idempotency_key = NULL WHERE id = ?", [request.id])
    else:
        connection.execute("DELETE FROM jobs WHERE id = ?", [request.id])
    connection.execute(
        "INSERT INTO events (job_id, version, is_transition, at) VALUES (?, NULL, 1, ?)", [request.id, request.now]
    )
