"""A store of which is known whether it has something to do."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from inspect import iscoroutinefunction
from typing import Any, Final

from servicekit.jobs.schedules import FiredSchedule
from servicekit.ports import JobStore

_SUBMITTING: Final = ("insert", "resubmit")


class WatchedStore:
    """Passes every call on to a `JobStore`, and takes note of it."""

    def __init__(self, store: JobStore) -> None:
        self.calls = 0
        """How many there have been."""
        self.submissions = 0
        """How many jobs it was given to keep."""
        self._store = store
        self._under_way = 0
        self._answered = asyncio.Event()

    @property
    def is_idle(self) -> bool:
        """Whether all calls are answered."""
        return self._under_way == 0

    async def wait_answer(self) -> None:
        """Wait until a call is answered, if one is under way."""
        if not self.is_idle:
            if self._answered.is_set():
                self._answered = asyncio.Event()
            await self._answered.wait()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return partial(self._call, found) if iscoroutinefunction(found) else found

    async def _call(
        self, method: Callable[..., Coroutine[Any, Any, object]], *args: object, **kwargs: object
    ) -> object:
        self.calls += 1
        self._under_way += 1
        try:
            result = await method(*args, **kwargs)
            self.submissions += method.__name__ in _SUBMITTING or result is FiredSchedule.SUBMITTED
            return result
        finally:
            self._under_way -= 1
            self._answered.set()
