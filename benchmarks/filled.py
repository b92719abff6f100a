"""A file with many jobs, made fast: by the store's own statements, so that its triggers and indexes did their work."""

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

from servicekit.jobs.ids import JobIds
from servicekit.jobs.submission import RunnerKind
from servicekit.stores.sqlite import writes
from servicekit.stores.sqlite.database import connect
from servicekit.stores.sqlite.rows import time_text

_BATCH = 10_000
_STEP = timedelta(milliseconds=1)


def fill(path: Path, *, finished: int, pending: int) -> None:
    """Make a file of so many no-ops, each finished one with the life of a no-op behind it.

    It is left as by a process that was killed: entered in the file, and no lock of its own any more.
    """
    connection = connect(path)
    connection.execute("PRAGMA synchronous = OFF")  # it is synced once, at the end
    connection.execute("PRAGMA cache_size = -200000")
    ids, now = JobIds(), datetime.now(UTC)
    begin = now - (finished + pending) * _STEP
    connection.execute("BEGIN IMMEDIATE")
    process = writes.register(connection, writes.Registration(None, 0, f"{path.name}-process-killed", time_text(now)))
    connection.execute("COMMIT")
    for start in range(0, finished, _BATCH):
        count = min(_BATCH, finished - start)
        _write(connection, _new_jobs(ids, count, begin + start * _STEP), process)
    for start in range(0, pending, _BATCH):
        count = min(_BATCH, pending - start)
        _write(connection, _new_jobs(ids, count, begin + (finished + start) * _STEP), None)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _new_jobs(ids: JobIds, count: int, submitted_at: datetime) -> list[writes.NewJob]:
    common = writes.NewJob(
        id="",
        name="noop",
        tags="[]",
        runner=RunnerKind.COROUTINE.value,
        target="benchmarks.targets:noop",
        arguments='{"args": [], "kwargs": {}}',
        owner=None,
        submitted_at=time_text(submitted_at),
        max_restarts=1,
        key=None,
        fingerprint=None,
    )
    return [common._replace(id=ids.next_id()) for _ in range(count)]


def _write(connection: sqlite3.Connection, jobs: list[writes.NewJob], process: int | None) -> None:
    """Keep the jobs; and, given a process, let them be run by it."""
    connection.execute("BEGIN IMMEDIATE")
    writes.insert(connection, jobs)
    if process is not None:
        now = jobs[0].submitted_at
        writes.claim(connection, [writes.ClaimRequest(process, len(jobs), (), None, now)])
        writes.finish(
            connection, [writes.End(job.id, 1, "completed", now, None, None, None, False, None) for job in jobs]
        )
    connection.execute("COMMIT")
