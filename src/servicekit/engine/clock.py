"""The time of day, from the system."""

import asyncio
import os
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path

from servicekit.ports import ClockSetting

_UPTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""The clock that nobody sets, and that goes on while the machine sleeps."""


class SystemClock:
    """A `Clock` that asks the operating system."""

    now = staticmethod(partial(datetime.now, UTC))  # called three times for each job

    monotonic = staticmethod(time.monotonic)

    def setting(self) -> ClockSetting:
        """Comparable between all processes of a machine until that is started again, on Linux."""
        return ClockSetting(_find_origin(), time.time() - time.clock_gettime(_UPTIME))

    async def sleep(self, seconds: float) -> None:
        """Wait for so long, by the event loop's clock, which nobody sets."""
        await asyncio.sleep(seconds)


@cache
def _find_origin() -> str | None:
    """What tells apart the times at which this machine was started, and the containers that count otherwise."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    with suppress(OSError):
        boot += f" {os.readlink('/proc/self/ns/time')}"  # noqa: PTH115 # it leads to no file
    return boot
