"""What every store promises of what was counted of jobs."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

from servicekit.jobs.activity import KEPT_MINUTES, REST, ActivityMinute, Counts, Group, minute_of
from servicekit.jobs.outcome import completion, failure
from servicekit.ports import JobStore
from servicekit.testing.stores.base import StoreSetting, StoreTests
from servicekit.testing.stores.fakes import ManualClock

TRAIN: Final = Group("train", "gpu")
SOME: Final = Counts(submitted=3, completed=2, failed=1, canceled=4, waits={0: 1, 70: 2}, runs={125: 3})


def counted(minute: int, source: str = "a", owner: str | None = None, **groups: int) -> ActivityMinute:
    found: Mapping[Group, Counts] = {Group(name, "q"): Counts(submitted=count) for name, count in groups.items()}
    return ActivityMinute(minute, source, owner, found)


class ActivityContract(StoreTests):
    """What every store promises of what was counted of jobs."""

    async def test_what_was_counted_is_kept_as_it_is(self, store: JobStore, clock: ManualClock) -> None:
        now = minute_of(clock.now())
        odd = Group('"x\0ø\U0001f600', "a/b c")
        minutes = [
            ActivityMinute(now, "a", None, {TRAIN: SOME, odd: Counts(), REST: replace(SOME, failed=2**40)}),
            ActivityMinute(now, "a", "ana", {TRAIN: SOME}),
        ]
        await store.activity.put_activity(minutes)
        assert await store.activity.list_activity(None, now) == minutes[:1]
        assert await store.activity.list_activity("ana", now) == minutes[1:]
        assert await store.activity.list_activity("ben", now) == []

    async def test_each_source_has_its_own_minutes_and_replaces_them(self, store: JobStore, clock: ManualClock) -> None:
        now = minute_of(clock.now())
        await store.activity.put_activity([counted(now - 1, x=1), counted(now, x=1), counted(now, "b", x=5)])
        await store.activity.put_activity([counted(now, x=2, y=3), counted(now, owner="ana", x=1)])
        await store.activity.put_activity([])
        found = await store.activity.list_activity(None, now)
        assert sorted(found, key=lambda each: each.source) == [counted(now, x=2, y=3), counted(now, "b", x=5)]
        assert counted(now - 1, x=1) in await store.activity.list_activity(None, now - 1)

    async def test_minutes_that_are_old_are_forgotten(self, store: JobStore, clock: ManualClock) -> None:
        then = minute_of(clock.now())
        await store.activity.put_activity([counted(then, x=1), counted(then, "b", "ana", x=1), counted(then + 60, x=1)])
        clock.advance(timedelta(minutes=KEPT_MINUTES).total_seconds())
        await store.activity.put_activity([counted(then + KEPT_MINUTES, x=1)])
        assert len(await store.activity.list_activity(None, 0)) == 3
        clock.advance(60)
        await store.activity.put_activity([])
        assert await store.activity.list_activity("ana", 0) == []
        assert {each.minute for each in await store.activity.list_activity(None, 0)} == {then + 60, then + KEPT_MINUTES}

    async def test_it_is_no_change_of_any_job(self, store: JobStore, clock: ManualClock) -> None:
        position = await store.changes.get_position()
        await store.activity.put_activity([counted(minute_of(clock.now()), x=1)])
        assert await store.changes.get_position() == position

    async def test_a_durable_store_keeps_it_over_a_restart(self, setting: StoreSetting, clock: ManualClock) -> None:
        now = minute_of(clock.now())
        async with self.open_store(setting) as store:
            await store.activity.put_activity([counted(now, x=1)])
        async with self.open_store(setting) as store:
            kept = await store.activity.list_activity(None, now)
            assert kept == ([counted(now, x=1)] if store.liveness.is_durable else [])

    async def test_a_claim_tells_since_when_the_job_could_start(self, store: JobStore, clock: ManualClock) -> None:
        await self.submit(store)
        began = clock.now()
        clock.advance(5)
        claim = await self.claim(store)
        assert claim.ready_at == began
        await store.attempts.end_attempt(claim, failure(ValueError("no")).to_be_retried(clock.now()))
        again = await self.claim(store)
        assert (again.attempt, again.ready_at) == (2, None)
        await store.attempts.end_attempt(again, completion(None))
        await self.submit(store, delay=60)
        due = clock.now() + timedelta(seconds=60)
        clock.advance(61)
        await store.attempts.make_due()
        assert (await self.claim(store)).ready_at == due
