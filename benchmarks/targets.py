"""Targets that any process can import: a durable engine writes their names down, and not the functions."""

import asyncio
import json
import time
from typing import Any, Final

from benchmarks.work import Work
from servicekit import current_job

HANGING: Final = "hanging"

work = Work()


async def noop() -> None:
    """The smallest job."""
    await work.noop()


async def flaky() -> None:
    """A job whose first attempt fails."""
    if current_job().attempt == 1:
        raise RuntimeError("the first attempt always fails")
    await work.noop()


def begin() -> float:
    """A plain function that tells when it began, on the clock that all processes share."""
    return time.monotonic()


def hang() -> None:
    """A plain function that says so, and sleeps for longer than anybody waits."""
    print(HANGING, flush=True)
    time.sleep(3_600)


def hang_bare(signs: Any) -> None:
    """The same as a task of Ray, which says it by an actor."""
    import ray

    ray.get(signs.give.remote())
    time.sleep(3_600)


async def begin_async() -> float:
    return time.monotonic()


async def stamped(name: str, seconds: float) -> None:
    """A job that tells on stdout when it really finished, on the clock that all processes share."""
    await asyncio.sleep(seconds)
    finished_at = time.monotonic()
    print(json.dumps([name, finished_at]), flush=True)


def burn(seconds: float) -> None:
    """A plain function that keeps a thread busy with Python."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(1_000))


async def begun(name: str) -> None:
    """A job that tells on stdout when it began, on the clock that all processes share."""
    print(json.dumps([name, time.monotonic()]), flush=True)


async def stay(name: str) -> None:
    """A job that tells when it began, stays until it is canceled, and tells when it knows that."""
    await begun(name)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await begun(f"{name} canceled")
        raise
