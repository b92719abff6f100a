"""Our scheduler with jobs in PostgreSQL: `python -m benchmarks.served NAME QUESTION URL ARGUMENTS`."""

import asyncio
import json
import random
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

from benchmarks.contestants import use_all_cores
from benchmarks.durable import NoSignals, submit
from benchmarks.meter import Cost, Meter
from benchmarks.targets import begun, stay, work
from servicekit import JobStatus, Retention, Scheduler, create_scheduler
from servicekit.engine.factory import make_parts
from servicekit.engine.options import SchedulerOptions

_CALLERS = 1_000
_POLL_SECONDS = 0.005
_ALL = Retention(max_age=None, max_count=None)
_WARM_UP = 500
_SHORT_SECONDS = 0.02
_SHORTEST, _LONGEST = 0.02, 0.04
"""Seconds between two jobs of which each is waited for: as varied as the polls of anybody are apart."""


async def cost_of_submissions(url: str, server_pid: str, callers: str, count: str) -> tuple[Cost, str]:
    """Of jobs that are accepted, each on the server's disk when its caller is answered. Nothing is run."""
    async with create_scheduler(url, run_jobs=False) as scheduler:
        await submit(scheduler.add_job, int(callers), min(_WARM_UP, int(count)))
        meter = Meter(int(server_pid))
        await submit(scheduler.add_job, int(callers), int(count))
        return meter.read(int(count)), ""


async def cost_of_lives(url: str, server_pid: str, limit: str, count: str) -> tuple[Cost, str]:
    """Of no-ops that are submitted, run and finished, until the server's disk has all. A limit of 0 is none."""
    async with create_scheduler(url, queues={"default": int(limit) or None}, retention=_ALL) as scheduler:
        await _run_to_the_end(scheduler, min(_WARM_UP, int(count)))
        meter = Meter(int(server_pid))
        await _run_to_the_end(scheduler, int(count))
        return meter.read(int(count)), ""


async def _run_to_the_end(scheduler: Scheduler, count: int) -> None:
    """Jobs count themselves; that they are finished, the server must say."""
    counts = await scheduler.count_by_status()
    done, completed = work.done + count, counts[JobStatus.COMPLETED] + count
    await submit(scheduler.add_job, _CALLERS, count)
    while work.done < done or (await scheduler.count_by_status())[JobStatus.COMPLETED] < completed:  # noqa: ASYNC110
        await asyncio.sleep(_POLL_SECONDS)


async def fill(url: str, seconds: str, count: str) -> None:
    """Have so many jobs wait in the default queue, which is paused until it is resumed. Each will take that long."""
    async with create_scheduler(url, run_jobs=False) as scheduler:
        await scheduler.queues.pause("default")
        if float(seconds):
            await submit(lambda _: scheduler.add_job(asyncio.sleep, float(seconds)), _CALLERS, int(count))
        else:
            await submit(scheduler.add_job, _CALLERS, int(count))


async def resume(url: str) -> float:
    """Begin with those that wait; when that was, on the clock that all processes share."""
    async with create_scheduler(url, run_jobs=False) as scheduler:
        began_at = time.monotonic()
        await scheduler.queues.resume("default")
    return began_at


async def flood(url: str, count: str) -> None:
    """Have so many jobs of some 20 ms wait in a queue of their own, as varied as makes slots free evenly."""
    async with create_scheduler(url, run_jobs=False) as scheduler:
        rivals = scheduler.with_options(queue="flood")
        await submit(
            lambda _: rivals.add_job(asyncio.sleep, _SHORT_SECONDS * random.uniform(0.5, 1.5)), _CALLERS, int(count)
        )


async def submit_one_by_one(url: str, count: str) -> dict[str, float]:
    """Jobs that tell when they begin; when each was submitted, by their names."""
    submitted_at = {}
    async with create_scheduler(url, run_jobs=False) as scheduler:
        for number in range(int(count)):
            await asyncio.sleep(random.uniform(_SHORTEST, _LONGEST))
            submitted_at[f"{number}"] = time.monotonic()
            await scheduler.add_job(begun, f"{number}")
    return submitted_at


async def cancel_one_by_one(url: str, count: str) -> dict[str, float]:
    """Jobs that stay, in another process; when each was canceled, by what it tells then."""
    canceled_at = {}
    async with create_scheduler(url, run_jobs=False) as scheduler:
        for number in range(int(count)):
            job_id = await scheduler.add_job(stay, f"{number}")
            async for record in scheduler.stream(job_id):
                if record.status is JobStatus.RUNNING:
                    break
            await asyncio.sleep(random.uniform(_SHORTEST, _LONGEST))
            canceled_at[f"{number} canceled"] = time.monotonic()
            await scheduler.cancel(job_id)
            await scheduler.wait(job_id)
    return canceled_at


async def submit_one_that_stays(url: str) -> None:
    async with create_scheduler(url, run_jobs=False) as scheduler:
        await scheduler.add_job(stay, "rescued")


async def create(url: str) -> None:
    """Have the tables there."""
    async with create_scheduler(url, run_jobs=False):
        pass


async def times_of_claims(url: str, count: str) -> list[float]:
    """Seconds for each of so many claims of one job, one after the other, of twice as many that wait."""
    jobs = int(count)
    async with create_scheduler(url, run_jobs=False) as scheduler:
        await submit(scheduler.add_job, _CALLERS, 2 * jobs)
    store = make_parts(url, SchedulerOptions(retention=_ALL)).store
    await store.liveness.open(NoSignals())
    seconds = []
    for _ in range(jobs):
        clock = time.perf_counter()
        if not await store.attempts.claim(1, ()):
            raise RuntimeError("nothing was claimed")
        seconds.append(time.perf_counter() - clock)
    await store.liveness.close()
    return seconds


QUESTIONS: dict[str, Callable[..., Coroutine[Any, Any, object]]] = {
    "submissions": cost_of_submissions,
    "lives": cost_of_lives,
    "fill": fill,
    "flood": flood,
    "pick-up": submit_one_by_one,
    "cancel": cancel_one_by_one,
    "stay": submit_one_that_stays,
    "create": create,
    "claims": times_of_claims,
}


def main() -> None:
    _, _, question, *arguments = sys.argv
    use_all_cores()
    print(json.dumps(asyncio.run(QUESTIONS[question](*arguments))), flush=True)


if __name__ == "__main__":
    main()
