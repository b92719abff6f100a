"""A store of which is known whether it has something to do."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from inspect import iscoroutinefunction
from typing import Any, Final

from servicekit.jobs.schedules import FiredSchedule
from servicekit.ports import JobStore

_SUBMITTING: Final = ("insert", "resubmit")
_PARTS: Final = ("submissions", "attempts", "reads", "changes", "queues", "schedules", "activity", "liveness")


class WatchedStore:
    """Passes every call of a part on to a `JobStore`, and takes note of it."""

    def __init__(self, store: JobStore) -> None:
        self.calls = 0
        """How many there have been."""
        self.submitted = 0
        """How many jobs it was given to keep."""
        self.location = store.location
        self._under_way = 0
        self._answered = asyncio.Event()
        for name in _PARTS:
            setattr(self, name, _WatchedPart(getattr(store, name), self._call))

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

    async def _call(
        self, method: Callable[..., Coroutine[Any, Any, object]], *args: object, **kwargs: object
    ) -> object:
        self.calls += 1
        self._under_way += 1
        try:
            result = await method(*args, **kwargs)
            self.submitted += method.__name__ in _SUBMITTING or result is FiredSchedule.SUBMITTED
            return result
        finally:
            self._under_way -= 1
            self._answered.set()


class _WatchedPart:
    """One part of the store: what is to be awaited goes through `call`."""

    def __init__(self, part: object, call: Callable[..., Coroutine[Any, Any, object]]) -> None:
        self._part = part
        self._call = call

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        return partial(self._call, found) if iscoroutinefunction(found) else found
