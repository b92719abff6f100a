"""What it costs a job to say something, and how soon it is heard: `python -m benchmarks.reports NAME QUESTION ...`."""

import asyncio
import json
import logging
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import redirect_stdout
from typing import Any, TextIO

from benchmarks.contestants import use_all_cores
from benchmarks.figures import OURS
from servicekit import InMemoryScheduler, Scheduler, create_scheduler, current_job

_LINE = "epoch 3 of 10"
_SHORTEST, _LONGEST = 0.12, 0.2
"""Seconds between two reports: more than a reader is made to wait after the one before."""

_log = logging.getLogger("benchmarks")


async def cost_of_calls(name: str, call: str, count: int) -> float:
    """CPU nanoseconds that one call takes in the thread that makes it. What is printed and logged goes to a file."""
    calls = _OUR_CALLS if name == OURS else _BARE_CALLS
    with tempfile.TemporaryFile("w") as file, redirect_stdout(file):
        _log_to(file)
        if name != OURS:
            return _time_calls(calls[call], count)
        async with InMemoryScheduler() as scheduler:
            job_id = await scheduler.add_job(_time_calls, calls[call], count)
            await scheduler.wait(job_id)
            nanoseconds: float = await scheduler.get_result(job_id)
            return nanoseconds


def _log_to(file: TextIO) -> None:
    logging.basicConfig(stream=file, level=logging.INFO, format="%(message)s")


def _time_calls(call: Callable[[], object], count: int) -> float:
    for _ in range(count // 10):
        call()
    clock = time.thread_time_ns()
    for _ in range(count):
        call()
    return (time.thread_time_ns() - clock) / count


def _do_nothing() -> None:
    pass


def _print() -> None:
    print(_LINE)


_OUR_CALLS: dict[str, Callable[[], object]] = {
    "progress": lambda: current_job().progress(3, 10),
    "log": lambda: current_job().log(_LINE),
    "print": _print,
    "logging": lambda: _log.info(_LINE),
}
_BARE_CALLS = _OUR_CALLS | {"progress": _do_nothing, "log": _print}


async def delays_of_reports(_: str, kind: str, url: str, count: int) -> list[float]:
    """Seconds from the call in a job until a reader of its stream, in the same process, has what it said."""
    said_at: list[float] = []

    async def speak() -> None:
        for number in range(count):
            await asyncio.sleep(random.uniform(_SHORTEST, _LONGEST))
            said_at.append(time.monotonic())
            if kind == "progress":
                current_job().progress(number)
            else:
                current_job().log(f"{number}")

    heard_at: dict[int, float] = {}
    async with create_scheduler(url) as scheduler:
        job_id = await scheduler.add_job(speak)
        async for number in _read_progress(scheduler, job_id) if kind == "progress" else _read_log(scheduler, job_id):
            heard_at.setdefault(number, time.monotonic())
    return [at - said_at[number] for number, at in heard_at.items()]


async def _read_progress(scheduler: Scheduler, job_id: str) -> AsyncIterator[int]:
    async for record in scheduler.stream(job_id):
        if record.progress is not None:
            yield int(record.progress.done)


async def _read_log(scheduler: Scheduler, job_id: str) -> AsyncIterator[int]:
    async for line in scheduler.stream_log(job_id):
        yield int(line.text)


QUESTIONS: dict[str, Callable[..., Coroutine[Any, Any, float | list[float]]]] = {
    "cost": cost_of_calls,
    "delays": delays_of_reports,
}


def main() -> None:
    _, name, question, *arguments, count = sys.argv
    use_all_cores()
    print(json.dumps(asyncio.run(QUESTIONS[question](name, *arguments, int(count)))), flush=True)


if __name__ == "__main__":
    main()
