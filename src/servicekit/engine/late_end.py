"""The end of an attempt that the store does not take: since when, why, and how long to wait until the next try."""

import asyncio
from typing import Final, Protocol

from servicekit.errors import StoreUnavailable
from servicekit.jobs.backoff import Backoff
from servicekit.jobs.outcome import describe_error

# A store that recovers in the last seconds of a service still gets the end.
_LONGEST_PAUSE_SECONDS: Final = 2.0
# An end that could not be written for long may never be written, and each try holds up others. So the next try comes
# after a tenth of the time that has passed.
_SHARE_OF_WAIT: Final = 0.1
# After an outage of any length, ends are written within a minute.
_LONGEST_LATE_PAUSE_SECONDS: Final = 60.0
# A store may be busy for so long, as with a large file that is copied. Only after that is it worth telling.
_LATE_SECONDS: Final = 10.0


class Hurried(Protocol):
    """An attempt, as far as its late end has to know it."""

    is_hurried: bool


class LateEnd:
    """What is known of an end that could not be written. Jobs whose end is written at the first try have none."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._since = loop.time()
        self._reason = ""
        self._backoff = Backoff(longest_seconds=_LONGEST_PAUSE_SECONDS)

    def note(self, error: Exception) -> None:
        """Another try has failed."""
        self._reason = error.reason if isinstance(error, StoreUnavailable) else describe_error(error)

    def find_problem(self) -> str | None:
        """Why the end cannot be written, if that has been so for a while."""
        return self._reason if self._seconds >= _LATE_SECONDS else None

    async def wait(self, attempt: Hurried) -> None:
        """Wait until the next try. If the process stops meanwhile, the wait ends within two seconds."""
        seconds = max(self._backoff.next_seconds(), self._seconds * _SHARE_OF_WAIT)
        await self._pause(min(seconds, _LONGEST_LATE_PAUSE_SECONDS), attempt)

    async def _pause(self, seconds: float, attempt: Hurried) -> None:
        until = self._loop.time() + seconds
        is_over = False
        while not is_over:
            await asyncio.sleep(min(_LONGEST_PAUSE_SECONDS, max(0.0, until - self._loop.time())))
            is_over = attempt.is_hurried or self._loop.time() >= until

    @property
    def _seconds(self) -> float:
        return self._loop.time() - self._since
