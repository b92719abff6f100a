"""Tasks in an SQLite file, which all processes of the service share. It is small: a row for each template, and for each
task that was disabled or enabled.

Every execution asks whether its task is enabled. So each process keeps the rows in memory, and asks SQLite only whether
another connection has changed the file since (`PRAGMA data_version`), which reads a few bytes of shared memory. That is
done on the event loop, since a thread would cost ten times as much. Writes, and reads that have to wait for a lock, are
made in a thread, each with a connection of its own.
"""

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from servicekit.errors import TaskNotFound, TasksUnavailable
from servicekit.jobs.threads import call_in_thread
from servicekit.stores.sqlite.schema import use_write_ahead_log
from servicekit.tasks import stored
from servicekit.tasks.ports import StoredTask, Template

# "SvKt" in ASCII. It stands in the file's header, so that a file of another program is not taken for ours.
_APPLICATION_ID: Final = 0x53764B74
_VERSION: Final = 1
_BUSY_SECONDS: Final = 5.0  # our writes take milliseconds: if the lock is held for longer, another program holds it
# A file is removed by hand at most. To look for that costs half as much as to ask whether something was changed.
_LOOK_SECONDS: Final = 0.1

_SCHEMA: Final = """
CREATE TABLE tasks (
    name TEXT PRIMARY KEY,
    is_enabled INTEGER NOT NULL,
    template TEXT, -- JSON; NULL for a task of the service's code
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) WITHOUT ROWID
"""
_READ: Final = "SELECT name, is_enabled, template, created_at, updated_at FROM tasks"


class TaskFile:
    """The tasks of one service. The file is made by the first write: a service that needs none has none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader: _Reader | None = None
        self._look_at = 0.0
        """When to look next whether it is still the same file."""

    async def read(self) -> Mapping[str, StoredTask]:
        try:
            if time.monotonic() >= self._look_at:
                await self._look()
            return {} if self._reader is None else self._reader.read()
        except sqlite3.Error:  # a lock, which passes; or something for which the thread finds the words
            return await call_in_thread(self._read_anew)

    async def set_enabled(self, name: str, *, is_enabled: bool) -> None:
        statement = """
            INSERT INTO tasks VALUES (:name, :is_enabled, NULL, :now, :now)
            ON CONFLICT (name) DO UPDATE SET is_enabled = excluded.is_enabled, updated_at = excluded.updated_at
        """
        await self._write(statement, name, is_enabled=is_enabled)

    async def add(self, name: str, template: Template, *, is_enabled: bool) -> None:
        statement = """
            INSERT INTO tasks SELECT :name, :is_enabled, :template, :now, :now
            WHERE (SELECT count(*) FROM tasks WHERE template IS NOT NULL) < :most
            AND (SELECT total(length(template)) FROM tasks) + length(:template) <= :most_characters
            ON CONFLICT (name) DO UPDATE
            SET template = excluded.template, is_enabled = excluded.is_enabled, updated_at = excluded.updated_at
            WHERE tasks.template IS NULL
        """
        if not await self._write(statement, name, template=template, is_enabled=is_enabled):
            raise stored.refuse_addition(name, is_taken=await self._has_template(name))

    async def replace(self, name: str, template: Template, *, is_enabled: bool) -> None:
        statement = """
            UPDATE tasks SET template = :template, is_enabled = :is_enabled, updated_at = :now
            WHERE name = :name AND template IS NOT NULL AND length(:template) <= :most_characters
            - (SELECT total(length(template)) FROM tasks WHERE name <> :name)
        """
        if not await self._write(statement, name, template=template, is_enabled=is_enabled):
            raise stored.refuse_replacement(name, is_there=await self._has_template(name))

    async def remove(self, name: str) -> None:
        if not await self._write("DELETE FROM tasks WHERE name = :name AND template IS NOT NULL", name):
            raise TaskNotFound(name)

    async def _has_template(self, name: str) -> bool:
        found = (await self.read()).get(name)
        return found is not None and found.template is not None

    async def _look(self) -> None:
        """Open the file if there is one, and let go of one that somebody has removed or replaced."""
        inode = _identify(self._path)
        if self._reader is not None and self._reader.inode != inode:
            await self.close()
        if self._reader is None and inode:
            self._reader = _Reader(self._path, inode)
        # Without a file, the first write of any process must be seen at once.
        self._look_at = 0.0 if self._reader is None else time.monotonic() + _LOOK_SECONDS

    async def close(self) -> None:
        self._look_at = 0.0
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    async def _write(
        self, statement: str, name: str, *, template: Template | None = None, is_enabled: bool = True
    ) -> bool:
        """Execute the statement in a transaction. Return whether it has changed anything."""
        values = {
            "name": name,
            "is_enabled": int(is_enabled),
            "template": None if template is None else template.model_dump_json(),
            "now": datetime.now(UTC).isoformat(),
            "most": stored.MOST_TEMPLATES,
            "most_characters": stored.MOST_CHARACTERS,
        }
        return await call_in_thread(self._execute, statement, values)

    def _execute(self, statement: str, values: dict[str, object]) -> bool:
        with _translated_errors():
            _create(self._path)
            with closing(_connect(self._path, _BUSY_SECONDS)) as connection:
                _check_header(connection)  # before anything is changed: it can be another program's
                use_write_ahead_log(connection, _BUSY_SECONDS)
                connection.execute("BEGIN IMMEDIATE")
                with connection:
                    _prepare(connection)
                    return connection.execute(statement, values).rowcount > 0

    def _read_anew(self) -> Mapping[str, StoredTask]:
        with _translated_errors(), closing(_connect(self._path, _BUSY_SECONDS)) as connection:
            return _read_all(connection)


class _Reader:
    """A connection that is used on the event loop, and what it has read. It waits for no lock."""

    def __init__(self, path: Path, inode: int) -> None:
        self.inode = inode
        self._connection = _connect(path, 0)
        self._version: object = None
        self._tasks: Mapping[str, StoredTask] = {}

    def read(self) -> Mapping[str, StoredTask]:
        version = self._connection.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            # The version first: a change between the two reads is then read once more, and not missed.
            self._tasks = _read_all(self._connection)
            self._version = version
        return self._tasks

    def close(self) -> None:
        self._connection.close()


def _identify(path: Path) -> int:
    try:
        return os.stat(path).st_ino  # noqa: PTH116 # for each execution
    except OSError:
        return 0


def _create(path: Path) -> None:
    """Make the file if it is not there, readable only for its owner: parameters may be secret."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))


def _connect(path: Path, busy_seconds: float) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)


def _prepare(connection: sqlite3.Connection) -> None:
    """Make the table in a new file."""
    if _check_header(connection):
        return
    connection.execute(_SCHEMA)
    connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {_VERSION}")


def _check_header(connection: sqlite3.Connection) -> bool:
    """Whether the file has the table; `False` for an empty file. `TasksUnavailable` if it is not for this program."""
    if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        return False
    if connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
        raise TasksUnavailable("the file is another program's. Choose another path.")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > _VERSION:
        raise TasksUnavailable(f"a newer servicekit has written the file (version {version}, not {_VERSION}).")
    return True


def _read_all(connection: sqlite3.Connection) -> Mapping[str, StoredTask]:
    if not _check_header(connection):
        return {}
    return {row[0]: stored.read_row(*row) for row in connection.execute(_READ)}


@contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise TasksUnavailable(f"{error}.") from error
    except OSError as error:
        if isinstance(error, TasksUnavailable):
            raise
        raise TasksUnavailable(f"{error.strerror}.") from error  # without the path, which clients must not see
