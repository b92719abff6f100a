"""A thread of a database, and the queue of its calls."""

import asyncio
import logging
import threading
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from servicekit.errors import StoreUnavailable
from servicekit.jobs.backoff import FailureLog
from servicekit.stores.durable.news import Answer, Call, resolve

_log = logging.getLogger("servicekit.stores")


class DatabaseThread:
    """A thread with a connection of its own, and the queue of its calls, which come from one event loop.

    A subclass answers calls, and closes its connection when it is told to.
    """

    most_calls = 2_000
    """So many calls are answered in one transaction. All wait for the last of them, and so do other processes."""

    def __init__(self, location: str, name: str) -> None:
        self._location = location
        self._loop = asyncio.get_running_loop()
        self._failures = FailureLog(_log)
        self._asked: list[Call] = []
        """The calls of this turn of the event loop."""
        self._calls: SimpleQueue[list[Call] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def ask(self, operation: object, argument: object) -> "asyncio.Future[Any]":
        """Let the thread answer a call, with all that wait. The future gets the answer, or the error."""
        # What is asked in one turn of the loop goes to the thread together: each handing over wakes that, and takes the
        # interpreter's lock away.
        if not self._asked:
            self._loop.call_soon(self._hand_over)
        future: asyncio.Future[Any] = self._loop.create_future()
        self._asked.append(Call(operation, argument, future))
        if len(self._asked) >= self.most_calls:
            self._hand_over()
        return future

    def _hand_over(self) -> None:
        if self._asked:
            self._calls.put(self._asked)
            self._asked = []

    def end(self) -> None:
        """Have the thread end after all calls that were made so far."""
        self._hand_over()
        self._calls.put(None)

    def stop(self, seconds: float | None = None) -> None:
        """The same, and wait for its end, but not longer than this."""
        self.end()
        self._thread.join(seconds)

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
                if len(calls) >= self.most_calls:
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
        refusal = StoreUnavailable(self._location, f"{type(error).__name__}: {error}")
        self._resolve([Answer(call, refusal) for call in calls])

    def _resolve(self, answers: list[Answer]) -> None:
        with suppress(RuntimeError):  # the event loop is closed, and nobody waits
            self._loop.call_soon_threadsafe(resolve, answers)

    @property
    def _patience_seconds(self) -> float | None:
        """How long to wait for calls, before there are none to answer; `None`: until some come."""
        return None

    def _answer(self, calls: list[Call]) -> None:
        raise NotImplementedError

    def _disconnect(self) -> None:
        """Close the connection. The next call opens another one, in case that helps."""
        raise NotImplementedError
