"""Mailboxes: the events that one reader has not read yet."""

import asyncio
from typing import Final

from servicekit.jobs.events import JobEvent

ANEW: Final = JobEvent("", None)
"""No event: what a reader has had until now may never have been."""


class Bell:
    """Lets one reader wait until something happens. It must be used on the reader's event loop only."""

    __slots__ = ("_waiter", "has_rung", "is_closed")

    def __init__(self) -> None:
        self._waiter: asyncio.Future[None] | None = None
        self.has_rung = False
        """Whether `ring` was called since the reader last set this to `False`."""
        self.is_closed = False

    def ring(self) -> None:
        if not self.has_rung:  # else the reader knows already, and waits for the time of its next look
            self.has_rung = True
            self.wake()

    def close(self) -> None:
        """Let the reader read the rest, and end."""
        self.is_closed = True
        self.wake()

    async def wait(self, timeout: float | None = None) -> None:
        """Return after `ring`, `close` or `wake`, or after `timeout` seconds. Only one caller may wait at a time."""
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = None if timeout is None else loop.call_later(timeout, self.wake)
        try:
            await self._waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def wake(self) -> None:
        """Let the reader look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Mailbox(Bell):
    """Keeps the changes of status that a reader has not read, and the newest of all other changes."""

    __slots__ = ("_newest", "_transitions")

    def __init__(self) -> None:
        super().__init__()
        self._transitions: list[JobEvent] = []
        self._newest: JobEvent | None = None

    def put(self, event: JobEvent) -> None:
        if event.is_transition:
            self._newest = None  # the record of this event is newer, and tells the same
            self._transitions.append(event)
        else:
            self._newest = event
        self.wake()

    def take(self, *, only_transitions: bool = False) -> JobEvent | None:
        """The next event, or `None` if there is none now."""
        if self._transitions:
            return self._transitions.pop(0)
        if only_transitions:
            return None
        event, self._newest = self._newest, None
        return event

    @property
    def has_update(self) -> bool:
        """Whether a change that is no change of status waits to be taken."""
        return self._newest is not None
