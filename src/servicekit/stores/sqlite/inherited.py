"""Files that a forked child must leave alone.

SQLite remembers in each process which locks that has on which file. A child inherits the memory, and has none of the
locks: it would read and write without them, and its parent, or whoever comes next, would take the write-ahead log away
under it (https://www.sqlite.org/howtocorrupt.html, "Carrying an open database connection across a fork"). That holds
for every connection to the file, also for a new one, as long as one that was inherited has not been closed; to do that
is not the business of a child.
"""

import os
import sqlite3
from pathlib import Path
from typing import Final
from weakref import WeakSet

from servicekit.errors import StoreUnavailable

Identity = tuple[int, int]
_REASON: Final = (
    "this process was forked by one that had the file open, and SQLite allows none to work on it then. Close the "
    "scheduler before the fork, or start it in the child alone."
)


class Connection(sqlite3.Connection):
    """A connection that is known here until it is closed."""

    file: Identity


class _Files:
    def __init__(self) -> None:
        self.open: WeakSet[Connection] = WeakSet()
        self.inherited: set[Identity] = set()

    def inherit(self) -> None:
        self.inherited |= {connection.file for connection in list(self.open)}


_files: Final = _Files()
os.register_at_fork(after_in_child=_files.inherit)


def check_not_inherited(path: Path) -> None:
    """`StoreUnavailable` if this process was forked while its parent had the file open."""
    if _files.inherited and path.exists() and _identify(path) in _files.inherited:
        raise StoreUnavailable(str(path), _REASON)


def note_open(connection: Connection, path: Path) -> None:
    """This process has the file open from now on."""
    connection.file = _identify(path)
    _files.open.add(connection)


def _identify(path: Path) -> Identity:
    status = path.stat()
    return status.st_dev, status.st_ino
