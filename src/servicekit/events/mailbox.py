"""What one reader has not read yet."""

import asyncio

from servicekit.jobs.events import JobEvent


class Bell:
    """Lets one reader wait until something happens. Belongs to its event loop."""

    __slots__ = ("_waiter", "has_rung", "is_closed")

    def __init__(self) -> None:
        self._waiter: asyncio.Future[None] | None = None
        self.has_rung = False
        """Whether it was rung since the reader last set this to `False`."""
        self.is_closed = False

    def ring(self) -> None:
        if not self.has_rung:  # else the reader knows, and waits for other reasons
            self.has_rung = True
            self.wake()

    def close(self) -> None:
        """Let the reader read what is there, and end."""
        self.is_closed = True
        self.wake()

    async def wait(self, timeout: float | None = None) -> None:
        """Return when something happens: a ring, the end, `wake`, or `timeout` seconds have passed."""
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
    """Keeps the changes of status that a reader has not had, and the newest of all other changes."""

    __slots__ = ("_newest", "_transitions")

    def __init__(self) -> None:
        super().__init__()
        self._transitions: list[JobEvent] = []
        self._newest: JobEvent | None = None

    def put(self, event: JobEvent) -> None:
        if event.is_transition:
            self._newest = None
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
        """Whether something other than a change of status waits to be taken."""
        return self._newest is not None
