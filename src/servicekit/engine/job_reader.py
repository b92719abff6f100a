"""A job, followed by one reader: first its present record, then its changes, in order and none twice."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Self

from servicekit.events.hub import EventHub
from servicekit.events.mailbox import ANEW, Mailbox
from servicekit.jobs.events import JobEvent
from servicekit.jobs.record import JobRecord
from servicekit.ports import JobReads, JobStore

OpenStore = Callable[[], Awaitable[JobStore]]
"""Returns the store, open."""

_NONE: Final = -1  # below every version, so that the present record is told


class JobReader:
    """The events of a job that a reader has not read: first the present record; or, given `after_version`, all changes
    since that version.

    It is a context manager, to be read inside. On entering it raises `JobNotFound` if there is no such job.
    `interval_seconds` is the shortest time between two events that are no change of status. There can be ten thousand
    readers, so it keeps nothing that it does not need while it waits.
    """

    __slots__ = (
        "_backlog",
        "_hub",
        "_interval_seconds",
        "_is_anew",
        "_job_id",
        "_mailbox",
        "_next_update_at",
        "_open_store",
        "_version",
    )

    def __init__(
        self,
        open_store: OpenStore,
        hub: EventHub,
        job_id: str,
        after_version: int | None = None,
        interval_seconds: float = 0.0,
    ) -> None:
        self._open_store = open_store
        self._hub = hub
        self._job_id = job_id
        self._version = _NONE if after_version is None else after_version
        self._interval_seconds = interval_seconds
        self._next_update_at = 0.0
        self._is_anew = False
        self._mailbox = Mailbox()
        self._backlog: list[JobEvent] | None = None

    async def __aenter__(self) -> Self:
        store = await self._open_store()
        self._hub.subscribe(self._job_id, self._mailbox)
        try:
            self._backlog = await self._read(store.reads)
        except BaseException:
            self._hub.unsubscribe(self._job_id, self._mailbox)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._hub.unsubscribe(self._job_id, self._mailbox)

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called: no more events will come."""
        return self._mailbox.is_closed

    def close(self) -> None:
        """End the reading from outside. Events that are there can still be read."""
        self._mailbox.close()

    def wake(self) -> None:
        """Make `next_event` return."""
        self._mailbox.wake()

    async def next_event(self) -> JobEvent | None:
        """Wait for the next event. `None` if it was woken by `wake`, or closed."""
        event = self.take_event()
        if event is None and not self.is_closed:
            # The clock is asked once: an update whose time comes just here must not be waited for until the next one.
            seconds = self._seconds_to_update()
            if seconds is None or seconds > 0:
                await self._mailbox.wait(seconds)
            event = self.take_event()
        return event

    def take_event(self) -> JobEvent | None:
        """The next event, if there is one now."""
        while (event := self._take_any()) is not None:
            if event is ANEW:
                self._is_anew = True
                continue
            if event.record is None:
                return event
            # The store was read after the mailbox was opened, so the reader may have had this version from the store.
            if (self._is_anew and self._is_another(event.record)) or event.record.version > self._version:
                self._version = event.record.version
                if not event.is_transition:
                    self._next_update_at = asyncio.get_running_loop().time() + self._interval_seconds
                return event
        return None

    def _is_another(self, record: JobRecord) -> bool:
        """Whether the store has lost what the reader had, and this is what there is instead. It is asked once."""
        self._is_anew = False
        # Who has seen a job end reads no more: if this version is an end, the reader had another one.
        return record.version < self._version or record.status.is_terminal

    async def _read(self, reads: JobReads) -> list[JobEvent]:
        present = await reads.get_record(self._job_id)
        backlog = [JobEvent(self._job_id, present)]
        # A version that this job never had, or none: the reader gets the present record only.
        if not 0 <= self._version <= present.version:
            self._version = 0
        elif self._version < present.version:
            missed = await reads.list_transitions(self._job_id, self._version)
            backlog = [JobEvent(self._job_id, record) for record in missed] + backlog
        return backlog

    def _take_any(self) -> JobEvent | None:
        if self._backlog:
            event, self._backlog = self._backlog[0], self._backlog[1:] or None
            return event
        seconds = self._seconds_to_update()
        return self._mailbox.take(only_transitions=seconds is not None and seconds > 0)

    def _seconds_to_update(self) -> float | None:
        """How many seconds the newest update must still wait; `None` if there is none."""
        if not self._mailbox.has_update:
            return None
        return self._next_update_at - asyncio.get_running_loop().time()
