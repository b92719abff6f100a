"""Calls beside the event loop, each in a thread of its own that nobody waits for at the end.

Not the executor of the event loop: its threads are few, and shared with the application, whose calls may fill them; and
both `asyncio.run` and the interpreter wait for what they do. An import that hangs would keep a service from stopping.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import ParamSpec, TypeVar

from servicekit.jobs.outcome import describe_error

P = ParamSpec("P")
T = TypeVar("T")


def start_in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "asyncio.Future[T]":
    """Call it in a daemon thread, with the context of the caller. `RuntimeError` if the system gives no more threads.

    Whoever cancels the future does not stop the call. What it raises that would end the event loop, such as
    `SystemExit`, comes as a `RuntimeError`.
    """
    loop, context = asyncio.get_running_loop(), copy_context()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)  # type: ignore[arg-type] # there is one if there is no error
        else:
            future.set_exception(error)

    def call() -> None:
        result: T | None = None
        found: Exception | None = None
        try:
            result = context.run(function, *args, **kwargs)
        except BaseException as error:
            # A future takes no `StopIteration`, and the event loop lets through what is no `Exception`.
            if isinstance(error, Exception) and not isinstance(error, StopIteration):
                found = error
            else:
                found = RuntimeError(describe_error(error))
        with suppress(RuntimeError):  # the event loop is closed, and nobody waits
            loop.call_soon_threadsafe(settle, result, found)

    try:
        threading.Thread(target=call, name="servicekit-call", daemon=True).start()
    except MemoryError as error:
        raise RuntimeError("no memory for a thread") from error
    return future


async def call_in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call it in a thread and wait for it; or here, on the event loop, if there are no more threads."""
    try:
        calling = start_in_thread(function, *args, **kwargs)
    except RuntimeError:
        return function(*args, **kwargs)
    return await calling
