"""The limits: the least that could be called a job scheduler, in memory and on a disk. They promise next to nothing."""

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

Row = tuple[str, str, str, str]

_SCHEMA = """
    CREATE TABLE jobs (
        id TEXT NOT NULL PRIMARY KEY, target TEXT NOT NULL, arguments TEXT NOT NULL, submitted_at TEXT NOT NULL,
        status TEXT NOT NULL DEFAULT 'pending', started_at TEXT, finished_at TEXT
    );
    CREATE INDEX waiting ON jobs (id) WHERE status = 'pending';
"""
_INSERT = "INSERT INTO jobs (id, target, arguments, submitted_at) VALUES (?, ?, ?, ?)"


class TaskDict:
    """A task per job, and a dict of small dicts that grows for ever."""

    def __init__(self, max_concurrency: int | None = None) -> None:
        self.records: dict[str, dict[str, Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(max_concurrency) if max_concurrency else contextlib.nullcontext()

    async def add_job(self, target: Callable[..., Awaitable[Any]], *args: Any) -> str:
        job_id = f"{len(self.records):026}"
        self.records[job_id] = record = {"id": job_id, "status": "pending", "submitted_at": time.time()}
        task = asyncio.create_task(self._run(record, target, args))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job_id

    async def _run(self, record: dict[str, Any], target: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> None:
        async with self._slots:
            record["status"] = "running"
            record["started_at"] = time.time()
            record["result"] = await target(*args)
            record["status"] = "completed"
            record["finished_at"] = time.time()


def open_table(path: Path) -> sqlite3.Connection:
    """One table of jobs with an index to claim them by; a commit survives the loss of power, as ours does."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.executescript(_SCHEMA)
    return connection


def make_row(number: int) -> Row:
    return f"{number:026}", "benchmarks.targets:noop", '{"args": [], "kwargs": {}}', time_text()


def time_text() -> str:
    return f"{time.time():.6f}"


def write(connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Keep the rows in one transaction, which is on the disk afterwards."""
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(_INSERT, rows)
    connection.execute("COMMIT")


def write_lives(connection: sqlite3.Connection, groups: Sequence[Sequence[Row]]) -> None:
    """Keep, claim and finish the rows, group by group: each is finished in the transaction that begins the next."""
    claimed: list[str] = []
    for rows in [*groups, []]:
        connection.execute("BEGIN IMMEDIATE")
        now = time_text()
        connection.executemany(
            "UPDATE jobs SET status = 'completed', finished_at = ? WHERE id = ? AND status = 'running'",
            [(now, job_id) for job_id in claimed],
        )
        connection.executemany(_INSERT, rows)
        query = "SELECT id FROM jobs WHERE status = 'pending' ORDER BY id LIMIT ?"
        claimed = [job_id for (job_id,) in connection.execute(query, [len(rows)])]
        connection.executemany(
            "UPDATE jobs SET status = 'running', started_at = ? WHERE id = ?", [(now, job_id) for job_id in claimed]
        )
        connection.execute("COMMIT")


class GroupCommit:
    """A thread that writes what coroutines wait for: all that waits in one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._calls: SimpleQueue[tuple[Row, asyncio.Future[None]]] = SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    async def insert(self, row: Row) -> None:
        """Returns when the row is on the disk."""
        future = self._loop.create_future()
        self._calls.put((row, future))
        await future

    def _run(self) -> None:
        while True:
            calls = [self._calls.get()]
            with contextlib.suppress(Empty):
                while True:
                    calls.append(self._calls.get_nowait())
            write(self._connection, [row for row, _ in calls])
            self._loop.call_soon_threadsafe(_resolve, [future for _, future in calls])


def _resolve(futures: Sequence["asyncio.Future[None]"]) -> None:
    for future in futures:
        future.set_result(None)
