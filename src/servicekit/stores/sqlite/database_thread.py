"""The threads of the file, with a connection each: one writes, for all callers at once; the other one reads."""

import sqlite3
from contextlib import suppress
from functools import partial
from pathlib import Path

from servicekit.errors import StoreUnavailable
from servicekit.stores.durable.database_thread import DatabaseThread
from servicekit.stores.durable.news import Answer, Call
from servicekit.stores.sqlite.database import check_is_there, connect, identify, translated_errors
from servicekit.stores.sqlite.rows import is_too_strict


class FileThread(DatabaseThread):
    """A thread with a connection to the file."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._place = str(path)
        self._files = (0, 0)
        super().__init__(self._place, name)

    def _connect(self) -> sqlite3.Connection:
        """The connection. `StoreUnavailable` if the file at the path has gone or is another one."""
        if self._connection is None:
            check_is_there(self._path)
            self._connection = connect(self._path)
            self._files = identify(self._place)
        elif self._files != identify(self._place):
            # Removed by somebody, or by SQLite: it does that at the end of what it takes for the last process, if this
            # one has opened and closed the file in another way, and lost its locks by that. What would be written now
            # would be gone with the process.
            self._disconnect()
            raise StoreUnavailable(str(self._path), "it was removed or replaced while in use. It is opened again.")
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


class Reader(FileThread):
    """Answers `function(connection, argument)`. Each answer is about the newest committed state."""

    def _answer(self, calls: list[Call]) -> None:
        self._resolve([Answer(call, self._read(call)) for call in calls])

    def _read(self, call: Call) -> object:
        try:
            with translated_errors(self._path):
                return self._ask(self._connect(), call)
        except StoreUnavailable as error:
            self._disconnect()
            return error
        except Exception as error:
            return error

    def _ask(self, connection: sqlite3.Connection, call: Call) -> object:
        connection.execute("BEGIN")  # one snapshot for all that is read
        try:
            return call.operation(connection, call.argument)
        except sqlite3.OperationalError as error:
            if not is_too_strict(connection, error):
                raise
            read_leniently(connection)  # not before it must: it costs a call for each text
            return call.operation(connection, call.argument)
        finally:
            connection.execute("ROLLBACK")


def read_leniently(connection: sqlite3.Connection) -> None:
    """Put a mark in place of bytes that are not UTF-8. Else one wrong text would make the whole read fail."""
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")
