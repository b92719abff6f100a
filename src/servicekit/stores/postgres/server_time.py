"""The server's time, as this machine knows it."""

import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Final, NamedTuple

from servicekit.ports import SET_SECONDS, Clock, ClockSetting

uptime: Final[Callable[[], float]] = partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
"""Seconds by a clock that nobody can set, and that goes on while the machine sleeps, where there is such a one."""

# The shortest of so many round trips says most about the offset, and is not so old that the clocks have drifted apart.
_KEPT: Final = 8


class _RoundTrip(NamedTuple):
    seconds: float
    offset: float
    """Of the server's time from the uptime here, if both ways took equally long."""


class ServerTime:
    """The server's time in UTC: of all processes that work on the same jobs, whatever the clocks of their machines.

    A round trip tells the offset of the server's clock with an error of half of its length at most. Between round trips
    time passes as the uptime does, so that nobody who sets the clock of this machine changes anything. It never goes
    back, but for a server whose clock somebody has set back: while it is ahead it stands still. Before the first round
    trip it is the time of this machine.
    """

    def __init__(self, clock: Clock, read_uptime: Callable[[], float] = uptime) -> None:
        self._read_uptime = read_uptime
        self._offset = clock.now().timestamp() - read_uptime()
        self._shown = 0.0
        self._trips: deque[_RoundTrip] = deque(maxlen=_KEPT)

    def now(self) -> datetime:
        seconds = self._read_uptime() + self._offset
        if seconds < self._shown:
            seconds = self._shown
        else:
            self._shown = seconds
        return datetime.fromtimestamp(seconds, UTC)

    def setting(self) -> ClockSetting:
        """How the server's clock is set, as a `Clock` tells it; other processes' settings are not comparable."""
        return ClockSetting(None, self._offset)

    def take(self, server_now: datetime, sent_at: float, heard_at: float) -> bool:
        """The server has told its time in answer to what was sent at this uptime, and heard at this one.

        Return whether somebody has set the server's clock.
        """
        trip = _RoundTrip(heard_at - sent_at, server_now.timestamp() - (sent_at + heard_at) / 2)
        is_set = any(
            abs(trip.offset - old.offset) > (trip.seconds + old.seconds) / 2 + SET_SECONDS for old in self._trips
        )
        if is_set:
            self._trips.clear()
        is_first = not self._trips
        self._trips.append(trip)
        best = min(self._trips)
        if is_first:
            self._shown = 0.0
        if is_first or abs(best.offset - self._offset) > best.seconds / 2:
            self._offset = best.offset
        return is_set


class ClockTime(ServerTime):
    """The time of a clock in place of the server's: for tests, whose time passes as they say."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._clock = clock

    def now(self) -> datetime:
        return self._clock.now()

    def setting(self) -> ClockSetting:
        return self._clock.setting()
