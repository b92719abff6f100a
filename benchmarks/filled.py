"""A file with many jobs, made fast: on the store's own tables, so that its triggers and indexes did their work."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from servicekit.jobs.ids import JobIds
from servicekit.stores.durable.times import time_text
from servicekit.stores.sqlite.database import connect

_BATCH = 10_000
_STEP = timedelta(milliseconds=1)

_SUBMIT = """
    INSERT INTO jobs (id, turn, name, runner, target, arguments, submitted_at, max_restarts)
    VALUES (?, ?, 'noop', 'coroutine', 'benchmarks.targets:noop', '{"args": [], "kwargs": {}}', ?, 1)
"""
_LIFE = (
    "UPDATE jobs SET status = 'running', version = 2, attempt = 1, started_at = submitted_at WHERE status = 'pending'",
    "UPDATE jobs SET status = 'completed', version = 3, finished_at = started_at WHERE status = 'running'",
)


def fill(path: Path, *, finished: int, pending: int) -> None:
    """Make a file of so many no-ops. Each finished one has the three events of its life."""
    ids, begin = JobIds(), datetime.now(UTC) - (finished + pending) * _STEP
    with closing(connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")  # it is synced once, at the end
        connection.execute("PRAGMA cache_size = -200000")
        for first, end, is_finished in ((0, finished, True), (finished, finished + pending, False)):
            for start in range(first, end, _BATCH):
                numbers = range(start, min(start + _BATCH, end))
                connection.execute("BEGIN IMMEDIATE")
                rows = [(ids.next_id(), number, time_text(begin + number * _STEP)) for number in numbers]
                connection.executemany(_SUBMIT, rows)
                for statement in _LIFE if is_finished else ():
                    connection.execute(statement)
                connection.execute("COMMIT")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
