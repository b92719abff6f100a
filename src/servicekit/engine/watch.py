"""One reader's view of one job: first what is, then what changes, in order and nothing twice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from servicekit.events.hub import EventHub
from servicekit.events.mailbox import Mailbox
from servicekit.jobs.events import JobEvent
from servicekit.ports import JobStore


class JobWatch:
    """What a reader has still to be told of a job. Used inside `watch_job`."""

    def __init__(self, mailbox: Mailbox, backlog: list[JobEvent], seen_version: int, interval_seconds: float) -> None:
        self._mailbox = mailbox
        self._backlog = backlog
        self._version = seen_version
        self._interval_seconds = interval_seconds
        self._next_update_at = 0.0

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called: no more events will come."""
        return self._mailbox.is_closed

    def close(self) -> None:
        """End the watch from outside, after what is still to be read."""
        self._mailbox.close()

    def wake(self) -> None:
        """Make `next_event` return."""
        self._mailbox.wake()

    async def next_event(self) -> JobEvent | None:
        """Wait for the next event. `None`: woken without one, or closed."""
        event = self.take_event()
        if event is None and not self.is_closed:
            await self._mailbox.wait(self._seconds_to_update())
            event = self.take_event()
        return event

    def take_event(self) -> JobEvent | None:
        """The next event, if there is one now."""
        while (event := self._take_any()) is not None:
            if event.record is None:
                return event
            # The store was read after the mailbox was opened, so it may have said this already.
            if event.record.version > self._version:
                self._version = event.record.version
                if not event.is_transition:
                    self._next_update_at = asyncio.get_running_loop().time() + self._interval_seconds
                return event
        return None

    def _take_any(self) -> JobEvent | None:
        if self._backlog:
            return self._backlog.pop(0)
        return self._mailbox.take(only_transitions=self._seconds_to_update() is not None)

    def _seconds_to_update(self) -> float | None:
        """How long the newest update has still to wait; `None` if none waits, or need not."""
        if not self._mailbox.has_update:
            return None
        seconds = self._next_update_at - asyncio.get_running_loop().time()
        return seconds if seconds > 0 else None


@asynccontextmanager
async def watch_job(
    store: JobStore, hub: EventHub, job_id: str, after_version: int | None = None, interval_seconds: float = 0.0
) -> AsyncIterator[JobWatch]:
    """Watch a job: its present record first; or, after `after_version`, all that has changed since.

    `JobNotFound` if there is no such job. `interval_seconds` is the shortest time between two updates that are no
    change of status.
    """
    with hub.subscribe(job_id) as mailbox:
        present = await store.get_record(job_id)
        backlog = [JobEvent(job_id, present)]
        if after_version is None or after_version > present.version:  # a version that never was: start anew
            after_version = 0
        elif after_version < present.version:
            missed = await store.list_transitions(job_id, after_version)
            backlog = [JobEvent(job_id, record) for record in missed] + backlog
        yield JobWatch(mailbox, backlog, after_version, interval_seconds)
