"""Our scheduler with jobs that have options: `python -m benchmarks.control NAME QUESTION URL KIND COUNT`."""

import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from statistics import median

from benchmarks.contestants import use_all_cores
from benchmarks.durable import submit
from benchmarks.targets import begin_async, flaky, noop, work
from servicekit import JobStatus, Retry, Scheduler, create_scheduler
from servicekit.engine.scheduler import SchedulerWithOptions

_CALLERS = 1_000
_AT_ONCE = 100
_POLL_SECONDS = 0.002
_WARM_UP = 500

_FLOOD_AT_ONCE = 10
_FLOOD_SECONDS = 0.02
_LONE_JOBS = 30


Adder = Scheduler | SchedulerWithOptions
Target = Callable[[], Awaitable[None]]


async def rate_of_jobs(url: str, kind: str, count: int) -> float:
    """No-ops of a kind that are submitted, run and finished per second, while many callers wait for theirs."""
    async with create_scheduler(url, max_concurrency=_AT_ONCE) as scheduler:
        adders, target = _adders_of(scheduler, kind), flaky if kind == "retries" else noop
        await _run_to_the_end(scheduler, adders, target, min(_WARM_UP, count))
        clock = time.perf_counter()
        await _run_to_the_end(scheduler, adders, target, count)
        return count / (time.perf_counter() - clock)


def _adders_of(scheduler: Scheduler, kind: str) -> Sequence[Adder]:
    """What jobs of a kind are submitted with: each time another one, by chance."""
    match kind:
        case "retries":
            return [scheduler.with_options(retry=Retry(attempts=2, delay=0))]
        case "priorities":
            return [scheduler.with_options(priority=priority) for priority in range(100)]
        case "keys":
            return [scheduler.with_options(concurrency_key=f"key {number}") for number in range(100)]
        case "queues":
            return [scheduler.with_options(queue=queue) for queue in ("left", "right")]
        case _:
            return [scheduler]


async def _run_to_the_end(scheduler: Scheduler, adders: Sequence[Adder], target: Target, count: int) -> None:
    """Jobs count themselves; that they are finished, their store must say."""
    counts = await scheduler.count_by_status()
    done, completed = work.done + count, counts[JobStatus.COMPLETED] + count

    async def add_job(_: object) -> None:
        await random.choice(adders).add_job(target)

    await submit(add_job, _CALLERS, count)
    while work.done < done or (await scheduler.count_by_status())[JobStatus.COMPLETED] < completed:  # noqa: ASYNC110
        await asyncio.sleep(_POLL_SECONDS)


async def wait_beside_a_flood(url: str, kind: str, count: int) -> float:
    """Seconds from `add_job` to the first line of one job, the median of some, while `count` others wait."""
    async with create_scheduler(url, max_concurrency=_FLOOD_AT_ONCE, shutdown_grace=1) as scheduler:
        flood, lone = _rivals_of(scheduler, kind)
        if count:
            await submit(lambda _: flood.add_job(asyncio.sleep, _flood_seconds()), _CALLERS, count)
        waits = [await _wait_of_one(scheduler, lone) for _ in range(_LONE_JOBS)]
        if count and not (await scheduler.count_by_status())[JobStatus.PENDING]:
            raise RuntimeError("the flood was over before its end")
        return median(waits)


def _rivals_of(scheduler: Scheduler, kind: str) -> tuple[Adder, Adder]:
    """Who submits the flood, and who the one job."""
    if kind == "queue":
        return scheduler.with_options(queue="flood"), scheduler.with_options(queue="lone")
    return scheduler.with_options(concurrency_key="flood"), scheduler.with_options(concurrency_key="lone")


def _flood_seconds() -> float:
    """As varied as makes slots free evenly."""
    return random.uniform(0.5, 1.5) * _FLOOD_SECONDS


async def _wait_of_one(scheduler: Scheduler, lone: Adder) -> float:
    await asyncio.sleep(random.uniform(0, _FLOOD_SECONDS))
    clock = time.monotonic()
    job_id = await lone.add_job(begin_async)
    await scheduler.wait(job_id)
    began_at: float = await scheduler.get_result(job_id)
    return began_at - clock


QUESTIONS = {"rate": rate_of_jobs, "wait": wait_beside_a_flood}


def main() -> None:
    _, _, question, url, kind, count = sys.argv
    use_all_cores()
    print(json.dumps(asyncio.run(QUESTIONS[question](url, kind, int(count)))), flush=True)


if __name__ == "__main__":
    main()
