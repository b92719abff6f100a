"""Health checks: what they say, and one that many share."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

_HEALTHY_SECONDS: Final = 5.0

HealthCheck = Callable[[], Awaitable[str | None] | str | None]
"""Says what is wrong, or `None` if all is well. A plain function runs in a thread."""


class Notice(str):
    """What a health check has found where the service is fit for work all the same."""

    __slots__ = ()


class SharedCheck:
    """A check that costs something, for all who ask at about the same time.

    Those who ask while it is under way get its answer. That all is well holds for five seconds; that something is wrong
    holds for nobody else, so that the end of the trouble is seen at once.
    """

    def __init__(self, check: Callable[[], Awaitable[str | None]]) -> None:
        self._check = check
        self._asked: asyncio.Task[str | None] | None = None
        self._well_until = 0.0

    async def ask(self) -> str | None:
        """What is wrong, or `None`."""
        if time.monotonic() < self._well_until:
            return None
        if self._asked is None or self._asked.done() or self._asked.get_loop() is not asyncio.get_running_loop():
            self._asked = asyncio.create_task(self._try(), name="servicekit health")
        return await asyncio.shield(self._asked)  # who asks may go away, the others want to know

    async def _try(self) -> str | None:
        problem = await self._check()
        self._well_until = 0.0 if problem else time.monotonic() + _HEALTHY_SECONDS
        return problem
