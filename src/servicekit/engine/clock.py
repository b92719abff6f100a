"""The time of day, from the system."""

import asyncio
import time
from datetime import UTC, datetime
from functools import partial


class SystemClock:
    """A `Clock` that asks the operating system."""

    now = staticmethod(partial(datetime.now, UTC))  # called three times for each job

    monotonic = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        """Wait for so long, by the event loop's clock, which nobody sets."""
        await asyncio.sleep(seconds)
