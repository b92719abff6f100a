"""Following all jobs at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from servicekit import JobStatus, Retention, Scheduler, current_job
from servicekit.engine import all_jobs_reader
from servicekit.engine.all_jobs_reader import FIRST_JOBS, AllJobsReader, follow_jobs
from servicekit.engine.clock import SystemClock
from servicekit.errors import RecordUnreadable
from servicekit.events.hub import EventHub
from servicekit.jobs.ids import JobIds
from servicekit.jobs.query import ALL_JOBS, ChangePage, JobChange, JobFilter, JobPage
from servicekit.jobs.record import JobRecord
from servicekit.stores.memory import MemoryStore
from servicekit.stores.memory.changes import MemoryChanges
from servicekit.stores.memory.reads import MemoryReads
from servicekit.testing.stores.fakes import submission
from tests.fakes import Gate, noop


async def next_change(feed: AllJobsReader) -> JobChange:
    while (change := await feed.next_event()) is None:
        assert not feed.is_closed
    return change


async def changes_until_ended(feed: AllJobsReader, job_id: str) -> list[JobChange]:
    """What comes up to the end, or the deletion, of this job."""
    changes = [await next_change(feed)]
    while changes[-1].job_id != job_id or (changes[-1].record and not changes[-1].record.status.is_terminal):
        changes.append(await next_change(feed))
    return changes


async def test_it_begins_with_the_jobs_that_are_there_the_newest_last(scheduler: Scheduler, gate: Gate) -> None:
    job_ids = [await scheduler.add_job(gate.enter) for _ in range(3)]
    await gate.wait_entered(3)
    async with scheduler.follow() as feed:
        changes = [await next_change(feed) for _ in job_ids]
        assert [change.job_id for change in changes] == job_ids
        for change in changes:
            assert change.record == await scheduler.get_record(change.job_id)


async def test_it_begins_with_one_page_at_most(scheduler: Scheduler, gate: Gate) -> None:
    job_ids = [await scheduler.add_job(noop) for _ in range(FIRST_JOBS + 5)]
    await scheduler.wait(job_ids[-1])
    last = await scheduler.add_job(gate.enter)
    await gate.wait_entered(1)
    async with scheduler.follow() as feed:
        changes = [await next_change(feed) for _ in range(FIRST_JOBS)]
        assert [change.job_id for change in changes] == [*job_ids, last][-FIRST_JOBS:]


async def test_every_job_is_followed_to_its_end(scheduler: Scheduler, gate: Gate) -> None:
    async with scheduler.follow() as feed:
        first = await scheduler.add_job(gate.enter)
        change = await next_change(feed)
        assert change.job_id == first
        second = await scheduler.add_job(noop)
        gate.open()
        await scheduler.wait(first)
        await scheduler.wait(second)
        last: dict[str, JobStatus] = {}
        while set(last.values()) != {JobStatus.COMPLETED} or len(last) < 2:
            change = await next_change(feed)
            assert change.record is not None
            last[change.job_id] = change.record.status


async def test_who_comes_back_gets_what_has_changed_since(scheduler: Scheduler, gate: Gate) -> None:
    old = await scheduler.add_job(noop)
    await scheduler.wait(old)
    job_id = await scheduler.add_job(gate.enter)
    await gate.wait_entered(1)
    async with scheduler.follow() as feed:
        first, last = [await next_change(feed) for _ in range(2)]
        assert [first.job_id, last.job_id] == [old, job_id]
    gate.open()
    await scheduler.wait(job_id)
    new = await scheduler.add_job(noop)
    await scheduler.wait(new)
    await scheduler.delete(old)
    async with scheduler.follow(after=last.position) as feed:
        changes = [await next_change(feed) for _ in range(3)]
        assert {change.job_id: change.record and change.record.status for change in changes} == {
            job_id: JobStatus.COMPLETED,
            new: JobStatus.COMPLETED,
            old: None,
        }
    async with scheduler.follow(after=changes[-1].position) as feed:
        newest = await scheduler.add_job(noop)
        assert {change.job_id for change in await changes_until_ended(feed, newest)} == {newest}


async def test_who_lost_the_connection_within_the_beginning_begins_again(scheduler: Scheduler, gate: Gate) -> None:
    job_ids = [await scheduler.add_job(gate.enter) for _ in range(3)]
    await gate.wait_entered(3)
    async with scheduler.follow() as feed:
        position = (await next_change(feed)).position
    async with scheduler.follow(after=position) as feed:
        seen: set[str] = set()
        while seen != set(job_ids):
            seen.add((await next_change(feed)).job_id)


@pytest.mark.parametrize("odd", [10**17, -1])
async def test_a_position_that_is_not_known_is_as_good_as_none(scheduler: Scheduler, gate: Gate, odd: int) -> None:
    job_id = await scheduler.add_job(gate.enter)
    await gate.wait_entered(1)
    async with scheduler.follow(after=odd) as feed:
        change = await next_change(feed)
        assert change.job_id == job_id
        assert change.record == await scheduler.get_record(job_id)


async def test_of_some_jobs_all_are_told_and_nothing_of_others(scheduler: Scheduler, gate: Gate) -> None:
    ended = await scheduler.add_job(noop)
    await scheduler.wait(ended)
    running = await scheduler.add_job(gate.enter)
    others = [await scheduler.add_job(gate.enter) for _ in range(2)]
    await gate.wait_entered(3)
    unknown = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"
    asked_for = [running, unknown, ended]
    async with scheduler.follow(job_ids=asked_for) as feed:
        present = [await next_change(feed) for _ in asked_for]
        assert [change.job_id for change in present] == [ended, running, unknown]
        assert [change.record is None for change in present] == [False, False, True]
        await scheduler.delete(others[0])
        gate.open()
        await scheduler.wait(others[1])
        assert {change.job_id for change in await changes_until_ended(feed, running)} == {running}
        await scheduler.delete(running)
        last = (await changes_until_ended(feed, running))[-1]
    await scheduler.delete(ended)
    async with scheduler.follow(after=last.position, job_ids=asked_for) as feed:
        assert await next_change(feed) == JobChange(last.position + 1, ended, None)


async def test_some_jobs_are_filtered_as_well(scheduler: Scheduler) -> None:
    wanted, other = [await scheduler.with_options(name=name).add_job(noop) for name in ("wanted", "other")]
    await scheduler.wait(wanted)
    await scheduler.wait(other)
    async with scheduler.follow(JobFilter(name="wanted"), job_ids=[wanted, other]) as feed:
        assert (await next_change(feed)).job_id == wanted
        await scheduler.delete(other)
        assert (await next_change(feed))[1:3] == (other, None)


async def test_only_what_is_wanted_is_told_and_every_deletion(scheduler: Scheduler, gate: Gate) -> None:
    wanted = JobFilter(name="wanted")
    await scheduler.wait(await scheduler.add_job(noop))
    old = await scheduler.with_options(name="wanted").add_job(noop)
    await scheduler.wait(old)
    other = await scheduler.add_job(gate.enter)
    async with scheduler.follow(wanted) as feed:
        assert (await next_change(feed)).job_id == old
        await scheduler.wait(await scheduler.add_job(noop))
        await scheduler.delete(other)
        new = await scheduler.with_options(name="wanted").add_job(noop)
        changes = await changes_until_ended(feed, new)
    assert {change.job_id for change in changes} == {other, new}
    assert all(change.record is None or change.record.name == "wanted" for change in changes)


async def test_what_is_remembered_of_the_jobs_that_were_told_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many, the oldest are forgotten: that they have left the filter is not told, and that of the newest is."""
    monkeypatch.setattr(all_jobs_reader, "_SHOWN_AT_ONCE", 2)
    hub = EventHub()
    store = MemoryStore(hub, SystemClock(), Retention())
    ids = JobIds()
    present, *later = [submission(ids.next_id()) for _ in range(4)]
    await store.submissions.insert(present)
    async with follow_jobs(store, hub, JobFilter(statuses=frozenset([JobStatus.PENDING])), None, 0) as feed:
        for job in later:
            await store.submissions.insert(job)
        assert [(await next_change(feed)).job_id for _ in range(4)] == [present.id, *(job.id for job in later)]
        assert len(await store.attempts.claim(4, ())) == 4
        assert [(await next_change(feed)).job_id for _ in range(2)] == [job.id for job in later[-2:]]
        assert await is_waiting(feed)


async def test_what_happens_faster_than_it_is_asked_for_comes_as_what_it_has_become(scheduler: Scheduler) -> None:
    async def target() -> None:
        for step in range(1_000):
            current_job().progress(step)
            await asyncio.sleep(0)

    clock = asyncio.get_running_loop().time
    began = clock()
    async with scheduler.follow(interval_seconds=0.2) as feed:
        job_id = await scheduler.add_job(target)
        changes = await changes_until_ended(feed, job_id)
    assert len(changes) <= 4 + (clock() - began) / 0.2  # each transition, and beside them no more than was asked for
    versions = [change.record.version for change in changes if change.record]
    assert versions == sorted(versions)


async def test_a_closed_feed_ends_when_what_was_there_is_read(scheduler: Scheduler, gate: Gate) -> None:
    for _ in range(3):
        await scheduler.add_job(gate.enter)
    await gate.wait_entered(3)
    async with scheduler.follow() as feed:
        feed.close()
        assert [await feed.next_event() is None for _ in range(4)] == [False, False, False, True]
        await scheduler.add_job(gate.enter)
        assert await feed.next_event() is None


class BusyStore(MemoryStore):
    """Gets a new job while it lists the others, counts how often it is asked for changes, and can forget them."""

    def __init__(self, hub: EventHub) -> None:
        super().__init__(hub, SystemClock(), Retention())
        self.looks = 0
        self.has_forgotten = False
        self._ids = JobIds()
        self.reads = BusyReads(self)
        self.changes = ForgetfulChanges(self)

    async def add_job(self) -> str:
        return await self.submissions.insert(submission(self._ids.next_id()))


class BusyReads(MemoryReads):
    def __init__(self, store: BusyStore) -> None:
        super().__init__(store.kept)
        self._store = store

    async def list_records(self, wanted: JobFilter, limit: int, before: str | None) -> JobPage:
        page = await super().list_records(wanted, limit, before)
        await self._store.add_job()
        return page


class ForgetfulChanges(MemoryChanges):
    def __init__(self, store: BusyStore) -> None:
        super().__init__(store.kept)
        self._store = store

    async def list_changes(self, after: int, limit: int) -> ChangePage | None:
        self._store.looks += 1
        return None if self._store.has_forgotten else await super().list_changes(after, limit)


@asynccontextmanager
async def following(interval_seconds: float = 0.0) -> AsyncIterator[tuple[BusyStore, AllJobsReader]]:
    hub = EventHub()
    store = BusyStore(hub)
    await store.add_job()
    async with follow_jobs(store, hub, ALL_JOBS, None, interval_seconds) as feed:
        yield store, feed


async def is_waiting(feed: AllJobsReader) -> bool:
    """Whether nothing is to be had now."""
    reading = asyncio.ensure_future(feed.next_event())
    for _ in range(5):
        await asyncio.sleep(0)
    feed.wake()
    return await reading is None


async def test_a_job_that_comes_while_the_others_are_listed_is_not_missed() -> None:
    async with following() as (store, feed):
        seen = [(await next_change(feed)).job_id for _ in range(2)]
        assert seen == [record.id for record in (await store.reads.list_records(ALL_JOBS, 10, None)).records[::-1]]


async def test_the_store_is_left_alone_while_nothing_happens() -> None:
    async with following() as (store, feed):
        for _ in range(2):
            await next_change(feed)
        assert store.looks == 1
        for _ in range(3):
            assert await is_waiting(feed)
        assert store.looks == 1


async def test_the_store_is_asked_at_once_and_then_not_before_the_interval_has_passed() -> None:
    async with following(interval_seconds=60) as (store, feed):
        for _ in range(2):
            await next_change(feed)
        for _ in range(3):
            await store.add_job()
            assert await is_waiting(feed)
        assert store.looks == 1


async def test_a_reader_that_is_so_late_that_changes_are_forgotten_begins_again() -> None:
    async with following() as (store, feed):
        for _ in range(2):
            await next_change(feed)
        store.has_forgotten = True
        job_ids = [await store.add_job() for _ in range(3)]
        assert [(await next_change(feed)).job_id for _ in range(5)][2:] == job_ids


async def test_others_have_their_turn_while_much_is_read() -> None:
    async with following() as (store, feed):
        for _ in range(2_000):
            await store.add_job()
        turns = 0

        async def count_turns() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.ensure_future(count_turns())
        seen = {(await next_change(feed)).job_id for _ in range(2_002)}
        counting.cancel()
        assert len(seen) == 2_002
        assert turns > 20


@pytest.mark.parametrize(("owner", "told"), [(None, []), ("ana", [("a", None)])])
async def test_a_job_that_cannot_be_read_is_no_job_to_those_who_see_one_owner(
    monkeypatch: pytest.MonkeyPatch, owner: str | None, told: list[tuple[str, None]]
) -> None:
    """It is not known whose it is. They are told the same of a job that does not exist."""

    async def get_record(_: MemoryReads, job_id: str) -> JobRecord:
        raise RecordUnreadable(f"Job {job_id}", "a newer version has written it")

    monkeypatch.setattr(MemoryReads, "get_record", get_record)
    hub = EventHub()
    store = MemoryStore(hub, SystemClock(), Retention())
    async with follow_jobs(store, hub, JobFilter(owner=owner), None, 0, ["a"]) as feed:
        feed.close()
        found = []
        while (change := await feed.next_event()) is not None:
            found.append((change.job_id, change.record))
        assert found == told


async def test_a_reader_does_not_sleep_through_the_moment_in_which_changes_become_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The time comes between two looks at the clock, and the bell, which has rung, does not ring again."""
    loop, ids, hub = asyncio.get_running_loop(), JobIds(), EventHub()
    read_time, offsets = loop.time, iter([3_600 - 0.05])
    store = MemoryStore(hub, SystemClock(), Retention())
    async with follow_jobs(store, hub, ALL_JOBS, None, 3_600) as feed:
        await store.submissions.insert(submission(ids.next_id()))
        await next_change(feed)  # the next look is in an hour
        last = ids.next_id()
        await store.submissions.insert(submission(last))
        monkeypatch.setattr(loop, "time", lambda: read_time() + next(offsets, 3_601))
        assert (await next_change(feed)).job_id == last
