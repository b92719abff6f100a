"""The store tells the time: a moment that is written or compared is never that of one machine's clock."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from servicekit import Every, JobStatus, Retention, Retry, Scheduler, current_job
from servicekit.engine.parts import SchedulerParts
from servicekit.events.hub import EventHub
from servicekit.jobs.options import RunnerKind
from servicekit.ports import ClockSetting
from servicekit.runners.coroutine import CoroutineRunner
from servicekit.stores.memory import MemoryStore
from servicekit.testing import FakeClock
from tests.fakes import noop

MINUTE = timedelta(minutes=1)
ERRORS = [timedelta(days=1), timedelta(days=-1)]


class MachineClock:
    """The clock of a machine that shows another time than the store's. Both go on together."""

    def __init__(self, store_clock: FakeClock, error: timedelta) -> None:
        self._store_clock = store_clock
        self.error = error
        self.monotonic = store_clock.monotonic
        self.sleep = store_clock.sleep

    def now(self) -> datetime:
        return self._store_clock.now() + self.error

    def setting(self) -> ClockSetting:
        return ClockSetting("machine", self.error.total_seconds())


@pytest.fixture
def store_clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=ERRORS, ids=["ahead", "behind"])
def machine_clock(store_clock: FakeClock, request: pytest.FixtureRequest) -> MachineClock:
    return MachineClock(store_clock, request.param)


@pytest.fixture
async def scheduler(store_clock: FakeClock, machine_clock: MachineClock) -> AsyncIterator[Scheduler]:
    hub = EventHub()
    parts = SchedulerParts(
        store=MemoryStore(hub, store_clock, Retention()),
        hub=hub,
        runners={RunnerKind.COROUTINE: CoroutineRunner()},
        clock=machine_clock,
    )
    async with Scheduler(parts) as scheduler:
        yield scheduler


async def fail_once() -> None:
    if current_job().attempt == 1:
        raise ValueError


async def test_another_attempt_begins_after_the_wait_by_the_time_of_the_store(
    scheduler: Scheduler, store_clock: FakeClock
) -> None:
    began_at = store_clock.now()
    retry = Retry(attempts=2, delay=MINUTE, jitter=0)
    job_id = await scheduler.with_options(retry=retry).add_job(fail_once)
    await store_clock.settle()
    assert (await scheduler.get_record(job_id)).scheduled_at == began_at + MINUTE
    await store_clock.advance(MINUTE)
    record = await scheduler.get_record(job_id)
    assert (record.status, record.finished_at) == (JobStatus.COMPLETED, began_at + MINUTE)


async def test_a_delay_ends_by_the_time_of_the_store(scheduler: Scheduler, store_clock: FakeClock) -> None:
    submitted_at = store_clock.now()
    job_id = await scheduler.with_options(delay=10).add_job(noop)
    await store_clock.advance(10)
    assert (await scheduler.get_record(job_id)).started_at == submitted_at + timedelta(seconds=10)


async def test_the_ticks_of_a_schedule_are_times_of_the_store(scheduler: Scheduler, store_clock: FakeClock) -> None:
    began_at = store_clock.now()
    assert (await scheduler.schedules.add("it", Every(MINUTE), noop)).next_at == began_at + MINUTE
    await store_clock.advance(MINUTE)
    assert [record.submitted_at for record in await scheduler.get_all_records()] == [began_at + MINUTE]
    await scheduler.schedules.pause("it")
    assert (await scheduler.schedules.resume("it")).next_at == began_at + 2 * MINUTE


@pytest.mark.parametrize("days", [20_000, -20_000])
async def test_somebody_who_sets_the_clock_of_a_machine_changes_no_schedule(
    scheduler: Scheduler, machine_clock: MachineClock, store_clock: FakeClock, days: int
) -> None:
    began_at = store_clock.now()
    await scheduler.schedules.add("it", Every(MINUTE, missed="all", overlap="allow"), noop)
    await store_clock.advance(MINUTE)
    await scheduler.close()
    await store_clock.advance(3 * MINUTE)
    machine_clock.error += timedelta(days=days)
    async with scheduler:
        await store_clock.advance(MINUTE)
        times = [record.submitted_at for record in await scheduler.get_all_records()]
    assert sorted(times) == [began_at + minutes * MINUTE for minutes in (1, 4, 4, 4, 5)]
