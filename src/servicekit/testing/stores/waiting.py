"""What every store promises of jobs that wait: for a time, for their concurrency key, and for their turn."""

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

import pytest

from servicekit.jobs.endings import GIVEN_BACK, NOT_BEGUN
from servicekit.jobs.options import RunnerKind
from servicekit.jobs.outcome import CANCELED, completion, failure, not_begun
from servicekit.jobs.queues import QueueRecord
from servicekit.jobs.record import JobRecord
from servicekit.jobs.status import EndedBy, JobStatus
from servicekit.jobs.submission import Claim
from servicekit.ports import JobStore
from servicekit.testing.stores.base import COROUTINE, THREAD, StoreTests
from servicekit.testing.stores.fakes import ManualClock, RecordingPublisher


def later(clock: ManualClock, seconds: float) -> datetime:
    return clock.now() + timedelta(seconds=seconds)


class TimeContract(StoreTests):
    """What every store promises of jobs that wait for a time, or until one."""

    async def test_a_job_is_not_claimed_before_its_time(self, store: JobStore, clock: ManualClock) -> None:
        due_at = later(clock, 60)
        job_id = await self.submit(store, delay=60)
        record = await store.reads.get_record(job_id)
        assert (record.status, record.scheduled_at) == (JobStatus.PENDING, due_at)
        assert await store.attempts.make_due() == due_at
        clock.advance(59)
        assert await store.attempts.make_due() == due_at
        assert await self.claim_ids(store) == []
        clock.advance(1)
        assert await store.attempts.make_due() is None
        assert await self.claim_ids(store) == [job_id]
        record = await store.reads.get_record(job_id)
        assert (record.scheduled_at, record.started_at) == (due_at, due_at)

    async def test_a_job_can_be_submitted_for_a_time_of_the_day(self, store: JobStore, clock: ManualClock) -> None:
        job_id = await self.submit(store, start_at=later(clock, 60))
        assert (await store.reads.get_record(job_id)).scheduled_at == later(clock, 60)
        assert await store.attempts.make_due() == later(clock, 60)

    async def test_a_job_whose_time_has_passed_is_due_at_once(self, store: JobStore, clock: ManualClock) -> None:
        job_id = await self.submit(store, start_at=later(clock, -60))
        assert (await store.reads.get_record(job_id)).scheduled_at is None
        assert await self.claim_ids(store) == [job_id]

    @pytest.mark.parametrize("hours", [-1, -30_000, 1, 30_000])
    async def test_a_delay_is_as_long_however_the_clock_is_set(
        self, store: JobStore, clock: ManualClock, hours: int
    ) -> None:
        await store.attempts.make_due()
        long, short = await self.submit(store, delay=7_200), await self.submit(store, delay=60)
        clock.advance(30)
        clock.set_by(3_600 * hours)
        new = await self.submit(store, delay=40)
        assert await store.attempts.make_due() == later(clock, 30)
        clock.advance(29)
        await store.attempts.make_due()
        assert await self.claim_ids(store) == []
        clock.advance(1)
        await store.attempts.make_due()
        assert await self.claim_ids(store) == [short]
        clock.advance(10)
        assert await store.attempts.make_due() == later(clock, 7_200 - 70)
        assert await self.claim_ids(store) == [new]
        clock.advance(7_200 - 70)
        await store.attempts.make_due()
        assert await self.claim_ids(store) == [long]

    async def test_the_pause_before_a_retry_is_as_long_however_the_clock_is_set(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        claim = await self.start(store, start_at=later(clock, -1), queue_timeout=20)
        await store.attempts.end_attempt(claim, failure(ValueError("no")).to_be_retried(later(clock, 10)))
        clock.advance(5)
        clock.set_by(-3_600)
        assert await store.attempts.make_due() == later(clock, 5)
        clock.advance(5)
        await store.attempts.make_due()
        assert await store.attempts.make_due() == later(clock, 20)
        clock.set_by(7_200)
        assert await store.attempts.make_due() == later(clock, 20)
        assert await self.claim_ids(store) == [claim.submission.id]

    @pytest.mark.parametrize("hours", [-1, 1])
    async def test_a_time_of_the_day_is_what_the_clock_shows(
        self, store: JobStore, clock: ManualClock, hours: int
    ) -> None:
        start_at = later(clock, 7_200)
        job_id = await self.submit(store, start_at=start_at, queue_timeout=60)
        clock.set_by(3_600 * hours)
        assert await store.attempts.make_due() == start_at
        assert (await store.reads.get_record(job_id)).scheduled_at == start_at

    @pytest.mark.parametrize("hours", [-1, 1])
    async def test_no_job_has_waited_for_too_long_because_the_clock_was_set(
        self, store: JobStore, clock: ManualClock, hours: int
    ) -> None:
        job_id = await self.submit(store, queue_timeout=60)
        clock.advance(30)
        clock.set_by(3_600 * hours)
        assert await store.attempts.make_due() == later(clock, 30)
        assert await self.status_of(store, job_id) is JobStatus.PENDING
        clock.advance(31)
        await store.attempts.make_due()
        assert await self.status_of(store, job_id) is JobStatus.FAILED

    async def test_the_next_moment_is_that_of_the_first_that_waits(self, store: JobStore, clock: ManualClock) -> None:
        assert await store.attempts.make_due() is None
        await self.submit(store)
        assert await store.attempts.make_due() is None
        await self.submit(store, delay=60)
        await self.submit(store, delay=20)
        await self.submit(store, queue_timeout=40)
        began = clock.now()
        for seconds in (20, 40, 60):
            assert await store.attempts.make_due() == began + timedelta(seconds=seconds)
            clock.advance(20)
        assert await store.attempts.make_due() is None

    async def test_to_become_due_is_no_change_of_the_record(self, store: JobStore, clock: ManualClock) -> None:
        job_id = await self.submit(store, delay=60)
        before, position = await store.reads.get_record(job_id), await store.changes.get_position()
        clock.advance(60)
        await store.attempts.make_due()
        assert (await store.reads.get_record(job_id), await store.changes.get_position()) == (before, position)

    async def test_what_becomes_due_stands_behind_what_is_there(self, store: JobStore, clock: ManualClock) -> None:
        first = await self.submit(store, delay=20)
        second = await self.submit(store, delay=10)
        there = await self.insert(store, 2)
        clock.advance(30)
        await store.attempts.make_due()
        after = await self.submit(store)
        assert await self.claim_ids(store) == [*there, second, first, after]

    @pytest.mark.parametrize("is_deleted", [False, True])
    async def test_who_was_canceled_or_deleted_does_not_become_due(
        self, store: JobStore, clock: ManualClock, is_deleted: bool
    ) -> None:
        job_id = await self.submit(store, delay=60, queue_timeout=60)
        await (store.submissions.delete if is_deleted else store.submissions.request_cancel)(job_id)
        assert await store.attempts.make_due() is None
        clock.advance(60)
        assert await self.claim_ids(store) == []

    async def test_a_job_that_waits_for_too_long_fails(
        self, store: JobStore, clock: ManualClock, publisher: RecordingPublisher
    ) -> None:
        job_id = await self.submit(store, queue_timeout=60)
        clock.advance(59)
        assert await store.attempts.make_due() == later(clock, 1)
        assert await self.status_of(store, job_id) is JobStatus.PENDING
        clock.advance(1)
        assert await store.attempts.make_due() is None
        record = await store.reads.get_record(job_id)
        assert (record.status, record.ended_by, record.attempt) == (JobStatus.FAILED, EndedBy.TIME_LIMIT, 0)
        assert record.error == "QueueTimeout: the job waited for longer than it may (queue_timeout=60 s)"
        assert (record.finished_at, record.started_at, record.error_traceback) == (clock.now(), None, None)
        assert publisher.events[-1].record == record
        assert publisher.events[-1].is_transition
        assert [each.version for each in await store.reads.list_transitions(job_id, 0)] == [1, 2]
        assert await self.claim_ids(store) == []

    async def test_the_wait_for_its_time_is_not_counted(self, store: JobStore, clock: ManualClock) -> None:
        job_id = await self.submit(store, delay=60, queue_timeout=10)
        clock.advance(60)
        assert await store.attempts.make_due() == later(clock, 10)
        clock.advance(9)
        await store.attempts.make_due()
        assert await self.status_of(store, job_id) is JobStatus.PENDING
        clock.advance(1)
        await store.attempts.make_due()
        assert await self.status_of(store, job_id) is JobStatus.FAILED

    async def test_a_job_that_became_due_and_expired_unseen_has_failed(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        job_id = await self.submit(store, delay=60, queue_timeout=10)
        clock.advance(3_600)
        assert await store.attempts.make_due() is None
        assert await self.status_of(store, job_id) is JobStatus.FAILED

    async def test_a_job_that_was_started_in_time_does_not_expire(self, store: JobStore, clock: ManualClock) -> None:
        claim = await self.start(store, queue_timeout=60)
        assert await store.attempts.make_due() is None
        clock.advance(60)
        await store.attempts.make_due()
        assert await store.attempts.end_attempt(claim, completion(None))

    async def test_a_job_that_waits_for_its_key_or_a_paused_queue_expires(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        await self.start(store, concurrency_key="k")
        await store.queues.set_queue_paused("paused", is_paused=True)
        blocked = await self.submit(store, concurrency_key="k", queue_timeout=60)
        resting = await self.submit(store, queue="paused", queue_timeout=60)
        clock.advance(60)
        await store.attempts.make_due()
        assert [await self.status_of(store, job_id) for job_id in (blocked, resting)] == [JobStatus.FAILED] * 2

    async def test_the_record_tells_when_a_delay_ends_by_the_clock_as_it_is_set(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        delayed = await self.submit(store, delay=60)
        wanted = later(clock, 7_200)
        starting = await self.submit(store, start_at=wanted)
        clock.set_by(3_600)
        assert await store.attempts.make_due() == later(clock, 60)
        records = [await store.reads.get_record(job_id) for job_id in (delayed, starting)]
        assert [(record.scheduled_at, record.version) for record in records] == [(later(clock, 60), 1), (wanted, 1)]


class KeyContract(StoreTests):
    """What every store promises of concurrency keys."""

    async def test_of_the_jobs_with_one_key_only_so_many_run(self, store: JobStore) -> None:
        first, second, third = [await self.submit(store, concurrency_key="k", concurrency_limit=2) for _ in range(3)]
        other = await self.submit(store, concurrency_key="other")
        plain = await self.submit(store)
        claims = await store.attempts.claim(100, ())
        assert [claim.submission.id for claim in claims] == [first, second, other, plain]
        await store.attempts.end_attempt(claims[2], completion(None))
        await store.attempts.end_attempt(claims[3], completion(None))
        assert await self.claim_ids(store) == []
        await store.attempts.end_attempt(claims[1], completion(None))
        assert await self.claim_ids(store) == [third]

    @pytest.mark.parametrize("how", ["complete", "fail", "cancel", "release", "retry later", "retry canceled"])
    async def test_who_runs_no_more_makes_room_for_the_next(
        self, store: JobStore, clock: ManualClock, how: str
    ) -> None:
        claim = await self.start(store, concurrency_key="k", max_restarts=0)
        following = await self.submit(store, concurrency_key="k")
        if how == "retry canceled":
            await store.submissions.request_cancel(claim.submission.id)
        assert await self.claim_ids(store) == []
        match how:
            case "complete":
                await store.attempts.end_attempt(claim, completion(None))
            case "fail":
                await store.attempts.end_attempt(claim, failure(ValueError()))
            case "cancel":
                await store.attempts.end_attempt(claim, CANCELED)
            case "release":
                await store.attempts.end_attempt(claim, GIVEN_BACK)
            case _:
                await store.attempts.end_attempt(claim, failure(ValueError()).to_be_retried(later(clock, 60)))
        assert await self.claim_ids(store) == [following]

    @pytest.mark.parametrize("how", ["cancel", "delete", "expire"])
    async def test_who_will_not_run_makes_room_for_the_next(
        self, store: JobStore, clock: ManualClock, how: str
    ) -> None:
        ready = await self.submit(store, concurrency_key="k", queue_timeout=10)
        following = await self.submit(store, concurrency_key="k")
        match how:
            case "cancel":
                await store.submissions.request_cancel(ready)
            case "delete":
                await store.submissions.delete(ready)
            case _:
                clock.advance(10)
                await store.attempts.make_due()
        assert await self.claim_ids(store) == [following]

    @pytest.mark.parametrize("how", ["finish", "retry", "release"])
    async def test_a_deleted_job_keeps_its_place_until_its_attempt_has_ended(
        self, store: JobStore, clock: ManualClock, how: str
    ) -> None:
        claim = await self.start(store, concurrency_key="k")
        following = await self.submit(store, concurrency_key="k")
        await store.submissions.delete(claim.submission.id)
        assert await self.claim_ids(store) == []
        assert not await store.attempts.end_attempt(Claim(claim.submission, claim.attempt - 1), completion(None))
        assert await self.claim_ids(store) == []
        match how:
            case "finish":
                assert not await store.attempts.end_attempt(claim, completion(None))
            case "retry":
                assert not await store.attempts.end_attempt(claim, failure(ValueError()).to_be_retried(clock.now()))
            case _:
                assert not await store.attempts.end_attempt(claim, GIVEN_BACK)
        assert await self.claim_ids(store) == [following]

    @pytest.mark.parametrize("how", ["cancel", "delete", "expire"])
    async def test_who_waited_in_vain_is_passed_over(self, store: JobStore, clock: ManualClock, how: str) -> None:
        claim = await self.start(store, concurrency_key="k")
        waiting = await self.submit(store, concurrency_key="k", queue_timeout=10)
        following = await self.submit(store, concurrency_key="k")
        match how:
            case "cancel":
                await store.submissions.request_cancel(waiting)
            case "delete":
                await store.submissions.delete(waiting)
            case _:
                clock.advance(10)
                await store.attempts.make_due()
        assert await self.claim_ids(store) == []
        await store.attempts.end_attempt(claim, completion(None))
        assert await self.claim_ids(store) == [following]

    async def test_the_next_has_the_highest_priority_and_is_the_oldest_of_these(self, store: JobStore) -> None:
        claim = await self.start(store, concurrency_key="k")
        low = await self.submit(store, concurrency_key="k", priority=-1)
        oldest = await self.submit(store, concurrency_key="k", priority=5)
        younger = await self.submit(store, concurrency_key="k", priority=5)
        middle = await self.submit(store, concurrency_key="k", queue="other")
        order = []
        for _ in range(4):
            await store.attempts.end_attempt(claim, completion(None))
            claim = await self.claim(store)
            order.append(claim.submission.id)
        assert order == [oldest, younger, middle, low]

    async def test_a_flood_with_one_key_delays_nobody_else(self, store: JobStore) -> None:
        flood = [await self.submit(store, concurrency_key="k") for _ in range(20)]
        plain = await self.insert(store, 2)
        claims = await store.attempts.claim(2, ())
        assert [claim.submission.id for claim in claims] == [flood[0], plain[0]]
        await store.attempts.end_attempt(claims[0], completion(None))
        after = await self.submit(store)
        assert await self.claim_ids(store) == [plain[1], flood[1], after]

    async def test_each_job_has_a_limit_of_its_own(self, store: JobStore) -> None:
        first = await self.start(store, concurrency_key="k")
        strict = await self.submit(store, concurrency_key="k", concurrency_limit=1)
        relaxed = await self.submit(store, concurrency_key="k", concurrency_limit=2)
        second = await self.claim(store)
        assert second.submission.id == relaxed
        await store.attempts.end_attempt(first, completion(None))
        assert await self.claim_ids(store) == []
        await store.attempts.end_attempt(second, completion(None))
        assert await self.claim_ids(store) == [strict]

    async def test_a_limit_can_be_larger_than_any_number_of_jobs(self, store: JobStore) -> None:
        await self.start(store, concurrency_key="k", concurrency_limit=2**63)
        await self.start(store, concurrency_key="k", concurrency_limit=10**30)
        await self.start(store, concurrency_key="k", concurrency_limit=2**63 - 1)

    async def test_a_job_that_waits_for_its_time_keeps_nobody_from_its_key(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        delayed = await self.submit(store, concurrency_key="k", delay=60)
        claim = await self.start(store, concurrency_key="k")
        clock.advance(60)
        await store.attempts.make_due()
        assert await self.claim_ids(store) == []
        await store.attempts.end_attempt(claim, completion(None))
        assert await self.claim_ids(store) == [delayed]

    @pytest.mark.parametrize("how", ["delay", "retry"])
    async def test_who_has_waited_longest_for_a_key_is_next(
        self, store: JobStore, clock: ManualClock, how: str
    ) -> None:
        """Not who was submitted first: that one has waited for its time meanwhile, or has had its turn."""
        if how == "delay":
            claim = await self.start(store, concurrency_key="k")
            late = await self.submit(store, concurrency_key="k", delay=60)
            early = await self.submit(store, concurrency_key="k")
            clock.advance(60)
            await store.attempts.make_due()
        else:
            again = await self.start(store, concurrency_key="k")
            late, first, early = again.submission.id, *[await self.submit(store, concurrency_key="k") for _ in "12"]
            await store.attempts.end_attempt(again, failure(ValueError()).to_be_retried(clock.now()))
            claim = await self.claim(store)
            assert claim.submission.id == first
        await store.attempts.end_attempt(claim, completion(None))
        claim = await self.claim(store)
        assert claim.submission.id == early
        await store.attempts.end_attempt(claim, completion(None))
        assert await self.claim_ids(store) == [late]

    async def test_a_retried_job_needs_its_key_again(self, store: JobStore, clock: ManualClock) -> None:
        first = await self.start(store, concurrency_key="k")
        second = await self.submit(store, concurrency_key="k")
        await store.attempts.end_attempt(first, failure(ValueError()).to_be_retried(later(clock, 60)))
        claim = await self.claim(store)
        assert claim.submission.id == second
        clock.advance(60)
        await store.attempts.make_due()
        assert await self.claim_ids(store) == []
        await store.attempts.end_attempt(claim, completion(None))
        assert await self.claim_ids(store) == [first.submission.id]

    @pytest.mark.parametrize("is_first", [False, True])
    async def test_a_paused_queue_keeps_nobody_from_a_key(self, store: JobStore, is_first: bool) -> None:
        if is_first:
            await store.queues.set_queue_paused("paused", is_paused=True)
        stuck = await self.submit(store, queue="paused", concurrency_key="k")
        waiting, last = [await self.submit(store, queue="open", concurrency_key="k") for _ in range(2)]
        if not is_first:
            await store.queues.set_queue_paused("paused", is_paused=True)
        claim = await self.claim(store)
        assert claim.submission.id == waiting
        assert await self.claim_ids(store) == []
        await store.attempts.end_attempt(claim, completion(None))
        claim = await self.claim(store)
        assert claim.submission.id == last
        await store.queues.set_queue_paused("paused", is_paused=False)
        assert await self.claim_ids(store) == []
        await store.attempts.end_attempt(claim, completion(None))
        assert await self.claim_ids(store) == [stuck]

    async def test_a_pause_lets_go_of_all_keys(self, store: JobStore) -> None:
        keys = [f"key {number}" for number in range(40)]
        for key in keys:
            await self.submit(store, queue="paused", concurrency_key=key)
        waiting = [await self.submit(store, queue="open", concurrency_key=key) for key in keys]
        await store.queues.set_queue_paused("paused", is_paused=True)
        assert sorted(await self.claim_ids(store)) == waiting

    async def test_a_full_queue_keeps_nobody_from_a_key(self, store: JobStore) -> None:
        running = await self.start(store, queue="gpu")
        stuck = await self.submit(store, queue="gpu", concurrency_key="k")
        assert await self.claim_ids(store, gpu=1) == []
        waiting = await self.submit(store, queue="open", concurrency_key="k")
        (claim,) = await store.attempts.claim(5, (), None, {"gpu": 1})
        assert claim.submission.id == waiting
        await store.attempts.end_attempt(running, completion(None))
        assert await self.claim_ids(store, gpu=1) == []
        await store.attempts.end_attempt(claim, completion(None))
        assert await self.claim_ids(store, gpu=1) == [stuck]

    async def test_a_queue_that_a_claim_has_filled_keeps_nobody_from_a_key(self, store: JobStore) -> None:
        first = await self.submit(store, queue="gpu")
        await self.submit(store, queue="gpu", concurrency_key="k")
        waiting = await self.submit(store, queue="open", concurrency_key="k")
        assert sorted(await self.claim_ids(store, gpu=1)) == sorted([first, waiting])

    async def test_of_jobs_that_can_start_the_highest_gets_the_place(self, store: JobStore) -> None:
        await store.queues.set_queue_paused("paused", is_paused=True)
        await self.submit(store, queue="paused", concurrency_key="k", priority=9)
        await self.submit(store, queue="paused", concurrency_key="k", priority=9)
        await self.submit(store, queue="open", concurrency_key="k")
        high = await self.submit(store, queue="another", concurrency_key="k", priority=1)
        assert await self.claim_ids(store) == [high]

    async def test_who_loses_a_place_waits_for_it_and_can_be_canceled(self, store: JobStore) -> None:
        stuck = await self.submit(store, queue="paused", concurrency_key="k")
        await store.queues.set_queue_paused("paused", is_paused=True)
        await self.submit(store, queue="open", concurrency_key="k")
        claim = await self.claim(store)
        await store.submissions.request_cancel(stuck)
        await store.queues.set_queue_paused("paused", is_paused=False)
        await store.attempts.end_attempt(claim, completion(None))
        assert await self.claim_ids(store) == []
        assert [queue.pending for queue in await store.queues.list_queues()] == []

    async def test_a_job_that_was_put_back_keeps_nobody_from_its_key(self, store: JobStore) -> None:
        claim = await self.start(store, queue="a", concurrency_key="k")
        waiting = await self.submit(store, queue="b", concurrency_key="k")
        await store.attempts.end_attempt(claim, NOT_BEGUN)
        await store.queues.set_queue_paused("a", is_paused=True)
        assert await self.claim_ids(store) == [waiting]

    @pytest.mark.parametrize("queue", ["default", "other"])
    async def test_a_job_that_could_not_begin_keeps_nobody_who_could_from_its_key(
        self, store: JobStore, queue: str
    ) -> None:
        await self.submit(store, kind=THREAD, concurrency_key="k")
        claim = await self.claim(store)
        alike = await self.submit(store, kind=THREAD, concurrency_key="k", queue=queue)
        other = await self.submit(store, concurrency_key="k", queue=queue)
        assert await self.claim_ids(store, excluding=[THREAD]) == []
        await store.attempts.end_attempt(claim, not_begun("no threads"))
        (heir,) = await store.attempts.claim(5, [THREAD])
        assert heir.submission.id == other
        assert await self.claim_ids(store) == []
        await store.attempts.end_attempt(heir, completion(None))
        last = await self.submit(store, concurrency_key="k", queue=queue)
        again = await self.claim(store)  # now it can begin, and goes first
        assert again.submission.id == claim.submission.id
        await store.attempts.end_attempt(again, completion(None))
        ended = [await self.claim(store)]
        await store.attempts.end_attempt(ended[0], completion(None))
        assert [ended[0].submission.id, *await self.claim_ids(store)] == [alike, last]

    @pytest.mark.parametrize("seed", range(5))
    async def test_no_key_is_ever_held_by_too_many_and_nobody_waits_forever(
        self, store: JobStore, clock: ManualClock, seed: int
    ) -> None:
        crowd = Crowd(self, store, clock, random.Random(seed))
        for _ in range(150):
            await crowd.do_something()
            crowd.check_places()
        clock.advance(10)
        for queue in crowd.queues:
            await store.queues.set_queue_paused(queue, is_paused=False)
        while crowd.alive:
            await store.attempts.make_due()
            assert await crowd.claim(100) + len(crowd.running) > 0
            crowd.check_places()
            while crowd.running:
                await crowd.end()


class Crowd:
    """Jobs with and without concurrency keys, to which random things happen."""

    limits: Final[Mapping[str | None, int]] = {"a": 1, "b": 2, "c": 3}
    queues: Final = ("default", "other")

    def __init__(self, tests: StoreTests, store: JobStore, clock: ManualClock, chance: random.Random) -> None:
        self._tests = tests
        self._store = store
        self._clock = clock
        self._chance = chance
        self.alive: set[str] = set()
        self.running: list[Claim] = []

    async def do_something(self) -> None:
        actions: list[Callable[[], Awaitable[object]]] = [
            self.submit,
            self.claim,
            self.end,
            self.retry,
            self.cancel,
            self.delete,
            self.pass_time,
            self.pause,
        ]
        (action,) = self._chance.choices(actions, [4, 4, 4, 2, 1, 1, 2, 2])
        await action()

    async def pause(self) -> None:
        """One of the two queues, or none."""
        paused = self._chance.choice([*self.queues, None])
        for queue in self.queues:
            await self._store.queues.set_queue_paused(queue, is_paused=queue == paused)

    def check_places(self) -> None:
        taken = Counter(claim.submission.options.concurrency_key for claim in self.running)
        assert all(taken[key] <= limit for key, limit in self.limits.items())

    async def submit(self) -> None:
        key = self._chance.choice([*self.limits, None])
        job_id = await self._tests.submit(
            self._store,
            concurrency_key=key,
            concurrency_limit=self.limits.get(key, 1),
            priority=self._chance.randint(-1, 1),
            delay=self._chance.choice([0, 0, 10]),
            queue=self._chance.choice(self.queues),
        )
        self.alive.add(job_id)

    async def claim(self, limit: int = 2) -> int:
        claims = await self._store.attempts.claim(limit, ())
        self.running += claims
        return len(claims)

    def _stop_one(self) -> Claim | None:
        return self.running.pop(self._chance.randrange(len(self.running))) if self.running else None

    async def end(self) -> None:
        if (claim := self._stop_one()) is not None:
            outcome = self._chance.choice([completion(None), failure(ValueError()), CANCELED])
            await self._store.attempts.end_attempt(claim, outcome)
            self.alive.discard(claim.submission.id)

    async def retry(self) -> None:
        if (claim := self._stop_one()) is not None:
            retry_at = later(self._clock, self._chance.choice([0, 5]))
            await self._store.attempts.end_attempt(claim, failure(ValueError()).to_be_retried(retry_at))

    async def cancel(self) -> None:
        if waiting := sorted(self.alive - {claim.submission.id for claim in self.running}):
            job_id = self._chance.choice(waiting)
            await self._store.submissions.request_cancel(job_id)
            self.alive.remove(job_id)

    async def delete(self) -> None:
        if self.alive:
            job_id = self._chance.choice(sorted(self.alive))
            await self._store.submissions.delete(job_id)
            self.alive.remove(job_id)

    async def pass_time(self) -> None:
        self._clock.advance(5)
        await self._store.attempts.make_due()


class Hall:
    """Many queues, of which some are paused or limited, and jobs for two kinds of runner."""

    names: Final = tuple(f"queue {number}" for number in range(20))
    limits: Final[Mapping[str, int]] = {"queue 0": 1, "queue 1": 2, "queue 2": 3}

    def __init__(self, tests: StoreTests, store: JobStore, chance: random.Random) -> None:
        self._tests = tests
        self._store = store
        self._chance = chance
        self._kinds: dict[str, RunnerKind] = {}
        self._waiting: Counter[tuple[str, RunnerKind]] = Counter()
        self._running: list[Claim] = []
        self._paused: set[str] = set()

    async def do_something(self) -> None:
        actions: list[Callable[[], Awaitable[None]]] = [
            self.submit, self.claim, self.end, self.put_back, self.pause, self.resume,
        ]  # fmt: skip
        (action,) = self._chance.choices(actions, [6, 4, 4, 2, 1, 1])
        await action()

    async def submit(self) -> None:
        queue, kind = self._chance.choice(self.names), self._chance.choice([COROUTINE, THREAD])
        job_id = await self._tests.submit(self._store, kind=kind, queue=queue, priority=self._chance.randint(0, 1))
        self._kinds[job_id] = kind
        self._waiting[queue, kind] += 1

    async def claim(self) -> None:
        limit, excluding = self._chance.randint(1, 8), self._chance.choice([(), (THREAD,)])
        expected = min(limit, sum(self._count_claimable(queue, excluding) for queue in self.names))
        claims = await self._store.attempts.claim(limit, excluding, None, self.limits)
        assert len(claims) == expected
        for claim in claims:
            queue = claim.submission.options.queue
            assert queue not in self._paused
            self._waiting[queue, self._kinds[claim.submission.id]] -= 1
            self._running.append(claim)
        for queue, limit in self.limits.items():
            assert self._count_running(queue) <= limit

    def _count_claimable(self, queue: str, excluding: tuple[RunnerKind, ...]) -> int:
        ready = sum(self._waiting[queue, kind] for kind in (COROUTINE, THREAD) if kind not in excluding)
        room = self.limits.get(queue, ready + self._count_running(queue)) - self._count_running(queue)
        return 0 if queue in self._paused else min(ready, room)

    def _count_running(self, queue: str) -> int:
        return sum(claim.submission.options.queue == queue for claim in self._running)

    async def end(self) -> None:
        if self._running:
            claim = self._running.pop(self._chance.randrange(len(self._running)))
            await self._store.attempts.end_attempt(claim, completion(None))

    async def put_back(self) -> None:
        if self._running:
            claim = self._running.pop(self._chance.randrange(len(self._running)))
            assert await self._store.attempts.end_attempt(claim, NOT_BEGUN)
            self._waiting[claim.submission.options.queue, self._kinds[claim.submission.id]] += 1

    async def pause(self) -> None:
        queue = self._chance.choice(self.names)
        await self._store.queues.set_queue_paused(queue, is_paused=True)
        self._paused.add(queue)

    async def resume(self) -> None:
        for queue in sorted(self._paused):
            await self._store.queues.set_queue_paused(queue, is_paused=False)
        self._paused.clear()


class QueueContract(StoreTests):
    """What every store promises of priorities and queues."""

    async def flood(self, store: JobStore, queue: str, count: int = 10, priority: int = 0) -> list[str]:
        return [await self.submit(store, queue=queue, priority=priority) for _ in range(count)]

    async def test_those_of_higher_priority_go_first(self, store: JobStore) -> None:
        priorities = [0, 3, -2, 3, 0, 1_000, -2]
        job_ids = [await self.submit(store, priority=priority) for priority in priorities]
        expected = [job_ids[index] for index in (5, 1, 3, 0, 4, 2, 6)]
        assert await self.claim_ids(store, 3) == expected[:3]
        assert await self.claim_ids(store) == expected[3:]

    async def test_priorities_count_across_runners(self, store: JobStore) -> None:
        low = await self.submit(store, kind=COROUTINE)
        high = await self.submit(store, kind=THREAD, priority=1)
        middle = await self.submit(store, kind=COROUTINE, priority=1)
        assert await self.claim_ids(store, excluding=(THREAD,), limit=1) == [middle]
        assert await self.claim_ids(store) == [high, low]

    async def test_what_becomes_due_goes_before_what_has_a_lower_priority(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        due = await self.submit(store, delay=60, priority=1)
        waiting = await self.submit(store)
        clock.advance(60)
        await store.attempts.make_due()
        assert await self.claim_ids(store) == [due, waiting]

    async def test_queues_take_turns(self, store: JobStore) -> None:
        first, second = await self.flood(store, "a"), await self.flood(store, "b", 3)
        claimed = await self.claim_ids(store, 6)
        assert sorted(claimed) == sorted([*first[:3], *second])
        assert [job_id for job_id in claimed if job_id in first] == first[:3]

    async def test_a_queue_is_not_before_others_by_its_priorities(self, store: JobStore) -> None:
        first = await self.flood(store, "a", priority=1_000)
        second = await self.flood(store, "b", 1, priority=-1_000)
        assert sorted(await self.claim_ids(store, 2)) == sorted([first[0], *second])

    async def test_the_queue_with_the_fewest_running_is_next(self, store: JobStore) -> None:
        await self.flood(store, "a")
        assert len(await self.claim_ids(store, 3)) == 3
        second, third = await self.flood(store, "b"), await self.flood(store, "c")
        assert sorted(await self.claim_ids(store, 4)) == sorted([*second[:2], *third[:2]])

    async def test_a_flood_in_one_queue_delays_no_other_where_there_is_one_slot(self, store: JobStore) -> None:
        await self.flood(store, "a")
        (second,), (third,) = await self.flood(store, "b", 1), await self.flood(store, "c", 1)
        order = []
        for _ in range(4):
            claim = await self.claim(store)
            order.append(claim.submission.id)
            await store.attempts.end_attempt(claim, completion(None))
        assert {second, third} < set(order)

    async def test_new_queues_do_not_pass_the_others_by(self, store: JobStore) -> None:
        flood = await self.flood(store, "a", 3)
        order = []
        for number in range(9):
            await self.flood(store, f"new {number}", 2)
            claim = await self.claim(store)
            order.append(claim.submission.id)
            await store.attempts.end_attempt(claim, completion(None))
        assert flood[0] in order

    async def test_new_queues_do_not_pass_one_by_that_was_served_before(self, store: JobStore) -> None:
        flood = [*await self.flood(store, "z", 3), *await self.flood(store, "y", 1)]
        for claim in await store.attempts.claim(2, ()):
            await store.attempts.end_attempt(claim, completion(None))
        order = []
        for number in range(4):
            await self.flood(store, f"new {number}", 2)
            claim = await self.claim(store)
            order.append(claim.submission.id)
            await store.attempts.end_attempt(claim, completion(None))
        assert flood[1] in order

    @pytest.mark.parametrize("seed", range(3))
    async def test_a_claim_gets_all_that_may_run_and_nothing_else(self, store: JobStore, seed: int) -> None:
        hall = Hall(self, store, random.Random(seed))
        for _ in range(120):
            await hall.do_something()

    async def test_of_a_queue_with_a_limit_no_more_run(self, store: JobStore) -> None:
        gpu = await self.flood(store, "gpu", 4)
        other = await self.flood(store, "other", 2)
        claims = await store.attempts.claim(100, (), None, {"gpu": 2})
        assert sorted(claim.submission.id for claim in claims) == sorted([*gpu[:2], *other])
        assert await self.claim_ids(store, gpu=2) == []
        for claim in claims:
            if claim.submission.id == gpu[0]:
                await store.attempts.end_attempt(claim, completion(None))
        assert await self.claim_ids(store, gpu=2) == [gpu[2]]
        assert await self.claim_ids(store, gpu=2) == []
        assert await self.claim_ids(store, other=0) == [gpu[3]]

    async def test_a_deleted_job_counts_for_its_queue_until_it_has_ended(self, store: JobStore) -> None:
        claim = await self.start(store, queue="gpu")
        (following,) = await self.flood(store, "gpu", 1)
        await store.submissions.delete(claim.submission.id)
        assert await self.claim_ids(store, gpu=1) == []
        assert not await store.attempts.end_attempt(claim, completion(None))
        assert await self.claim_ids(store, gpu=1) == [following]

    async def test_jobs_of_a_paused_queue_are_not_claimed(self, store: JobStore) -> None:
        claim = await self.start(store, queue="a")
        (before,) = await self.flood(store, "a", 1)
        await store.queues.set_queue_paused("a", is_paused=True)
        after, other = await self.submit(store, queue="a", priority=1), await self.submit(store)
        assert await self.claim_ids(store) == [other]
        assert await self.status_of(store, before) is JobStatus.PENDING
        assert await store.attempts.end_attempt(claim, completion(None))
        assert await self.claim_ids(store) == []
        await store.queues.set_queue_paused("a", is_paused=False)
        assert await self.claim_ids(store) == [after, before]

    async def test_what_becomes_ready_in_a_paused_queue_waits_as_well(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        delayed = await self.submit(store, queue="a", delay=60)
        claim = await self.start(store, queue="a", concurrency_key="k")
        blocked = await self.submit(store, queue="a", concurrency_key="k")
        await store.queues.set_queue_paused("a", is_paused=True)
        clock.advance(60)
        await store.attempts.make_due()
        await store.attempts.end_attempt(claim, failure(ValueError()).to_be_retried(later(clock, 60)))
        assert await self.claim_ids(store) == []
        await store.queues.set_queue_paused("a", is_paused=False)
        assert await self.claim_ids(store) == [delayed, blocked]

    async def test_queues_are_listed_with_what_is_in_them(self, store: JobStore) -> None:
        assert await store.queues.list_queues() == []
        await store.queues.set_queue_paused("paused", is_paused=True)
        await self.flood(store, "b", 3)
        await self.claim(store)
        await self.submit(store, queue="a", delay=60)
        await self.submit(store, queue="a", concurrency_key="k")
        await self.submit(store, queue="a", concurrency_key="k")
        assert await store.queues.list_queues() == [
            QueueRecord("a", is_paused=False, pending=3, running=0),
            QueueRecord("b", is_paused=False, pending=2, running=1),
            QueueRecord("paused", is_paused=True, pending=0, running=0),
        ]

    async def test_a_queue_without_jobs_is_not_listed(self, store: JobStore) -> None:
        await store.queues.set_queue_paused("a", is_paused=True)
        await store.queues.set_queue_paused("a", is_paused=False)
        claim = await self.start(store, queue="b")
        await store.attempts.end_attempt(claim, completion(None))
        await store.submissions.request_cancel(await self.submit(store, queue="c"))
        await store.submissions.delete(await self.submit(store, queue="d"))
        assert await store.queues.list_queues() == []

    async def test_a_retry_goes_back_into_its_queue_with_its_priority(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        claim = await self.start(store, queue="a", priority=5)
        (other,) = await self.flood(store, "a", 1)
        await store.attempts.end_attempt(claim, failure(ValueError()).to_be_retried(clock.now()))
        assert await store.queues.list_queues() == [QueueRecord("a", is_paused=False, pending=2, running=0)]
        assert await self.claim_ids(store) == [claim.submission.id, other]

    async def test_every_job_has_its_turn(self, store: JobStore) -> None:
        """Whatever queues, priorities and runners there are, and in whatever portions they are claimed."""
        chance = random.Random(1)
        job_ids = [
            await self.submit(
                store,
                queue=chance.choice("abc"),
                priority=chance.randint(-2, 2),
                kind=chance.choice([COROUTINE, THREAD]),
            )
            for _ in range(40)
        ]
        claimed: list[str] = []
        while portion := await self.claim_ids(store, chance.randint(1, 5)):
            claimed += portion
        assert sorted(claimed) == job_ids
        records = {job_id: await store.reads.get_record(job_id) for job_id in job_ids}

        def rank(record: JobRecord) -> tuple[int, str]:
            return -record.priority, record.id

        for queue in "abc":
            of_queue = [records[job_id] for job_id in claimed if records[job_id].queue == queue]
            assert of_queue == sorted(of_queue, key=rank)
