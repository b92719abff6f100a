"""What stores with bounds of their own promise."""

import inspect
from datetime import timedelta
from typing import Final

import pytest

from servicekit.errors import QueueFull
from servicekit.jobs.log_lines import LogPage, NewLine
from servicekit.jobs.options import JobOptions
from servicekit.jobs.outcome import CANCELED, completion, failure
from servicekit.jobs.query import JobFilter
from servicekit.jobs.retention import Bounds, Retention
from servicekit.jobs.schedules import FiredSchedule
from servicekit.jobs.status import JobStatus
from servicekit.jobs.submission import Claim, Submission
from servicekit.ports import JobStore
from servicekit.testing.stores.base import COROUTINE, StoreTests
from servicekit.testing.stores.fakes import ManualClock, noop, submission
from servicekit.testing.stores.owners import check_counts
from servicekit.testing.stores.schedules import TICK, schedule

FAILURES_ARE_KEPT_LONGER: Final = Retention(
    max_age=timedelta(seconds=60), by_status={JobStatus.FAILED: Bounds(max_age=timedelta(seconds=600), max_count=2)}
)
MAX_PENDING: Final = 3
MAX_LOG_BYTES: Final = 2_000
SHORT_LOGS: Final = Retention(max_log_bytes=MAX_LOG_BYTES)


class BoundsByStatus(StoreTests):
    """What a store promises whose jobs are kept for longer when they have failed."""

    retention = FAILURES_ARE_KEPT_LONGER

    async def test_each_status_has_its_own_bounds(self, store: JobStore, clock: ManualClock) -> None:
        failed = []
        for _ in range(3):
            failed.append(await self.end(store, failure(ValueError())))
            clock.advance(1)
        await self.end(store, completion(None))
        await self.end(store, CANCELED)
        clock.advance(30)
        await self.prune(store)
        assert len(await self.list_ids(store)) == 4
        clock.advance(61)
        await self.prune(store)
        assert await self.list_ids(store) == failed[:0:-1]
        clock.advance(600)
        await self.prune(store)
        assert await self.list_ids(store) == []

    async def test_what_is_dropped_is_not_counted_for_its_owner(self, store: JobStore, clock: ManualClock) -> None:
        for outcome in [failure(ValueError())] * 3 + [completion(None), CANCELED]:
            await self.submit(store, outcome=outcome, owner="ana")
            clock.advance(1)
        await self.submit(store, owner="ana")
        clock.advance(61)
        await self.prune(store)
        await check_counts(store, "ana")
        counts = await store.reads.count_by_status(JobFilter(owner="ana"))
        assert {status: count for status, count in counts.items() if count} == {
            JobStatus.FAILED: 2, JobStatus.PENDING: 1,
        }  # fmt: skip

    async def prune(self, store: JobStore) -> None:
        while await store.liveness.prune(2):
            pass


class BoundedContract(StoreTests):
    """What a store promises in which few jobs may wait, and whose logs are short."""

    retention = SHORT_LOGS
    max_pending = MAX_PENDING

    async def fill(self, store: JobStore) -> list[str]:
        """Have as many jobs wait as may."""
        return await self.insert(store, MAX_PENDING)

    async def test_a_full_queue_takes_no_more(self, store: JobStore) -> None:
        job_ids = await self.fill(store)
        with pytest.raises(QueueFull, match="The queue 'default' is full: 3 jobs wait in it") as caught:
            await self.submit(store)
        assert (caught.value.queue, caught.value.limit) == ("default", MAX_PENDING)
        assert await self.list_ids(store) == job_ids[::-1]

    async def test_each_queue_is_full_by_itself(self, store: JobStore) -> None:
        await self.fill(store)
        for _ in range(MAX_PENDING):
            await self.submit(store, queue="other")
        with pytest.raises(QueueFull):
            await self.submit(store, queue="other")

    async def test_what_waits_for_a_time_or_a_key_waits_as_well(self, store: JobStore) -> None:
        await self.start(store, concurrency_key="k")
        await self.submit(store, concurrency_key="k")
        await self.submit(store, delay=60)
        await self.submit(store)
        with pytest.raises(QueueFull):
            await self.submit(store)

    @pytest.mark.parametrize("how", ["claim", "cancel", "delete"])
    async def test_there_is_room_again_when_one_waits_no_more(self, store: JobStore, how: str) -> None:
        first, *_ = await self.fill(store)
        if how == "claim":
            await self.claim(store)
        elif how == "cancel":
            await store.submissions.request_cancel(first)
        else:
            await store.submissions.delete(first)
        await self.submit(store)
        with pytest.raises(QueueFull):
            await self.submit(store)

    async def test_a_repetition_is_answered_also_if_the_queue_is_full(self, store: JobStore) -> None:
        first = await self.submit(store, idempotency_key="k")
        await self.insert(store, MAX_PENDING - 1)
        repeated = submission(self.ids.next_id(), options=JobOptions(idempotency_key="k"))
        assert await store.submissions.insert(repeated) == first

    async def test_a_key_is_not_used_up_by_a_job_that_was_refused(self, store: JobStore) -> None:
        await self.fill(store)
        with pytest.raises(QueueFull):
            await self.submit(store, idempotency_key="k")
        await self.claim(store)
        await self.submit(store, idempotency_key="k")

    async def test_a_coroutine_object_that_is_refused_is_closed(self, store: JobStore) -> None:
        await self.fill(store)
        refused = noop()
        with pytest.raises(QueueFull):
            await store.submissions.insert(Submission(self.ids.next_id(), "noop", refused, (), {}, COROUTINE))
        assert inspect.getcoroutinestate(refused) == inspect.CORO_CLOSED

    async def test_a_job_is_not_submitted_again_into_a_full_queue(self, store: JobStore) -> None:
        ended = await self.end(store, completion(None))
        waiting = await self.fill(store)
        with pytest.raises(QueueFull):
            await store.submissions.resubmit(ended, self.ids.next_id())
        assert await self.list_ids(store) == [*waiting[::-1], ended]

    async def test_a_retry_has_room_always(self, store: JobStore, clock: ManualClock) -> None:
        claim = await self.start(store)
        await self.fill(store)
        assert await store.attempts.end_attempt(claim, failure(ValueError()).to_be_retried(clock.now()))
        assert (await store.reads.count_by_status())[JobStatus.PENDING] == MAX_PENDING + 1

    async def test_a_tick_is_left_out_if_the_queue_is_full(self, store: JobStore) -> None:
        await store.schedules.put_schedule(schedule(), TICK)
        await self.fill(store)
        assert await store.schedules.fire_schedule("nightly", TICK, None, self.ids.next_id()) is FiredSchedule.SKIPPED
        state = await store.schedules.get_schedule("nightly")
        assert (state.next_at, state.last_job_id) == (None, None)

    async def write(self, store: JobStore, claim: Claim, *texts: str, clock: ManualClock) -> None:
        await store.attempts.append_log(claim, [NewLine(clock.now(), "info", "log", text) for text in texts])

    def check_bounded(self, page: LogPage, count: int) -> None:
        numbers = [line.number for line in page.lines]
        assert numbers == list(range(page.dropped + 1, count + 1))
        assert len(numbers) > 1
        assert sum(len(line.text.encode()) for line in page.lines) <= MAX_LOG_BYTES
        assert page.is_last

    async def test_the_newest_lines_of_a_log_are_kept(self, store: JobStore, clock: ManualClock) -> None:
        claim = await self.start(store)
        for number in range(30):
            await self.write(store, claim, f"{number} " + "ä" * 100, clock=clock)
            self.check_bounded(await store.reads.list_log(claim.submission.id, 0, 100), number + 1) if number else None
        page = await store.reads.list_log(claim.submission.id, 0, 100)
        assert 0 < page.dropped < 30
        assert page.lines[-1].text.startswith("29 ")

    async def test_many_lines_at_once_are_bounded_as_well(self, store: JobStore, clock: ManualClock) -> None:
        claim = await self.start(store)
        await self.write(store, claim, *["x" * 100] * 50, clock=clock)
        self.check_bounded(await store.reads.list_log(claim.submission.id, 0, 100), 50)

    async def test_empty_lines_are_bounded_as_well(self, store: JobStore, clock: ManualClock) -> None:
        claim = await self.start(store)
        await self.write(store, claim, *[""] * (MAX_LOG_BYTES + 1), clock=clock)
        assert (await store.reads.list_log(claim.submission.id, 0, 1)).dropped > 0

    async def test_the_newest_line_is_kept_whatever_its_size(self, store: JobStore, clock: ManualClock) -> None:
        claim = await self.start(store)
        await self.write(store, claim, "short", "x" * (2 * MAX_LOG_BYTES), clock=clock)
        page = await store.reads.list_log(claim.submission.id, 0, 10)
        assert [line.number for line in page.lines] == [2]
        assert (page.dropped, page.is_last) == (1, True)

    async def test_reading_begins_where_something_is_kept(self, store: JobStore, clock: ManualClock) -> None:
        claim = await self.start(store)
        await self.write(store, claim, *["x" * 100] * 50, clock=clock)
        dropped = (await store.reads.list_log(claim.submission.id, 0, 100)).dropped
        first = await store.reads.list_log(claim.submission.id, 5, 2)
        assert [line.number for line in first.lines] == [dropped + 1, dropped + 2]
        assert not first.is_last
        assert [line.number for line in (await store.reads.list_log(claim.submission.id, 48, 10)).lines] == [49, 50]
