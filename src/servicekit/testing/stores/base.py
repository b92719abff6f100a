"""What tests of stores share."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Unpack

import pytest

from servicekit.jobs.ids import JobIds
from servicekit.jobs.options import DEFAULT_OPTIONS, OptionChanges, RunnerKind, changed
from servicekit.jobs.outcome import Outcome
from servicekit.jobs.query import ALL_JOBS, JobChange, JobFilter
from servicekit.jobs.record import JobRecord
from servicekit.jobs.retention import Retention
from servicekit.jobs.status import JobStatus
from servicekit.jobs.submission import Claim, JobTarget
from servicekit.ports import EventRelay, JobSignals, JobStore
from servicekit.testing.stores.fakes import ManualClock, RecordingPublisher, RecordingSignals, noop, submission
from servicekit.testing.suite import Suite

COROUTINE: Final = RunnerKind.COROUTINE
THREAD: Final = RunnerKind.THREAD
SCAN_LIMIT: Final = 50
"""How many jobs the stores under test look at for one page."""


def with_status(*statuses: JobStatus) -> JobFilter:
    return JobFilter(statuses=frozenset(statuses))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSetting:
    """What a store under test is made with: the same for all stores of one test."""

    folder: Path
    """The place of the jobs: a folder of this test alone, empty at first. Stores of one place share their jobs, if they
    can. A store that is elsewhere, in a database say, can derive a name from the folder's."""
    publisher: EventRelay
    clock: ManualClock
    """The time of the store; where that is a database's, the suite needs one that goes by this clock."""
    retention: Retention
    max_pending: int | None
    scan_limit: int
    """How many jobs the store may look at for one page."""


class StoreTests(Suite):
    """What tests of stores share. A subclass says how a store is made, and what of the suite it leaves out."""

    retention: ClassVar[Retention] = Retention()
    max_pending: ClassVar[int | None] = None
    ids = JobIds()

    def create_store(self, setting: StoreSetting) -> JobStore:
        """A new store, which is not open yet."""
        name = type(self).__name__
        raise NotImplementedError(f"{name} has no create_store. Name the class that has it before the contract.")

    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest.fixture
    def publisher(self) -> RecordingPublisher:
        return RecordingPublisher()

    @pytest.fixture
    def setting(self, tmp_path: Path, clock: ManualClock, publisher: RecordingPublisher) -> StoreSetting:
        return StoreSetting(
            folder=tmp_path,
            publisher=publisher,
            clock=clock,
            retention=self.retention,
            max_pending=self.max_pending,
            scan_limit=SCAN_LIMIT,
        )

    @pytest.fixture
    async def store(self, setting: StoreSetting) -> AsyncIterator[JobStore]:
        """A store that is open, of the engine `RecordingSignals`."""
        async with self.open_store(setting) as store:
            yield store

    @asynccontextmanager
    async def open_store(self, setting: StoreSetting, signals: JobSignals | None = None) -> AsyncIterator[JobStore]:
        """A store, open until the end of the block."""
        store = self.create_store(setting)
        await store.liveness.open(signals or RecordingSignals())
        try:
            yield store
        finally:
            await store.liveness.close()

    async def insert(self, store: JobStore, count: int = 1, runner: RunnerKind = COROUTINE) -> list[str]:
        job_ids = [self.ids.next_id() for _ in range(count)]
        await asyncio.gather(*(store.submissions.insert(submission(job_id, runner)) for job_id in job_ids))
        return job_ids

    async def submit(
        self,
        store: JobStore,
        *,
        kind: RunnerKind = COROUTINE,
        target: JobTarget = noop,
        args: tuple[object, ...] = (),
        outcome: Outcome | None = None,
        **options: Unpack[OptionChanges],
    ) -> str:
        """A new job, which has ended if there is an outcome."""
        job_id = self.ids.next_id()
        job = submission(job_id, kind, args=args, target=target, options=changed(DEFAULT_OPTIONS, options))
        assert await store.submissions.insert(job) == job_id
        if outcome is not None:
            await store.attempts.end_attempt(await self.claim(store), outcome)
        return job_id

    async def start(self, store: JobStore, **options: Unpack[OptionChanges]) -> Claim:
        """A new job, which runs."""
        job_id = await self.submit(store, **options)
        claim = await self.claim(store)
        assert claim.submission.id == job_id
        return claim

    async def claim(self, store: JobStore) -> Claim:
        (claim,) = await store.attempts.claim(1, ())
        return claim

    async def claim_ids(
        self, store: JobStore, limit: int = 100, excluding: Collection[RunnerKind] = (), **queue_limits: int
    ) -> list[str]:
        return [claim.submission.id for claim in await store.attempts.claim(limit, excluding, None, queue_limits)]

    async def end(self, store: JobStore, outcome: Outcome) -> str:
        return await self.submit(store, outcome=outcome)

    async def status_of(self, store: JobStore, job_id: str) -> JobStatus:
        return (await store.reads.get_record(job_id)).status

    async def list_all(self, store: JobStore, wanted: JobFilter = ALL_JOBS, limit: int = 1_000) -> list[JobRecord]:
        """Every job that is wanted, page by page."""
        records: list[JobRecord] = []
        before = None
        while True:
            page = await store.reads.list_records(wanted, limit, before)
            assert len(page.records) <= limit
            assert before is None or all(record.id < before for record in page.records)
            records += page.records
            if page.next_before is None:
                return records
            assert before is None or page.next_before < before
            before = page.next_before

    async def list_ids(self, store: JobStore, wanted: JobFilter = ALL_JOBS, limit: int = 1_000) -> list[str]:
        return [record.id for record in await self.list_all(store, wanted, limit)]

    async def changes_since(self, store: JobStore, position: int, limit: int = 1_000) -> list[JobChange]:
        """What has happened since, page by page."""
        changes: list[JobChange] = []
        while True:
            page = await store.changes.list_changes(position, limit)
            assert page is not None
            assert [change.position for change in page.changes] == sorted({each.position for each in page.changes})
            assert all(position < change.position <= page.position for change in page.changes)
            assert len({change.job_id for change in page.changes}) == len(page.changes) <= limit
            changes += page.changes
            position = page.position
            if page.is_last:
                assert position == await store.changes.get_position()
                return changes
