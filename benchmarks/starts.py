"""How long one job takes to start: `python -m benchmarks.starts NAME KIND COUNT`.

Nothing heavy is imported up here: a spawned process imports the file of its parent once more.
"""

import asyncio
import json
import multiprocessing
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.contestants import use_all_cores
from benchmarks.figures import OURS

_WARM_UP = 3
_TRUE = ["true"]
_OPTIONS: dict[str, Any] = {"preloaded": {"preload": ("benchmarks.heavy",)}}

Start = Callable[[], Awaitable[float]]
"""Starts one piece of work, waits for its end, and tells when it began; of a program it tells when it had ended."""


async def measure_starts(name: str, kind: str, count: int) -> list[float]:
    """Seconds until so many have begun, one after the other, by an engine that has run some of the kind before."""
    if name != OURS:
        return await _time_each(_BARE_STARTS[kind], count)
    from servicekit import InMemoryScheduler

    async with InMemoryScheduler(**_OPTIONS.get(kind, {})) as scheduler:
        return await _time_each(partial(_start_job, scheduler, kind), count)


async def _time_each(start: Start, count: int) -> list[float]:
    for _ in range(_WARM_UP):
        await start()
    delays = []
    for _ in range(count):
        clock = time.monotonic()
        delays.append(await start() - clock)
    return delays


async def _start_job(scheduler: Any, kind: str) -> float:
    from benchmarks import targets
    from servicekit import Command

    match kind:
        case "command":
            job_id = await scheduler.add_job(Command(_TRUE))
        case "coroutine":
            job_id = await scheduler.add_job(targets.begin_async)
        case "heavy" | "preloaded":
            from benchmarks import heavy

            job_id = await scheduler.with_options(runner="process").add_job(heavy.begin)
        case _:
            job_id = await scheduler.with_options(runner=kind).add_job(targets.begin)
    await scheduler.wait(job_id)
    began_at: float | dict[str, object] = await scheduler.get_result(job_id)
    return began_at if isinstance(began_at, float) else time.monotonic()


async def _start_task() -> float:
    async def begin() -> float:
        return time.monotonic()

    return await asyncio.create_task(begin())


async def _start_thread() -> float:
    began_at = []
    thread = threading.Thread(target=lambda: began_at.append(time.monotonic()))
    thread.start()
    thread.join()
    return began_at[0]


async def _start_process() -> float:
    spawning = multiprocessing.get_context("spawn")
    receiver, sender = spawning.Pipe(duplex=False)
    process = spawning.Process(target=_send_time, args=[sender])
    process.start()
    began_at: float = receiver.recv()
    process.join()
    return began_at


def _send_time(sender: Connection) -> None:
    sender.send(time.monotonic())


async def _start_program() -> float:
    subprocess.run(_TRUE, check=True)  # noqa: ASYNC221
    return time.monotonic()


_BARE_STARTS: dict[str, Start] = {
    "coroutine": _start_task,
    "thread": _start_thread,
    "process": _start_process,
    "command": _start_program,
}


def main() -> None:
    _, name, kind, count = sys.argv
    use_all_cores()
    print(json.dumps(asyncio.run(measure_starts(name, kind, int(count)))), flush=True)


if __name__ == "__main__":
    main()
