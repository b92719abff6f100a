"""Opening the index: settings, migrations, and errors in plain words."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from servicekit.artifacts.folder import check_owner, make_folder, sync_folder
from servicekit.artifacts.folder import translated_errors as translated_disk_errors
from servicekit.errors import ArtifactsUnavailable, StoreUnavailable
from servicekit.stores.sqlite.database import OLDEST_SQLITE, create_file
from servicekit.stores.sqlite.inherited import Connection, check_not_inherited, note_open
from servicekit.stores.sqlite.schema import is_foreign, migrate, read_migrations, use_write_ahead_log

# "SvKa" in ASCII. It stands in the file's header, so that a file of another program is not taken for ours.
_APPLICATION_ID: Final = 0x53764B61
# Readers wait only while another process opens or repairs the file.
_BUSY_SECONDS: Final = 5.0
# After a burst SQLite cuts its write-ahead log to this size. To make the log grow anew costs more than to keep it.
_LARGEST_WAL_BYTES: Final = 16 * 1024 * 1024

_REASONS: Final = {
    "SQLITE_BUSY": "another program holds its lock on the index. Try again.",
    "SQLITE_LOCKED": "another program holds its lock on the index. Try again.",
    "SQLITE_FULL": "the disk is full. Make room on it; artifacts that were saved are kept.",
    "SQLITE_READONLY": "the index cannot be written. Look at the permissions of the folder and its files.",
    "SQLITE_PERM": "access is denied. Look at the permissions of the folder and its files.",
    "SQLITE_CANTOPEN": "the index cannot be opened. Look whether the folder exists and can be written.",
    "SQLITE_IOERR": "the disk reports an error.",
    "SQLITE_CORRUPT": "the index is damaged. Stop the service, and restore it from a backup.",
    "SQLITE_NOTADB": "the index is not an SQLite database. Restore it from a backup, or use another folder.",
}


def connect(path: Path) -> Connection:
    """Open the index, and make it and its tables if they are not there. `ArtifactsUnavailable` if that fails."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        reason = f"it needs SQLite 3.35 or newer; this Python has {sqlite3.sqlite_version}."
        raise ArtifactsUnavailable(str(path.parent), reason)
    with translated_errors(path):
        _create_file(path)
        check_not_inherited(path)
        connection = sqlite3.connect(
            path, isolation_level=None, timeout=_BUSY_SECONDS, check_same_thread=False, factory=Connection
        )
        try:
            note_open(connection, path)
            _set_up(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def connect_lock(path: Path) -> Connection:
    """Open the empty database whose lock the writers hold, and make it if it is not there."""
    create_file(path)
    check_not_inherited(path)
    connection = sqlite3.connect(path, isolation_level=None, timeout=0, check_same_thread=False, factory=Connection)
    note_open(connection, path)
    return connection


def is_busy(error: ArtifactsUnavailable) -> bool:
    """Whether the only problem is a lock that another program holds."""
    return "SQLITE_BUSY" in error.reason


def is_there(path: Path, file: tuple[int, int]) -> bool:
    """Whether this file, by its device and its inode, is still at the path."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return False
    return (status.st_dev, status.st_ino) == file


@contextmanager
def translated_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors and those of the disk into `ArtifactsUnavailable`, with what can be done about them."""
    place = str(path.parent)
    try:
        with translated_disk_errors(place):
            yield
    except StoreUnavailable as error:  # of the rule for files that were inherited
        raise ArtifactsUnavailable(place, error.reason) from error
    except sqlite3.Error as error:
        raise ArtifactsUnavailable(place, _describe(error)) from error


def _describe(error: sqlite3.Error) -> str:
    name = getattr(error, "sqlite_errorname", "")
    primary = "_".join(name.split("_")[:2])  # SQLITE_IOERR_WRITE is a kind of SQLITE_IOERR
    return _REASONS.get(primary, f"{error}.") + (f" ({name})" if name else "")


def _create_file(path: Path) -> None:
    """Make the folder and the file if they are not there, readable only for their owner."""
    make_folder(path.parent)
    check_owner(path.parent)
    # In this order: the index is there before the first blob, also if another process makes it just now.
    if (path.parent / "blobs").exists() and not path.exists():
        reason = "there are blobs, but the index is missing, without which nobody knows what they are. Restore it."
        raise ArtifactsUnavailable(str(path.parent), reason)
    is_new = not path.exists()
    create_file(path)
    if is_new:
        sync_folder(path.parent)  # SQLite does so for the files beside it, but did not make this one


def _set_up(connection: sqlite3.Connection, path: Path) -> None:
    if is_foreign(connection, _APPLICATION_ID):
        raise ArtifactsUnavailable(str(path.parent), f"{path.name} is the database of another program.")
    use_write_ahead_log(connection, _BUSY_SECONDS)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")  # on macOS, where a plain fsync does not reach the disk
    connection.execute(f"PRAGMA journal_size_limit = {_LARGEST_WAL_BYTES}")
    connection.execute("PRAGMA temp_store = MEMORY")
    migrations = find_migrations()
    migrate(connection, _APPLICATION_ID, migrations, lambda version: _refuse_newer(path, version, len(migrations)))


def _refuse_newer(path: Path, version: int, known: int) -> ArtifactsUnavailable:
    reason = (
        f"the index was written by a newer servicekit (schema {version}; this one knows {known}). "
        "Install that version again, or use another folder."
    )
    return ArtifactsUnavailable(str(path.parent), reason)


def find_migrations() -> list[str]:
    """The texts of all migrations, in order. The first brings a file to schema 1."""
    return read_migrations("servicekit.artifacts.sqlite")
