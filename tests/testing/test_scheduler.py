"""Jobs whose time is the test's. Every time in these tests is the clock's, and exact."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from servicekit import (
    Command,
    ConfigurationError,
    Cron,
    EndedBy,
    Every,
    JobStatus,
    Retention,
    Retry,
    RetryAfter,
    current_job,
)
from servicekit.testing import FakeClock, NotDrained, TestScheduler
from tests.needs import needs

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


def seconds(moment: datetime | None) -> float:
    """When that was, in seconds from the start of the clock."""
    assert moment is not None
    return (moment - START).total_seconds()


async def multiply(first: int, second: int) -> int:
    return first * second


def multiply_in_thread(first: int, second: int) -> int:
    return first * second


async def fail() -> None:
    raise ValueError("no")


async def hang() -> None:
    await asyncio.Event().wait()


async def tick() -> None:
    """What a schedule submits."""


class Endless:
    """A target that holds on to nothing: what a job's target reaches is weighed."""

    scheduler: TestScheduler

    @staticmethod
    async def submit_another() -> None:
        await Endless.scheduler.add_job(Endless.submit_another)


async def test_what_is_drained_has_ended(scheduler: TestScheduler) -> None:
    job_id = await scheduler.add_job(multiply, 2, 3)
    (record,) = await scheduler.drain()
    assert (record.id, record.status) == (job_id, JobStatus.COMPLETED)
    assert await scheduler.get_result(job_id) == 6


async def test_drain_waits_for_what_really_works_and_time_stands_still_for_it(scheduler: TestScheduler) -> None:
    async def work_really() -> int:
        return await asyncio.to_thread(multiply_in_thread, 1, 2)

    await scheduler.with_options(run_timeout=1).add_job(multiply_in_thread, 1, 2)
    await scheduler.with_options(run_timeout=1).add_job(work_really)
    await scheduler.with_options(delay=60).add_job(multiply_in_thread, 1, 2)
    records = await scheduler.drain()
    assert [record.status for record in records] == [JobStatus.COMPLETED] * 3
    assert [seconds(record.finished_at) for record in records] == [0, 0, 60]


async def test_time_stands_still_for_processes_and_commands_too(scheduler: TestScheduler) -> None:
    await scheduler.with_options(runner="process", run_timeout=1).add_job(multiply_in_thread, 2, 3)
    await scheduler.with_options(run_timeout=1).add_job(Command([sys.executable, "-c", "print(6)"]))
    await scheduler.with_options(delay=60).add_job(multiply, 2, 3)
    records = await scheduler.drain()
    assert [record.status for record in records] == [JobStatus.COMPLETED] * 3
    assert [seconds(record.finished_at) for record in records] == [0, 0, 60]


async def test_drain_returns_every_job_once_the_oldest_first(scheduler: TestScheduler) -> None:
    async def submit_another() -> str:
        return await scheduler.add_job(multiply, 3, 4)

    assert await scheduler.drain() == []
    late_id = await scheduler.with_options(delay=60).add_job(multiply, 2, 3)
    outer_id = await scheduler.add_job(submit_another)
    await scheduler.advance(1)  # one of them has ended already
    records = await scheduler.drain()
    assert [record.id for record in records] == [late_id, outer_id, await scheduler.get_result(outer_id)]
    assert await scheduler.drain() == []


async def test_ten_years_pass_at_once(scheduler: TestScheduler) -> None:
    ten_years = timedelta(days=3_650)
    job_id = await scheduler.with_options(delay=ten_years).add_job(multiply, 2, 3)
    await scheduler.drain()
    record = await scheduler.get_record(job_id)
    assert record.started_at == record.finished_at == scheduler.clock.now() == START + ten_years


async def test_a_delayed_job_starts_neither_early_nor_late(scheduler: TestScheduler) -> None:
    job_id = await scheduler.with_options(delay=60).add_job(multiply, 2, 3)
    await scheduler.advance(59)
    assert await scheduler.get_status(job_id) is JobStatus.PENDING
    await scheduler.advance(10)
    record = await scheduler.get_record(job_id)
    assert (record.status, seconds(record.started_at)) == (JobStatus.COMPLETED, 60)
    assert seconds(scheduler.clock.now()) == 69


async def test_jobs_that_follow_from_each_other_each_run_at_their_own_time(scheduler: TestScheduler) -> None:
    async def go_on(count: int) -> None:
        if count:
            await scheduler.with_options(delay=count).add_job(go_on, count - 1)

    await scheduler.add_job(go_on, 4)
    await scheduler.advance(100)
    records = (await scheduler.get_all_records())[::-1]
    assert [seconds(record.started_at) for record in records] == [0, 4, 7, 9, 10]


async def test_every_attempt_of_a_job_that_is_retried_begins_at_its_time(scheduler: TestScheduler) -> None:
    retry = Retry(attempts=4, delay=10, factor=3, jitter=0)
    job_id = await scheduler.with_options(retry=retry).add_job(fail)
    (record,) = await scheduler.drain()
    assert (record.id, record.status, record.attempt) == (job_id, JobStatus.FAILED, 4)
    assert [seconds(attempt.started_at) for attempt in record.attempts] == [0, 10, 40]
    assert seconds(record.finished_at) == 130
    assert [attempt.error for attempt in record.attempts] == ["ValueError: no"] * 3


async def test_a_job_that_asks_for_another_wait_gets_it(scheduler: TestScheduler) -> None:
    async def want_a_week() -> str:
        if current_job().attempt == 1:
            raise RetryAfter(timedelta(weeks=1))
        return "done"

    await scheduler.with_options(retry=Retry()).add_job(want_a_week)
    (record,) = await scheduler.drain()
    assert (record.status, seconds(record.started_at)) == (JobStatus.COMPLETED, 7 * 86_400)


async def test_work_that_takes_long_by_the_clock_takes_no_time(scheduler: TestScheduler) -> None:
    job_id = await scheduler.add_job(scheduler.clock.sleep, 3_600)
    await scheduler.advance(60)
    assert (await scheduler.get_record(job_id)).elapsed_seconds == 60
    (record,) = await scheduler.drain()
    assert (record.status, record.elapsed_seconds) == (JobStatus.COMPLETED, 3_600)


async def test_a_job_that_takes_too_long_fails_at_its_limit(scheduler: TestScheduler) -> None:
    limited = scheduler.with_options(run_timeout=60)
    await limited.add_job(scheduler.clock.sleep, 59)
    await limited.add_job(scheduler.clock.sleep, 61)
    in_time, late = await scheduler.drain()
    assert (in_time.status, seconds(in_time.finished_at)) == (JobStatus.COMPLETED, 59)
    assert (late.status, late.ended_by, seconds(late.finished_at)) == (JobStatus.FAILED, EndedBy.TIME_LIMIT, 60)


@pytest.mark.parametrize("move", [TestScheduler.drain, lambda scheduler: scheduler.advance(100)])
async def test_a_job_that_waits_for_ever_fails_at_its_limit(
    scheduler: TestScheduler, move: Callable[[TestScheduler], Awaitable[object]]
) -> None:
    scheduler.patience_seconds = 0.1
    job_id = await scheduler.with_options(run_timeout=60).add_job(hang)
    await move(scheduler)
    record = await scheduler.get_record(job_id)
    assert (record.status, record.ended_by, seconds(record.finished_at)) == (JobStatus.FAILED, EndedBy.TIME_LIMIT, 60)


async def test_a_thread_that_waits_for_ever_is_asked_to_stop_at_its_limit(scheduler: TestScheduler) -> None:
    def wait() -> None:
        current_job().wait_cancel_requested()
        current_job().raise_if_canceled()

    async def await_limit() -> None:
        await scheduler.clock.sleep(60)
        scheduler.patience_seconds = 20  # from now on it does not wait in vain: the thread may take its time to hear it

    scheduler.patience_seconds = 1
    await scheduler.with_options(run_timeout=60).add_job(wait)
    waiting = asyncio.create_task(await_limit())
    (record,) = await scheduler.drain()
    await waiting
    assert (record.status, record.ended_by, seconds(record.finished_at)) == (JobStatus.FAILED, EndedBy.TIME_LIMIT, 60)


async def test_a_job_that_reports_progress_is_not_silent(scheduler: TestScheduler) -> None:
    async def report_and_fall_silent() -> None:
        for step in range(5):
            current_job().progress(step)
            await scheduler.clock.sleep(40)
        await scheduler.clock.sleep(3_600)

    await scheduler.with_options(silence_timeout=60).add_job(report_and_fall_silent)
    (record,) = await scheduler.drain()
    assert (record.status, record.ended_by, seconds(record.finished_at)) == (JobStatus.FAILED, EndedBy.TIME_LIMIT, 220)
    assert record.progress is not None
    assert (record.progress.done, seconds(record.progress.reported_at)) == (4, 160)


async def test_a_job_that_waits_too_long_for_its_turn_fails(scheduler: TestScheduler) -> None:
    await scheduler.set_max_concurrency(1)
    await scheduler.add_job(scheduler.clock.sleep, 600)
    await scheduler.with_options(queue_timeout=60).add_job(multiply, 2, 3)
    await scheduler.with_options(queue_timeout=900).add_job(multiply, 2, 3)
    _, impatient, patient = await scheduler.drain()
    assert (impatient.status, impatient.started_at, seconds(impatient.finished_at)) == (JobStatus.FAILED, None, 60)
    assert (patient.status, seconds(patient.started_at)) == (JobStatus.COMPLETED, 600)


async def test_jobs_take_turns_in_their_slots(scheduler: TestScheduler) -> None:
    await scheduler.set_max_concurrency(2)
    for _ in range(5):
        await scheduler.add_job(scheduler.clock.sleep, 10)
    assert [seconds(record.started_at) for record in await scheduler.drain()] == [0, 0, 10, 10, 20]


async def test_many_jobs_one_after_the_other_need_no_time(jobs: TestScheduler) -> None:
    await jobs.set_max_concurrency(1)
    for _ in range(500):
        await jobs.with_options(delay=10).add_job(multiply, 2, 3)
    await jobs.with_options(delay=11).add_job(multiply, 2, 3)
    await jobs.advance(60)
    records = (await jobs.get_all_records())[::-1]
    assert [seconds(record.started_at) for record in records] == [10] * 500 + [11]


async def test_time_stands_still_while_somebody_goes_on_asking(scheduler: TestScheduler) -> None:
    async def look_and_submit() -> None:
        for _ in range(400):
            await scheduler.count_by_status()
            await asyncio.sleep(0)
        await scheduler.add_job(multiply, 2, 3)

    await scheduler.with_options(delay=10).add_job(multiply, 2, 3)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(look_and_submit())
        late, early = await scheduler.drain()
    assert [seconds(record.started_at) for record in (early, late)] == [0, 10]


async def test_a_test_can_look_on_while_a_job_runs(scheduler: TestScheduler) -> None:
    job_id = await scheduler.add_job(scheduler.clock.sleep, 600)
    await scheduler.advance(1)
    assert await scheduler.get_status(job_id) is JobStatus.RUNNING
    assert await scheduler.cancel(job_id)
    (record,) = await scheduler.drain()
    assert (record.status, seconds(record.finished_at)) == (JobStatus.CANCELED, 1)


async def test_a_deleted_job_is_not_waited_for(scheduler: TestScheduler) -> None:
    job_id = await scheduler.with_options(delay=60).add_job(multiply, 2, 3)
    await scheduler.delete(job_id)
    assert await scheduler.drain() == []
    assert scheduler.clock.now() == START


# --- schedules -------------------------------------------------------------------------------------------------------


async def test_every_tick_that_passes_has_its_job_at_its_time(scheduler: TestScheduler) -> None:
    await scheduler.schedules.add("hourly", Every(timedelta(hours=1)), tick)
    await scheduler.advance(timedelta(hours=4, minutes=30))
    records = await scheduler.drain()
    assert [seconds(record.started_at) / 3_600 for record in records] == [1, 2, 3, 4]
    assert {record.schedule for record in records} == {"hourly"}


async def test_a_year_of_nights_passes_at_once(jobs: TestScheduler) -> None:
    await jobs.schedules.add("nightly", Cron("0 3 * * *"), tick)
    await jobs.advance(timedelta(days=365))
    records = await jobs.drain()
    assert len(records) == 365
    assert {record.started_at.hour for record in records if record.started_at} == {3}


async def test_drain_does_not_wait_for_schedules(scheduler: TestScheduler) -> None:
    await scheduler.schedules.add("hourly", Every(timedelta(hours=1)), tick)
    assert await scheduler.drain() == []
    await scheduler.with_options(delay=7_200).add_job(multiply, 2, 3)
    assert [record.name for record in await scheduler.drain()] == ["multiply", "tick", "tick"]
    assert seconds(scheduler.clock.now()) == 7_200


async def test_a_tick_during_the_job_of_the_last_one_is_left_out(jobs: TestScheduler) -> None:
    await jobs.schedules.add("often", Every(60, overlap="skip"), jobs.clock.sleep, 90)
    await jobs.advance(300)
    assert [seconds(record.started_at) for record in (await jobs.get_all_records())[::-1]] == [60, 180, 300]


# --- what does not end -----------------------------------------------------------------------------------------------


async def test_a_job_that_never_ends_is_named(scheduler: TestScheduler) -> None:
    scheduler.patience_seconds = 0.1
    job_id = await scheduler.add_job(hang)
    await scheduler.add_job(multiply, 2, 3)
    with pytest.raises(NotDrained) as raised:
        await scheduler.drain()
    assert str(raised.value).splitlines() == [
        "These jobs have not ended, and wait for nothing that time brings:",
        f"  hang {job_id}: running (attempt 1)",
    ]
    assert [record.id for record in raised.value.records] == [job_id]


async def test_a_job_whose_queue_is_paused_is_named(scheduler: TestScheduler) -> None:
    await scheduler.queues.pause("gpu")
    job_id = await scheduler.with_options(queue="gpu").add_job(multiply, 2, 3)
    with pytest.raises(NotDrained, match=f"multiply {job_id}: pending \\(queue 'gpu'\\)"):
        await scheduler.drain()
    await scheduler.queues.resume("gpu")
    assert [record.id for record in await scheduler.drain()] == [job_id]


async def test_jobs_that_submit_others_without_end_are_stopped(scheduler: TestScheduler) -> None:
    async def submit_another() -> None:
        await scheduler.add_job(submit_another)

    await scheduler.add_job(submit_another)
    with pytest.raises(NotDrained, match="More than 10 jobs"):
        await scheduler.drain(max_jobs=10)


async def test_jobs_that_submit_others_without_end_do_not_let_time_pass() -> None:
    async with TestScheduler(retention=Retention(max_count=10)) as scheduler:
        Endless.scheduler = scheduler
        await scheduler.add_job(Endless.submit_another)
        with pytest.raises(NotDrained, match="without end"):
            await scheduler.advance(1)


async def test_jobs_that_submit_others_for_later_without_end_are_stopped(scheduler: TestScheduler) -> None:
    async def submit_another() -> None:
        await scheduler.with_options(delay=3_600).add_job(submit_another)

    await scheduler.add_job(submit_another)
    with pytest.raises(NotDrained, match="More than 10 jobs"):
        await scheduler.drain(max_jobs=10)
    with pytest.raises(NotDrained, match=r"not ended by 2026-01-02 .* \(max_time\)"):
        await scheduler.drain(max_time=timedelta(days=1))


async def test_many_jobs_that_do_not_end_are_not_all_named(scheduler: TestScheduler) -> None:
    scheduler.patience_seconds = 0.1
    for _ in range(12):
        await scheduler.add_job(hang)
    with pytest.raises(NotDrained, match="and 2 more"):
        await scheduler.drain()


# --- how it is made --------------------------------------------------------------------------------------------------


async def test_it_has_the_options_of_every_scheduler() -> None:
    clock = FakeClock(start=datetime(2030, 1, 1, tzinfo=UTC))
    async with TestScheduler(1, clock=clock, queues={"gpu": 1}, retention=Retention(max_count=1)) as scheduler:
        await scheduler.add_job(multiply, 2, 3)
        (record,) = await scheduler.drain()
        assert record.submitted_at == datetime(2030, 1, 1, tzinfo=UTC)
        assert [queue.name for queue in await scheduler.queues.list()] == ["gpu"]


async def test_it_takes_no_other_clock() -> None:
    from servicekit.engine.clock import SystemClock

    with pytest.raises(ConfigurationError, match="a FakeClock"):
        TestScheduler(clock=SystemClock())


@needs("postgresql")
async def test_its_clock_also_counts_for_jobs_on_a_server(postgres_url: str) -> None:
    async with TestScheduler(url=postgres_url) as scheduler:
        await scheduler.with_options(delay=10, retry=Retry(attempts=2, delay=60, jitter=0)).add_job(fail)
        await scheduler.schedules.add("tick", Every(timedelta(minutes=1)), tick)
        (record, ticked) = sorted(await scheduler.drain(), key=lambda record: record.name)
    assert (seconds(record.submitted_at), seconds(record.started_at), seconds(record.finished_at)) == (0, 70, 70)
    assert seconds(ticked.submitted_at) == 60


async def test_two_schedulers_can_share_a_clock() -> None:
    clock = FakeClock()
    async with TestScheduler(clock=clock) as first, TestScheduler(clock=clock) as second:
        await first.with_options(delay=10).add_job(multiply, 2, 3)
        await second.with_options(delay=20).add_job(multiply, 2, 3)
        await clock.advance(60)
        (early,), (late,) = await first.get_all_records(), await second.get_all_records()
    assert [seconds(record.finished_at) for record in (early, late)] == [10, 20]
