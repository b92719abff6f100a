"""The connections to the index: one that writes for all callers that wait, and some that read."""

import os
import random
import sqlite3
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from servicekit.artifacts.sqlite.database import connect, connect_lock, is_busy, is_there, translated_errors
from servicekit.errors import ArtifactsUnavailable
from servicekit.stores.sqlite.inherited import Connection
from servicekit.stores.sqlite.schema import execute_patiently

R = TypeVar("R")

Operation = Callable[[sqlite3.Connection], R]

# So many calls share a transaction. All wait for the last of them, and other processes wait for the lock.
_MOST_CALLS: Final = 1_000
# Our transactions take milliseconds. If the lock is held for longer, another program holds it, and callers are told.
_PATIENCE_SECONDS: Final = 5.0
# SQLite itself asks again only after up to a tenth of a second, in which a busy process gets the lock again and again.
# Chosen at random, so that two processes do not try at the same moments for ever.
_PAUSE_SECONDS: Final = (0.0003, 0.0015)
# More questions at once are answered too, but their connections are closed afterwards.
_MOST_IDLE_READERS: Final = 8


class AfterCommit(Generic[R]):
    """What an operation returns that has more to do when it is committed, before anybody else can write: it is called
    then, and what it returns is the answer.
    """

    def __init__(self, action: Callable[[], R]) -> None:
        self.action = action


class _Call:
    """An operation that waits for the writer, and then its answer."""

    __slots__ = ("error", "is_answered", "is_last", "operation", "result")

    def __init__(self, operation: Operation[Any], is_last: bool) -> None:
        self.operation = operation
        self.is_last = is_last
        self.is_answered = False
        self.result: Any = None
        self.error: BaseException | None = None

    def settle(self, result: Any, error: BaseException | None = None) -> None:
        self.result, self.error, self.is_answered = result, error, True


class _Opened:
    """The connections that are open. They are closed with the object that uses them, unless a fork has copied it."""

    def __init__(self) -> None:
        self.writer: Connection | None = None
        self.lock: Connection | None = None
        """Holds the lock of writers: see `IndexConnections`."""
        self.readers: list[Connection] = []
        """Those that nobody uses now."""
        self.is_writing = False
        self._pid = os.getpid()

    def close(self) -> None:
        """Close what nobody uses now. At the end of the program, a thread may still be writing."""
        if self._pid == os.getpid():  # else they are the parent's: see `stores.sqlite.inherited`
            if not self.is_writing:
                self.close_writer()
            while self.readers:
                self.readers.pop().close()

    def close_writer(self) -> None:
        connections, self.writer, self.lock = (self.writer, self.lock), None, None
        for connection in filter(None, connections):
            with suppress(sqlite3.Error):
                connection.close()


class IndexConnections:
    """Writes and reads one file. Every method may be called from any thread.

    Writers have a lock of their own, in a second file, which they hold for longer than SQLite's: until what follows
    their commit is done (`AfterCommit`). It is SQLite's lock on an empty database, since that dies with its process, is
    not inherited by a fork, and counts between two connections of one process too.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened = _Opened()
        weakref.finalize(self, self._opened.close)
        self._changed = threading.Condition()
        self._waiting: deque[_Call] = deque()
        self._was_there = False

    def write(self, operation: Operation[R]) -> R:
        """Let the operation change the index, in a transaction with those that wait at the same time.

        There is no thread that writes: if nobody does, a caller writes for all that wait by then. To sync a commit
        takes far longer than the operations of many callers.
        """
        result: R = self._write(operation, is_last=False)
        return result

    def write_then(self, operation: Operation[AfterCommit[R]]) -> R:
        """The same, with more to do after the commit. The operation comes after those that share the transaction."""
        result: R = self._write(operation, is_last=True)
        return result

    def read(self, question: Operation[R]) -> R:
        """The answer, about the newest committed state. A question is one statement, which sees one state."""
        with translated_errors(self._path):
            connection = self._take_reader()
            try:
                answer = question(connection)
            except sqlite3.Error:
                connection.close()
                raise
            except BaseException:
                self._give_back(connection)
                raise
        self._give_back(connection)
        return answer

    def close(self) -> None:
        """Close what is open. The next call opens it again, whatever is there then."""
        with self._changed:
            self._changed.wait_for(lambda: not self._opened.is_writing)
            self._opened.close()
            self._was_there = False

    def _write(self, operation: Operation[Any], *, is_last: bool) -> Any:
        call = _Call(operation, is_last)
        with self._changed:
            self._waiting.append(call)
            while not call.is_answered:
                if self._opened.is_writing:
                    self._changed.wait()
                else:
                    self._write_for_all()
        if call.error is not None:
            raise call.error
        return call.result

    def _write_for_all(self) -> None:
        """Answer the calls that wait, while others come. Only one thread at a time does this."""
        calls = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_CALLS))]
        self._opened.is_writing = True
        self._changed.release()
        try:
            self._answer(calls)
        finally:
            self._changed.acquire()
            self._opened.is_writing = False
            self._changed.notify_all()

    def _take_reader(self) -> Connection:
        try:
            connection = self._opened.readers.pop()
        except IndexError:
            return self._connect()
        self._check_file(connection)
        return connection

    def _give_back(self, connection: Connection) -> None:
        if len(self._opened.readers) < _MOST_IDLE_READERS:
            self._opened.readers.append(connection)
        else:
            connection.close()

    def _connect(self) -> Connection:
        if self._was_there and not self._path.exists():  # an empty one in its place would hide that
            reason = "the index was removed. Put it back, or start the service again with an empty one."
            raise ArtifactsUnavailable(str(self._path.parent), reason)
        connection = connect(self._path)
        self._was_there = True
        return connection

    def _check_file(self, connection: Connection) -> None:
        """`ArtifactsUnavailable` if the file was removed: what is written to it now would be gone with the process."""
        if not is_there(self._path, connection.file):
            connection.close()
            reason = "the index was removed or replaced while in use. It is opened again."
            raise ArtifactsUnavailable(str(self._path.parent), reason)

    def _answer(self, calls: list[_Call]) -> None:
        try:
            with translated_errors(self._path):
                self._perform(calls)
        except BaseException as error:
            self._abandon(error)
            if isinstance(error, ArtifactsUnavailable) and is_busy(error):
                calls += [self._waiting.popleft() for _ in range(len(self._waiting))]  # they waited for the same lock
            refusal = error if isinstance(error, ArtifactsUnavailable) else self._refuse(error)
            for call in calls:
                call.settle(None, refusal)
            if not isinstance(error, Exception):  # somebody ends this thread's work, and that alone
                raise

    def _perform(self, calls: list[_Call]) -> None:
        connection, lock = self._take_writer(), self._take_lock()
        calls.sort(key=lambda call: call.is_last)
        _begin(lock)
        try:
            _begin(connection)
            answers = [self._try(connection, call) for call in calls]
            connection.execute("COMMIT")
            answers = [self._finish(*answer) for answer in answers]
        finally:
            lock.execute("ROLLBACK")  # nothing is ever written there
        for call, (result, error) in zip(calls, answers, strict=True):
            call.settle(result, error)

    def _try(self, connection: sqlite3.Connection, call: _Call) -> tuple[Any, Exception | None]:
        """The answer to one call. If it fails, nothing of it is kept, and the others go on."""
        connection.execute("SAVEPOINT call")
        try:
            answer = call.operation(connection)
        except Exception as error:
            if not connection.in_transaction:  # SQLite itself has given everything up
                raise
            connection.execute("ROLLBACK TO call")
            connection.execute("RELEASE call")
            return None, self._translate(error)
        connection.execute("RELEASE call")
        return answer, None

    def _finish(self, result: Any, error: Exception | None) -> tuple[Any, Exception | None]:
        if not isinstance(result, AfterCommit):
            return result, error
        try:
            return result.action(), None
        except Exception as failed:
            return None, self._translate(failed)

    def _translate(self, error: Exception) -> Exception:
        try:
            with translated_errors(self._path):
                raise error
        except Exception as translated:
            return translated

    def _refuse(self, error: BaseException) -> ArtifactsUnavailable:
        return ArtifactsUnavailable(str(self._path.parent), f"{type(error).__name__}: {error}")

    def _take_writer(self) -> Connection:
        opened = self._opened
        if opened.writer is None:
            opened.writer = self._connect()
            opened.writer.execute("PRAGMA busy_timeout = 0")  # `_begin` waits instead
        else:
            self._check_file(opened.writer)
        return opened.writer

    def _take_lock(self) -> Connection:
        if self._opened.lock is None:
            self._opened.lock = connect_lock(self._path.with_name("lock.db"))
        return self._opened.lock

    def _abandon(self, error: BaseException) -> None:
        """Give the transaction up. Other errors than a held lock may be those of this connection: open a new one."""
        with suppress(sqlite3.Error):
            if self._opened.writer is not None and self._opened.writer.in_transaction:
                self._opened.writer.execute("ROLLBACK")
        if not (isinstance(error, ArtifactsUnavailable) and is_busy(error)):
            self._opened.close_writer()


def _begin(connection: sqlite3.Connection) -> None:
    """Get SQLite's lock for writers."""
    execute_patiently(connection, "BEGIN IMMEDIATE", _PATIENCE_SECONDS, lambda: random.uniform(*_PAUSE_SECONDS))
