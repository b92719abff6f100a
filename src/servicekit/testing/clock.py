"""A clock that moves when it is told to."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from typing import Final, NamedTuple

from servicekit.errors import ConfigurationError, check_seconds
from servicekit.jobs.current import current
from servicekit.ports import ClockSetting

_START: Final = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
_NEVER: Final = datetime.max.replace(tzinfo=UTC)
_TURNS: Final = 100
_SHORTEST: Final = timedelta(microseconds=1)

Settle = Callable[[], Awaitable[None]]
"""Returns when nothing more happens without time."""


class FakeClock:
    """A `Clock` that stands still until it is moved.

    It wakes those who sleep by it in order, each at its own time, and lets happen what follows before it moves on. It
    belongs to the event loop on which it is slept by; its time may be read from any thread.
    """

    def __init__(self, start: datetime = _START) -> None:
        if start.utcoffset() is None:
            raise ConfigurationError("start", start, "a time with a time zone")
        self._start = self._now = start.astimezone(UTC)  # which nobody sets
        self._shift = timedelta(0)
        self._sleepers: list[_Sleeper] = []
        self._numbers = count()
        self._settlers: list[Settle] = []

    def now(self) -> datetime:
        """The time in UTC."""
        return self._now + self._shift

    def monotonic(self) -> float:
        """Seconds since the start, however the clock was set meanwhile."""
        return (self._now - self._start).total_seconds()

    def setting(self) -> ClockSetting:
        """How the clock is set; no other clock's is comparable."""
        return ClockSetting(f"fake clock {id(self)}", self._shift.total_seconds())

    def set(self, moment: datetime) -> None:
        """Have the clock show another time, as its owner or a time server does: no time passes by that."""
        _check_moment(moment)
        self._shift = moment.astimezone(UTC) - self._now

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has moved on by so much."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        job = current.get(None)
        job_id = None if job is None else job.id
        heappush(self._sleepers, _Sleeper(self._moment_after(seconds), next(self._numbers), future, job_id))
        await future

    def _moment_after(self, seconds: float) -> datetime:
        try:
            return self._now + max(timedelta(seconds=seconds), _SHORTEST)
        except OverflowError:  # infinity, for one
            return _NEVER

    async def advance(self, duration: float | timedelta) -> None:
        """Move on by so many seconds: see `move_to`."""
        await self.move_to(self.now() + timedelta(seconds=check_seconds("duration", duration)))

    async def move_to(self, moment: datetime) -> None:
        """Move on to this time, and on the way rest at every moment at which somebody wants to be woken."""
        _check_moment(moment)
        if moment < self.now():
            raise ConfigurationError("moment", moment, "a time that is not in the clock's past; set() goes there")
        end = moment.astimezone(UTC) - self._shift
        await self.settle()
        while self._wake_next(end):
            await self.settle()
        self._now = max(self._now, end)

    async def settle(self) -> None:
        """Let happen what needs no time."""
        if not self._settlers:
            await _take_turns()
        for settle in self._settlers:
            await settle()

    def settle_with(self, settle: Settle) -> None:
        """From now on let `settle` say when nothing more happens: it knows more of that than the event loop."""
        self._settlers.append(settle)

    def wake_next(self, until: datetime | None = None) -> bool:
        """Move to the next moment at which somebody wants to be woken, and wake them; do not wait for what follows.

        `False`: there is none, or not until then, and the clock has not moved.
        """
        return self._wake_next(None if until is None else until - self._shift)

    def _wake_next(self, until: datetime | None) -> bool:
        moment = self._find_next()
        if moment is None or (until is not None and moment > until):
            return False
        self._now = max(self._now, moment)
        while self._find_next() == moment:
            heappop(self._sleepers).future.set_result(None)
        return True

    @property
    def next_moment(self) -> datetime | None:
        """The next moment at which somebody wants to be woken."""
        moment = self._find_next()
        return None if moment is None else moment + self._shift

    def _find_next(self) -> datetime | None:
        while self._sleepers and self._sleepers[0].future.done():
            heappop(self._sleepers)
        return self._sleepers[0].moment if self._sleepers and self._sleepers[0].moment < _NEVER else None

    def is_sleeping(self, job_id: str) -> bool:
        """Whether this job's target sleeps by the clock."""
        return any(sleeper.job_id == job_id and not sleeper.future.done() for sleeper in self._sleepers)


def _check_moment(moment: datetime) -> None:
    if moment.utcoffset() is None:
        raise ConfigurationError("moment", moment, "a time with a time zone")


async def _take_turns() -> None:
    """Let others have so many turns on the event loop that what needs no time will have happened."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)


class _Sleeper(NamedTuple):
    moment: datetime
    number: int
    """Those who wait for the same moment are woken in the order in which they began to."""
    future: asyncio.Future[None]
    job_id: str | None
