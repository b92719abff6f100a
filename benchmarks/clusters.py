"""What a job on a cluster of Ray takes: `python -m benchmarks.clusters NAME KIND ADDRESS STARTS JOBS`.

`KIND` is `ray`, or `process` for the same jobs in processes of this machine. The limit is Ray by itself.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.contestants import use_all_cores
from benchmarks.figures import OURS
from benchmarks.meter import cpu_seconds_of_tree

_WARM_UP = 8


async def measure(kind: str, address: str, starts: int, jobs: int) -> dict[str, Any]:
    """Seconds of each start and of each cancel, jobs a second, and the CPU of this process and its children for one."""
    from benchmarks import targets
    from servicekit import InMemoryScheduler, JobStatus
    from servicekit.jobs.options import RunnerKind

    async with InMemoryScheduler(cluster=address if kind == "ray" else None) as scheduler:
        submitter = scheduler.with_options(runner=RunnerKind(kind))

        async def start() -> float:
            job_id = await submitter.add_job(targets.begin)
            await scheduler.wait(job_id)
            began_at: float = await scheduler.get_result(job_id)
            return began_at

        async def cancel() -> float:
            job_id = await submitter.add_job(targets.hang)
            async for line in scheduler.stream_log(job_id):
                if line.text == targets.HANGING:
                    break
            clock = time.monotonic()
            await scheduler.cancel(job_id)
            record = await scheduler.wait(job_id)
            assert record.status is JobStatus.CANCELED
            return time.monotonic() - clock

        async def run_all() -> None:
            ids = [await submitter.add_job(targets.begin) for _ in range(jobs)]
            for job_id in ids:
                await scheduler.wait(job_id)

        return await _measure(start, cancel, run_all, starts, jobs)


async def measure_bare(address: str, starts: int, jobs: int) -> dict[str, Any]:
    """The same by tasks of Ray, with nothing around them."""
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # else Ray takes loopback for another address of this machine
    import ray

    from benchmarks import targets

    ray.init(address=address, log_to_driver=False)
    begin, hang = ray.remote(max_retries=0)(targets.begin), ray.remote(max_retries=0)(targets.hang_bare)
    signs = ray.remote(num_cpus=0)(_Signs).remote()

    async def start() -> float:
        began_at: float = await begin.remote()
        return began_at

    async def cancel() -> float:
        task = hang.remote(signs)
        await signs.wait.remote()
        clock = time.monotonic()
        ray.cancel(task, force=True)
        try:
            await task
        except (ray.exceptions.TaskCancelledError, ray.exceptions.WorkerCrashedError):
            return time.monotonic() - clock
        raise AssertionError("it was not canceled")

    async def run_all() -> None:
        await asyncio.gather(*(begin.remote() for _ in range(jobs)))

    return await _measure(start, cancel, run_all, starts, jobs)


class _Signs:
    """Tells that a task has begun."""

    def __init__(self) -> None:
        self._begun = asyncio.Event()

    async def give(self) -> None:
        self._begun.set()

    async def wait(self) -> None:
        await self._begun.wait()
        self._begun.clear()


async def _measure(
    start: Callable[[], Awaitable[float]],
    cancel: Callable[[], Awaitable[float]],
    run_all: Callable[[], Awaitable[None]],
    starts: int,
    jobs: int,
) -> dict[str, Any]:
    await asyncio.gather(*(start() for _ in range(_WARM_UP)))
    delays = []
    for _ in range(starts):
        clock = time.monotonic()
        delays.append(await start() - clock)
    cancels = [await cancel() for _ in range(max(3, starts // 10))]
    clock, cpu = time.monotonic(), cpu_seconds_of_tree(os.getpid())
    await run_all()
    seconds = time.monotonic() - clock
    cpu = cpu_seconds_of_tree(os.getpid()) - cpu
    return {"starts": delays, "cancels": cancels, "rate": jobs / seconds, "cpu": cpu / jobs}


def main() -> None:
    _, name, kind, address, starts, jobs = sys.argv
    use_all_cores()
    measuring = (
        measure(kind, address, int(starts), int(jobs))
        if name == OURS
        else measure_bare(address, int(starts), int(jobs))
    )
    print(json.dumps(asyncio.run(measuring)), flush=True)


if __name__ == "__main__":
    main()
