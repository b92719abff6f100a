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
"""A clock that nobody can set, and that goes on while the machine sleeps. Only Linux has it."""


class SystemClock:
    """A `Clock` that asks the operating system."""

    # A partial, since each job calls it three times, and a function in Python would cost more.
    now = staticmethod(partial(datetime.now, UTC))

    monotonic = staticmethod(time.monotonic)

    def setting(self) -> ClockSetting:
        """The clock's setting. On Linux, all processes of a machine can compare it until the machine starts again."""
        return ClockSetting(_find_origin(), time.time() - time.clock_gettime(_UPTIME))

    async def sleep(self, seconds: float) -> None:
        """Wait for so many seconds by the event loop's clock, which nobody can set."""
        await asyncio.sleep(seconds)


@cache
def _find_origin() -> str | None:
    """A text for this start of the machine, and for a container with an uptime of its own; `None` if it is unknown.

    Settings of the clock can be compared only if their texts are the same.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    with suppress(OSError):
        boot += f" {os.readlink('/proc/self/ns/time')}"  # noqa: PTH115 # it leads to no file
    return boot
