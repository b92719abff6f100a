"""Stops what runs in this process when others may take it over."""

import asyncio
import logging
from contextvars import Context
from math import isfinite
from typing import Final

from servicekit.stores.durable.session import StoreSession

LEASE_OVER: Final = (
    "the lease of this process could not be renewed in time, so others may take it for dead. It is tried again."
)
# Attempts have a second or two from the end of a lease until others may take them over.
_LOOK_SECONDS: Final = 0.2

_log = logging.getLogger("servicekit.stores")


class LeaseWatch:
    """Looks at the lease of this process. Whatever waits for the server meanwhile, this does not."""

    def __init__(self, session: StoreSession) -> None:
        self._session = session
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look, on this event loop, if there is a lease that can run out."""
        if isfinite(self._session.database.registration.held_seconds):
            # An empty context: the first caller's (its request, say) must not stay for as long as this.
            self._task = asyncio.create_task(self._run(), name="servicekit lease", context=Context())

    def stop(self) -> None:
        """Look no more. On another event loop than that of `start`, the look has ended with its loop."""
        task, self._task = self._task, None
        if task is not None and task.get_loop() is asyncio.get_running_loop():
            task.cancel()

    async def _run(self) -> None:
        registration, is_stopped = self._session.database.registration, False
        while True:
            if registration.held_seconds > 0:
                is_stopped = False
            elif not is_stopped:
                is_stopped = True
                self.stop_attempts(LEASE_OVER, are_lost=False)
            await asyncio.sleep(_LOOK_SECONDS)

    def stop_attempts(self, reason: str, *, are_lost: bool) -> None:
        """Tell the engine to stop them, and the log why."""
        if self._session.notifier is not None:
            location = self._session.database.location
            _log.warning("What runs here is stopped, and left to other processes of %s: %s", location, reason)
            self._session.notifier.signals.stop_attempts(are_lost=are_lost)
