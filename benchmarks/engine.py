"""One contestant's scheduler in a process of its own: `python -m benchmarks.engine NAME QUESTION COUNT`."""

import asyncio
import gc
import json
import os
import sys
import time
from typing import Any

from benchmarks.contestants import SERVERS_CORE, pin_to
from benchmarks.figures import LIMIT, OURS
from benchmarks.work import Work

_STEPS_SECONDS = 1.0
_FEWEST_STEPS, _MOST_STEPS = 50, 5_000


def scheduler_of(name: str, *, max_concurrency: int | None = None, keep_all: bool = False) -> Any:
    """The contestant's scheduler, with its own defaults."""
    if name == LIMIT:
        from benchmarks.limits import TaskDict

        return TaskDict(max_concurrency)
    from servicekit import InMemoryScheduler

    if name == OURS and keep_all:
        from servicekit import Retention

        return InMemoryScheduler(max_concurrency=max_concurrency, retention=Retention(max_age=None, max_count=None))
    return InMemoryScheduler(max_concurrency=max_concurrency)


async def cost_of_noops(name: str, count: int) -> dict[str, float]:
    """CPU microseconds to submit and run one no-op, and how many of them go through in a second."""
    scheduler, work = scheduler_of(name), Work()
    await work.run_noops(scheduler.add_job, count // 10)
    cpu, clock = time.process_time(), time.perf_counter()
    await work.run_noops(scheduler.add_job, count)
    return {
        "microseconds": (time.process_time() - cpu) / count * 1e6,
        "per_second": count / (time.perf_counter() - clock),
    }


async def cost_behind_a_queue(name: str, queued: int) -> dict[str, float]:
    """CPU microseconds of one job while `queued` others wait: each step submits one and lets the oldest run."""
    scheduler = scheduler_of(name, max_concurrency=1)
    gate, ended = asyncio.Semaphore(0), asyncio.Event()

    async def gated() -> None:
        await gate.acquire()
        ended.set()

    async def step() -> None:
        await scheduler.add_job(gated)
        ended.clear()
        gate.release()
        await ended.wait()

    for _ in range(queued + 1):
        await scheduler.add_job(gated)
    for _ in range(_FEWEST_STEPS):
        await step()
    cpu, steps = time.process_time(), 0
    while steps < _FEWEST_STEPS or (steps < _MOST_STEPS and time.process_time() - cpu < _STEPS_SECONDS):
        await step()
        steps += 1
    return {"microseconds": (time.process_time() - cpu) / steps * 1e6}


async def memory_of_records(name: str, count: int) -> dict[str, float]:
    """Bytes of resident memory for each finished no-op that is kept."""
    scheduler, work = scheduler_of(name, keep_all=True), Work()
    await work.run_noops(scheduler.add_job, 1_000)
    before = _resident_bytes()
    await work.run_noops(scheduler.add_job, count)
    return {"bytes": (_resident_bytes() - before) / count}


def _resident_bytes() -> int:
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


QUESTIONS = {"noop": cost_of_noops, "queued": cost_behind_a_queue, "memory": memory_of_records}


def main() -> None:
    _, name, question, count = sys.argv
    pin_to(SERVERS_CORE)
    asyncio.run(_answer(name, question, int(count)))


async def _answer(name: str, question: str, count: int) -> None:
    print(json.dumps(await QUESTIONS[question](name, count)), flush=True)
    # What is still queued was part of the question; running it to its end is not.
    os._exit(0)


if __name__ == "__main__":
    main()
