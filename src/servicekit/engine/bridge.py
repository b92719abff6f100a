"""Calls from a thread to the scheduler's event loop."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from servicekit.errors import SchedulerClosed

R = TypeVar("R")


def start_on(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, R]) -> "Future[R]":
    """Run the coroutine on the loop of another thread. `SchedulerClosed` if that loop is closed."""
    try:
        return asyncio.run_coroutine_threadsafe(coroutine, loop)
    except RuntimeError:
        coroutine.close()  # Python would else warn that it was never awaited
        raise SchedulerClosed from None


def wait_for(future: "Future[R]") -> R:
    """Block this thread until there is a result, and return it. `SchedulerClosed` if the loop ends before."""
    try:
        return future.result()
    except CancelledError:
        raise SchedulerClosed from None
