"""What tests of stores share."""

import asyncio
from collections.abc import AsyncIterator, Collection
from typing import Final, Unpack

import pytest

from servicekit.jobs.ids import JobIds
from servicekit.jobs.options import DEFAULT_OPTIONS, OptionChanges, RunnerKind, changed
from servicekit.jobs.outcome import Outcome
from servicekit.jobs.query import ALL_JOBS, JobChange, JobFilter
from servicekit.jobs.record import JobRecord
from servicekit.jobs.status import JobStatus
from servicekit.jobs.submission import Claim, JobTarget
from servicekit.ports import JobStore
from servicekit.testing.stores.fakes import ManualClock, RecordingPublisher, noop, submission

COROUTINE: Final = RunnerKind.COROUTINE
THREAD: Final = RunnerKind.THREAD
SCAN_LIMIT: Final = 50
"""How many jobs the stores under test look at for one page."""


def with_status(*statuses: JobStatus) -> JobFilter:
    return JobFilter(statuses=frozenset(statuses))


class StoreTests:
    """What tests of stores share. A subclass provides `store`, which looks at no more than `SCAN_LIMIT` jobs a page."""

    ids = JobIds()

    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest.fixture
    def publisher(self) -> RecordingPublisher:
        return RecordingPublisher()

    @pytest.fixture
    async def store(self, clock: ManualClock, publisher: RecordingPublisher) -> AsyncIterator[JobStore]:
        raise NotImplementedError
        yield

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
