"""From a thread to the scheduler's event loop, and back with the answer."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from servicekit.errors import SchedulerClosed

R = TypeVar("R")


def start_on(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, R]) -> "Future[R]":
    """Run it on the loop, which is another thread's. `SchedulerClosed` if that is closed."""
    try:
        return asyncio.run_coroutine_threadsafe(coroutine, loop)
    except RuntimeError:
        coroutine.close()
        raise SchedulerClosed from None


def wait_for(future: "Future[R]") -> R:
    """Block this thread until there is an answer. `SchedulerClosed` if the loop ends before."""
    try:
        return future.result()
    except CancelledError:
        raise SchedulerClosed from None
