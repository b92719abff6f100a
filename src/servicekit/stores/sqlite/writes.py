"""What is written, each kind for many callers in one go. Everything here runs inside the writer's transaction."""

import json
import sqlite3
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from servicekit.errors import IdempotencyConflict, NotRestartable, ProcessDied, ProcessStopped
from servicekit.jobs.outcome import describe_error
from servicekit.jobs.record import JobRecord
from servicekit.jobs.status import JobStatus, Transition, move_of
from servicekit.jobs.submission import RunnerKind
from servicekit.stores.sqlite.queries import get_record

_PENDING: Final = JobStatus.PENDING.value
_RUNNING: Final = JobStatus.RUNNING.value
_TARGETS: Final = {transition: move_of(transition).target.value for transition in Transition}


class NewJob(NamedTuple):
    """A row of `jobs`."""

    id: str
    name: str
    tags: str
    runner: str
    target: str | None
    arguments: str | None
    owner: int | None
    submitted_at: str
    max_restarts: int
    key: str | None
    fingerprint: str | None


_INSERT: Final = """
    INSERT INTO jobs (id, name, tags, runner, target, arguments, owner, submitted_at, max_restarts, idempotency_key,
                      fingerprint)
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
           json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]'),
           json_extract(value, '$[6]'), json_extract(value, '$[7]'), json_extract(value, '$[8]'),
           json_extract(value, '$[9]'), json_extract(value, '$[10]')
    FROM json_each(?)
"""


def insert(connection: sqlite3.Connection, jobs: list[NewJob]) -> list[str | Exception]:
    """Keep new jobs; the ids, or those of the jobs that had their keys before."""
    plain = [job for job in jobs if job.key is None]
    if plain:
        connection.execute(_INSERT, [json.dumps(plain)])
    answers = [job.id if job.key is None else _insert_once(connection, job) for job in jobs]
    tagged = [[job.id, json.loads(job.tags)] for job in jobs if job.tags != "[]"]
    if tagged:
        connection.execute(
            "INSERT INTO job_tags (tag, job_id) SELECT tags.value, jobs.id FROM json_each(?) AS rows "
            "JOIN jobs ON jobs.id = json_extract(rows.value, '$[0]') "
            "JOIN json_each(json_extract(rows.value, '$[1]')) AS tags",
            [json.dumps(tagged)],
        )
    return answers


def _insert_once(connection: sqlite3.Connection, job: NewJob) -> str | Exception:
    query = "SELECT id, fingerprint FROM jobs WHERE idempotency_key = ?"
    earlier = connection.execute(query, [job.key]).fetchone()
    if earlier is None:
        connection.execute(_INSERT, [json.dumps([job])])
        return job.id
    job_id, fingerprint = earlier
    return str(job_id) if fingerprint == job.fingerprint else IdempotencyConflict(str(job.key), job_id)


class ProcessForgotten(Exception):
    """Others took this process for dead, because the file that it holds locked is gone: its jobs are theirs now."""


class ClaimRequest(NamedTuple):
    process: int
    limit: int
    excluding: Collection[RunnerKind]
    max_running: int | None
    now: str


class ClaimedJob(NamedTuple):
    id: str
    attempt: int
    name: str
    runner: str
    target: str | None
    arguments: str | None


_CLAIM: Final = f"""
    UPDATE jobs SET status = '{_TARGETS[Transition.CLAIM]}', version = version + 1, attempt = attempt + 1, owner = ?,
                    started_at = max(submitted_at, ?)
    WHERE id IN (SELECT value FROM json_each(?))
"""
_WAITING: Final = (
    f"SELECT * FROM (SELECT id FROM jobs WHERE status = '{_PENDING}' AND owner IS ? AND runner = ? ORDER BY id LIMIT ?)"
)


def claim(connection: sqlite3.Connection, requests: list[ClaimRequest]) -> list[list[ClaimedJob] | Exception]:
    """Set the oldest jobs running that this process can run; `ProcessForgotten` if it is not on the list any more."""
    return [_claim(connection, request) for request in requests]


def _claim(connection: sqlite3.Connection, request: ClaimRequest) -> list[ClaimedJob] | Exception:
    if connection.execute("SELECT 1 FROM processes WHERE id = ?", [request.process]).fetchone() is None:
        return ProcessForgotten()
    limit = request.limit
    if request.max_running is not None:
        limit = min(limit, request.max_running - _count_running(connection))
    kinds = [kind.value for kind in RunnerKind if kind not in request.excluding]
    if limit <= 0 or not kinds:
        return []
    # Each kind of waiting job is a range of its own in the index, so that none has to be passed over.
    ranges = [(owner, kind, limit) for owner in (None, request.process) for kind in kinds]
    oldest = f"{' UNION ALL '.join([_WAITING] * len(ranges))} ORDER BY id LIMIT ?"
    found = connection.execute(
        "SELECT json_group_array(json_array(id, attempt + 1, name, runner, target, arguments)) "
        f"FROM jobs WHERE id IN ({oldest})",
        [value for each in ranges for value in each] + [limit],
    ).fetchone()
    jobs = sorted(ClaimedJob(*row) for row in json.loads(found[0]))
    if jobs:
        connection.execute(_CLAIM, [request.process, request.now, json.dumps([job.id for job in jobs])])
    return jobs


def _count_running(connection: sqlite3.Connection) -> int:
    """How many attempts run in all processes, those of deleted jobs included."""
    query = f"SELECT sum(jobs) FROM counts WHERE status IN ('{_RUNNING}', 'deleted')"
    return int(connection.execute(query).fetchone()[0])


class End(NamedTuple):
    """How an attempt ended."""

    id: str
    attempt: int
    status: str
    now: str
    error: str | None
    error_traceback: str | None
    artifact_id: str | None
    has_result: bool
    result: str | None


_OURS: Final = f"""
    SELECT json_group_array(json_array(rows.key, jobs.is_deleted))
    FROM json_each(?) AS rows CROSS JOIN jobs
    ON jobs.id = json_extract(rows.value, '$[0]')
    WHERE +jobs.status = '{_RUNNING}' AND jobs.attempt = json_extract(rows.value, '$[1]')
"""
_END: Final = """
    UPDATE jobs SET status = json_extract(value, '$[2]'), version = version + 1, owner = NULL,
                    finished_at = max(started_at, json_extract(value, '$[3]')), error = json_extract(value, '$[4]'),
                    error_traceback = json_extract(value, '$[5]'), artifact_id = json_extract(value, '$[6]')
    FROM json_each(?)
    WHERE jobs.id = json_extract(value, '$[0]')
"""
REMOVE: Final = "DELETE FROM jobs WHERE id IN (SELECT value FROM json_each(?))"


def finish(connection: sqlite3.Connection, ends: list[End]) -> list[bool]:
    """Write how attempts ended, each only if it is the one that runs its job."""
    found = _find_running(connection, [end[:2] for end in ends])
    first = {ends[index].id: index for index in sorted(found, reverse=True)}  # of one attempt, one end is written
    ours = {index: found[index] for index in first.values()}
    written = [end for index, end in enumerate(ends) if ours.get(index) == 0]
    removed = [end.id for index, end in enumerate(ends) if ours.get(index) == 1]
    if written:
        connection.execute(_END, [json.dumps([end[:7] for end in written])])
    if removed:
        connection.execute(REMOVE, [json.dumps(removed)])
    results = [[end.id, end.result] for end in written if end.has_result]
    if results:
        connection.execute(
            "INSERT INTO results (job_id, value) SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') "
            "FROM json_each(?)",
            [json.dumps(results)],
        )
    return [ours.get(index) == 0 for index in range(len(ends))]


def _find_running(connection: sqlite3.Connection, claims: Sequence[tuple[object, ...]]) -> dict[int, int]:
    """The claims that still hold, by index; 1 for those whose job was deleted."""
    (found,) = connection.execute(_OURS, [json.dumps(claims)]).fetchone()
    return dict(json.loads(found))


class Release(NamedTuple):
    id: str
    attempt: int
    now: str


_GIVE_BACK: Final = f"""
    UPDATE jobs SET status = '{_TARGETS[Transition.RELEASE]}', version = version + 1, owner = NULL, started_at = NULL,
                    spared = spared + ?
    WHERE id = ?
"""
_CLOSE: Final = (
    "UPDATE jobs SET status = ?, version = version + 1, owner = NULL, finished_at = max(coalesce(started_at, "
    "submitted_at), ?), error = ? WHERE id IN (SELECT value FROM json_each(?))"
)


def release(connection: sqlite3.Connection, release: Release) -> bool:
    """Give a job back whose attempt was stopped with its process."""
    held = _find_running(connection, [(release.id, release.attempt)])
    if held:
        give_up(connection, release.id, release.now, is_spared=True)
    return held.get(0) == 0


def unclaim(connection: sqlite3.Connection, release: Release) -> None:
    """Give a job back that was claimed for somebody who is gone, and never started."""
    held = _find_running(connection, [(release.id, release.attempt)])
    query = "SELECT cancel_requested_at FROM jobs WHERE id = ?"
    if held.get(0) == 0 and connection.execute(query, [release.id]).fetchone() == (None,):
        connection.execute(
            f"UPDATE jobs SET status = '{_TARGETS[Transition.RELEASE]}', version = version + 1, started_at = NULL, "
            "owner = iif(target IS NULL, owner, NULL), spared = spared + 1 WHERE id = ?",
            [release.id],
        )
    elif held:  # deleted or canceled meanwhile
        give_up(connection, release.id, release.now, is_spared=True)


def give_up(connection: sqlite3.Connection, job_id: str, now: str, *, is_spared: bool) -> None:
    """What becomes of a job whose attempt will not end by itself."""
    query = "SELECT is_deleted, cancel_requested_at, target, max_restarts, attempt - spared FROM jobs WHERE id = ?"
    is_deleted, asked, target, max_restarts, attempts = connection.execute(query, [job_id]).fetchone()
    if is_deleted:
        connection.execute("DELETE FROM jobs WHERE id = ?", [job_id])
    elif asked is not None:
        close(connection, Transition.CANCEL, [job_id], now)
    elif target is None:
        close(connection, Transition.FAIL, [job_id], now, NotRestartable())
    elif is_spared and max_restarts == 0:
        close(connection, Transition.FAIL, [job_id], now, ProcessStopped())
    elif not is_spared and max_restarts < attempts:
        close(connection, Transition.FAIL, [job_id], now, ProcessDied(attempts))
    else:
        connection.execute(_GIVE_BACK, [int(is_spared), job_id])


def close(
    connection: sqlite3.Connection, transition: Transition, job_ids: list[str], now: str, error: Exception | None = None
) -> None:
    """End jobs that no attempt will end."""
    reason = None if error is None else describe_error(error)
    connection.execute(_CLOSE, [_TARGETS[transition], now, reason, json.dumps(job_ids)])


class ProgressReport(NamedTuple):
    id: str
    attempt: int
    progress: str


def report_progress(connection: sqlite3.Connection, reports: list[ProgressReport]) -> list[None]:
    """Write how far attempts are."""
    ours = _find_running(connection, [report[:2] for report in reports])
    newest = {report.id: report for index, report in enumerate(reports) if ours.get(index) == 0}
    if newest:
        connection.execute(
            "UPDATE jobs SET progress = json_extract(value, '$[2]'), version = version + 1 FROM json_each(?) "
            "WHERE jobs.id = json_extract(value, '$[0]')",
            [json.dumps(list(newest.values()))],
        )
    return [None] * len(reports)


class Request(NamedTuple):
    """Something that is asked about one job, at a time."""

    id: str
    now: str


def request_cancel(connection: sqlite3.Connection, request: Request) -> JobRecord:
    """Cancel a pending job, mark a running one."""
    record = get_record(connection, request.id)
    if record.status in move_of(Transition.CANCEL).sources and record.cancel_requested_at is None:
        if record.status is JobStatus.PENDING:
            connection.execute(
                "UPDATE jobs SET cancel_requested_at = max(submitted_at, ?) WHERE id = ?", [request.now, request.id]
            )
            close(connection, Transition.CANCEL, [request.id], request.now)
        else:
            connection.execute(
                "UPDATE jobs SET cancel_requested_at = max(started_at, ?), version = version + 1 WHERE id = ?",
                [request.now, request.id],
            )
        return get_record(connection, request.id)
    return record


def delete(connection: sqlite3.Connection, request: Request) -> None:
    """Forget a job; one that runs is hidden until its attempt has ended."""
    record = get_record(connection, request.id)
    if record.status is JobStatus.RUNNING:
        connection.execute("UPDATE jobs SET is_deleted = 1, idempotency_key = NULL WHERE id = ?", [request.id])
    else:
        connection.execute("DELETE FROM jobs WHERE id = ?", [request.id])
    connection.execute(
        "INSERT INTO events (job_id, version, is_transition, at) VALUES (?, NULL, 1, ?)", [request.id, request.now]
    )
