"""The fake clock by itself."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest

from servicekit import ConfigurationError, InMemoryScheduler
from servicekit.testing import FakeClock

NEW_YEAR = datetime(2030, 1, 1, tzinfo=UTC)


class Diary:
    """What has happened when, by a clock."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.entries: list[tuple[str, float]] = []

    def note(self, what: str) -> None:
        self.entries.append((what, self.clock.monotonic()))

    async def sleep(self, *seconds: float, name: str) -> None:
        for each in seconds:
            await self.clock.sleep(each)
            self.note(name)


async def test_time_stands_still_until_it_is_moved() -> None:
    clock = FakeClock(start=NEW_YEAR)
    assert (clock.now(), clock.monotonic()) == (NEW_YEAR, 0)
    await asyncio.sleep(0.01)
    assert (clock.now(), clock.monotonic()) == (NEW_YEAR, 0)
    await clock.advance(90)
    await clock.advance(timedelta(hours=1))
    assert (clock.now(), clock.monotonic()) == (NEW_YEAR + timedelta(seconds=3690), 3690)
    await clock.move_to(NEW_YEAR + timedelta(days=365))
    assert clock.now() == datetime(2031, 1, 1, tzinfo=UTC)


async def test_sleepers_are_woken_in_order_each_at_its_own_time() -> None:
    clock = FakeClock()
    diary = Diary(clock)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(diary.sleep(30, name="late"))
        tasks.create_task(diary.sleep(10, 15, name="twice"))
        tasks.create_task(diary.sleep(10, name="early"))
        await clock.advance(60)
    assert diary.entries == [("twice", 10), ("early", 10), ("twice", 25), ("late", 30)]


async def test_what_follows_from_a_wake_up_happens_before_time_moves_on() -> None:
    clock = FakeClock()
    diary = Diary(clock)
    queue: asyncio.Queue[int] = asyncio.Queue()

    async def produce() -> None:
        await clock.sleep(1)
        for number in range(50):
            await queue.put(number)

    async def consume() -> None:
        for _ in range(50):
            await queue.get()
            await asyncio.sleep(0)
        diary.note("consumed")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(produce())
        tasks.create_task(consume())
        tasks.create_task(diary.sleep(2, name="later"))
        await clock.advance(10)
    assert diary.entries == [("consumed", 1), ("later", 2)]


async def test_nobody_is_woken_early() -> None:
    clock = FakeClock()
    sleeper = asyncio.create_task(clock.sleep(10))
    await clock.advance(9.999_999)
    assert not sleeper.done()
    await clock.advance(0.000_001)
    assert sleeper.done()


async def test_a_sleep_of_nothing_is_a_turn_for_others_and_one_of_almost_nothing_takes_time() -> None:
    clock = FakeClock()
    await clock.sleep(0)
    await clock.sleep(-1)
    assert clock.next_moment is None
    sleeper = asyncio.create_task(clock.sleep(1e-12))
    await clock.settle()
    assert clock.next_moment == clock.now() + timedelta(microseconds=1)
    await clock.advance(0.000_001)
    assert sleeper.done()


async def test_those_who_sleep_until_the_same_moment_are_woken_together() -> None:
    clock = FakeClock()
    first, second, third = (asyncio.create_task(clock.sleep(seconds)) for seconds in (10, 10, 11))
    await clock.settle()
    assert clock.wake_next()
    await clock.settle()
    assert (first.done(), second.done(), third.done(), clock.monotonic()) == (True, True, False, 10)
    third.cancel()


async def test_a_sleep_for_ever_ends_only_by_being_canceled() -> None:
    clock = FakeClock()
    sleeper = asyncio.create_task(clock.sleep(float("inf")))
    await clock.advance(timedelta(days=365_000))
    assert clock.next_moment is None
    assert not sleeper.done()
    sleeper.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeper


async def test_a_canceled_sleeper_is_nobody_to_wait_for() -> None:
    clock = FakeClock()
    sleeper = asyncio.create_task(clock.sleep(10))
    await clock.settle()
    sleeper.cancel()
    await clock.settle()
    assert clock.next_moment is None
    assert not clock.wake_next()


async def test_the_clock_is_not_set_back() -> None:
    clock = FakeClock(start=NEW_YEAR)
    with pytest.raises(ConfigurationError, match="past"):
        await clock.move_to(NEW_YEAR - timedelta(seconds=1))
    with pytest.raises(ConfigurationError, match="duration"):
        await clock.advance(-1)


async def test_times_have_time_zones_and_the_clock_s_is_utc() -> None:
    with pytest.raises(ConfigurationError, match="time zone"):
        FakeClock(start=datetime(2030, 1, 1))  # noqa: DTZ001
    clock = FakeClock(start=datetime(2030, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))))
    assert clock.now() == NEW_YEAR
    assert clock.now().tzinfo is UTC
    with pytest.raises(ConfigurationError, match="time zone"):
        await clock.move_to(datetime(2031, 1, 1))  # noqa: DTZ001


async def test_a_plain_scheduler_runs_by_it_too() -> None:
    clock = FakeClock()
    diary = Diary(clock)

    async def target() -> None:
        diary.note("ran")

    async with InMemoryScheduler(clock=clock, shutdown_grace=0) as scheduler:
        await scheduler.with_options(delay=40).add_job(target)
        await clock.advance(50)
    assert diary.entries == [("ran", 40)]
