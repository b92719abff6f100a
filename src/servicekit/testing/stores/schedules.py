"""What every store promises of schedules."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from servicekit.errors import ScheduleNotFound
from servicekit.jobs.options import JobOptions, RunnerKind
from servicekit.jobs.outcome import completion, failure
from servicekit.jobs.record import JobRecord
from servicekit.jobs.schedules import FiredSchedule, MissedTicks, Overlap, Schedule, ScheduleState
from servicekit.jobs.status import JobStatus
from servicekit.jobs.timetable import Cron, Every
from servicekit.ports import JobStore
from servicekit.testing.stores.base import StoreTests
from servicekit.testing.stores.fakes import noop

TICK: Final = datetime(2026, 1, 1, 13, 0, tzinfo=UTC)
NEXT, LATER = TICK + timedelta(minutes=1), TICK + timedelta(minutes=2)


def report(*args: object, **kwargs: object) -> None:
    """A target that takes anything."""


def schedule(name: str = "nightly", **changes: Any) -> Schedule:
    values: dict[str, Any] = {
        "timetable": Every(60),
        "target": report,
        "args": (),
        "kwargs": {},
        "options": JobOptions(),
        "missed": MissedTicks.ONCE,
        "overlap": Overlap.SKIP,
    }
    return Schedule(name=name, **{**values, **changes})


class ScheduleContract(StoreTests):
    """What every store promises of schedules."""

    async def fire(self, store: JobStore, tick: datetime = TICK, next_at: datetime | None = NEXT) -> JobRecord:
        """Let a tick pass that gets a job, and return that."""
        job_id = self.ids.next_id()
        assert await store.schedules.fire_schedule("nightly", tick, next_at, job_id) is FiredSchedule.SUBMITTED
        return await store.reads.get_record(job_id)

    async def fire_in_vain(self, store: JobStore, tick: datetime = TICK) -> FiredSchedule:
        """Let a tick pass that gets no job."""
        job_id = self.ids.next_id()
        before = await self.list_ids(store)
        fired = await store.schedules.fire_schedule("nightly", tick, NEXT, job_id)
        assert await self.list_ids(store) == before
        return fired

    async def test_a_schedule_shows_the_name_of_its_jobs(self, store: JobStore) -> None:
        await store.schedules.put_schedule(schedule(options=JobOptions(name="backup")), TICK)
        state = await store.schedules.get_schedule("nightly")
        assert state.target_name == (await self.fire(store)).name == "backup"

    async def test_a_schedule_is_kept(self, store: JobStore) -> None:
        timetable = Cron("0 3 * * *", "Europe/Berlin", missed="all", overlap="wait")
        new = schedule(timetable=timetable, missed=MissedTicks.ALL, overlap=Overlap.WAIT)
        await store.schedules.put_schedule(new, TICK)
        assert await store.schedules.get_schedule("nightly") == ScheduleState(
            name="nightly",
            timetable=timetable,
            target_name="report",
            missed=MissedTicks.ALL,
            overlap=Overlap.WAIT,
            is_paused=False,
            next_at=TICK,
            last_at=None,
            last_job_id=None,
        )

    async def test_schedules_are_listed_by_name(self, store: JobStore) -> None:
        assert await store.schedules.list_schedules() == []
        for name in ("b", "c", "a"):
            await store.schedules.put_schedule(schedule(name), None)
        assert [state.name for state in await store.schedules.list_schedules()] == ["a", "b", "c"]
        assert await store.schedules.list_schedules() == [await store.schedules.get_schedule(name) for name in "abc"]

    async def test_what_is_not_there_is_not_found(self, store: JobStore) -> None:
        await store.schedules.put_schedule(schedule(), TICK)
        await store.schedules.remove_schedule("nightly")
        with pytest.raises(ScheduleNotFound, match="nightly"):
            await store.schedules.get_schedule("nightly")
        with pytest.raises(ScheduleNotFound):
            await store.schedules.remove_schedule("nightly")
        with pytest.raises(ScheduleNotFound):
            await store.schedules.set_schedule_paused("nightly", None, is_paused=True)
        with pytest.raises(ScheduleNotFound):
            await store.schedules.fire_schedule("nightly", TICK, NEXT, self.ids.next_id())
        assert await store.schedules.list_schedules() == []

    async def test_a_schedule_that_says_the_same_goes_on_where_it_was(self, store: JobStore) -> None:
        await store.schedules.put_schedule(schedule(), TICK)
        job = await self.fire(store)
        before = await store.schedules.get_schedule("nightly")
        await store.schedules.put_schedule(schedule(), LATER)
        assert await store.schedules.get_schedule("nightly") == before
        assert (before.next_at, before.last_at, before.last_job_id) == (NEXT, TICK, job.id)

    async def test_a_schedule_that_says_something_else_counts(self, store: JobStore) -> None:
        await store.schedules.put_schedule(schedule(), TICK)
        await store.schedules.put_schedule(schedule(target=noop, overlap=Overlap.ALLOW), LATER)
        state = await store.schedules.get_schedule("nightly")
        assert (state.target_name, state.overlap, state.next_at) == ("noop", Overlap.ALLOW, TICK)
        assert (await self.fire(store)).name == "noop"

    async def test_another_timetable_has_another_next_tick(self, store: JobStore) -> None:
        await store.schedules.put_schedule(schedule(), TICK)
        job = await self.fire(store)
        await store.schedules.put_schedule(schedule(timetable=Every(120)), LATER)
        state = await store.schedules.get_schedule("nightly")
        assert (state.timetable, state.next_at) == (Every(120), LATER)
        assert (state.last_at, state.last_job_id) == (TICK, job.id)

    async def test_a_tick_gets_a_job(self, store: JobStore) -> None:
        options = JobOptions(name="night's work", tags=("a",), queue="reports", priority=7, max_restarts=0)
        await store.schedules.put_schedule(schedule(options=options, args=(1, "b"), kwargs={"c": [None]}), TICK)
        record = await self.fire(store)
        assert (record.status, record.schedule, record.name) == (JobStatus.PENDING, "nightly", "night's work")
        assert (record.tags, record.queue, record.priority, record.attempt) == (("a",), "reports", 7, 0)
        claim = await self.claim(store)
        assert claim.submission.id == record.id
        assert (claim.submission.target, claim.submission.runner) == (report, RunnerKind.THREAD)
        assert (claim.submission.args, claim.submission.kwargs) == ((1, "b"), {"c": [None]})
        assert (claim.submission.options, claim.submission.schedule) == (options, "nightly")

    async def test_a_job_of_a_tick_can_have_a_process_of_its_own(self, store: JobStore) -> None:
        await store.schedules.put_schedule(schedule(options=JobOptions(runner=RunnerKind.PROCESS)), TICK)
        await self.fire(store)
        assert (await self.claim(store)).submission.runner is RunnerKind.PROCESS

    async def test_a_tick_passes_once(self, store: JobStore) -> None:
        await store.schedules.put_schedule(schedule(overlap=Overlap.ALLOW), TICK)
        fired = await asyncio.gather(
            *(store.schedules.fire_schedule("nightly", TICK, NEXT, self.ids.next_id()) for _ in range(5))
        )
        assert sorted(fired) == [*[FiredSchedule.LOST] * 4, FiredSchedule.SUBMITTED]
        assert len(await self.list_ids(store)) == 1
        assert await self.fire_in_vain(store) is FiredSchedule.LOST
        assert (await store.schedules.get_schedule("nightly")).next_at == NEXT

    async def test_a_tick_that_was_never_next_does_not_pass(self, store: JobStore) -> None:
        await store.schedules.put_schedule(schedule(), TICK)
        assert await self.fire_in_vain(store, LATER) is FiredSchedule.LOST
        assert (await store.schedules.get_schedule("nightly")).next_at == TICK

    async def test_the_last_tick_of_a_timetable_has_none_after_it(self, store: JobStore) -> None:
        await store.schedules.put_schedule(schedule(), TICK)
        await self.fire(store, next_at=None)
        assert (await store.schedules.get_schedule("nightly")).next_at is None
        assert await self.fire_in_vain(store) is FiredSchedule.LOST

    async def test_a_tick_can_be_left_out(self, store: JobStore) -> None:
        await store.schedules.put_schedule(schedule(), TICK)
        assert await store.schedules.fire_schedule("nightly", TICK, NEXT, None) is FiredSchedule.SKIPPED
        state = await store.schedules.get_schedule("nightly")
        assert (state.next_at, state.last_at, state.last_job_id) == (NEXT, None, None)
        assert await self.list_ids(store) == []

    async def test_a_paused_schedule_rests_until_it_goes_on(self, store: JobStore) -> None:
        await store.schedules.put_schedule(schedule(), TICK)
        assert (await store.schedules.set_schedule_paused("nightly", None, is_paused=True)).is_paused
        await store.schedules.put_schedule(schedule(timetable=Every(30)), TICK)  # declared anew, it rests all the same
        assert (await store.schedules.get_schedule("nightly")).is_paused
        assert await self.fire_in_vain(store) is FiredSchedule.LOST
        state = await store.schedules.set_schedule_paused("nightly", NEXT, is_paused=False)
        assert (state.is_paused, state.next_at) == (False, NEXT)
        assert await self.fire_in_vain(store) is FiredSchedule.LOST
        await self.fire(store, NEXT, LATER)

    @pytest.mark.parametrize("is_running", [False, True])
    async def test_a_tick_is_skipped_while_the_last_job_goes_on(self, store: JobStore, is_running: bool) -> None:
        await store.schedules.put_schedule(schedule(overlap=Overlap.SKIP), TICK)
        first = await self.fire(store)
        claims = [await self.claim(store)] if is_running else []
        assert await self.fire_in_vain(store, NEXT) is FiredSchedule.SKIPPED
        state = await store.schedules.get_schedule("nightly")
        assert (state.next_at, state.last_at, state.last_job_id) == (NEXT, TICK, first.id)
        for claim in claims or [await self.claim(store)]:
            await store.attempts.end_attempt(claim, failure(ValueError()))
        await self.fire(store, NEXT, LATER)

    async def test_a_tick_is_not_skipped_when_the_last_job_was_deleted(self, store: JobStore) -> None:
        await store.schedules.put_schedule(schedule(overlap=Overlap.SKIP), TICK)
        await store.submissions.delete((await self.fire(store)).id)
        await self.fire(store, NEXT, LATER)

    async def test_a_job_waits_for_the_last_one_to_end(self, store: JobStore) -> None:
        await store.schedules.put_schedule(schedule(overlap=Overlap.WAIT), TICK)
        first, second = await self.fire(store), await self.fire(store, NEXT, LATER)
        claim = await self.claim(store)
        assert claim.submission.id == first.id
        assert await self.claim_ids(store) == []
        await store.attempts.end_attempt(claim, completion(None))
        assert await self.claim_ids(store) == [second.id]

    async def test_a_job_that_waits_does_so_by_the_key_that_its_schedule_has(self, store: JobStore) -> None:
        await store.schedules.put_schedule(
            schedule(overlap=Overlap.WAIT, options=JobOptions(concurrency_key="k")), TICK
        )
        claim = await self.start(store, concurrency_key="k")
        first = await self.fire(store)
        await self.fire(store, NEXT, LATER)
        assert await self.claim_ids(store) == []
        await store.attempts.end_attempt(claim, completion(None))
        assert await self.claim_ids(store) == [first.id]

    async def test_a_job_runs_beside_the_last_one_if_it_may(self, store: JobStore) -> None:
        await store.schedules.put_schedule(schedule(overlap=Overlap.ALLOW), TICK)
        job_ids = [(await self.fire(store)).id, (await self.fire(store, NEXT, LATER)).id]
        assert await self.claim_ids(store) == job_ids

    async def test_the_jobs_of_a_schedule_stay_when_it_is_removed(self, store: JobStore) -> None:
        await store.schedules.put_schedule(schedule(), TICK)
        record = await self.fire(store)
        await store.schedules.remove_schedule("nightly")
        assert await store.reads.get_record(record.id) == record
        await store.schedules.put_schedule(schedule(), LATER)
        assert (await store.schedules.get_schedule("nightly")).last_job_id is None
