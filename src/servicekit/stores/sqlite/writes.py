"""Changes of existing jobs. Everything here runs inside the writer's transaction."""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final

from servicekit.errors import JobNotFound, RecordUnreadable
from servicekit.jobs.endings import NOT_BEGUN, AttemptFacts, decide_end, end_unreadable
from servicekit.jobs.outcome import CANCELED, Outcome
from servicekit.jobs.record import MAX_PAST_ATTEMPTS, JobRecord
from servicekit.jobs.results import WrittenResult
from servicekit.jobs.status import JobStatus, Transition, move_of
from servicekit.stores.durable.aftermath import keep_if_pending
from servicekit.stores.durable.expiry import expiry_after_text
from servicekit.stores.durable.nonsense import NONSENSE
from servicekit.stores.durable.operations import Rank, for_all, for_each
from servicekit.stores.durable.records import read_status
from servicekit.stores.durable.requests import AttemptEnd, Decline, JobRequest, ProgressReport
from servicekit.stores.durable.times import write_time
from servicekit.stores.sqlite.queries import get_record
from servicekit.stores.sqlite.rows import is_about_values

_PENDING: Final = JobStatus.PENDING.value
_RUNNING: Final = JobStatus.RUNNING.value
_TARGETS: Final = {transition: move_of(transition).target.value for transition in Transition}
_REMOVE: Final = "DELETE FROM jobs WHERE id IN (SELECT value FROM json_each(?))"
# Larger results are written one by one: JSON of all together would hold up the other threads for milliseconds.
_LARGE_RESULT: Final = 100_000


_HELD: Final = f"""
    SELECT json_group_array(
        json_array(rows.key, iif(jobs.is_deleted, 1, 0), jobs.cancel_requested_at IS NOT NULL, jobs.target IS NOT NULL)
    )
    FROM json_each(?) AS rows CROSS JOIN jobs
    ON jobs.id = json_extract(rows.value, '$[0]')
    WHERE +jobs.status = '{_RUNNING}' AND jobs.attempt = json_extract(rows.value, '$[1]')
"""


def find_running(connection: sqlite3.Connection, claims: Sequence[tuple[object, ...]]) -> dict[int, AttemptFacts]:
    """The claims, given as id and attempt, that still hold, by index. Of equal claims the first one does."""
    (found,) = connection.execute(_HELD, [json.dumps(claims)]).fetchone()
    held = {index: AttemptFacts(*facts) for index, *facts in json.loads(found)}
    first = {claims[index]: index for index in sorted(held, reverse=True)}
    return {index: held[index] for index in first.values()}


@for_all(Rank.END)
def end_attempts(connection: sqlite3.Connection, ends: list[AttemptEnd]) -> list[Transition | None]:
    """Write how attempts ended, each only if it still runs its job. Return what has become of the jobs."""
    if len(ends) == 1 and not ends[0].ending.transition.gives_back and _end_alone(connection, ends[0]):
        return [ends[0].ending.transition]
    held = find_running(connection, [end[:2] for end in ends])
    gone = {index: ends[index] for index in held if ends[index].ending.is_lost}
    lost = {index: give_up(connection, end.id, end.ending, end.now) for index, end in gone.items()}
    decided = {index: decide_end(ends[index].ending, job) for index, job in held.items() if index not in lost}
    _write(connection, [(ends[index], fate) for index, fate in decided.items()])
    fates = lost | decided
    return [None if (fate := fates.get(index)) is None else fate.transition for index in range(len(ends))]


end_attempts.afterwards(keep_if_pending)


_Decided = list[tuple[AttemptEnd, Outcome]]


def _write(connection: sqlite3.Connection, decided: list[tuple[AttemptEnd, Outcome | None]]) -> None:
    kept = [(end, fate) for end, fate in decided if fate is not None]
    _end(connection, [each for each in kept if not each[1].transition.gives_back])
    _retry(connection, [each for each in kept if each[1].transition is Transition.RETRY])
    _put_back(connection, [(end.id, fate.error) for end, fate in kept if fate.transition is Transition.RELEASE])
    _remove(connection, [end.id for end, fate in decided if fate is None])


def _columns_of(ending: Outcome, now: str) -> list[object]:
    status = _TARGETS[ending.transition]
    return [status, now, ending.error, ending.error_traceback, ending.ended_by, ending.artifact_id]


_END: Final = """
    UPDATE jobs SET status = json_extract(value, '$[1]'), version = version + 1, owner = NULL,
                    finished_at = max(started_at, json_extract(value, '$[2]')), error = json_extract(value, '$[3]'),
                    error_traceback = json_extract(value, '$[4]'), ended_by = json_extract(value, '$[5]'),
                    artifact_id = json_extract(value, '$[6]')
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


def _end_alone(connection: sqlite3.Connection, end: AttemptEnd) -> bool:
    """Write how an attempt ended, if it still runs its job. Return whether it does."""
    job_id, attempt, ending, now = end[:4]
    is_written = connection.execute(_END_ALONE, [*_columns_of(ending, now), job_id, attempt]).rowcount > 0
    if is_written and isinstance(ending.result, WrittenResult):
        connection.execute(f"{_KEEP_RESULT} VALUES (?, ?)", [job_id, ending.result.text])
    return is_written


def _end(connection: sqlite3.Connection, decided: _Decided) -> None:
    if decided:
        connection.execute(_END, [json.dumps([[end.id, *_columns_of(ending, end.now)] for end, ending in decided])])
    results = [(end.id, ending.result.text) for end, ending in decided if isinstance(ending.result, WrittenResult)]
    if any(len(text or "") > _LARGE_RESULT for _, text in results):  # in one text, all other threads would wait for it
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


def _past(now: str, error: str, ended_by: str) -> str:
    """The past attempts and one more, whose parts are given in SQL. Entries that make no sense are left out."""
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
                    attempts = {_past("json_extract(value, '$[1]')", "json_extract(value, '$[2]')",
                                      "json_extract(value, '$[3]')")},
                    scheduled_at = json_extract(value, '$[4]'), expires_at = json_extract(value, '$[6]'),
                    waits_for = iif(json_extract(value, '$[5]'), iif(concurrency_key IS NULL, NULL, 'key'), 'time'),
                    turn = iif(json_extract(value, '$[5]'), (SELECT last + 1 FROM turns), turn)
    FROM json_each(?)
    WHERE jobs.id = json_extract(value, '$[0]')
"""  # fmt: skip


def _retry(connection: sqlite3.Connection, decided: _Decided) -> None:
    """Set jobs pending again whose attempts have failed."""
    if decided:
        connection.execute(_RETRY, [json.dumps([_columns_of_retry(end, ending) for end, ending in decided])])


def _columns_of_retry(end: AttemptEnd, ending: Outcome) -> list[object]:
    scheduled_at = write_time(ending.retry_at) or end.now
    is_due = scheduled_at <= end.now
    return [end.id, end.now, ending.error, ending.ended_by, scheduled_at, is_due, end.expires_at]


_PUT_BACK: Final = f"""
    UPDATE jobs SET status = '{_TARGETS[Transition.RELEASE]}', version = version + 1, started_at = NULL,
                    progress = NULL, process = NULL, owner = iif(target IS NULL, owner, NULL), spared = spared + 1,
                    error_traceback = json_extract(value, '$[1]')
    FROM json_each(?)
    WHERE jobs.id = json_extract(value, '$[0]')
"""


def _put_back(connection: sqlite3.Connection, reasons: list[tuple[str, str | None]]) -> None:
    """Give back jobs whose attempts did not begin, each with the reason. They are ready again, in their old places."""
    if reasons:
        connection.execute(_PUT_BACK, [json.dumps(reasons)])


_GIVE_BACK: Final = f"""
    UPDATE jobs SET status = '{_TARGETS[Transition.RELEASE]}', version = version + 1, owner = NULL,
                    attempts = {_past("?", "NULL", "?")}, started_at = NULL, progress = NULL, process = NULL,
                    spared = spared + ?, expires_at = ?
    WHERE id = ?
"""
_END_JOBS: Final = (
    "UPDATE jobs SET status = ?, version = version + 1, owner = NULL, waits_for = NULL, finished_at = "
    "max(coalesce(started_at, submitted_at), ?), error = ?, error_traceback = ?, ended_by = ?, artifact_id = ? "
    "WHERE id IN (SELECT value FROM json_each(?))"
)


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


@for_each(Rank.END)
def decline(connection: sqlite3.Connection, request: Decline) -> bool:
    """Leave a claimed job that this process cannot run to another process that has not tried.

    `False`: there is no such process, and the job must end here.
    """
    job = find_running(connection, [request]).get(0)
    if job is None:
        return True
    is_free = job.is_restartable and decide_end(NOT_BEGUN, job) is NOT_BEGUN
    other = connection.execute(_OTHER, [request.id] * 2).fetchone() if is_free else None
    if other is not None:
        connection.execute(_DECLINE, [*other, request.id])
    return other is not None


def give_up(connection: sqlite3.Connection, job_id: str, ending: Outcome, now: str) -> Outcome | None:
    """End the attempt of a job that went with its process: what was written, or `None` if the job is forgotten.

    A job whose row makes no sense fails, and does not hold up the others.
    """
    connection.execute("SAVEPOINT job")
    try:
        return _give_up(connection, job_id, ending, now)
    except (*NONSENSE, sqlite3.OperationalError) as error:
        if isinstance(error, sqlite3.OperationalError) and not is_about_values(error):
            raise
        connection.execute("ROLLBACK TO job")
        fate = end_unreadable(RecordUnreadable(f"Job {job_id}", f"{type(error).__name__}: {error}"))
        end_jobs(connection, fate, [job_id], now)
        return fate
    finally:
        with suppress(sqlite3.OperationalError):  # an error that has ended the transaction is told, not its aftermath
            connection.execute("RELEASE job")


def _give_up(connection: sqlite3.Connection, job_id: str, ending: Outcome, now: str) -> Outcome | None:
    query = (
        "SELECT is_deleted, cancel_requested_at IS NOT NULL, target IS NOT NULL, max_restarts, "
        "attempt - spared - failures, options FROM jobs WHERE id = ?"
    )
    *facts, options = connection.execute(query, [job_id]).fetchone()
    fate = decide_end(ending, AttemptFacts(*facts))
    if fate is None:
        _remove(connection, [job_id])
    elif fate.transition is Transition.RELEASE:
        expires_at = expiry_after_text(options, datetime.fromisoformat(now))
        connection.execute(_GIVE_BACK, [now, fate.ended_by, int(fate.is_spared), expires_at, job_id])
    else:
        end_jobs(connection, fate, [job_id], now)
    return fate


def end_jobs(connection: sqlite3.Connection, ending: Outcome, job_ids: list[str], now: str) -> None:
    """End jobs that no attempt will end."""
    connection.execute(_END_JOBS, [*_columns_of(ending, now), json.dumps(job_ids)])


@for_all(Rank.REPORT)
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


@for_each(Rank.CANCEL)
def request_cancel(connection: sqlite3.Connection, request: JobRequest) -> JobRecord | None:
    """Cancel a pending job, or mark a running one. `None` if only its status can be read."""
    query = "SELECT status, cancel_requested_at FROM jobs WHERE id = ? AND NOT is_deleted"
    row = connection.execute(query, [request.id]).fetchone()
    if row is None:
        raise JobNotFound(request.id)
    status = read_status(request.id, row[0])
    if status in move_of(Transition.CANCEL).sources and row[1] is None and request.is_about(status):
        if status is JobStatus.PENDING:
            connection.execute(
                "UPDATE jobs SET cancel_requested_at = max(submitted_at, ?) WHERE id = ?", [request.now, request.id]
            )
            end_jobs(connection, CANCELED, [request.id], request.now)
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


@for_each(Rank.DELETE)
def delete(connection: sqlite3.Connection, request: JobRequest) -> bool:
    """Delete a job, readable or not. A running one is hidden until its attempt has ended."""
    query = "SELECT status, owned_by FROM jobs WHERE id = ? AND NOT is_deleted"
    row = connection.execute(query, [request.id]).fetchone()
    if row is None:
        raise JobNotFound(request.id)
    if not request.is_about(row[0]):
        return False
    if row[0] == _RUNNING:
        connection.execute("UPDATE jobs SET is_deleted = 1, idempotency_key = NULL WHERE id = ?", [request.id])
    else:
        connection.execute("DELETE FROM jobs WHERE id = ?", [request.id])
    connection.execute(
        "INSERT INTO events (job_id, version, is_transition, at, owned_by) VALUES (?, NULL, 1, ?, ?)",
        [request.id, request.now, row[1]],
    )
    return True
