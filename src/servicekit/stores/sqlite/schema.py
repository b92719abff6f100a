"""The schema of an SQLite file of ours: whose the file is, and the migrations that bring it up to date."""

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from typing import Final

_PAUSE_SECONDS: Final = 0.002  # a new file is set up in a few milliseconds


def is_foreign(connection: sqlite3.Connection, application_id: int) -> bool:
    """Whether another program has made the file. A file without tables is nobody's yet."""
    if _read_number(connection, "application_id") == application_id:
        return False
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    # Asked again, since another process may have set it up just now.
    return bool(tables) and _read_number(connection, "application_id") != application_id


def use_write_ahead_log(connection: sqlite3.Connection, patience_seconds: float) -> None:
    """Set the file to WAL mode, for good. `sqlite3.OperationalError` if others hold a lock for longer than that.

    While another connection writes to a file that is not in WAL mode yet, such as a new one that several processes open
    at once, SQLite does not wait as it does elsewhere: it refuses at once.
    """
    execute_patiently(connection, "PRAGMA journal_mode = WAL", patience_seconds, lambda: _PAUSE_SECONDS)


def execute_patiently(
    connection: sqlite3.Connection, statement: str, patience_seconds: float, choose_pause: Callable[[], float]
) -> None:
    """Execute a statement again and again, after pauses, while others hold a lock, for as long as the patience lasts.

    `sqlite3.OperationalError` then, and at once for every other reason.
    """
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            connection.execute(statement)
        except sqlite3.OperationalError as error:
            name = getattr(error, "sqlite_errorname", "")
            if not name.startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                raise
        else:
            return
        time.sleep(choose_pause())


def migrate(
    connection: sqlite3.Connection, application_id: int, migrations: Sequence[str], refuse: Callable[[int], Exception]
) -> None:
    """Bring the file to the newest schema, in one transaction.

    If the file has a newer one, raise what `refuse` makes of its number.
    """
    if _read_number(connection, "user_version") == len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")  # of several processes that start at once, one migrates
    try:
        version = _read_number(connection, "user_version")
        if version > len(migrations):
            raise refuse(version)
        for migration in migrations[version:]:
            for statement in _statements(migration):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute(f"PRAGMA application_id = {application_id}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def read_migrations(package: str) -> list[str]:
    """The texts of all migrations of a package, in order. The first brings a file to schema 1."""
    folder = files(package) / "migrations"
    found = sorted((each for each in folder.iterdir() if each.name.endswith(".sql")), key=lambda each: each.name)
    return [each.read_text(encoding="utf-8") for each in found]


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, one by one: `executescript` would commit before the first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _read_number(connection: sqlite3.Connection, pragma: str) -> int:
    (number,) = connection.execute(f"PRAGMA {pragma}").fetchone()
    return int(number)
