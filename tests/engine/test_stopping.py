"""Starting and stopping a scheduler."""

import asyncio
import gc
import sqlite3
import sys
import threading
import warnings
from collections.abc import Callable, Coroutine
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from servicekit import (
    InMemoryScheduler,
    JobStatus,
    Retention,
    Scheduler,
    SchedulerClosed,
    create_scheduler,
    current_job,
)
from servicekit.errors import StoreUnavailable
from servicekit.stores.sqlite import writer
from tests.fakes import Gate, Stubborn, noop


async def test_a_scheduler_needs_no_start_up_call() -> None:
    scheduler = InMemoryScheduler(max_concurrency=2)
    job_id = await scheduler.add_job(noop)
    assert (await scheduler.wait(job_id)).status is JobStatus.COMPLETED
    await scheduler.close()


def test_a_scheduler_works_in_a_script_without_any_end() -> None:
    async def script() -> JobStatus:
        scheduler = InMemoryScheduler()
        return (await scheduler.wait(await scheduler.add_job(noop))).status

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert asyncio.run(script()) is JobStatus.COMPLETED
        gc.collect()


async def leave_one_running(scheduler: Scheduler) -> str:
    job_id = await scheduler.add_job(asyncio.sleep, 3_600)
    while await scheduler.get_status(job_id) is JobStatus.PENDING:
        await asyncio.sleep(0)
    return job_id


def test_a_scheduler_outlives_its_event_loop() -> None:
    scheduler = InMemoryScheduler(max_concurrency=1)

    async def run_another() -> JobStatus:
        return (await scheduler.wait(await scheduler.add_job(noop), timeout=60)).status

    abandoned = asyncio.run(leave_one_running(scheduler))
    assert asyncio.run(run_another()) is JobStatus.COMPLETED
    assert asyncio.run(scheduler.get_status(abandoned)) is JobStatus.CANCELED


def test_a_script_without_any_end_ends_also_while_its_file_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = create_scheduler(f"sqlite:///{tmp_path / 'jobs.db'}")

    async def leave_and_lock() -> str:
        job_id = await leave_one_running(scheduler)
        lock.execute("BEGIN IMMEDIATE")
        return job_id

    async def wait_and_close(job_id: str) -> JobStatus:
        async with scheduler:
            return (await scheduler.wait(job_id, timeout=60)).status

    asyncio.run(leave_one_running(scheduler))
    with monkeypatch.context() as hurried, closing(sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)) as lock:
        hurried.setattr(writer, "_PATIENCE_SECONDS", 0.05)  # while it is locked, and not for what follows
        abandoned = asyncio.run(leave_and_lock())
    assert asyncio.run(wait_and_close(abandoned)) is JobStatus.CANCELED


@pytest.mark.parametrize(
    "call",
    [
        lambda scheduler: scheduler.add_job(len, "abc"),
        lambda scheduler: scheduler.list_records(),
        lambda scheduler: scheduler.queues.pause("default"),
        lambda scheduler: scheduler.schedules.list(),
    ],
    ids=["add", "list", "pause", "schedules"],
)
async def test_another_event_loop_is_refused_while_the_scheduler_runs_on_its_own(
    scheduler: Scheduler, call: Callable[[Scheduler], Coroutine[object, object, object]]
) -> None:
    job_id = await scheduler.add_job(lambda: asyncio.run(call(scheduler)))
    assert str((await scheduler.wait(job_id)).error).startswith("WrongEventLoop: The scheduler runs on another")
    after = await scheduler.add_job(asyncio.sleep, 0)
    assert (await scheduler.wait(after)).status is JobStatus.COMPLETED


async def test_a_closed_scheduler_takes_no_jobs_until_it_is_started_again() -> None:
    scheduler = InMemoryScheduler()
    await scheduler.close()
    with pytest.raises(SchedulerClosed):
        await scheduler.add_job(noop)
    await scheduler.start()
    assert (await scheduler.wait(await scheduler.add_job(noop))).status is JobStatus.COMPLETED
    await scheduler.close()


async def test_running_jobs_get_their_grace_and_pending_ones_are_canceled(gate: Gate) -> None:
    scheduler = InMemoryScheduler(max_concurrency=1, shutdown_grace=30)
    running = await scheduler.add_job(gate.enter)
    pending = await scheduler.add_job(gate.enter)
    await gate.wait_entered(1)
    closing = asyncio.ensure_future(scheduler.close())
    while await scheduler.get_status(pending) is JobStatus.PENDING:
        await asyncio.sleep(0)
    gate.open()
    await closing
    assert await scheduler.get_status(running) is JobStatus.COMPLETED
    assert await scheduler.get_status(pending) is JobStatus.CANCELED


async def test_what_is_not_finished_after_the_grace_is_canceled(gate: Gate) -> None:
    scheduler = InMemoryScheduler(shutdown_grace=0.01)
    job_id = await scheduler.add_job(gate.enter)
    await gate.wait_entered(1)
    await scheduler.close()
    assert await scheduler.get_status(job_id) is JobStatus.CANCELED


async def test_work_that_does_not_stop_delays_the_end_by_a_second_and_no_more() -> None:
    started, release, stubborn = threading.Event(), threading.Event(), Stubborn()

    def in_thread() -> None:
        started.set()
        release.wait(60)

    scheduler = InMemoryScheduler(shutdown_grace=0)
    thread = await scheduler.add_job(in_thread)
    await scheduler.add_job(stubborn.run)
    await asyncio.to_thread(started.wait, 30)
    await asyncio.wait_for(scheduler.close(), 30)
    assert await scheduler.get_status(thread) is JobStatus.RUNNING
    release.set()
    stubborn.released.set()


async def test_two_schedulers_do_not_know_each_other(gate: Gate) -> None:
    async with InMemoryScheduler(max_concurrency=1) as first, InMemoryScheduler(max_concurrency=1) as second:
        await first.add_job(gate.enter)
        job_id = await second.add_job(noop)
        assert (await second.wait(job_id)).status is JobStatus.COMPLETED
        with pytest.raises(KeyError):
            await first.get_record(job_id)
        gate.open()


async def test_a_scheduler_that_starts_again_still_counts_what_did_not_stop() -> None:
    stubborn = Stubborn()
    scheduler = InMemoryScheduler(max_concurrency=1, shutdown_grace=0)
    ignoring = await scheduler.add_job(stubborn.run)
    await stubborn.began.wait()
    await scheduler.close()
    await scheduler.start()
    waiting = await scheduler.add_job(noop)
    for _ in range(50):
        await asyncio.sleep(0)
    assert await scheduler.get_status(waiting) is JobStatus.PENDING
    stubborn.released.set()
    assert (await scheduler.wait(waiting)).status is JobStatus.COMPLETED
    assert await scheduler.get_status(ignoring) is JobStatus.COMPLETED
    await scheduler.close()


def test_a_thread_that_outlives_its_event_loop_holds_its_slot_and_is_recorded() -> None:
    scheduler = InMemoryScheduler(max_concurrency=1, retention=Retention(max_age=timedelta(seconds=0.5)))
    started, release = threading.Event(), threading.Event()

    def in_thread() -> str:
        started.set()
        release.wait(60)
        current_job().progress(1)
        return "done"

    async def leave_one_running() -> str:
        job_id = await scheduler.add_job(in_thread)
        await asyncio.to_thread(started.wait, 30)
        return job_id

    async def run_another() -> JobStatus:
        waiting = await scheduler.add_job(noop)
        for _ in range(50):
            await asyncio.sleep(0)
        assert await scheduler.get_status(waiting) is JobStatus.PENDING
        release.set()
        return (await scheduler.wait(waiting)).status

    asyncio.run(leave_one_running())
    assert asyncio.run(run_another()) is JobStatus.COMPLETED


async def test_a_job_cut_off_before_its_first_step_is_not_left_running() -> None:
    scheduler = InMemoryScheduler(max_concurrency=1, retention=Retention(max_age=timedelta(seconds=0.5)))
    mine = set(asyncio.all_tasks())
    job_id = await scheduler.add_job(noop)
    while await scheduler.get_status(job_id) is JobStatus.PENDING:
        await asyncio.sleep(0)
    for task in asyncio.all_tasks() - mine:
        if task.get_name() == job_id:
            task.cancel()
    record = await scheduler.wait(job_id, timeout=30)
    assert record.status.is_terminal
    assert (await scheduler.wait(await scheduler.add_job(noop), timeout=30)).status is JobStatus.COMPLETED
    await scheduler.close()


async def test_a_cut_off_thread_that_has_ended_is_recorded_when_the_scheduler_closes() -> None:
    scheduler = InMemoryScheduler(shutdown_grace=0)
    started, release = threading.Event(), threading.Event()

    def in_thread() -> None:
        started.set()
        release.wait(60)

    job_id = await scheduler.add_job(in_thread)
    await asyncio.to_thread(started.wait, 30)
    (task,) = [task for task in asyncio.all_tasks() if task.get_name() == job_id]
    task.cancel()
    await asyncio.wait([task])
    release.set()
    while not (await scheduler.get_record(job_id)).status.is_terminal:  # until the thread has ended
        await scheduler.start()
        await scheduler.close()
    assert scheduler.running_count == 0


async def test_an_engine_that_was_ended_by_a_stranger_is_started_again(gate: Gate) -> None:
    scheduler = InMemoryScheduler(max_concurrency=1, shutdown_grace=0)
    await scheduler.add_job(gate.enter)
    await gate.wait_entered(1)
    for task in asyncio.all_tasks():
        if task.get_name() == "servicekit engine":
            task.cancel()
            await asyncio.wait([task])
    waiting = await scheduler.add_job(noop)
    gate.open()
    assert (await scheduler.wait(waiting, timeout=30)).status is JobStatus.COMPLETED
    await scheduler.close()


async def test_closing_twice_at_once_is_closing_once(gate: Gate) -> None:
    scheduler = InMemoryScheduler(shutdown_grace=0)
    await scheduler.add_job(gate.enter)
    await gate.wait_entered(1)
    await asyncio.gather(scheduler.close(), scheduler.close())
    assert scheduler.is_closed


if sys.version_info >= (3, 12):

    async def test_jobs_run_also_where_tasks_are_eager() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        async with InMemoryScheduler(max_concurrency=1) as scheduler:
            for _ in range(3):
                assert (await scheduler.wait(await scheduler.add_job(noop), timeout=30)).status is JobStatus.COMPLETED


async def test_an_end_that_cannot_be_written_before_the_process_stops_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer, "_PATIENCE_SECONDS", 0.05)
    released, has_ended = asyncio.Event(), asyncio.Event()

    async def end_when_released() -> None:
        await released.wait()
        has_ended.set()

    async with create_scheduler(f"sqlite:///{tmp_path / 'jobs.db'}", shutdown_grace=0) as scheduler:
        job_id = await scheduler.add_job(end_when_released)
        while await scheduler.get_status(job_id) is JobStatus.PENDING:
            await asyncio.sleep(0)
        with closing(sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)) as lock:
            lock.execute("BEGIN IMMEDIATE")
            released.set()
            await has_ended.wait()
            with suppress(StoreUnavailable):
                await scheduler.close()
    lines = [record.getMessage() for record in caplog.records if record.name == "servicekit.jobs"]
    assert any("has ended, and its process stops before that could be written" in line for line in lines)
    assert not any("does not listen" in line for line in lines)
