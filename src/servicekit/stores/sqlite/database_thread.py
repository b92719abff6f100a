"""Two threads with a connection each: one writes, for all callers at once; the other one reads."""

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

from servicekit.errors import StoreUnavailable
from servicekit.jobs.backoff import FailureLog
from servicekit.stores.durable.news import Answer, Call, resolve
from servicekit.stores.sqlite.database import check_is_there, connect, identify, translated_errors
from servicekit.stores.sqlite.rows import is_too_strict

_log = logging.getLogger("servicekit.stores")

A = TypeVar("A")
R = TypeVar("R")

# So many calls are answered in one transaction. All wait for the last of them, and other processes wait for the lock.
_MOST_CALLS: Final = 2_000


class DatabaseThread:
    """A thread with a connection of its own, and the queue of its calls, which come from one event loop."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._connection: sqlite3.Connection | None = None
        self._place = str(path)
        self._files = (0, 0)
        self._failures = FailureLog(_log)
        self._asked: list[Call] = []
        """The calls of this turn of the event loop."""
        self._calls: SimpleQueue[list[Call] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _put(self, operation: object, argument: object) -> "asyncio.Future[Any]":
        # What is asked in one turn of the loop goes to the thread together: each handing over wakes that, and takes the
        # interpreter's lock away.
        if not self._asked:
            self._loop.call_soon(self._hand_over)
        future: asyncio.Future[Any] = self._loop.create_future()
        self._asked.append(Call(operation, argument, future))
        if len(self._asked) >= _MOST_CALLS:
            self._hand_over()
        return future

    def _hand_over(self) -> None:
        if self._asked:
            self._calls.put(self._asked)
            self._asked = []

    def stop(self) -> None:
        """End the thread after all calls that were made so far, and wait for its end."""
        self._hand_over()
        self._calls.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            while (calls := self._take()) is not None:
                try:
                    self._answer(calls)
                except Exception as error:  # a bug must not end the thread, and leave all callers waiting
                    self._failures.exception("Jobs could not be read or written", error)
                    self._disconnect()
                    self._refuse(calls, error)
        finally:
            self._disconnect()

    def _take(self) -> list[Call] | None:
        """All calls that wait; no call if none comes for a while, and `None` at the end."""
        calls: list[Call] = []
        with suppress(Empty):
            asked = self._calls.get(timeout=self._patience_seconds)
            while asked is not None:
                calls += asked
                if len(calls) >= _MOST_CALLS:
                    return calls
                asked = self._calls.get_nowait()
            if not calls:
                return None
            self._calls.put(None)  # what came before the end is answered first
        return calls

    def _take_waiting(self) -> list[Call]:
        """The calls that came meanwhile."""
        calls: list[Call] = []
        with suppress(Empty):
            while (asked := self._calls.get_nowait()) is not None:
                calls += asked
            self._calls.put(None)
        return calls

    def _refuse(self, calls: list[Call], error: Exception) -> None:
        refusal = StoreUnavailable(str(self._path), f"{type(error).__name__}: {error}")
        with suppress(RuntimeError):  # the event loop is closed, and nobody waits
            self._loop.call_soon_threadsafe(resolve, [Answer(call, refusal) for call in calls])

    @property
    def _patience_seconds(self) -> float | None:
        return None

    def _answer(self, calls: list[Call]) -> None:
        raise NotImplementedError

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
        """Close the connection. The next call opens another one, in case that helps."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


class Reader(DatabaseThread):
    """Answers `function(connection, argument)`. Each answer is about the newest committed state."""

    def ask(self, function: Callable[[sqlite3.Connection, A], R], argument: A) -> "asyncio.Future[R]":
        """Let the thread answer a call. The future gets the answer, or the error."""
        return self._put(function, argument)

    def _answer(self, calls: list[Call]) -> None:
        answers = [Answer(call, self._read(call)) for call in calls]
        with suppress(RuntimeError):  # the event loop is closed, and nobody waits
            self._loop.call_soon_threadsafe(resolve, answers)

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
