from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from servicekit.errors import JobNotFound, ResultDropped
from servicekit.jobs.options import JobOptions
from servicekit.jobs.outcome import Outcome, completion
from servicekit.jobs.query import ALL_JOBS
from servicekit.jobs.record import Progress
from servicekit.jobs.retention import Retention
from servicekit.jobs.status import JobStatus, Transition
from servicekit.ports import JobStore
from servicekit.stores.memory import MemoryStore
from tests.fakes import FakeClock, RecordingPublisher, submission
from tests.stores.contract import (
    FAILURES_ARE_KEPT_LONGER,
    KEY,
    SCAN_LIMIT,
    BoundsByStatus,
    JobStoreContract,
    with_status,
)


class TestMemoryStore(JobStoreContract):
    @pytest.fixture
    async def store(self, clock: FakeClock, publisher: RecordingPublisher) -> AsyncIterator[JobStore]:
        yield MemoryStore(publisher, clock, Retention(), scan_limit=SCAN_LIMIT)

    async def test_pending_jobs_are_canceled_when_it_is_retired(self, store: JobStore) -> None:
        running, waiting = await self.insert(store, 2)
        claim = await self.claim(store)
        await store.retire()
        assert (await store.get_record(running)).status is JobStatus.RUNNING
        assert (await store.get_record(waiting)).status is JobStatus.CANCELED
        assert await store.finish(claim, completion(1))
        await store.close()
        assert await store.get_result(running) == 1

    async def test_a_list_by_status_is_not_cut_short_however_many_jobs_it_passes(self, store: JobStore) -> None:
        job_ids = await self.insert(store, 2 * SCAN_LIMIT)
        await self.claim(store)
        page = await store.list_records(with_status(JobStatus.RUNNING), 10, None)
        assert [record.id for record in page.records] == job_ids[:1]
        assert page.next_before is None

    async def test_old_changes_are_forgotten(self, store: JobStore) -> None:
        begin = await store.get_position()
        await self.insert(store)
        claim = await self.claim(store)
        for step in range(9_998):
            await store.report_progress(claim, Progress(step))
        assert [change.record is not None for change in await self.changes_since(store, begin, 20_000)] == [True]
        await store.finish(claim, completion(None))
        assert await store.list_changes(begin, 10) is None
        assert await store.list_changes(begin + 1, 10) is not None

    async def test_positions_of_an_earlier_process_are_not_known(
        self, store: JobStore, clock: FakeClock, publisher: RecordingPublisher
    ) -> None:
        await self.insert(store, 5)
        seen = await store.get_position()
        clock.advance(0.001)
        later = MemoryStore(publisher, clock, Retention())
        await self.insert(later, 10)
        assert await later.list_changes(seen, 10) is None


class TestBoundsByStatusInMemory(BoundsByStatus):
    @pytest.fixture
    async def store(self, clock: FakeClock, publisher: RecordingPublisher) -> AsyncIterator[JobStore]:
        yield MemoryStore(publisher, clock, FAILURES_ARE_KEPT_LONGER)


class TestRetentionInMemory(JobStoreContract):
    """The whole contract again, with as little kept as its tests allow, and the bounds themselves."""

    @pytest.fixture
    async def store(self, clock: FakeClock, publisher: RecordingPublisher) -> AsyncIterator[JobStore]:
        yield MemoryStore(
            publisher,
            clock,
            Retention(max_count=4, max_age=timedelta(seconds=60), max_result_bytes=10_000),
            scan_limit=SCAN_LIMIT,
        )

    async def test_the_oldest_finished_go_first_when_there_are_too_many(self, store: JobStore) -> None:
        (pending,) = await self.insert(store)
        running = await self.claim(store)
        finished = [await self.end(store, completion(index)) for index in range(10)]
        kept = await self.list_ids(store, with_status(JobStatus.COMPLETED))
        assert kept == finished[:-5:-1]
        assert (await store.get_record(pending)).status is JobStatus.RUNNING
        with pytest.raises(JobNotFound):
            await store.get_record(finished[0])
        assert await store.finish(running, completion(None))

    async def test_what_is_too_old_is_pruned(self, store: JobStore, clock: FakeClock) -> None:
        (waiting,) = await self.insert(store)
        await self.claim(store)
        old = await self.end(store, completion(None))
        clock.advance(61)
        young = await self.end(store, completion(None))
        assert not await store.prune(10)
        kept = set(await self.list_ids(store))
        assert kept == {waiting, young}
        with pytest.raises(JobNotFound):
            await store.get_record(old)

    async def test_it_is_pruned_in_small_steps(self, store: JobStore, clock: FakeClock) -> None:
        for _ in range(3):
            await self.end(store, completion(None))
        clock.advance(61)
        assert [await store.prune(2), len(await self.list_all(store))] == [True, 1]
        assert [await store.prune(2), len(await self.list_all(store))] == [False, 0]

    async def test_the_oldest_tracebacks_are_dropped_when_they_are_too_large(self, store: JobStore) -> None:
        failed = [
            await self.end(store, Outcome(Transition.FAIL, error="E", error_traceback="x" * 4_000)) for _ in "123"
        ]
        tracebacks = [(await store.get_record(job_id)).error_traceback for job_id in failed]
        assert tracebacks == [None, "x" * 4_000, "x" * 4_000]

    async def test_the_oldest_results_are_dropped_when_they_are_too_large(self, store: JobStore) -> None:
        small = await self.end(store, completion("small"))
        large = await self.end(store, completion(b"x" * 9_000))
        larger = await self.end(store, completion(b"x" * 90_000))
        for dropped in (small, large):
            assert (await store.get_record(dropped)).status is JobStatus.COMPLETED
            with pytest.raises(ResultDropped, match="is not kept"):
                await store.get_result(dropped)
        assert await store.get_result(larger) == b"x" * 90_000

    async def test_a_key_is_free_again_when_its_job_was_dropped(self, store: JobStore, clock: FakeClock) -> None:
        options = JobOptions(idempotency_key=KEY)
        await store.insert(submission(self.ids.next_id(), options=options))
        await store.finish(await self.claim(store), completion(None))
        clock.advance(61)
        await store.prune(10)
        second = submission(self.ids.next_id(), options=options)
        assert await store.insert(second) == second.id

    async def test_what_is_dropped_is_no_change(self, store: JobStore, clock: FakeClock) -> None:
        await self.end(store, completion(None))
        position = await store.get_position()
        clock.advance(61)
        await store.prune(10)
        assert await store.get_position() == position
        assert (await store.list_records(ALL_JOBS, 10, None)).records == []

    async def test_deleted_results_make_room(self, store: JobStore) -> None:
        for _ in range(5):
            await store.delete(await self.end(store, completion(b"x" * 9_000)))
        first = await self.end(store, completion(b"x" * 4_000))
        await self.end(store, completion(b"x" * 4_000))
        assert await store.get_result(first) == b"x" * 4_000
