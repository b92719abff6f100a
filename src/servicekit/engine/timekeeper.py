"""The timekeeper: it makes jobs ready whose time has come, and fails jobs that have waited for too long."""

import asyncio
import logging
from typing import Final

from servicekit.errors import StoreUnavailable
from servicekit.jobs.backoff import Backoff
from servicekit.ports import AttemptStore, Clock, StoreLiveness

_LONGEST_SECONDS: Final = 60.0  # somebody can set the clock, so a long wait must not be trusted
_LONGEST_IF_SHARED_SECONDS: Final = 1.0  # another process can put off a job and die before it makes the job ready

_log = logging.getLogger("servicekit.engine")


class Timekeeper:
    """Calls `make_due` of the store whenever the time of a job has come."""

    def __init__(
        self, attempts: AttemptStore, liveness: StoreLiveness, clock: Clock, longest_seconds: float | None = None
    ) -> None:
        self._attempts = attempts
        self._liveness = liveness
        self._clock = clock
        own_seconds = _LONGEST_IF_SHARED_SECONDS if liveness.is_durable else _LONGEST_SECONDS
        self._longest_seconds = own_seconds if longest_seconds is None else longest_seconds
        self._changed = asyncio.Event()
        self._backoff = Backoff()

    def wake(self) -> None:
        """A job may be due earlier than the timekeeper knows: look again."""
        self._changed.set()

    async def run(self) -> None:
        """Run until canceled. It may be run again, also on another event loop."""
        self._changed = asyncio.Event()  # a new one, since an event belongs to one event loop
        while True:
            self._changed.clear()
            seconds = await self._make_due()
            await wait_for_change(self._clock, seconds, self._changed)

    async def _make_due(self) -> float | None:
        """Make due jobs ready. Return the seconds to the next look; `None` if nothing can be due before a `wake`."""
        try:
            moment = await self._attempts.make_due()
        except StoreUnavailable as error:
            _log.debug("It is not known which jobs are due: %s", error)
            return self._backoff.next_seconds()
        self._backoff.reset()
        if moment is None:
            return self._longest_seconds if self._liveness.is_durable else None
        seconds = (moment - self._liveness.now()).total_seconds()
        return max(0.0, min(seconds, self._longest_seconds))


async def wait_for_change(clock: Clock, seconds: float | None, changed: asyncio.Event) -> None:
    """Wait until the event is set, or for so many seconds by this clock. `None` is no limit."""
    if seconds is None:
        await changed.wait()
        return
    sleeper = asyncio.ensure_future(clock.sleep(seconds))

    def wake(sleep: asyncio.Future[None]) -> None:
        if not sleep.cancelled():
            changed.set()

    sleeper.add_done_callback(wake)
    try:
        await changed.wait()
    finally:
        sleeper.cancel()
