"""Asking again, for each open stream, whether its reader may still see what it sends."""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from servicekit.jobs.backoff import FailureLog
from servicekit.jobs.outcome import describe_error

_log = logging.getLogger("servicekit.api")

_AT_ONCE: Final = 10  # an application asks its database, which thousands of streams must not flood
_PATIENCE_SECONDS: Final = 10.0  # after which the answer is taken to be no


class Watched(Protocol):
    """A stream that somebody reads whose access can end."""

    ask_again: Callable[[], Awaitable[bool]] | None

    def revoke(self) -> None:
        """End the stream at once, without what is still to be sent."""
        ...


class AccessWatch:
    """Asks for each of its streams every `seconds`, and ends those whose answer is no, an error, or does not come.

    Streams that were opened at once are asked for at different times, and at most ten at once.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._failures = FailureLog(_log)  # what the application asks can be away, for all streams at once
        self._due: dict[Watched, float] = {}
        self._waiting: deque[Watched] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, stream: Watched) -> None:
        if stream.ask_again is not None:
            self._due[stream] = time.monotonic() + self._seconds * random.uniform(0.5, 1.0)

    def remove(self, stream: Watched) -> None:
        self._due.pop(stream, None)

    def look(self) -> None:
        """Begin to ask for those that are due. It is called every second or so."""
        now = time.monotonic()
        for stream in [stream for stream, due_at in self._due.items() if due_at <= now]:
            self._due[stream] = float("inf")
            self._waiting.append(stream)
        for _ in range(min(len(self._waiting), _AT_ONCE - len(self._tasks))):
            task = asyncio.get_running_loop().create_task(self._work(), name="servicekit access")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def end(self) -> None:
        """There are no more streams."""
        self._waiting.clear()
        for task in self._tasks:
            task.cancel()

    async def _work(self) -> None:
        while self._waiting:
            stream = self._waiting.popleft()
            if stream in self._due and not await self._may_go_on(stream):
                self.remove(stream)
                stream.revoke()
            elif stream in self._due:
                self._due[stream] = time.monotonic() + self._seconds
            await asyncio.sleep(0)  # an answer can come without a pause, and other requests must have their turns

    async def _may_go_on(self, stream: Watched) -> bool:
        assert stream.ask_again is not None
        asked = asyncio.ensure_future(stream.ask_again())
        try:
            # The wait ends in time also if the answer hangs in a thread, which cannot be canceled.
            await asyncio.wait({asked}, timeout=_PATIENCE_SECONDS)
            if not asked.done():
                raise TimeoutError("no answer")
            return asked.result()
        except Exception as error:  # the application's own code is asked
            reason = describe_error(error)
            self._failures.warn("A stream is ended, since it is not known whether its reader may go on: %s", reason)
            return False
        finally:
            asked.cancel()
