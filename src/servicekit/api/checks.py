"""Health checks: their answers, and a check whose answer many requests share."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

_HEALTHY_SECONDS: Final = 5.0  # spares the store all but one of many askers, and a new problem is still seen soon

HealthCheck = Callable[[], Awaitable[str | None] | str | None]
"""Returns what is wrong, or `None` if all is well. A plain function runs in a thread."""


class SharedCheck:
    """A check whose answer is shared, since it costs something.

    Requests that come while it runs get its answer. The answer that all is well is kept for five seconds. The answer
    that something is wrong is not kept, so that the end of the problem is seen at once.
    """

    def __init__(self, check: Callable[[], Awaitable[str | None]]) -> None:
        self._check = check
        self._asked: asyncio.Task[str | None] | None = None
        self._well_until = 0.0

    async def ask(self) -> str | None:
        """What is wrong, or `None` if all is well."""
        if time.monotonic() < self._well_until:
            return None
        if self._asked is None or self._asked.done() or self._asked.get_loop() is not asyncio.get_running_loop():
            self._asked = asyncio.create_task(self._try(), name="servicekit health")
        return await asyncio.shield(self._asked)  # one request can be canceled, and others wait for the same answer

    async def _try(self) -> str | None:
        problem = await self._check()
        self._well_until = 0.0 if problem else time.monotonic() + _HEALTHY_SECONDS
        return problem
