"""A job and its log, followed by one reader: the lines of the log between the changes of the job."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from servicekit.engine.job_reader import JobReader, OpenStore
from servicekit.errors import JobNotFound
from servicekit.events.hub import EventHub
from servicekit.jobs.events import JobEvent
from servicekit.jobs.log_lines import LogLine, LogPage
from servicekit.ports import JobReads

_LOOK_INTERVAL_SECONDS: Final = 0.1  # at once to a person, and ten looks a second at most however fast a job writes
_LINES_AT_ONCE: Final = 200  # at most 400,000 characters: all that one reader holds in memory
_PAGE: Final = 1_000  # lines of a tail that are in memory at once, besides the tail itself


@dataclass(frozen=True, slots=True)
class LogEvent:
    """Some lines of the log, or a change of the job. With the two numbers a reader can go on from here."""

    told: list[LogLine] | JobEvent
    version: int
    """The version of the newest record that the reader has had; 0 if none."""
    line_number: int
    """The number of the newest line that the reader has had; 0 if none."""

    @property
    def is_last(self) -> bool:
        """Whether no event can follow."""
        return isinstance(self.told, JobEvent) and self.told.is_last


class LogReader:
    """The lines and changes of a job that a reader has not read. It is used inside `watch_log`.

    No lines are kept for a reader. When it has read some, the store is asked for the next ones. The end of the job
    comes after all its lines.
    """

    def __init__(self, reader: JobReader, reads: JobReads, job_id: str, after_version: int, after_line: int) -> None:
        self._reader = reader
        self._reads = reads
        self._job_id = job_id
        self._version = after_version
        self._line_number = after_line
        self._is_due = True
        self._next_look_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._end: JobEvent | None = None

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called: no more events will come."""
        return self._reader.is_closed

    def close(self) -> None:
        """End the reading from outside. Lines that were not read yet do not come any more."""
        self._reader.close()

    def wake(self) -> None:
        """Make `next_event` return."""
        self._reader.wake()

    def ring(self) -> None:
        """There may be new lines: look for them, but not sooner than `_LOOK_INTERVAL_SECONDS` after the last look."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(self._next_look_at, self._look)

    def _look(self) -> None:
        self._timer = None
        self._is_due = True
        self.wake()

    async def next_event(self) -> LogEvent | None:
        """Wait for the next event. `None` if it was woken by `wake`, or closed. `JobNotFound` if the job is deleted."""
        change = await self._next_change()
        if change is not None:
            return self._tell(change)
        if self._is_due and not self.is_closed:
            lines = await self._read()
            if lines:
                return self._tell(lines)
        if self._end is not None and not (self._is_due or self.is_closed):
            return self._tell(self._end)
        return None

    async def _next_change(self) -> JobEvent | None:
        """The next change of the job, if any. It waits for one unless the log must be read first.

        The end of the job is kept back, since the lines of the log come before it.
        """
        if self._end is not None:
            return None
        change = self._reader.take_event()
        if change is None and not self._is_due:
            change = await self._reader.next_event()
        if change is None or change.record is None or not change.is_last:
            return change
        self._end, self._is_due = change, True
        return None

    async def _read(self) -> list[LogLine]:
        await asyncio.sleep(0)  # with a store in memory and a fast reader, nothing else would get a turn
        self._next_look_at = asyncio.get_running_loop().time() + _LOOK_INTERVAL_SECONDS
        self._is_due = False
        page = await self._reads.list_log(self._job_id, self._line_number, _LINES_AT_ONCE)
        self._is_due = self._is_due or not page.is_last
        return page.lines

    def _tell(self, told: list[LogLine] | JobEvent) -> LogEvent:
        if isinstance(told, list):
            self._line_number = told[-1].number
        elif told.record is not None:
            self._version = told.record.version
        return LogEvent(told, self._version, self._line_number)


@asynccontextmanager
async def watch_log(
    open_store: OpenStore,
    hub: EventHub,
    job_id: str,
    *,
    after_version: int = 0,
    after_line: int = 0,
    interval_seconds: float = 0.0,
) -> AsyncIterator[LogReader]:
    """Follow a job and its log: the present record and all kept lines; or the changes and lines after the two numbers.

    A line comes before the end of its job, and no line comes twice. If lines are written faster than they are read,
    some can be missing, which the store has dropped. `JobNotFound` if there is no such job. `interval_seconds` as for
    `JobReader`.
    """
    async with JobReader(open_store, hub, job_id, after_version or None, interval_seconds) as reader:
        log_reader = LogReader(reader, (await open_store()).reads, job_id, after_version, after_line)
        with hub.subscribe_log(job_id, log_reader.ring):
            yield log_reader


async def read_lines(reader: LogReader, job_id: str) -> AsyncIterator[LogLine]:
    """The lines of a reader, to the end of the job. `JobNotFound` if the job is deleted meanwhile."""
    event = None
    while event is None or not event.is_last:
        event = await reader.next_event()
        if event is not None and isinstance(event.told, list):
            for line in event.told:
                yield line
    if isinstance(event.told, JobEvent) and event.told.record is None:
        raise JobNotFound(job_id)


async def list_tail(reads: JobReads, job_id: str, count: int) -> LogPage:
    """The newest lines of a job, at most `count`. It reads all kept lines, whose number the store bounds."""
    newest: deque[LogLine] = deque(maxlen=count)
    page = await reads.list_log(job_id, 0, _PAGE)
    newest.extend(page.lines)
    while not page.is_last:
        page = await reads.list_log(job_id, page.lines[-1].number, _PAGE)
        newest.extend(page.lines)
    return LogPage(list(newest), True, page.dropped)
