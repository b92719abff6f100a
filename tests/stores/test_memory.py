from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from servicekit.errors import JobNotFound, ResultDropped
from servicekit.jobs.outcome import Outcome, completion
from servicekit.jobs.retention import Retention
from servicekit.jobs.status import JobStatus, Transition
from servicekit.ports import JobStore
from servicekit.stores.memory import MemoryStore
from tests.fakes import FakeClock, RecordingPublisher
from tests.stores.contract import JobStoreContract


class TestMemoryStore(JobStoreContract):
    @pytest.fixture
    async def store(self, clock: FakeClock, publisher: RecordingPublisher) -> AsyncIterator[JobStore]:
        yield MemoryStore(publisher, clock, Retention())

    async def test_pending_jobs_are_canceled_when_it_is_closed(self, store: JobStore) -> None:
        waiting, running = (await self.insert(store))[0], (await self.insert(store))[0]
        await store.claim(1, ())
        await store.close()
        assert (await store.get_record(waiting)).status is JobStatus.RUNNING
        assert (await store.get_record(running)).status is JobStatus.CANCELED


class TestRetentionInMemory(JobStoreContract):
    """The whole contract again, with as little kept as its tests allow, and the bounds themselves."""

    @pytest.fixture
    async def store(self, clock: FakeClock, publisher: RecordingPublisher) -> AsyncIterator[JobStore]:
        yield MemoryStore(
            publisher, clock, Retention(max_count=4, max_age=timedelta(seconds=60), max_result_bytes=10_000)
        )

    async def test_the_oldest_finished_go_first_when_there_are_too_many(self, store: JobStore) -> None:
        (pending,) = await self.insert(store)
        running = await self.claim(store)
        finished = [await self.end(store, completion(index)) for index in range(10)]
        kept = [record.id for record in await store.list_records(JobStatus.COMPLETED, None, None)]
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
        kept = {record.id for record in await store.list_records(None, None, None)}
        assert kept == {waiting, young}
        with pytest.raises(JobNotFound):
            await store.get_record(old)

    async def test_it_is_pruned_in_small_steps(self, store: JobStore, clock: FakeClock) -> None:
        for _ in range(3):
            await self.end(store, completion(None))
        clock.advance(61)
        assert [await store.prune(2), len(await store.list_records(None, None, None))] == [True, 1]
        assert [await store.prune(2), len(await store.list_records(None, None, None))] == [False, 0]

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
            with pytest.raises(ResultDropped, match="no longer kept"):
                await store.get_result(dropped)
        assert await store.get_result(larger) == b"x" * 90_000

    async def test_deleted_results_make_room(self, store: JobStore) -> None:
        for _ in range(5):
            await store.delete(await self.end(store, completion(b"x" * 9_000)))
        first = await self.end(store, completion(b"x" * 4_000))
        await self.end(store, completion(b"x" * 4_000))
        assert await store.get_result(first) == b"x" * 4_000
