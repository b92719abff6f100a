"""Connections for features that keep something beside the jobs: called from any thread, and the caller waits.

Guarantees. A call is one transaction, and is answered when that is committed. If the connection is lost the call is
made again, and if only the answer to its commit was lost, the server is asked what became of it. A server that has
crashed since cannot know: it may have given the transaction's number to another one. Then the call is made again, and
one that was done can be told as one that failed, but none that was lost as one that was done. While the server is
away calls wait for some seconds, then they are refused. Nothing relies on the state of a session: a pooler may be
between.
"""

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple, TypeVar

import psycopg
from psycopg import errors

from servicekit.errors import StoreUnavailable
from servicekit.stores.postgres.address import Address
from servicekit.stores.postgres.connections import connect, is_lasting, is_lost, is_retryable, translated_errors
from servicekit.stores.postgres.session import Session

R = TypeVar("R")

Operation = Callable[[Session], R]

# Each call needs one for some milliseconds, and a server has some hundreds for all processes.
_MOST_CONNECTIONS: Final = 4
# So long a call waits for one that others are using: far longer than they need.
_TURN_SECONDS: Final = 30.0
# A server that is restarted is back by then, and a request must not hang.
_PATIENCE_SECONDS: Final = 5.0
_FIRST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 1.0
# A process that was stopped in the middle must not hold up the others for ever; what it was doing is given up then.
_BEGIN: Final = f"""
    BEGIN ISOLATION LEVEL READ COMMITTED;
    SET LOCAL jit = off;
    SET LOCAL statement_timeout = '30s';
    SET LOCAL lock_timeout = '{_PATIENCE_SECONDS:g}s';
    SET LOCAL idle_in_transaction_session_timeout = '120s';
    SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off';
    SELECT pg_current_xact_id()::text, stats_reset::text FROM pg_stat_bgwriter
"""
# Statistics begin anew with a crash, and at another server, and go on when a server is restarted in order.
_STATUS: Final = """
    SELECT CASE WHEN stats_reset::text = %s THEN pg_xact_status(%s::text::xid8) ELSE 'unknown' END FROM pg_stat_bgwriter
"""


class ConnectionPool:
    """A few connections to one database, opened when they are needed."""

    def __init__(self, address: Address, *, purpose: str, refuse: Callable[[str, str], Exception]) -> None:
        """`refuse`: makes the error for a database that cannot be used, of where it is and of the reason."""
        self._address = address
        self._purpose = purpose
        self._refuse = refuse
        self._turns = threading.Semaphore(_MOST_CONNECTIONS)
        self._idle: list[Session] = []
        weakref.finalize(self, _close_all, self._idle, os.getpid())

    def write(self, operation: Operation[R]) -> R:
        """Let the operation change something, in a transaction. It may be called again: only the last call counts."""
        return self._insist(lambda: self._write(operation))

    def read(self, question: Operation[R]) -> R:
        """The answer to a question of one statement."""
        return self._insist(lambda: self._read(question))

    def close(self) -> None:
        """Close what nobody uses now. The next call opens it again."""
        _close_all(self._idle, os.getpid())

    def _insist(self, attempt: Callable[[], R]) -> R:
        deadline, pause = time.monotonic() + _PATIENCE_SECONDS, _FIRST_PAUSE_SECONDS
        while True:
            try:
                return self._attempt(attempt, is_last=time.monotonic() + pause > deadline)
            except StoreUnavailable as error:
                raise self._refuse(error.place, error.reason) from error
            except _TryAgain:
                time.sleep(pause)
                pause = min(pause * 1.7, _LONGEST_PAUSE_SECONDS)

    def _attempt(self, attempt: Callable[[], R], *, is_last: bool) -> R:
        with translated_errors(self._address):
            try:
                return attempt()
            except psycopg.Error as error:
                if is_last or not (is_lost(error) or _is_passing(error)):
                    raise
                raise _TryAgain from error
            except StoreUnavailable as error:  # of a connection that cannot be made
                if is_last or is_lasting(error):
                    raise
                raise _TryAgain from error

    def _write(self, operation: Operation[R]) -> R:
        with self._session() as session:
            transaction = _begin(session)
            answer = operation(session)
            try:
                session.connection.execute("COMMIT")
            except psycopg.Error as error:
                if not is_lost(error) or not self._was_committed(transaction):
                    raise
            return answer

    def _was_committed(self, transaction: "_Transaction") -> bool:
        """Whether it is certain that a transaction was committed, although the answer to that was lost."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                with self._new_session() as session:
                    [(status,)] = session.run(_STATUS, [transaction.statistics_since, transaction.number])
            except (psycopg.Error, StoreUnavailable):
                status = None
            if status not in (None, "in progress") or time.monotonic() > deadline:
                return bool(status == "committed")
            time.sleep(_FIRST_PAUSE_SECONDS)

    def _read(self, question: Operation[R]) -> R:
        with self._session() as session:
            return question(session)

    @contextmanager
    def _session(self) -> Iterator[Session]:
        """A connection of the pool. What is wrong with it shows in its own error: then it is closed."""
        if not self._turns.acquire(timeout=_TURN_SECONDS):
            reason = f"this process is using all of its {_MOST_CONNECTIONS} connections for this. Try again."
            raise StoreUnavailable(self._address.location, reason)
        try:
            session = self._idle.pop() if self._idle else self._connect()
            try:
                yield session
            finally:
                self._give_back(session)
        finally:
            self._turns.release()

    @contextmanager
    def _new_session(self) -> Iterator[Session]:
        session = self._connect()
        try:
            yield session
        finally:
            session.connection.close()

    def _connect(self) -> Session:
        return Session(connect(self._address, purpose=self._purpose), self._address.schema)

    def _give_back(self, session: Session) -> None:
        with suppress(psycopg.Error):
            if session.connection.info.transaction_status is not psycopg.pq.TransactionStatus.IDLE:
                session.connection.execute("ROLLBACK")
            self._idle.append(session)
            return
        session.connection.close()
        self.close()  # what has cut one has mostly cut them all


def _close_all(idle: list[Session], pid: int) -> None:
    """Close them, unless a fork has copied them: the server would take that for the end of the parent's."""
    while idle and pid == os.getpid():
        idle.pop().connection.close()


class _TryAgain(Exception):
    """The call was not made, and may be made again."""


class _Transaction(NamedTuple):
    number: str
    statistics_since: str


def _begin(session: Session) -> _Transaction:
    cursor = session.connection.execute(_BEGIN)
    while cursor.nextset():
        pass
    return _Transaction(*cursor.fetchall()[0])


def _is_passing(error: psycopg.Error) -> bool:
    """Whether another try can succeed. A row of the same key was added at the same time: the next try sees it."""
    return is_retryable(error) or isinstance(error, errors.UniqueViolation)
