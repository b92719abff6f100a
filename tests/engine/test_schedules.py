"""Recurring jobs, from the schedule runner on a store to the scheduler that users hold."""

import asyncio
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from servicekit import (
    Command,
    ConfigurationError,
    Cron,
    Every,
    InMemoryScheduler,
    InvalidArguments,
    InvalidTarget,
    JobStatus,
    MissedTicks,
    Overlap,
    Retention,
    ScheduleNotFound,
    Scheduler,
    SchedulerClosed,
    ScheduleState,
    StoreUnavailable,
    create_scheduler,
    job_options,
)
from servicekit.engine import schedule_runner
from servicekit.engine.schedule_runner import ScheduleRunner
from servicekit.events.hub import EventHub
from servicekit.jobs.ids import JobIds
from servicekit.jobs.options import DEFAULT_OPTIONS
from servicekit.jobs.query import ALL_JOBS
from servicekit.jobs.record import JobRecord
from servicekit.jobs.schedules import FiredSchedule, Schedule
from servicekit.jobs.timetable import Timetable
from servicekit.stores.memory import MemoryStore
from servicekit.stores.memory.kept_jobs import KeptJobs
from servicekit.stores.memory.schedules import MemorySchedules
from servicekit.testing import FakeClock, TestScheduler
from tests.fakes import Gate, noop

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


class Bench:
    """A store in memory on a fake clock, and as many runners as are started."""

    def __init__(self, schedules_type: type[MemorySchedules] = MemorySchedules) -> None:
        self.clock = FakeClock(NOON)
        self.store = MemoryStore(EventHub(), self.clock, Retention(max_count=None))
        self.schedules = self.store.schedules = schedules_type(self.store.kept)
        self.submitted = 0
        self._ids = JobIds()

    @asynccontextmanager
    async def ticking(self, runners: int = 1) -> AsyncIterator[ScheduleRunner]:
        """Let so many runners run."""
        async with AsyncExitStack() as stack:
            made = [self._make_runner() for _ in range(runners)]
            for runner in made:
                stack.push_async_callback(end, asyncio.create_task(runner.run()))
            await self.clock.settle()
            yield made[0]

    def _make_runner(self) -> ScheduleRunner:
        store = self.store
        return ScheduleRunner(store.schedules, store.liveness, self.clock, self._ids.next_id, self._count)

    async def _count(self, job_id: str) -> None:
        await self.store.reads.get_record(job_id)
        self.submitted += 1

    async def put(self, timetable: Timetable, name: str = "it") -> None:
        """Keep a schedule from now on, without telling any schedule runner."""
        await self.store.schedules.put_schedule(schedule(timetable, name), timetable.next_after(self.clock.now()))

    async def list_times(self, name: str = "it") -> list[datetime]:
        """When the jobs of a schedule were submitted."""
        records = (await self.store.reads.list_records(ALL_JOBS, 100_000, None)).records
        return [record.submitted_at for record in reversed(records) if record.schedule == name]


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def schedule(timetable: Timetable, name: str = "it") -> Schedule:
    return Schedule(
        name=name,
        timetable=timetable,
        target=noop,
        args=(),
        kwargs={},
        options=DEFAULT_OPTIONS,
        missed=MissedTicks(timetable.missed),
        overlap=Overlap(timetable.overlap),
    )


def ticks_of(timetable: Timetable, start: datetime, end: datetime) -> Iterator[datetime]:
    tick = timetable.next_after(start)
    while tick is not None and tick <= end:
        yield tick
        tick = timetable.next_after(tick)


async def test_every_tick_of_months_gets_a_job_at_its_time_whatever_clocks_are_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(schedule_runner, "_LONGEST_SECONDS", math.inf)
    timetables = {
        f"{expression} {time_zone}": Cron(expression, time_zone, overlap="allow")
        for time_zone in ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe")
        for expression in ("@hourly", "30 2 * * *", "0 9 * * 1-5", "0 0 1 * *")
    }
    timetables["quarters"] = Cron("*/15 * * * *", overlap="allow")
    bench = Bench()
    for name, timetable in timetables.items():
        await bench.put(timetable, name)
    until = datetime(2026, 4, 15, tzinfo=UTC)
    async with bench.ticking():
        while bench.clock.wake_next(until):
            while bench.clock.next_moment is None:  # until the schedule runner sleeps again
                await asyncio.sleep(0)
    for name, timetable in timetables.items():
        assert await bench.list_times(name) == list(ticks_of(timetable, NOON, until)), name


async def test_two_tickers_give_each_tick_one_job() -> None:
    bench = Bench()
    every = Every(MINUTE, overlap="allow")
    await bench.put(every)
    async with bench.ticking(2):
        await bench.clock.advance(HOUR)
    assert await bench.list_times() == list(ticks_of(every, NOON, NOON + HOUR))
    assert bench.submitted == 60


async def test_two_tickers_make_up_for_what_was_missed_only_once() -> None:
    bench = Bench()
    await bench.put(Every(MINUTE, missed="all", overlap="allow"))
    await bench.clock.advance(10 * HOUR)
    async with bench.ticking(2):
        assert len(await bench.list_times()) == bench.submitted == 600


@pytest.mark.parametrize("missed", list(MissedTicks))
async def test_a_tick_that_is_less_than_a_minute_late_gets_its_job(missed: MissedTicks) -> None:
    bench = Bench()
    await bench.put(Every(20, missed=missed, overlap="allow"))
    await bench.clock.advance(79)  # the first tick is late by 59 seconds
    async with bench.ticking():
        assert len(await bench.list_times()) == 3
        await bench.clock.advance(1)
        assert len(await bench.list_times()) == 4


async def test_missed_ticks_are_skipped_but_for_one_that_is_hardly_late() -> None:
    bench = Bench()
    await bench.put(Every(HOUR, missed="skip", overlap="allow"))
    await bench.clock.advance(5 * HOUR + timedelta(seconds=59))
    async with bench.ticking():
        assert len(await bench.list_times()) == 1
        assert (await bench.store.schedules.get_schedule("it")).last_at == NOON + 5 * HOUR
        await bench.clock.advance(HOUR)
        assert (await bench.list_times())[1:] == [NOON + 6 * HOUR]


async def test_a_minute_late_is_missed() -> None:
    bench = Bench()
    await bench.put(Every(HOUR, missed="skip"))
    await bench.clock.advance(HOUR + MINUTE)
    async with bench.ticking():
        state = await bench.store.schedules.get_schedule("it")
        assert (state.last_at, state.next_at) == (None, NOON + 2 * HOUR)


async def test_one_job_stands_for_all_missed_ticks() -> None:
    bench = Bench()
    await bench.put(Every(HOUR, overlap="allow"))
    await bench.clock.advance(5 * HOUR + timedelta(seconds=59))
    async with bench.ticking():
        assert await bench.list_times() == [NOON + 5 * HOUR + timedelta(seconds=59)]
        assert (await bench.store.schedules.get_schedule("it")).next_at == NOON + 6 * HOUR


async def test_each_missed_tick_gets_its_job_in_order() -> None:
    bench = Bench(Ledger)
    every = Every(MINUTE, missed="all", overlap="allow")
    await bench.put(every)
    await bench.clock.advance(24 * HOUR)
    async with bench.ticking():
        await bench.clock.settle()
    assert isinstance(bench.schedules, Ledger)
    assert bench.schedules.fired == tuple(ticks_of(every, NOON, NOON + 24 * HOUR))
    assert len(await bench.list_times()) == 24 * 60


class Watched(MemorySchedules):
    """Notes when ticks get their jobs, in seconds that pass however the clock is set."""

    def __init__(self, kept: KeptJobs) -> None:
        super().__init__(kept)
        self.clock: FakeClock
        self.passed: dict[str, list[float]] = {}

    async def fire_schedule(
        self, name: str, tick: datetime, next_at: datetime | None, job_id: str | None
    ) -> FiredSchedule:
        fired = await super().fire_schedule(name, tick, next_at, job_id)
        if fired is FiredSchedule.SUBMITTED:
            self.passed.setdefault(name, []).append(self.clock.monotonic())
        return fired

    def take_passed(self, name: str) -> list[float]:
        return self.passed.pop(name, [])


@pytest.mark.parametrize("is_running", [True, False])
async def test_a_clock_that_was_years_ahead_makes_no_schedule_wait_for_that_year(is_running: bool) -> None:
    bench = Bench(Watched)
    assert isinstance(bench.schedules, Watched)
    bench.schedules.clock = bench.clock
    bench.clock.set(NOON + 1_461 * 24 * HOUR - timedelta(hours=9, seconds=10))
    await bench.put(Every(2, overlap="allow"), "often")
    await bench.put(Cron("0 3 * * *", overlap="allow"), "nightly")
    async with bench.ticking():
        await bench.clock.advance(30)
        if is_running:
            assert len(bench.schedules.take_passed("nightly")) == 1
            bench.clock.set(NOON)
            bench.schedules.take_passed("often")
            await bench.clock.advance(10)
            assert len(bench.schedules.take_passed("often")) >= 3
    bench.clock.set(NOON + 14 * HOUR + 59 * MINUTE + timedelta(seconds=50))  # else while nobody ran
    bench.schedules.passed.clear()
    async with bench.ticking():
        await bench.clock.advance(20)
        assert len(bench.schedules.take_passed("often")) >= 8
        assert len(bench.schedules.take_passed("nightly")) == 1


async def test_a_clock_that_is_set_back_by_an_hour_stops_no_schedule_and_doubles_no_tick() -> None:
    bench = Bench(Watched)
    assert isinstance(bench.schedules, Watched)
    bench.schedules.clock = bench.clock
    timetables: dict[str, Timetable] = {
        "often": Every(20, overlap="allow"),
        "minutes": Cron("* * * * *", overlap="allow"),
        "hourly": Every(HOUR, overlap="allow"),
        "daily": Cron("55 12 * * *", overlap="allow"),
    }
    for name, timetable in timetables.items():
        await bench.put(timetable, name)
    async with bench.ticking(2):
        await bench.clock.advance(62 * MINUTE)
        assert len(bench.schedules.take_passed("daily")) == 1
        last = {name: bench.schedules.take_passed(name)[-1] for name in ("often", "minutes", "hourly")}
        bench.clock.set(bench.clock.now() - HOUR)
        await bench.clock.advance(2 * HOUR)
    gaps = {
        name: [later - one for one, later in pairwise([at, *bench.schedules.passed[name]])] for name, at in last.items()
    }
    assert 20 <= min(gaps["often"]) <= max(gaps["often"]) <= 60
    assert 60 <= min(gaps["minutes"]) <= max(gaps["minutes"]) <= 150
    assert 3_600 <= min(gaps["hourly"]) <= max(gaps["hourly"]) <= 7_200
    assert "daily" not in bench.schedules.passed


async def test_a_clock_that_was_behind_by_years_has_missed_nothing() -> None:
    bench = Bench()
    await bench.put(Every(60, missed="all", overlap="allow"))
    async with bench.ticking():
        await bench.clock.advance(60)
        bench.clock.set(NOON + 20_000 * 24 * HOUR)
        await bench.clock.advance(120)
        assert len(await bench.list_times()) == 3


class Ledger(MemorySchedules):
    """Notes which ticks were fired."""

    fired: tuple[datetime, ...] = ()

    async def fire_schedule(
        self, name: str, tick: datetime, next_at: datetime | None, job_id: str | None
    ) -> FiredSchedule:
        self.fired += (tick,)
        return await super().fire_schedule(name, tick, next_at, job_id)


async def test_ticks_do_not_drift() -> None:
    bench = Bench()
    await bench.put(Every(10 * MINUTE, overlap="allow"))
    await bench.clock.advance(10 * MINUTE + timedelta(seconds=45))
    async with bench.ticking():
        await bench.clock.advance(20 * MINUTE)
    assert (await bench.list_times())[1:] == [NOON + 20 * MINUTE, NOON + 30 * MINUTE]


async def test_a_tick_is_left_out_while_the_last_job_has_not_ended() -> None:
    bench = Bench()
    await bench.put(Every(MINUTE))
    async with bench.ticking():
        await bench.clock.advance(10 * MINUTE)
        assert await bench.list_times() == [NOON + MINUTE]
        assert bench.submitted == 1
        await bench.store.submissions.request_cancel(
            (await bench.store.reads.list_records(ALL_JOBS, 1, None)).records[0].id
        )
        await bench.clock.advance(MINUTE)
        assert await bench.list_times() == [NOON + MINUTE, NOON + 11 * MINUTE]


async def test_a_paused_schedule_has_no_ticks_also_if_it_is_changed() -> None:
    bench = Bench(Ledger)
    await bench.put(Every(HOUR))
    async with bench.ticking() as runner:
        await bench.store.schedules.set_schedule_paused("it", None, is_paused=True)
        await runner.put(schedule(Every(MINUTE)))
        await bench.clock.advance(10 * MINUTE)
    assert isinstance(bench.schedules, Ledger)
    assert bench.schedules.fired == ()


async def test_what_is_new_is_seen_at_once() -> None:
    bench = Bench()
    await bench.put(Every(HOUR), "other")
    async with bench.ticking() as runner:
        await bench.clock.advance(1)
        await runner.put(schedule(Every(2)))
        await bench.clock.advance(1)
        assert await bench.list_times() == [NOON + timedelta(seconds=2)]


async def test_a_schedule_without_another_tick_rests() -> None:
    bench = Bench()
    await bench.put(Cron("0 0 */30,30 2 3#5"))
    async with bench.ticking():
        await bench.clock.advance(HOUR)
    assert (await bench.store.schedules.get_schedule("it")).next_at is None


class Faulty(MemorySchedules):
    """Fails as often as it is told to, where it is told to."""

    list_errors: int = 0
    fire_errors: int = 0
    broken: str = ""
    removed: str = ""

    async def list_schedules(self) -> list[ScheduleState]:
        if self.list_errors:
            self.list_errors -= 1
            raise StoreUnavailable("memory", "no reason")
        return await super().list_schedules()

    async def fire_schedule(
        self, name: str, tick: datetime, next_at: datetime | None, job_id: str | None
    ) -> FiredSchedule:
        if name == self.broken:
            raise ZeroDivisionError
        if name == self.removed:
            await self.remove_schedule(name)
        if self.fire_errors:
            self.fire_errors -= 1
            raise StoreUnavailable("memory", "no reason")
        return await super().fire_schedule(name, tick, next_at, job_id)


async def test_a_store_that_cannot_be_reached_is_asked_again() -> None:
    bench = Bench(Faulty)
    assert isinstance(bench.schedules, Faulty)
    await bench.put(Every(MINUTE))
    bench.schedules.list_errors, bench.schedules.fire_errors = 5, 5
    async with bench.ticking():
        await bench.clock.advance(2 * MINUTE)
    pauses = [0.5, 1, 2, 4, 5]
    assert await bench.list_times() == [NOON + MINUTE + timedelta(seconds=sum(pauses))]


async def test_a_bug_in_one_schedule_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(Faulty)
    assert isinstance(bench.schedules, Faulty)
    bench.schedules.broken = "broken"
    for name in ("after", "before", "broken"):
        await bench.put(Every(MINUTE, overlap="allow"), name)
    async with bench.ticking():
        await bench.clock.advance(10 * MINUTE)
    assert len(await bench.list_times("after")) == len(await bench.list_times("before")) == 10
    assert "The jobs of schedule 'broken' cannot be submitted" in caplog.text
    assert "ZeroDivisionError" in caplog.text


async def test_a_schedule_that_is_removed_meanwhile_is_no_problem(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(Faulty)
    assert isinstance(bench.schedules, Faulty)
    bench.schedules.removed = "it"
    await bench.put(Every(MINUTE))
    await bench.put(Every(MINUTE), "other")
    async with bench.ticking():
        await bench.clock.advance(MINUTE)
    assert (await bench.list_times(), len(await bench.list_times("other"))) == ([], 1)
    assert not caplog.records


async def test_schedules_that_cannot_be_read_are_told_and_read_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unreadable(MemorySchedules):
        is_readable = False

        async def list_schedules(self) -> list[ScheduleState]:
            if not self.is_readable:
                raise ConfigurationError("time_zone", "Mars/Olympus", "known")
            return await super().list_schedules()

    bench = Bench(Unreadable)
    assert isinstance(bench.schedules, Unreadable)
    await bench.put(Every(MINUTE))
    async with bench.ticking():
        assert [record.getMessage() for record in caplog.records] == [
            "The schedules cannot be read, and no job of theirs is submitted"
        ]
        bench.schedules.is_readable = True
        await bench.clock.advance(MINUTE)
        assert await bench.list_times() == [NOON + MINUTE]


# What users hold.


def double(number: int) -> int:
    return 2 * number


@job_options(tags=["night"], queue="slow")
async def marked() -> None:
    """A target with options of its own."""


async def list_jobs_of(scheduler: Scheduler, name: str) -> list[JobRecord]:
    """The oldest first."""
    return [record for record in reversed(await scheduler.get_all_records()) if record.schedule == name]


@pytest.fixture
async def jobs(url: str) -> AsyncIterator[TestScheduler]:
    async with TestScheduler(url=url, clock=FakeClock(NOON)) as scheduler:
        yield scheduler


async def test_a_target_runs_again_and_again(jobs: TestScheduler) -> None:
    state = await jobs.schedules.add("double", Every(MINUTE), double, 21)
    assert (state.name, state.target_name, state.next_at) == ("double", "double", NOON + MINUTE)
    await jobs.advance(3 * MINUTE)
    records = await list_jobs_of(jobs, "double")
    assert [record.submitted_at for record in records] == [NOON + MINUTE, NOON + 2 * MINUTE, NOON + 3 * MINUTE]
    assert {record.status for record in records} == {JobStatus.COMPLETED}
    assert await jobs.get_result(records[-1].id) == 42
    state = await jobs.schedules.get("double")
    assert (state.last_at, state.last_job_id) == (NOON + 3 * MINUTE, records[-1].id)
    assert state.next_at == NOON + 4 * MINUTE


async def test_jobs_of_a_schedule_have_the_options_of_their_target(jobs: TestScheduler) -> None:
    await jobs.schedules.add("own", Every(MINUTE), marked)
    await jobs.schedules.with_options(priority=7).with_options(queue="fast").add("changed", Every(MINUTE), marked)
    await jobs.advance(MINUTE)
    (own,), (changed,) = await list_jobs_of(jobs, "own"), await list_jobs_of(jobs, "changed")
    assert (own.queue, own.priority, own.tags) == ("slow", 0, ("night",))
    assert (changed.queue, changed.priority, changed.tags) == ("fast", 7, ("night",))


async def test_jobs_with_a_delay_start_after_it(jobs: TestScheduler) -> None:
    await jobs.schedules.with_options(delay=30).add("late", Every(MINUTE), noop)
    await jobs.advance(MINUTE + timedelta(seconds=29))
    (record,) = await list_jobs_of(jobs, "late")
    assert record.status is JobStatus.PENDING
    await jobs.advance(1)
    assert (await jobs.get_record(record.id)).started_at == NOON + 1.5 * MINUTE


async def test_a_schedule_is_added_again_as_if_nothing_had_happened(jobs: TestScheduler) -> None:
    await jobs.schedules.add("it", Every(HOUR), noop)
    await jobs.schedules.pause("it")
    await jobs.schedules.add("it", Every(HOUR), noop)
    assert (await jobs.schedules.get("it")).is_paused
    await jobs.schedules.resume("it")
    changed = await jobs.schedules.add("it", Cron("@daily"), double, 1)
    assert [(state.timetable, state.target_name, state.next_at) for state in await jobs.schedules.list()] == [
        (Cron("@daily"), "double", datetime(2026, 3, 2, tzinfo=UTC))
    ]
    assert changed == await jobs.schedules.get("it")


async def test_schedules_are_listed_by_name_with_their_policies(jobs: TestScheduler) -> None:
    cron = Cron("0 3 * * *", "Europe/Berlin", missed="skip", overlap="wait")
    await jobs.schedules.add("nightly", cron, noop)
    await jobs.schedules.add("hourly", Every(HOUR), noop)
    hourly, nightly = await jobs.schedules.list()
    assert (hourly.name, hourly.timetable, hourly.missed, hourly.overlap) == (
        "hourly",
        Every(3_600),
        MissedTicks.ONCE,
        Overlap.SKIP,
    )
    assert (nightly.timetable, nightly.missed, nightly.overlap) == (cron, MissedTicks.SKIP, Overlap.WAIT)


async def test_a_paused_schedule_goes_on_with_the_first_tick_after_it_is_resumed(jobs: TestScheduler) -> None:
    await jobs.schedules.add("it", Every(MINUTE, missed="all", overlap="allow"), noop)
    state = await jobs.schedules.pause("it")
    assert (state.is_paused, state.next_at) == (True, None)
    await jobs.advance(5 * MINUTE)
    state = await jobs.schedules.resume("it")
    assert (state.is_paused, state.next_at) == (False, NOON + 6 * MINUTE)
    assert await jobs.schedules.resume("it") == state
    await jobs.advance(MINUTE)
    assert [record.submitted_at for record in await list_jobs_of(jobs, "it")] == [NOON + 6 * MINUTE]


async def test_a_removed_schedule_leaves_its_jobs(jobs: TestScheduler) -> None:
    await jobs.schedules.add("it", Every(MINUTE), noop)
    await jobs.advance(MINUTE)
    await jobs.schedules.remove("it")
    await jobs.advance(5 * MINUTE)
    assert await jobs.schedules.list() == []
    assert len(await list_jobs_of(jobs, "it")) == 1


async def test_a_name_that_is_not_there_is_told(jobs: TestScheduler) -> None:
    for act in (jobs.schedules.get, jobs.schedules.pause, jobs.schedules.resume, jobs.schedules.remove):
        with pytest.raises(ScheduleNotFound, match="Schedule not found: nightly"):
            await act("nightly")


async def test_what_was_declared_is_there_at_the_start(url: str) -> None:
    scheduler = create_scheduler(url, shutdown_grace=0)
    scheduler.schedules.declare("it", Every(HOUR), noop)
    scheduler.schedules.with_options(queue="slow").declare("it", Every(MINUTE), double, 2)
    for _ in range(2):  # and after every other
        async with scheduler:
            (state,) = await scheduler.schedules.list()
            assert (state.name, state.timetable, state.target_name) == ("it", Every(MINUTE), "double")


async def test_it_is_too_late_to_declare_once_the_scheduler_runs(url: str) -> None:
    scheduler = create_scheduler(url, shutdown_grace=0)
    async with scheduler:
        with pytest.raises(ConfigurationError, match="must be called before the scheduler starts"):
            scheduler.schedules.declare("late", Every(HOUR), noop)
        assert await scheduler.schedules.list() == []
    scheduler.schedules.declare("early", Every(HOUR), noop)  # it is closed, and can start again
    async with scheduler:
        assert [state.name for state in await scheduler.schedules.list()] == ["early"]


async def test_a_schedule_stays_without_being_declared_again(tmp_path: object) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    async with TestScheduler(url=url, clock=FakeClock(NOON)) as scheduler:
        await scheduler.schedules.add("it", Every(HOUR), noop)
    async with TestScheduler(url=url, clock=FakeClock(NOON + 2 * HOUR + MINUTE)) as scheduler:
        await scheduler.drain()
        (record,) = await list_jobs_of(scheduler, "it")
        assert record.submitted_at == NOON + 2 * HOUR + MINUTE
        assert (await scheduler.schedules.get("it")).next_at == NOON + 3 * HOUR


async def test_programs_can_be_scheduled(jobs: TestScheduler) -> None:
    state = await jobs.schedules.with_options(name="backup").add("backup", Cron("@daily"), Command(["true"]))
    assert state.target_name == "backup"


@pytest.mark.parametrize("name", ["", "a/b", ".", "..", "x" * 201, "a\nb", 5])
async def test_a_name_that_cannot_be_part_of_an_address_is_refused(name: str) -> None:
    async with InMemoryScheduler() as scheduler:
        with pytest.raises(ConfigurationError, match="name must be"):
            await scheduler.schedules.add(name, Every(60), noop)


async def test_what_makes_no_sense_is_refused(scheduler: Scheduler) -> None:
    schedules = scheduler.schedules
    with pytest.raises(ConfigurationError, match="timetable must be a Cron, or an Every"):
        await schedules.add("it", "0 3 * * *", noop)  # type: ignore[call-overload]
    with pytest.raises(InvalidTarget, match="not callable"):
        await schedules.add("it", Every(60), 5)  # type: ignore[call-overload]
    with pytest.raises(InvalidArguments, match="double"):
        await schedules.add("it", Every(60), double)  # type: ignore[call-overload]
    with pytest.raises(ConfigurationError, match="idempotency_key must be left out"):
        await schedules.with_options(idempotency_key="x").add("it", Every(60), noop)
    with pytest.raises(ConfigurationError, match="start_at must be left out"):
        schedules.with_options(start_at=NOON).declare("it", Every(60), noop)
    assert await schedules.list() == []


async def test_a_coroutine_object_cannot_run_again(scheduler: Scheduler) -> None:
    coroutine = noop()
    with pytest.raises(InvalidTarget, match="runs only once"):
        await scheduler.schedules.add("it", Every(60), coroutine)  # type: ignore[call-overload]
    coroutine.close()


async def test_what_any_process_may_have_to_submit_must_be_importable(scheduler: Scheduler, gate: Gate) -> None:
    if scheduler.is_shared:
        with pytest.raises(InvalidTarget, match="is a bound method"):
            await scheduler.schedules.add("it", Every(60), gate.enter)
        with pytest.raises(InvalidTarget, match="is a lambda"):
            scheduler.schedules.declare("it", Every(60), lambda: None)
    else:
        await scheduler.schedules.add("it", Every(60), gate.enter)


async def test_a_closed_scheduler_takes_no_schedules(scheduler: Scheduler) -> None:
    await scheduler.close()
    with pytest.raises(SchedulerClosed):
        await scheduler.schedules.add("it", Every(60), noop)


async def test_a_real_clock_ticks_as_well(scheduler: Scheduler) -> None:
    async with scheduler.follow() as feed:
        await scheduler.schedules.add("it", Every(1), noop)
        record: JobRecord | None = None
        while record is None or record.status is not JobStatus.COMPLETED:
            change = await feed.next_event()
            record = None if change is None else change.record
        assert record.schedule == "it"
