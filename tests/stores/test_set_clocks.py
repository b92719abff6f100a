"""Waits in a file while somebody sets the clock: between two runs, and with several processes at work."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from servicekit import JobStatus, Retry, create_scheduler
from servicekit.testing import FakeClock, TestScheduler
from tests.fakes import noop

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


async def fail() -> None:
    raise ValueError


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/jobs.db"


async def wait_for_end(scheduler: TestScheduler, clock: FakeClock) -> float:
    """How long it takes until the one job has ended, by a clock that nobody sets."""
    began = clock.monotonic()
    (record,) = await scheduler.drain()
    assert record.status is not JobStatus.CANCELED
    return clock.monotonic() - began


@pytest.mark.parametrize("hours", [-30_000, -1, 1, 30_000])
async def test_a_wait_is_as_long_if_the_clock_is_set_between_two_runs(url: str, hours: int) -> None:
    clock = FakeClock(NOON)
    async with TestScheduler(url=url, clock=clock) as scheduler:
        await scheduler.with_options(delay=7_200).add_job(noop)
        await clock.advance(600)
    clock._settlers.clear()  # what has ended is not waited for
    clock.set(clock.now() + hours * HOUR)
    await clock.advance(600)
    async with TestScheduler(url=url, clock=clock) as scheduler:
        assert await wait_for_end(scheduler, clock) == 6_000


@pytest.mark.parametrize("hours", [1, 30_000])
async def test_a_machine_that_starts_with_its_clock_back_waits_no_longer_than_was_asked_for(
    url: str, hours: int
) -> None:
    async with TestScheduler(url=url, clock=FakeClock(NOON)) as scheduler:
        await scheduler.with_options(retry=Retry(attempts=2, delay=60, jitter=0)).add_job(fail)
        await scheduler.clock.settle()
    for start in (NOON - hours * HOUR, NOON - (hours + 1) * HOUR):  # each has another clock, as after a start
        async with TestScheduler(url=url, clock=FakeClock(start)) as scheduler:
            (record,) = await scheduler.list_records()
            assert record.scheduled_at is not None
            assert timedelta(seconds=50) <= record.scheduled_at - start <= timedelta(seconds=60)
    clock = FakeClock(NOON - (hours + 2) * HOUR)
    async with TestScheduler(url=url, clock=clock) as scheduler:
        assert 50 <= await wait_for_end(scheduler, clock) <= 60


async def test_a_machine_that_was_off_for_long_waits_no_longer(url: str) -> None:
    async with TestScheduler(url=url, clock=FakeClock(NOON)) as scheduler:
        await scheduler.with_options(delay=7_200).add_job(noop)
    clock = FakeClock(NOON + HOUR)
    async with TestScheduler(url=url, clock=clock) as scheduler:
        assert await wait_for_end(scheduler, clock) == 3_600


async def test_of_several_processes_one_moves_the_waits(url: str) -> None:
    clock = FakeClock(NOON)
    async with TestScheduler(url=url, clock=clock) as one, TestScheduler(url=url, clock=clock, run_jobs=False) as other:
        await other.with_options(delay=7_200).add_job(noop)
        await clock.advance(600)
        clock.set(NOON - HOUR)
        await asyncio.gather(one.with_options(delay=9_000).add_job(noop), other.with_options(delay=9_000).add_job(noop))
        first, *_ = reversed(await one.list_records())
        assert first.scheduled_at == NOON - HOUR + timedelta(seconds=6_600)
        clock.set(NOON)
        await other.with_options(delay=9_000).add_job(noop)
        first, *_ = reversed(await one.list_records())
        assert first.scheduled_at == NOON + timedelta(seconds=6_600)


async def test_a_job_that_is_submitted_after_the_clock_was_set_is_not_forgotten(url: str) -> None:
    clock = FakeClock(NOON)
    async with create_scheduler(url, clock=clock) as scheduler:
        await scheduler.wait(await scheduler.add_job(noop))  # nothing is left to be claimed
        clock.set(NOON + HOUR)
        record = await scheduler.wait(await scheduler.with_options(queue_timeout=60).add_job(noop), timeout=60)
        assert record.status is JobStatus.COMPLETED
