"""What a store promises where several processes work on the same jobs: two stores of one place stand for them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from servicekit.errors import JobNotFound
from servicekit.jobs.outcome import completion
from servicekit.jobs.schedules import FiredSchedule
from servicekit.jobs.status import JobStatus
from servicekit.ports import JobStore
from servicekit.testing.stores.base import StoreSetting, StoreTests
from servicekit.testing.stores.fakes import ManualClock, RecordingSignals
from servicekit.testing.stores.schedules import NEXT, TICK, schedule
from servicekit.testing.stores.workers import FREE, HINDERED, readiness_of


class SharedStoreContract(StoreTests):
    """For a store that is durable. `create_store` is called twice with the same setting."""

    @pytest.fixture
    def signals(self) -> RecordingSignals:
        """What the engine of `store` was told."""
        return RecordingSignals()

    @pytest.fixture
    async def store(self, setting: StoreSetting, signals: RecordingSignals) -> AsyncIterator[JobStore]:
        async with self.open_store(setting, signals) as store:
            yield store

    @pytest.fixture
    async def other(self, setting: StoreSetting, store: JobStore) -> AsyncIterator[JobStore]:
        async with self.open_store(setting) as other:
            yield other

    async def test_it_says_that_it_is_durable(self, store: JobStore) -> None:
        assert store.liveness.is_durable

    async def test_a_job_is_there_for_all(self, store: JobStore, other: JobStore) -> None:
        (job_id,) = await self.insert(store)
        assert await self.list_ids(other) == [job_id]
        claim = await self.claim(other)
        assert await self.status_of(store, job_id) is JobStatus.RUNNING
        await other.attempts.end_attempt(claim, completion(42))
        assert await self.status_of(store, job_id) is JobStatus.COMPLETED
        assert await store.reads.get_result(job_id) == 42

    async def test_a_job_is_claimed_by_one(self, store: JobStore, other: JobStore) -> None:
        job_ids = await self.insert(store, 10) + await self.insert(other, 10)
        claims = await asyncio.gather(*(self.claim_ids(each, 5) for each in (store, other) * 4))
        assert sorted(job_id for some in claims for job_id in some) == sorted(job_ids)

    async def test_a_limit_holds_for_all_together(self, store: JobStore, other: JobStore) -> None:
        await self.insert(store, 5)
        first = await store.attempts.claim(5, (), 2, {})
        assert len(first) == 2
        assert await other.attempts.claim(5, (), 2, {}) == []
        await store.attempts.end_attempt(first[0], completion(None))
        assert len(await other.attempts.claim(5, (), 2, {})) == 1

    async def test_a_deleted_job_is_gone_for_all(self, store: JobStore, other: JobStore) -> None:
        (job_id,) = await self.insert(store)
        await other.submissions.delete(job_id)
        with pytest.raises(JobNotFound):
            await store.reads.get_record(job_id)

    async def test_a_job_is_asked_to_stop_where_it_runs(
        self, store: JobStore, other: JobStore, signals: RecordingSignals
    ) -> None:
        (job_id,) = await self.insert(store)
        await self.claim(store)
        await other.submissions.request_cancel(job_id)
        assert await asyncio.wait_for(signals.canceled.get(), 60) == job_id

    async def test_a_new_job_is_told_to_all(self, store: JobStore, other: JobStore, signals: RecordingSignals) -> None:
        signals.woken.clear()
        await self.insert(other)
        await asyncio.wait_for(signals.woken.wait(), 60)

    async def test_a_tick_gets_one_job_whoever_fires_it(self, store: JobStore, other: JobStore) -> None:
        names = [f"schedule {number}" for number in range(5)]
        for name in names:
            await store.schedules.put_schedule(schedule(name), TICK)
        # In different orders, so that each process has something that the other one waits for.
        asked = [(store, name) for name in names] + [(other, name) for name in reversed(names)]
        fired = await asyncio.gather(
            *(each.schedules.fire_schedule(name, TICK, NEXT, self.ids.next_id()) for each, name in asked)
        )
        assert sorted(fired) == sorted([FiredSchedule.SUBMITTED] * 5 + [FiredSchedule.LOST] * 5)
        assert sorted(record.schedule or "" for record in await self.list_all(store)) == names
        assert {state.next_at for state in await other.schedules.list_schedules()} == {NEXT}

    async def test_each_process_is_listed_with_what_it_runs_whichever_is_asked(
        self, setting: StoreSetting, store: JobStore
    ) -> None:
        await self.insert(store, 3)
        await store.attempts.claim(2, ())
        async with self.open_store(setting) as other:
            await other.attempts.claim(1, ())
            for asked, is_this in ((store, [True, False]), (other, [False, True])):
                workers = await asked.queues.list_workers()
                assert [(each.running, each.is_this) for each in workers] == list(zip([2, 1], is_this, strict=True))
        assert [each.running for each in await store.queues.list_workers()] == [2]

    async def test_each_process_is_listed_with_what_it_can_run_whichever_is_asked(
        self, setting: StoreSetting, store: JobStore, signals: RecordingSignals
    ) -> None:
        signals.readiness = FREE
        await store.liveness.rescue()
        others = RecordingSignals()
        others.readiness = HINDERED
        async with self.open_store(setting, others) as other:
            for asked in (store, other):
                assert [readiness_of(each) for each in await asked.queues.list_workers()] == [FREE, HINDERED]

    async def test_old_jobs_are_dropped_once_whoever_drops_them(
        self, store: JobStore, other: JobStore, clock: ManualClock
    ) -> None:
        for _ in range(6):
            await self.end(store, completion(None))
        kept = await self.submit(store)
        clock.advance(timedelta(days=8).total_seconds())
        while any(await asyncio.gather(*(each.liveness.prune(2) for each in (store, other) * 2))):
            pass
        while await store.liveness.prune(2):
            pass
        assert await self.list_ids(other) == [kept]
        counts = await other.reads.count_by_status()
        assert (counts[JobStatus.COMPLETED], counts[JobStatus.PENDING]) == (0, 1)

    async def test_waits_are_moved_once_when_the_clock_is_set(
        self, store: JobStore, other: JobStore, clock: ManualClock
    ) -> None:
        job_id = await self.submit(store, delay=60)
        await other.attempts.make_due()
        clock.set_by(3_600)
        await asyncio.gather(*(each.attempts.make_due() for each in (store, other) * 2))
        assert (await store.reads.get_record(job_id)).scheduled_at == clock.now() + timedelta(seconds=60)

    async def test_a_job_of_a_store_that_has_closed_is_there_for_the_next(self, setting: StoreSetting) -> None:
        async with self.open_store(setting) as store:
            (job_id,) = await self.insert(store)
        async with self.open_store(setting) as store:
            assert await self.claim_ids(store) == [job_id]
