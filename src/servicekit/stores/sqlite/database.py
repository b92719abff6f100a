"""Opening the file: settings, migrations, and errors in plain words."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from servicekit.errors import StoreUnavailable
from servicekit.stores.sqlite.inherited import Connection, check_not_inherited, note_open
from servicekit.stores.sqlite.ownership import check_ownership
from servicekit.stores.sqlite.schema import is_foreign, migrate, read_migrations, use_write_ahead_log

OLDEST_SQLITE: Final = (3, 35, 0)
"""The first with RETURNING."""

# "SvKj" in ASCII. It stands in the file's header, so that a file of another program is not taken for ours.
_APPLICATION_ID: Final = 0x53764B6A
# Our transactions take milliseconds. If the lock is held for longer, another program holds it, and callers are told.
_BUSY_MILLISECONDS: Final = 5_000
# After a burst SQLite cuts its write-ahead log to this size. To make the log grow anew costs more than to keep it.
_LARGEST_WAL_BYTES: Final = 64 * 1024 * 1024

_REASONS: Final = {
    "SQLITE_BUSY": "another program holds its lock on it. It is tried again.",
    "SQLITE_LOCKED": "another program holds its lock on it. It is tried again.",
    "SQLITE_FULL": "the disk is full. Make room on it; jobs that were accepted are kept.",
    "SQLITE_READONLY": "it cannot be written. Look at the permissions of the file and its folder, and at the mount.",
    "SQLITE_PERM": "access is denied. Look at the permissions of the file and its folder.",
    "SQLITE_CANTOPEN": "it cannot be opened. Look whether its folder exists and can be written.",
    "SQLITE_IOERR": "the disk reports an error.",
    "SQLITE_CORRUPT": "the file is damaged. Stop the service, and restore it from a backup or move it away.",
    "SQLITE_NOTADB": "the file is not an SQLite database. Choose another path, or move it away.",
}


def create_file(path: Path) -> None:
    """Make the file if it is not there, readable only for its owner: arguments and results may be secret."""
    # Of a file that was removed without them. What comes when the file is there belongs to it: another process can have
    # jobs in it before this one goes on.
    left_over = [each for each in (_beside(path, "-wal"), _beside(path, "-shm")) if each.exists()]
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        for each in left_over:
            each.unlink(missing_ok=True)


def check_is_there(path: Path) -> None:
    """`StoreUnavailable` if the file has been removed: an empty one in its place would hide that from everybody."""
    if not path.exists():
        raise StoreUnavailable(str(path), "it was removed. Put it back, or start the service again with an empty one.")


def identify(path: str) -> tuple[int, int]:
    """Which files are at the path: the database and its write-ahead log, by their inodes; 0 is none."""
    return _identify(path), _identify(f"{path}-wal")


def _identify(path: str) -> int:
    try:
        return os.stat(path).st_ino  # noqa: PTH116 # dozens of times a second, also where nothing happens
    except FileNotFoundError:
        return 0


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(f"{path.name}{ending}")


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, and make it and its tables if they are not there. `StoreUnavailable` if that fails."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StoreUnavailable(str(path), f"it needs SQLite 3.35 or newer; this Python has {sqlite3.sqlite_version}.")
    with translated_errors(path):
        check_not_inherited(path)
        check_ownership(path)
    if path.exists() and not os.access(path, os.W_OK):
        # Before SQLite tries: it would leave files beside this one that cannot be written either.
        raise StoreUnavailable(str(path), _REASONS["SQLITE_READONLY"])
    with translated_errors(path):
        connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_MILLISECONDS / 1_000, factory=Connection)
        try:
            note_open(connection, path)
            _set_up(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def is_busy(error: StoreUnavailable) -> bool:
    """Whether the only problem is a lock that another program holds."""
    return "SQLITE_BUSY" in error.reason


def is_full(error: StoreUnavailable) -> bool:
    """Whether the disk is full or reports errors. A few bytes may still be written then, but no jobs."""
    return "SQLITE_FULL" in error.reason or "SQLITE_IOERR" in error.reason


@contextmanager
def translated_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into `StoreUnavailable`, with what can be done about it."""
    try:
        yield
    except StoreUnavailable:
        raise
    except sqlite3.Error as error:
        raise StoreUnavailable(str(path), _describe(error)) from error
    except OSError as error:  # no more files can be opened, say, when the migrations are to be read
        raise StoreUnavailable(str(path), f"{error.strerror or error}.") from error


def _describe(error: sqlite3.Error) -> str:
    name = getattr(error, "sqlite_errorname", "")
    primary = "_".join(name.split("_")[:2])  # SQLITE_IOERR_WRITE is a kind of SQLITE_IOERR
    return _REASONS.get(primary, str(error)) + (f" ({name})" if name else "")


def _set_up(connection: sqlite3.Connection, path: Path) -> None:
    if is_foreign(connection, _APPLICATION_ID):
        raise StoreUnavailable(str(path), "it is the database of another program. Choose another path.")
    use_write_ahead_log(connection, _BUSY_MILLISECONDS / 1_000)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")  # on macOS, where a plain fsync does not reach the disk
    connection.execute(f"PRAGMA journal_size_limit = {_LARGEST_WAL_BYTES}")
    connection.execute("PRAGMA temp_store = MEMORY")
    migrations = find_migrations()
    migrate(connection, _APPLICATION_ID, migrations, lambda version: _refuse_newer(path, version, len(migrations)))


def _refuse_newer(path: Path, version: int, known: int) -> StoreUnavailable:
    reason = (
        f"it was written by a newer servicekit (schema {version}; this one knows {known}). "
        "Install that version again, or use another file."
    )
    return StoreUnavailable(str(path), reason)


def find_migrations() -> list[str]:
    """The texts of all migrations, in order. The first brings a file to schema 1."""
    return read_migrations("servicekit.stores.sqlite")
