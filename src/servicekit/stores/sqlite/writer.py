"""The writer's thread: one transaction for all calls that wait, and a look at the commits of other processes."""

import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from servicekit.errors import StoreUnavailable
from servicekit.ports import EventRelay
from servicekit.stores.durable.news import LATE_SECONDS, Answer, Call, News
from servicekit.stores.durable.records import EventRow
from servicekit.stores.durable.transactions import perform
from servicekit.stores.durable.trouble import LastTrouble
from servicekit.stores.sqlite import membership
from servicekit.stores.sqlite.database import is_busy, is_full, translated_errors
from servicekit.stores.sqlite.database_thread import FileThread, read_leniently
from servicekit.stores.sqlite.queries import get_position
from servicekit.stores.sqlite.rows import read_events

_EVENTS: Final = "SELECT * FROM events WHERE position > ? AND position <= ? ORDER BY position LIMIT ?"
# A page of events is passed to the event loop in one piece. After a long sleep there can be very many events.
_EVENTS_AT_ONCE: Final = 500
_UNKNOWN: Final = -1
_BUSY: Final = "SQLITE_BUSY"
# How often the writer looks for commits of other processes. To wake up costs more than to look. A process that is alone
# only has to notice that another one has come.
_POLL_SECONDS: Final = 0.025
_IDLE_POLL_SECONDS: Final = 0.1
# After a change another one is likely, also by another process. So the writer goes on looking often for a while.
_ACTIVE_SECONDS: Final = 2.0

# Our transactions take milliseconds. If the lock is held for longer, another program holds it, and callers are told.
_PATIENCE_SECONDS: Final = 5.0
# A process that stops must be gone in time. Another process finds what it could not write.
_LAST_PATIENCE_SECONDS: Final = 0.3
# To read so many events within the transaction takes less time than to begin a read after it.
_FEW_EVENTS: Final = 20
# The pause between two tries to get the lock, chosen at random so that two processes do not try at the same moments for
# ever. It is shorter than most transactions, which include a sync of the disk.
_PAUSE_SECONDS: Final = (0.0003, 0.0015)


class Marks(NamedTuple):
    """The state of the file's counters."""

    position: int
    """The position of the newest event."""
    readied: int
    """How many times a job that was waiting has become ready."""


class Commit(NamedTuple):
    """What a transaction has written."""

    answers: list[Answer]
    before: Marks
    after: Marks
    ours: list[EventRow] | None
    """Its events; `None` if they have not been read yet."""


_MARKS: Final = (
    "SELECT coalesce((SELECT CAST(seq AS INTEGER) FROM sqlite_sequence WHERE name = 'events'), 0), "
    "CAST(again AS INTEGER) FROM turns"
)


def _read_marks(connection: sqlite3.Connection) -> Marks:
    return Marks(*connection.execute(_MARKS).fetchone())


def _read_version(connection: sqlite3.Connection) -> int:
    """A number that changes with every commit of another process."""
    (version,) = connection.execute("PRAGMA data_version").fetchone()
    return int(version)


class Writer(FileThread):
    """Performs operations, and reports what has been committed, by this process and by others."""

    def __init__(self, path: Path, report: Callable[[News], None], publisher: EventRelay) -> None:
        self._report = report
        self._publisher = publisher
        self._active_at = time.monotonic()
        self._seen: int | None = None
        self._data_version = _UNKNOWN
        self._looked_at = time.monotonic()
        self._is_alone = False
        """Whether this process was alone at the last look."""
        self._patience_for_lock = _PATIENCE_SECONDS
        self.trouble = LastTrouble()
        super().__init__(path, "servicekit writer")

    def hurry(self) -> None:
        """The process is about to end: from now on, wait only a moment for a lock."""
        self._patience_for_lock = _LAST_PATIENCE_SECONDS

    @property
    def _patience_seconds(self) -> float | None:
        if self._is_alone:
            return _IDLE_POLL_SECONDS
        is_busy = self._publisher.has_readers or time.monotonic() - self._active_at < _ACTIVE_SECONDS
        return _POLL_SECONDS if is_busy else _IDLE_POLL_SECONDS

    def _answer(self, calls: list[Call]) -> None:
        if not calls:
            if self._seen is not None:  # else this process is not on the list of processes yet
                self._try_to_look()
            return
        try:
            with translated_errors(self._path):
                done = self._write(calls)
        except StoreUnavailable as error:
            self.trouble.note(error)
            self._abandon(error)
            self._answer_alone(calls, error)
            return
        # What was written proves that the trouble is over; of a full disk that is so for a change of a job alone.
        last = self.trouble.error
        if last is not None and (not is_full(last) or done.after.position > done.before.position):
            self.trouble.clear()
        try:
            self._tell(done)
        except StoreUnavailable:  # it is written; what was not told now is told the next time
            self._data_version = _UNKNOWN
            self._report(News(done.answers, is_change=True, is_ready=True))
        if time.monotonic() - self._looked_at > _IDLE_POLL_SECONDS:  # who always has something to write looks as well
            self._try_to_look()

    def _answer_alone(self, calls: list[Call], error: StoreUnavailable) -> None:
        """Try calls that failed together one by one, unless each would wait for the same lock."""
        is_locked = is_busy(error)
        if is_locked:
            calls = [*calls, *self._take_waiting()]  # they have waited for the same lock
        if len(calls) == 1 or is_locked:
            self._report(News([Answer(call, error) for call in calls]))
        else:
            for call in calls:
                self._answer([call])

    def _abandon(self, error: StoreUnavailable) -> None:
        connection = self._connection
        if connection is not None and connection.in_transaction:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        # A lock and a full disk pass, and the connection is as good as before. Other errors may be those of this
        # connection, also an error of the disk, which `is_full` counts as well.
        if not (is_busy(error) or "SQLITE_FULL" in error.reason):
            self._disconnect()

    def _write(self, calls: list[Call]) -> Commit:
        try:
            connection = self._connect()
            self._begin(connection)
            # Nobody else can write between these two reads, so the events between them are ours alone.
            before = _read_marks(connection)
            answers = perform(connection, calls)
            after = _read_marks(connection)
            ours = self._read_early(connection, before, after)
            connection.execute("COMMIT")
        except (sqlite3.Error, StoreUnavailable):
            raise
        except Exception as error:  # a bug must not leave callers waiting, nor a transaction open
            self._failures.exception("Jobs could not be written", error)
            raise StoreUnavailable(str(self._path), f"{type(error).__name__}: {error}") from error
        return Commit(answers, before, after, ours)

    def _try_to_look(self) -> None:
        try:
            self._look_around()
        except StoreUnavailable as error:  # nobody has asked for anything, so it would be known to nobody
            self._failures.warn("What other processes have done is not seen. %s", error)

    def _look_around(self) -> None:
        """Report what other processes have committed since the last time."""
        with translated_errors(self._path):
            connection = self._connect()
            version = _read_version(connection)
            if version != self._data_version:
                newest = _read_marks(connection)
                self._tell(Commit([], newest, newest, []), is_foreign=True)
                self._data_version = version  # after all is told, so that a look that failed is repeated
            self._is_alone = membership.count_processes(connection) <= 1
        now = time.monotonic()
        if now - self._looked_at > LATE_SECONDS:
            self._report(News(is_late=True))
        self._looked_at = now

    def _tell(self, done: Commit, *, is_foreign: bool = False) -> None:
        """Report the answers, and all events since the last report. Those before our commit are of other processes."""
        answers, before, after, ours = done
        self._tell_of_others(before.position)
        if ours is None and not self._publisher.is_idle:
            # Asked again after the commit: whoever begins to watch later than this reads the store later still.
            with translated_errors(self._path):
                ours = self._read_ours(self._connect(), before, after)
        self._seen = after.position
        is_change, is_ready = after.position > before.position, after.readied > before.readied
        if is_foreign or is_change:
            self._active_at = time.monotonic()
        self._report(
            News(
                answers, ours or (),
                is_change=is_change, is_ready=is_ready, is_foreign=is_foreign, has_lines=is_foreign,
            )
        )  # fmt: skip

    def _tell_of_others(self, up_to: int) -> None:
        assert self._seen is not None
        while self._seen < up_to:  # page by page: after a long sleep there can be very many
            with translated_errors(self._path):
                others, self._seen = self._read_events(self._connect(), self._seen, up_to)
            self._report(News(others=others, is_change=True))

    def _read_early(self, connection: sqlite3.Connection, before: Marks, after: Marks) -> list[EventRow] | None:
        """The events of a transaction, before it is committed; `None` if they are to be read afterwards.

        A few are read here in half the time. Many would hold up the other processes, which wait for the file's lock.
        """
        if self._publisher.is_idle or after.position - before.position > _FEW_EVENTS:
            return None
        try:
            return self._read_ours(connection, before, after)
        except sqlite3.Error:
            if not connection.in_transaction:  # it was such an error that SQLite has given up the transaction
                raise
            return None

    def _read_ours(self, connection: sqlite3.Connection, before: Marks, after: Marks) -> list[EventRow]:
        ours: list[EventRow] = []
        at = before.position
        while at < after.position:
            page, at = self._read_events(connection, at, after.position)
            ours += page
        return ours

    def _connect(self) -> sqlite3.Connection:
        is_new = self._connection is None
        connection = super()._connect()
        if is_new:
            try:
                connection.execute("PRAGMA busy_timeout = 0")  # `_begin` waits instead
                read_leniently(connection)
                # Nothing has been missed by who has seen nothing yet.
                self._data_version = _read_version(connection) if self._seen is None else _UNKNOWN
                newest = get_position(connection, None)
            except sqlite3.Error:
                self._disconnect()
                raise
            self._seen = newest if self._seen is None else min(self._seen, newest)
        return connection

    def _read_events(self, connection: sqlite3.Connection, after: int, up_to: int) -> tuple[list[EventRow], int]:
        """A page of events, and how far it goes."""
        page = read_events(connection, _EVENTS, [after, up_to, _EVENTS_AT_ONCE])
        return page.rows, page.last if page.found == _EVENTS_AT_ONCE else up_to

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Get SQLite's lock for writers.

        SQLite itself asks again only after up to a tenth of a second, in which a busy process gets it again and again.
        """
        deadline = time.monotonic() + self._patience_for_lock
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                is_busy = getattr(error, "sqlite_errorname", "").startswith(_BUSY)
                if not is_busy or time.monotonic() > deadline:
                    raise
            else:
                return
            time.sleep(random.uniform(*_PAUSE_SECONDS))
