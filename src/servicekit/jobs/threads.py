"""Calls outside of the event loop, each in a daemon thread of its own, which a stop does not wait for.

The default executor of the event loop is not used, for two reasons. Its threads are few, and the application can fill
them. And both `asyncio.run` and the interpreter wait for its threads, so an import that hangs would keep a service from
stopping.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

from servicekit.jobs.outcome import describe_error

P = ParamSpec("P")
T = TypeVar("T")


def start_in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "asyncio.Future[T]":
    """Call the function in a daemon thread, with the caller's context variables. `RuntimeError` if there is no thread.

    To cancel the future does not stop the call. If the function raises what would end the event loop, such as
    `SystemExit`, the future has a `RuntimeError` instead.
    """
    return start_call(_start_thread, partial(function, *args, **kwargs))


def start_call(start: Callable[[Callable[[], None]], None], function: Callable[[], T]) -> "asyncio.Future[T]":
    """Like `start_in_thread`, in a thread in which `start` runs what it is given."""
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
            result = context.run(function)
        except BaseException as error:
            # A future refuses `StopIteration`, and an error that is no `Exception` would end the event loop.
            if isinstance(error, Exception) and not isinstance(error, StopIteration):
                found = error
            else:
                found = RuntimeError(describe_error(error))
        with suppress(RuntimeError):  # the event loop may be closed by now; then nobody waits for the result
            loop.call_soon_threadsafe(settle, result, found)

    start(call)
    return future


def _start_thread(call: Callable[[], None]) -> None:
    try:
        threading.Thread(target=call, name="servicekit-call", daemon=True).start()
    except MemoryError as error:  # Python has two errors for one cause, and callers must know only one
        raise RuntimeError("no memory for a thread") from error


async def call_in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call the function in a thread, and wait for it. If there is no thread, call it here, and block the event loop."""
    try:
        calling = start_in_thread(function, *args, **kwargs)
    except RuntimeError:
        return function(*args, **kwargs)
    return await calling
