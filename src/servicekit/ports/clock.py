"""The clock that is waited by."""

from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol, runtime_checkable

# Time servers correct a clock by less than that. A jump by more means that somebody has set it.
SET_SECONDS: Final = 1.0


class ClockSetting(NamedTuple):
    """How a clock is set: if this changes, somebody has set it."""

    origin: str | None
    """Settings with the same origin can be compared, also those of other processes; `None`: only this process's."""
    seconds: float
    """The time of day, less that of a clock that nobody sets."""

    def seconds_since(self, other: "ClockSetting") -> float | None:
        """By how much the clock was set since the other one was read; `None` if that cannot be known."""
        return self.seconds - other.seconds if self.origin == other.origin else None

    def is_like(self, other: "ClockSetting | None") -> bool:
        """Whether nobody has set the clock since; what a time server corrects now and then does not count."""
        seconds = None if other is None else self.seconds_since(other)
        return seconds is not None and abs(seconds) <= SET_SECONDS


class Clock(Protocol):
    """Tells the time of day of this machine, and lets it pass. Everything that waits for a time waits by it.

    Which moments are written, and what they are compared with, is the store's time: `StoreLiveness.now`.
    """

    def now(self) -> datetime:
        """The time in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment, by a clock that nobody sets."""
        ...

    def setting(self) -> ClockSetting:
        """How the clock is set now."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for so long."""
        ...


@runtime_checkable
class MovedClock(Clock, Protocol):
    """A clock that stands still until it is moved, as tests do. It is the time of every store, also on a server."""

    async def advance(self, duration: float | timedelta) -> None:
        """Move on by so many seconds."""
        ...
