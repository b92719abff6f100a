"""What two processes that work on one file do to each other's queues, keys, times, schedules and logs."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from servicekit.jobs.log_lines import NewLine
from servicekit.jobs.options import JobOptions
from servicekit.jobs.outcome import CANCELED, completion, failure
from servicekit.jobs.queues import QueueRecord
from servicekit.jobs.schedules import FiredSchedule, Overlap
from servicekit.jobs.status import EndedBy, JobStatus
from servicekit.jobs.submission import Claim
from servicekit.ports import JobStore
from servicekit.stores.durable.requests import JobRequest
from servicekit.stores.durable.times import time_text
from servicekit.stores.sqlite import writer, writes
from servicekit.stores.sqlite.database import connect
from servicekit.stores.sqlite.store import SqliteStore
from servicekit.testing.stores.fakes import ManualClock, RecordingPublisher, RecordingSignals
from servicekit.testing.stores.schedules import LATER, NEXT, TICK, schedule
from tests.stores.test_sqlite import OpenStore, claim_one, clock, die, ids, insert, open_store, path

__all__ = ["clock", "open_store", "path"]
KEYED: Final = JobOptions(concurrency_key="k")
NEVER, AT_ONCE = 3_600.0, 0.001


async def claim_ids(store: JobStore) -> list[str]:
    return [claim.submission.id for claim in await store.attempts.claim(100, ())]


async def hear(event: asyncio.Event) -> None:
    """Wait until this process has been told, and be ready to be told again."""
    await asyncio.wait_for(event.wait(), 60)
    event.clear()


async def end(store: SqliteStore, claim: Claim) -> None:
    await store.attempts.end_attempt(claim, completion(None))


async def retry_later(store: SqliteStore, claim: Claim) -> None:
    await store.attempts.end_attempt(claim, failure(ValueError()).to_be_retried(datetime(2100, 1, 1, tzinfo=UTC)))


async def cancel(store: SqliteStore, claim: Claim) -> None:
    await store.submissions.request_cancel(claim.submission.id)
    await store.attempts.end_attempt(claim, CANCELED)


async def delete(store: SqliteStore, claim: Claim) -> None:
    await store.submissions.delete(claim.submission.id)
    await store.attempts.end_attempt(claim, CANCELED)


@pytest.mark.parametrize("let_go", [end, retry_later, cancel, delete])
async def test_a_key_is_held_in_all_processes_until_it_is_let_go_in_one(
    open_store: OpenStore, let_go: Callable[[SqliteStore, Claim], Awaitable[None]]
) -> None:
    signals, others_signals = RecordingSignals(), RecordingSignals()
    async with open_store(signals) as store, open_store(others_signals) as other:
        await insert(store, KEYED)
        claim = await claim_one(store)
        blocked = [await insert(each, KEYED) for each in (other, store)]
        assert await claim_ids(other) == await claim_ids(store) == []
        for each in (signals, others_signals):
            each.woken.clear()
        await let_go(store, claim)
        assert signals.woken.is_set()  # by then, also if nothing else tells it
        await hear(others_signals.woken)
        assert await claim_ids(other) == blocked[:1]
        assert await claim_ids(store) == []


async def test_keys_that_are_wanted_by_all_at_once_are_held_by_no_more_than_may(open_store: OpenStore) -> None:
    options = JobOptions(concurrency_key="k", concurrency_limit=3)
    async with open_store() as store, open_store() as other:
        await asyncio.gather(*(insert(each, options) for each in (store, other) * 10))
        left = 20
        while left:
            first, second = await asyncio.gather(store.attempts.claim(100, ()), other.attempts.claim(100, ()))
            assert len(first) + len(second) == min(left, 3)
            await asyncio.gather(
                *(store.attempts.end_attempt(claim, completion(None)) for claim in first),
                *(other.attempts.end_attempt(claim, completion(None)) for claim in second),
            )
            left -= len(first) + len(second)


@pytest.mark.parametrize("max_restarts", [0, 1])
async def test_a_key_is_held_for_a_dead_process_until_its_job_is_taken_over(
    open_store: OpenStore, max_restarts: int
) -> None:
    signals = RecordingSignals()
    async with open_store(signals) as heir, open_store() as dead:
        held = await insert(dead, JobOptions(concurrency_key="k", max_restarts=max_restarts))
        await claim_one(dead)
        blocked = await insert(heir, KEYED)
        die(dead)
        assert await claim_ids(heir) == []
        signals.woken.clear()
        await heir.liveness.rescue()
        assert signals.woken.is_set()
        assert await claim_ids(heir) == [held if max_restarts else blocked]
        assert await claim_ids(heir) == []


async def test_a_queue_that_one_process_has_paused_rests_in_all(open_store: OpenStore) -> None:
    signals = RecordingSignals()
    async with open_store() as store, open_store(signals) as other:
        job_id = await insert(store)
        await store.queues.set_queue_paused("default", is_paused=True)
        assert await other.queues.list_queues() == [QueueRecord("default", is_paused=True, pending=1, running=0)]
        assert await claim_ids(other) == []
        await hear(signals.woken)
        await store.queues.set_queue_paused("default", is_paused=False)
        await hear(signals.woken)
        assert await claim_ids(other) == [job_id]


async def test_a_queue_stays_paused_when_neither_a_process_nor_a_job_is_left(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.queues.set_queue_paused("default", is_paused=True)
    async with open_store() as store:
        while await store.liveness.prune(100):
            pass
        await insert(store)
        assert await claim_ids(store) == []


async def test_a_queue_has_its_limit_in_all_processes_together(open_store: OpenStore) -> None:
    async with open_store() as store, open_store() as other:
        for _ in range(4):
            await insert(store, JobOptions(queue="gpu"))
        claims = [claim for each in (store, other) * 2 for claim in await each.attempts.claim(1, (), None, {"gpu": 3})]
        assert len(claims) == 3
        assert await other.attempts.claim(1, (), None, {"gpu": 3}) == []


async def test_who_makes_a_job_due_starts_it_and_others_hear_of_it(open_store: OpenStore, clock: ManualClock) -> None:
    signals, others_signals = RecordingSignals(), RecordingSignals()
    async with open_store(signals, clock=clock) as store, open_store(others_signals, clock=clock) as other:
        job_id = await insert(store, JobOptions(delay=60))
        assert await other.attempts.make_due() == clock.now() + timedelta(seconds=60)
        await hear(others_signals.woken)
        clock.advance(60)
        signals.woken.clear()
        assert await other.attempts.make_due() is None
        assert others_signals.woken.is_set()
        await hear(signals.woken)
        assert await claim_ids(store) == [job_id]


async def test_jobs_that_come_due_while_no_process_is_there_start_in_order(
    open_store: OpenStore, clock: ManualClock
) -> None:
    async with open_store(clock=clock) as store:
        late, early = [await insert(store, JobOptions(delay=seconds)) for seconds in (50, 40)]
        expired = await insert(store, JobOptions(delay=10, queue_timeout=5))
    clock.advance(3_600)
    async with open_store(clock=clock) as store:
        assert await store.attempts.make_due() is None
        assert await claim_ids(store) == [early, late]
        record = await store.reads.get_record(expired)
        assert (record.status, record.ended_by) == (JobStatus.FAILED, EndedBy.TIME_LIMIT)
        assert record.error == "QueueTimeout: the job waited for longer than it may (queue_timeout=5 s)"


async def test_very_many_that_are_due_at_once_are_made_so_in_steps(open_store: OpenStore, clock: ManualClock) -> None:
    async with open_store(clock=clock) as store:
        due = await asyncio.gather(*(insert(store, JobOptions(delay=60)) for _ in range(1_100)))
        late = await asyncio.gather(*(insert(store, JobOptions(queue_timeout=30)) for _ in range(1_100)))
        clock.advance(60)
        assert await store.attempts.make_due() is None
        counts = await store.reads.count_by_status()
        assert (counts[JobStatus.PENDING], counts[JobStatus.FAILED]) == (len(due), len(late))
        assert len(await store.attempts.claim(2_000, ())) == len(due)


async def test_a_tick_is_fired_by_one_of_all_processes(open_store: OpenStore) -> None:
    async with open_store() as store, open_store() as other:
        await asyncio.gather(
            *(each.schedules.put_schedule(schedule(overlap=Overlap.ALLOW), TICK) for each in (store, other))
        )
        for tick, following in ((TICK, NEXT), (NEXT, LATER)):
            fired = await asyncio.gather(
                *(
                    each.schedules.fire_schedule("nightly", tick, following, ids.next_id())
                    for each in (store, other) * 5
                )
            )
            assert fired.count(FiredSchedule.SUBMITTED) == 1
            assert fired.count(FiredSchedule.LOST) == 9
        assert len(await claim_ids(other)) == 2


async def test_a_schedule_goes_on_where_it_was_after_a_restart(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.schedules.put_schedule(schedule(args=(1,)), TICK)
        await store.schedules.fire_schedule("nightly", TICK, NEXT, ids.next_id())
        before = await store.schedules.get_schedule("nightly")
    async with open_store() as store:
        await store.schedules.put_schedule(schedule(args=(1,)), LATER)
        assert await store.schedules.get_schedule("nightly") == before
        assert (await claim_one(store)).submission.args == (1,)


class Follower(RecordingPublisher):
    """Is told when the log of some job may have grown."""

    def __init__(self) -> None:
        super().__init__()
        self.told = asyncio.Event()

    def notify_log(self, job_id: str | None) -> None:
        super().notify_log(job_id)
        self.told.set()


async def append(store: JobStore, claim: Claim, text: str) -> None:
    await store.attempts.append_log(claim, [NewLine(datetime.now(UTC), "info", "log", text)])


async def test_a_log_is_followed_in_another_process(open_store: OpenStore) -> None:
    follower = Follower()
    async with open_store() as store:
        await insert(store)
        claim = await claim_one(store)
        async with open_store(publisher=follower) as other:
            for number, text in enumerate(["one", "two"]):
                await append(store, claim, text)
                await hear(follower.told)
                page = await other.reads.list_log(claim.submission.id, number, 10)
                assert [line.text for line in page.lines] == [text]
            assert set(follower.logs) == {None}


async def test_who_always_has_something_to_write_hears_of_others_as_well(open_store: OpenStore) -> None:
    follower = Follower()
    async with open_store() as store, open_store(publisher=follower) as other:
        await insert(store)
        claim = await claim_one(store)
        await insert(other)
        mine = await claim_one(other)

        async def keep_writing() -> None:
            number = 0
            while True:
                number += 1
                await append(other, mine, f"line {number}")

        writing = asyncio.create_task(keep_writing())
        await hear(follower.told)
        follower.logs.clear()
        await append(store, claim, "a line")
        async with asyncio.timeout(60):
            while None not in follower.logs:
                await hear(follower.told)
        writing.cancel()


async def test_who_is_alone_looks_no_more_often_for_having_readers(
    open_store: OpenStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_POLL_SECONDS", NEVER)
    monkeypatch.setattr(writer, "_IDLE_POLL_SECONDS", AT_ONCE)
    signals = RecordingSignals()
    async with open_store(signals) as store:
        job_id = await insert(store)
        with closing(connect(path)) as unlisted:
            writes.request_cancel.write(unlisted, [JobRequest(job_id, time_text(datetime.now(UTC)))])
        assert await asyncio.wait_for(signals.canceled.get(), 60) == job_id


async def test_who_is_not_alone_and_has_readers_looks_often(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_POLL_SECONDS", AT_ONCE)
    monkeypatch.setattr(writer, "_IDLE_POLL_SECONDS", NEVER)
    signals = RecordingSignals()
    async with open_store() as there, open_store(signals) as here:
        for _ in range(3):  # the first may be seen before it has looked who is there
            job_id = await insert(here)
            await there.submissions.request_cancel(job_id)
            assert await asyncio.wait_for(signals.canceled.get(), 60) == job_id
