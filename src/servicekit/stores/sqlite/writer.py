"""The writer's thread: one transaction for all that waits, and a look at what other processes have done."""

import asyncio
import json
import logging
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from servicekit.errors import StoreUnavailable
from servicekit.stores.sqlite import writes
from servicekit.stores.sqlite.database import translated_errors
from servicekit.stores.sqlite.queries import get_position
from servicekit.stores.sqlite.rows import EVENT_ARRAY, Row
from servicekit.stores.sqlite.threads import POLL_SECONDS, Answer, Call, DatabaseThread, one_by_one

A = TypeVar("A")
R = TypeVar("R")

_log = logging.getLogger("servicekit.stores")

REGISTER: Final = one_by_one(writes.register)
RELEASE: Final = one_by_one(writes.release)
REQUEST_CANCEL: Final = one_by_one(writes.request_cancel)
DELETE: Final = one_by_one(writes.delete)
PRUNE: Final = one_by_one(writes.prune)
TAKE_OVER: Final = one_by_one(writes.take_over)
RETIRE: Final = one_by_one(writes.retire)
LEAVE: Final = one_by_one(writes.leave)
UNCLAIM: Final = one_by_one(writes.unclaim)
TOUCH: Final = one_by_one(writes.touch)

# Calls that wait at the same time may be answered in any order. What frees slots and what fills the queue come first,
# so that a claim finds them.
_ORDER: Final[tuple[Callable[..., Any], ...]] = (
    REGISTER, TOUCH, writes.insert, writes.report_progress, writes.finish, RELEASE, UNCLAIM, REQUEST_CANCEL, DELETE,
    TAKE_OVER, RETIRE, LEAVE, PRUNE, writes.claim,
)  # fmt: skip

_EVENTS_AT_ONCE: Final = 500
_UNKNOWN: Final = -1


class News(NamedTuple):
    """What has been committed."""

    answers: Sequence[Answer]
    ours: Sequence[Row]
    """Events that this process has made, if somebody wants them."""
    others: Sequence[Row]
    is_change: bool


class Writer(DatabaseThread):
    """Answers calls of `writes`, and reports what has been committed, by this process and by others."""

    def __init__(self, path: Path, report: Callable[[News], None], is_idle: Callable[[], bool]) -> None:
        self._report = report
        self._is_idle = is_idle
        self._seen: int | None = None
        self._data_version = _UNKNOWN
        super().__init__(path, "servicekit writer")

    def ask(
        self, function: Callable[[sqlite3.Connection, list[A]], Sequence[R | Exception]], argument: A
    ) -> "asyncio.Future[R]":
        """Have a call written with all others that wait; what it answers with comes out of the future."""
        return self._put(function, argument)

    @property
    def _patience_seconds(self) -> float | None:
        return POLL_SECONDS

    def _answer(self, calls: list[Call]) -> None:
        if not calls:
            with suppress(StoreUnavailable):  # whoever asks for something will be told
                self._look_around()
            return
        try:
            with translated_errors(self._path):
                answers, before, after = self._write(calls)
        except StoreUnavailable as error:
            self._abandon(error)
            self._answer_alone(calls, error)
            return
        try:
            self._tell(answers, before, after)
        except StoreUnavailable:  # it is written; what was not told now is told the next time
            self._data_version = _UNKNOWN
            self._send(News(answers, (), (), is_change=True))

    def _answer_alone(self, calls: list[Call], error: StoreUnavailable) -> None:
        """Let what failed together fail, or not, one by one; unless each would wait for the same lock."""
        if len(calls) == 1 or "SQLITE_BUSY" in error.reason:
            self._send(News([Answer(call, error) for call in calls], (), (), is_change=False))
        else:
            for call in calls:
                self._answer([call])

    def _abandon(self, error: StoreUnavailable) -> None:
        connection = self._connection
        if connection is not None and connection.in_transaction:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        if not ("SQLITE_BUSY" in error.reason or "SQLITE_FULL" in error.reason):
            self._disconnect()

    def _write(self, calls: list[Call]) -> tuple[list[Answer], int, int]:
        answers: list[Answer] = []
        try:
            connection = self._connect()
            connection.execute("BEGIN IMMEDIATE")
            before = get_position(connection, None)
            for function in _ORDER:
                asked = [call for call in calls if call.function is function]
                if asked:
                    results = function(connection, [call.argument for call in asked])
                    answers += [Answer(call, result) for call, result in zip(asked, results, strict=True)]
            after = get_position(connection, None)
            connection.execute("COMMIT")
        except (sqlite3.Error, StoreUnavailable):
            raise
        except Exception as error:  # a bug must not leave callers waiting, nor a transaction open
            _log.exception("Jobs could not be written")
            raise StoreUnavailable(str(self._path), f"{type(error).__name__}: {error}") from error
        return answers, before, after

    def _look_around(self) -> None:
        """Report what other processes have committed since the last time."""
        with translated_errors(self._path):
            connection = self._connect()
            (version,) = connection.execute("PRAGMA data_version").fetchone()
            if version == self._data_version:
                return
            newest = get_position(connection, None)
        if not self._tell([], newest, newest):
            self._send(News((), (), (), is_change=False))  # no event, but it may have freed a slot of all processes
        self._data_version = version

    def _tell(self, answers: list[Answer], before: int, after: int) -> bool:
        """Report the answers, and all events since the last time: after `before` they are ours. Is there any?"""
        with translated_errors(self._path):
            connection = self._connect()
            assert self._seen is not None
            others = self._read_events(connection, self._seen, before)
            # Asked after the commit: whoever begins to watch later than this reads the store later still.
            ours = [] if self._is_idle() else self._read_events(connection, before, after)
            self._seen = after
        if not (answers or others):
            return False
        self._send(News(answers, ours, others, is_change=bool(others) or after > before))
        return True

    def _connect(self) -> sqlite3.Connection:
        is_new = self._connection is None
        connection = super()._connect()
        if is_new:
            self._data_version = _UNKNOWN
            try:
                newest = get_position(connection, None)
            except sqlite3.Error:
                self._disconnect()
                raise
            self._seen = newest if self._seen is None else min(self._seen, newest)
        return connection

    def _read_events(self, connection: sqlite3.Connection, after: int, up_to: int) -> list[Row]:
        events: list[Row] = []
        while after < up_to:
            (text,) = connection.execute(
                f"SELECT json_group_array({EVENT_ARRAY}) FROM "
                "(SELECT * FROM events WHERE position > ? AND position <= ? ORDER BY position LIMIT ?) AS e "
                "LEFT JOIN jobs AS j ON j.id = e.job_id AND NOT j.is_deleted",
                [after, up_to, _EVENTS_AT_ONCE],
            ).fetchone()
            rows = sorted(json.loads(text))
            events += rows
            after = rows[-1][0] if len(rows) == _EVENTS_AT_ONCE else up_to
        return events

    def _send(self, news: News) -> None:
        self._report(news)
