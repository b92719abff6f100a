"""Slots: never more jobs at work than there are, in the order of submission, freed when the work has ended."""

import asyncio
import threading
from typing import Any

import pytest

from servicekit import ConfigurationError, InMemoryScheduler, JobStatus, Scheduler, create_scheduler
from tests.fakes import Gate, Stubborn, noop


async def running(scheduler: Scheduler) -> int:
    return (await scheduler.count_by_status())[JobStatus.RUNNING]


async def test_no_more_jobs_run_than_there_are_slots(gate: Gate) -> None:
    async with InMemoryScheduler(max_concurrency=3) as scheduler:
        ids = [await scheduler.add_job(gate.enter, number) for number in range(20)]
        await gate.wait_entered(3)
        assert await running(scheduler) == gate.inside == 3
        gate.open()
        for job_id in ids:
            await scheduler.wait(job_id)
        assert gate.most_inside == 3
        assert gate.entered == list(range(20))


async def test_without_a_limit_all_run_at_once(scheduler: Scheduler, gate: Gate) -> None:
    for number in range(1_000):
        await scheduler.add_job(gate.enter, number)
    await gate.wait_entered(1_000)
    assert await running(scheduler) == 1_000
    assert gate.entered == list(range(1_000))


async def test_the_number_of_slots_changes_while_jobs_run(gate: Gate) -> None:
    async with InMemoryScheduler(max_concurrency=2, shutdown_grace=0) as scheduler:
        ids = [await scheduler.add_job(gate.enter, number) for number in range(10)]
        await gate.wait_entered(2)
        await scheduler.set_max_concurrency(5)
        await gate.wait_entered(5)
        await scheduler.set_max_concurrency(1)
        assert await scheduler.cancel(ids[0])
        assert await running(scheduler) == 4  # none took its place
        await scheduler.set_max_concurrency(None)
        await gate.wait_entered(10)


async def test_the_end_of_each_job_of_a_full_queue_lets_the_next_one_start(url: str, gate: Gate) -> None:
    async with create_scheduler(url, queues={"gpu": 1}) as scheduler:
        queued = scheduler.with_options(queue="gpu")
        ids = await asyncio.gather(*(queued.add_job(gate.enter, number) for number in range(3)))
        gate.open()
        assert [(await scheduler.wait(job_id)).status for job_id in ids] == [JobStatus.COMPLETED] * 3
        assert gate.most_inside == 1


async def test_a_limit_that_is_lowered_holds_for_what_comes() -> None:
    async with InMemoryScheduler(max_concurrency=5) as scheduler:
        first = Gate()
        for number in range(5):
            await scheduler.add_job(first.enter, number)
        await first.wait_entered(5)
        await scheduler.set_max_concurrency(2)
        second = Gate()
        ids = [await scheduler.add_job(second.enter, number) for number in range(10)]
        first.open()
        await second.wait_entered(2)
        second.open()
        for job_id in ids:
            await scheduler.wait(job_id)
        assert second.most_inside == 2


@pytest.mark.parametrize("option", ["max_threads", "max_processes"])
@pytest.mark.parametrize("value", [0, -1, None, True])
def test_threads_and_processes_are_limited_in_any_case(option: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as refused:
        create_scheduler("memory://", **{option: value})
    assert str(refused.value) == f"{option} must be a whole number of at least 1, not {value!r}."


@pytest.mark.parametrize("max_concurrency", [0, -1, 1.5, "2", True])
async def test_a_limit_that_is_none_is_refused(scheduler: Scheduler, max_concurrency: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_concurrency must be a whole number of at least 1, or None"):
        InMemoryScheduler(max_concurrency=max_concurrency)
    with pytest.raises(ValueError, match="max_concurrency"):
        await scheduler.set_max_concurrency(max_concurrency)


async def test_a_job_that_ignores_cancel_holds_its_slot_until_it_ends(single: Scheduler) -> None:
    stubborn = Stubborn()
    ignoring = await single.add_job(stubborn.run)
    waiting = await single.add_job(noop)
    await stubborn.began.wait()
    await single.delete(ignoring)
    for _ in range(100):
        await asyncio.sleep(0)
    assert await single.get_status(waiting) is JobStatus.PENDING
    stubborn.released.set()
    assert (await single.wait(waiting)).status is JobStatus.COMPLETED


class ThreadPool:
    """Holds threads until released, and counts them."""

    def __init__(self) -> None:
        self.inside = 0
        self.most_inside = 0
        self.order: list[int] = []
        self._lock = threading.Lock()
        self.release = threading.Event()

    def enter(self, number: int) -> None:
        with self._lock:
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
            self.order.append(number)
        assert self.release.wait(30)
        with self._lock:
            self.inside -= 1


async def until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0.001)


async def test_as_many_threads_run_as_are_said_to_be_running() -> None:
    threads = ThreadPool()
    async with InMemoryScheduler(max_concurrency=40) as scheduler:  # far more than asyncio's own threads
        ids = [await scheduler.add_job(threads.enter, number) for number in range(50)]
        await until(lambda: threads.inside == 40)
        assert await running(scheduler) == 40
        threads.release.set()
        for job_id in ids:
            await scheduler.wait(job_id)
    assert threads.most_inside == 40


async def test_without_a_limit_threads_still_have_one_and_coroutines_pass_them() -> None:
    threads = ThreadPool()
    async with InMemoryScheduler(max_threads=2) as scheduler:
        ids = [await scheduler.add_job(threads.enter, number) for number in range(5)]
        await scheduler.wait(await scheduler.add_job(noop))
        await until(lambda: threads.inside == 2)
        assert await running(scheduler) == 2
        threads.release.set()
        for job_id in ids:
            await scheduler.wait(job_id)
    assert threads.order == [0, 1, 2, 3, 4] or sorted(threads.order[:2]) == [0, 1]
    assert threads.most_inside == 2


async def test_jobs_do_not_starve_the_default_executor(scheduler: Scheduler) -> None:
    threads = ThreadPool()
    for number in range(100):
        await scheduler.add_job(threads.enter, number)
    await until(lambda: threads.inside == 100)
    assert await asyncio.to_thread(lambda: "not starved") == "not starved"
    threads.release.set()


async def test_a_long_queue_does_not_hold_up_the_event_loop() -> None:
    async with InMemoryScheduler() as scheduler:
        last = ""
        for _ in range(5_000):
            last = await scheduler.add_job(noop)
        turns = 0
        waiting = asyncio.ensure_future(scheduler.wait(last))
        while not waiting.done():
            await asyncio.sleep(0)
            turns += 1
        assert turns >= 20
