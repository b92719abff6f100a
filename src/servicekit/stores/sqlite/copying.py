"""A file of jobs that is moved elsewhere, or made from elsewhere: see `stores/durable/copying.py`.

A new file has another name until it is finished. So no service can open it before, and until then it has no triggers.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from servicekit.errors import StoreUnavailable
from servicekit.jobs.status import JobStatus
from servicekit.stores.durable.copying import OWNED_STATUSES, OWNER, HasJobs, Kind, Marks, Row, Table, read_rows
from servicekit.stores.sqlite.database import connect, create_file, translated_errors
from servicekit.stores.sqlite.membership import list_members
from servicekit.stores.sqlite.processes import is_alive, is_lock_of
from servicekit.stores.sqlite.queries import get_position

_UNFINISHED: Final = ".unfinished"
_OWNED: Final = f"status IN {OWNED_STATUSES}"
_RUNNING: Final = JobStatus.RUNNING.value

# Without triggers nothing is counted and nothing is noted while rows are copied.
_BEGIN: Final = (
    "CREATE TABLE moved_triggers AS SELECT name, sql FROM sqlite_master WHERE type = 'trigger'",
    "CREATE TABLE moved_from (location TEXT, position INTEGER)",
)
_FINISH: Final = (
    "INSERT INTO counts (status, queue, jobs) "
    f"SELECT iif(is_deleted AND status = '{_RUNNING}', 'deleted', status), queue, count(*) FROM jobs GROUP BY 1, 2",
    "INSERT OR REPLACE INTO owner_counts (owned_by, status, jobs) "
    "SELECT owned_by, status, count(*) FROM jobs WHERE owned_by IS NOT NULL AND NOT is_deleted GROUP BY 1, 2",
    "UPDATE turns SET last = (SELECT coalesce(max(turn), 0) FROM jobs)",
    "INSERT INTO moved_queues SELECT DISTINCT queue FROM counts",
    "INSERT INTO contested_keys (key) SELECT DISTINCT concurrency_key FROM key_seekers",
    "DELETE FROM sqlite_sequence WHERE name IN ('processes', 'events')",
    f"INSERT INTO sqlite_sequence (name, seq) VALUES ('processes', {OWNER})",  # so that no process gets that number
    "DROP TABLE moved_triggers",
    "DROP TABLE moved_from",
)


@contextmanager
def open_origin(path: Path) -> Iterator["JobsFileCopy"]:
    """The file of a stopped service. Nobody can write to it until the end of the block; `StoreUnavailable`."""
    if not path.exists():
        raise StoreUnavailable(str(path), "there is no such file.")
    with translated_errors(path), closing(connect(path)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        _check_nobody_works(connection, path)
        yield JobsFileCopy(connection, path)


@contextmanager
def open_destination(path: Path) -> Iterator["NewJobsFile"]:
    """A new file, or one without jobs in its place; `StoreUnavailable`."""
    with translated_errors(path):
        _check_free(path)
        file = NewJobsFile(path)
        try:
            yield file
        finally:
            file.close()


def _check_free(path: Path) -> None:
    if path.exists():
        with closing(connect(path)) as connection:
            _check_nobody_works(connection, path)
            if connection.execute("SELECT 1 FROM jobs LIMIT 1").fetchone():
                raise HasJobs(str(path), "it has jobs already. Move to a new file.")


def _check_nobody_works(connection: sqlite3.Connection, path: Path) -> None:
    for member in list_members(connection, None):
        lock, process = member.lock, member.pid or member.id
        if lock is not None and is_lock_of(path, lock) and is_alive(path.with_name(lock), member.pid):
            raise StoreUnavailable(str(path), f"process {process} works on it. Stop the service and its workers.")


class JobsFileCopy:
    """An `Origin` in a file."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self.location = str(path)

    def read_marks(self) -> Marks:
        (forgotten,) = self._connection.execute("SELECT CAST(position AS INTEGER) FROM forgotten").fetchone()
        names = [name for (name,) in self._connection.execute("SELECT name FROM service") if isinstance(name, str)]
        return Marks(get_position(self._connection, None), forgotten, names[0] if names else None)

    def count(self, table: Table) -> int:
        (count,) = self._connection.execute(f"SELECT count(*) FROM {table.name}").fetchone()
        return int(count)

    def read(self, table: Table, after: Row = ()) -> Iterator[Row]:
        keys = list(table.columns)[: table.key_length]
        columns = ", ".join(_expression(name, kind) for name, kind in table.columns.items())
        beyond = f"WHERE ({', '.join(keys)}) > ({', '.join('?' * len(keys))})" if after else ""
        query = f"SELECT {columns} FROM {table.name} {beyond} ORDER BY {', '.join(keys)}"
        return read_rows(self.location, table, self._connection.execute(query, after))


def _expression(name: str, kind: Kind) -> str:
    return f"{_OWNED} AND {name} IS NOT NULL" if kind is Kind.OWNER else name


class NewJobsFile(JobsFileCopy):
    """A `Destination` that becomes a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unfinished = path.with_name(path.name + _UNFINISHED)
        super().__init__(self._open(), path)

    def _open(self) -> sqlite3.Connection:
        create_file(self._unfinished)
        connection = connect(self._unfinished)
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # two moves cannot make the same file
        return connection

    def begin(self, origin: str, position: int) -> None:
        is_begun = self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'moved_from'").fetchone()
        if is_begun and self._connection.execute("SELECT * FROM moved_from").fetchone() == (origin, position):
            return
        self.clear()
        with self._transaction():
            for statement in _BEGIN:
                self._connection.execute(statement)
            self._connection.execute("INSERT INTO moved_from VALUES (?, ?)", (origin, position))
            for (name,) in self._connection.execute("SELECT name FROM moved_triggers").fetchall():
                self._connection.execute(f"DROP TRIGGER {name}")

    def find_last(self, table: Table) -> Row:
        keys = list(table.columns)[: table.key_length]
        last = f"SELECT {', '.join(keys)} FROM {table.name} ORDER BY {', '.join(f'{key} DESC' for key in keys)} LIMIT 1"
        row: Row = self._connection.execute(last).fetchone() or ()
        return row

    def write(self, table: Table, rows: list[Row]) -> None:
        values = ["nullif(?, 0)" if kind is Kind.OWNER else "?" for kind in table.columns.values()]
        with self._transaction():
            self._connection.executemany(
                f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES ({', '.join(values)}) "
                "ON CONFLICT DO NOTHING",
                rows,
            )

    def clear(self) -> None:
        self.close()
        for ending in ("", "-wal", "-shm"):
            self._unfinished.with_name(self._unfinished.name + ending).unlink(missing_ok=True)
        self._connection = self._open()

    def finish(self, marks: Marks) -> None:
        with self._transaction():
            triggers = self._connection.execute("SELECT sql FROM moved_triggers").fetchall()
            for statement in _FINISH:
                self._connection.execute(statement)
            self._connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('events', ?)", [marks.position])
            self._connection.execute("UPDATE forgotten SET position = ?", [marks.forgotten])
            if marks.service is not None:
                self._connection.execute("INSERT INTO service VALUES (?)", [marks.service])
            for (trigger,) in triggers:
                self._connection.execute(trigger)
        self.close()
        _check_free(self._path)  # a service may have begun there meanwhile
        self._unfinished.replace(self._path)
        _sync(self._path.parent)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def close(self) -> None:
        self._connection.close()


def _sync(folder: Path) -> None:
    """Have the file's new name on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
