"""The jobs that every contestant runs, and what they tell of themselves."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

_FILL_BATCH = 100


class Work:
    """The targets. They count and stamp what they do, so that no contestant's own word is taken for it."""

    def __init__(self) -> None:
        self.done = 0
        self.finished_at: dict[str, float] = {}
        self._awaited = 0
        self._reached = asyncio.Event()
        self._released = asyncio.Event()

    async def noop(self) -> None:
        """The smallest job."""
        self.done += 1
        if self.done == self._awaited:
            self._reached.set()

    async def timed(self, name: str, seconds: float) -> None:
        """A job that notes when it really finished, on the clock that all processes of a machine share."""
        await asyncio.sleep(seconds)
        self.finished_at[name] = time.monotonic()

    async def held(self, name: str) -> None:
        """A job that runs until all of them are released."""
        await self._released.wait()
        self.finished_at[name] = time.monotonic()

    def release(self) -> None:
        self._released.set()

    async def run_noops(self, add_job: Callable[[Callable[[], Awaitable[None]]], Awaitable[Any]], count: int) -> Any:
        """Submit `count` no-ops in small batches, each to its end; the id of one in the middle."""
        middle = None
        for submitted in range(0, count, _FILL_BATCH):
            batch = min(_FILL_BATCH, count - submitted)
            self._awaited = self.done + batch
            self._reached.clear()
            job_ids = [await add_job(self.noop) for _ in range(batch)]
            await self._reached.wait()
            if submitted <= count // 2:
                middle = job_ids[0]
        # The last targets have returned; let their jobs be written down as completed too.
        for _ in range(10):
            await asyncio.sleep(0)
        return middle
