"""All jobs, or some of them, followed by one reader: first as they are, then the newest state of each that changes."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Final

from servicekit.errors import JobNotFound, RecordUnreadable
from servicekit.events.hub import EventHub
from servicekit.events.mailbox import Bell
from servicekit.jobs.query import JobChange, JobFilter
from servicekit.jobs.record import JobRecord
from servicekit.ports import JobChanges, JobReads, JobStore

FIRST_JOBS: Final = 100  # a page of a list
_CHANGES_AT_ONCE: Final = 500  # a reader keeps one such page, and there can be thousands of readers
_YIELD_EVERY: Final = 50  # events: seldom enough to cost nothing, and often enough for other readers
_BEFORE_ALL: Final = 0  # below every position of a store
_SHOWN_AT_ONCE: Final = 10_000  # bounds the memory of one reader


class AllJobsReader:
    """The changes of all jobs that a reader has not read. It is used inside `follow_jobs`.

    Only one page of changes is kept for a reader. When it has read the page, the store is asked for the next one. So a
    slow reader gets fewer changes of each job, and costs no more than a fast one.
    """

    def __init__(
        self,
        reads: JobReads,
        changes: JobChanges,
        bell: Bell,
        wanted: JobFilter,
        job_ids: Collection[str],
        interval_seconds: float,
    ) -> None:
        self._reads = reads
        self._all_changes = changes
        self._bell = bell
        self._wanted = wanted
        self._job_ids = frozenset(job_ids)
        self._interval_seconds = interval_seconds
        self._changes: deque[JobChange] = deque()
        self._position = _BEFORE_ALL
        # The jobs that were told and can still leave the filter, the oldest first: their leaving must be told too.
        self._shown: dict[str, bool] = {}
        self._is_behind = False
        self._next_batch_at = 0.0

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called: no more events will come."""
        return self._bell.is_closed

    def close(self) -> None:
        """End the reading from outside. Changes that are there can still be read."""
        self._bell.close()

    def wake(self) -> None:
        """Make `next_event` return."""
        self._bell.wake()

    async def next_event(self) -> JobChange | None:
        """Wait for the next change. `None` if it was woken by `wake`, or closed."""
        if not (self._changes or self.is_closed):
            await self._wait_due()
            if self._is_due() and not self.is_closed:
                await self._read()
        elif len(self._changes) % _YIELD_EVERY == 0:
            await asyncio.sleep(0)  # with a store in memory and a fast reader, nothing else would get a turn
        return self._changes.popleft() if self._changes else None

    async def begin(self, after: int | None) -> None:
        """Go on after this position. If there is none, or the store has forgotten it, begin with the present."""
        if after is None or not await self._read_changes(after):
            await self._read_present()

    async def _read(self) -> None:
        self._bell.has_rung = False
        if not self._is_behind:
            self._next_batch_at = asyncio.get_running_loop().time() + self._interval_seconds
        await self.begin(self._position)

    async def _read_changes(self, after: int) -> bool:
        page = await self._all_changes.list_changes(after, _CHANGES_AT_ONCE)
        if page is None:
            return False
        self._position, self._is_behind = page.position, not page.is_last
        self._changes.extend(change for change in page.changes if self._is_wanted(change))
        return True

    async def _read_present(self) -> None:
        """Tell the present state of the jobs that were asked for, or of the newest ones, the oldest of them first.

        Only the last one has the position of the store. So a client that loses the connection before the last begins
        again, and misses none.
        """
        self._position, self._is_behind = await self._all_changes.get_position(), False
        present = await self._list_asked_for() if self._job_ids else await self._list_newest()
        for change in present:
            if change.record is not None:
                self._show(change.record)
        self._changes.extend(present[:-1])
        self._changes.extend(change._replace(position=self._position) for change in present[-1:])

    async def _list_newest(self) -> list[JobChange]:
        records = (await self._reads.list_records(self._wanted, FIRST_JOBS, None)).records
        return [JobChange(_BEFORE_ALL, record.id, record) for record in reversed(records)]

    async def _list_asked_for(self) -> list[JobChange]:
        """The jobs with `job_ids` that match the filter, and those that do not exist, so that nobody waits for them.

        To those who ask for jobs of an owner, no other jobs exist.
        """
        changes = []
        for job_id in sorted(self._job_ids):
            try:
                record = await self._find_record(job_id)
            except RecordUnreadable:  # a newer version has written it; it must not hide the other jobs
                if self._wanted.owner is None:
                    continue
                record = None  # it is not known whose it is
            changes.append(JobChange(_BEFORE_ALL, job_id, record))
        return [change for change in changes if change.record is None or self._wanted.matches(change.record)]

    async def _find_record(self, job_id: str) -> JobRecord | None:
        try:
            record = await self._reads.get_record(job_id)
        except JobNotFound:
            return None
        return record if self._wanted.owner in (None, record.owner) else None

    def _is_wanted(self, change: JobChange) -> bool:
        """Whether the reader gets the change: the job matches the filter, or it matched and has just left it."""
        if self._job_ids and change.job_id not in self._job_ids:
            return False
        if change.record is None:
            return self._wanted.owner in (None, change.owner)
        was_shown = self._shown.pop(change.job_id, False)
        is_shown = self._wanted.matches(change.record)
        if is_shown:
            self._show(change.record)
        return is_shown or was_shown

    def _show(self, record: JobRecord) -> None:
        if self._wanted.statuses and not record.status.is_terminal:
            self._shown[record.id] = True
        if len(self._shown) > _SHOWN_AT_ONCE:
            del self._shown[next(iter(self._shown))]

    async def _wait_due(self) -> None:
        """Wait until it is time to read changes from the store and there are some, or until it is woken."""
        if self._is_behind:
            return
        # The clock is asked once. If the time came between two questions, this would wait for a ring, and a bell that
        # has rung does not ring again.
        seconds = self._seconds_to_batch() if self._bell.has_rung else None
        if seconds is None or seconds > 0:
            await self._bell.wait(seconds)

    def _is_due(self) -> bool:
        """Whether it is time to read changes from the store, and there are some."""
        return self._is_behind or (self._bell.has_rung and self._seconds_to_batch() <= 0)

    def _seconds_to_batch(self) -> float:
        """How many seconds new changes must still wait, if there are any."""
        return self._next_batch_at - asyncio.get_running_loop().time()


@asynccontextmanager
async def follow_jobs(
    store: JobStore,
    hub: EventHub,
    wanted: JobFilter,
    after: int | None,
    interval_seconds: float,
    job_ids: Collection[str] = (),
) -> AsyncIterator[AllJobsReader]:
    """Follow all jobs that match `wanted`, and the deletion of any job, or of any job of the owner that `wanted` names.
    With `job_ids`, only these jobs.

    Without `after`, the newest hundred jobs come first, the oldest of them first. With `job_ids`, all of these come
    first, and one that does not exist comes as deleted. With `after`, the position of an event, the changes since then
    come first. If the store does not know them any more, the reader begins again with the present.

    Each event has a job's newest record, and the same record can come twice. `interval_seconds` is the shortest time
    between two looks at the store.
    """
    with hub.subscribe_all() as bell:
        feed = AllJobsReader(store.reads, store.changes, bell, wanted, job_ids, interval_seconds)
        await feed.begin(after or None)  # 0 comes before all changes: the reader has seen nothing
        yield feed
