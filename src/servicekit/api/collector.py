"""Less work for the garbage collector.

A full collection looks at every object of the process, and everything waits for it: some 100 milliseconds with the
objects of an application and a thousand streams, half a second with thousands of streams. Most of these objects were
made by imports and at the start, and live as long as the process. `gc.freeze` makes the collector skip them. It is
called when the application has started, and again whenever there are thousands of streams more.

While imports make objects, the collector would look at all of them again and again, and find nothing to free. So it is
off meanwhile (`gc.disable`).
"""

import gc
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from fastapi import FastAPI  # for types only: the import itself must come while the collector is paused


@contextmanager
def paused() -> Iterator[None]:
    """Turn automatic collections off while imports run, and on again afterwards if they were on before."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def freeze_when_started(app: "FastAPI") -> None:
    """Freeze all objects when the application has started, its own lifespan included, until it ends.

    It does nothing in a process that is no server, such as that of tests or a notebook: many applications come and go
    there, and frozen garbage would stay. A process counts as a server if it has a handler for SIGTERM.
    """
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: "FastAPI") -> AsyncIterator[Any]:
        async with inner(app) as state:
            if _is_server():
                with _frozen.one_more():
                    yield state
            else:
                yield state

    app.router.lifespan_context = lifespan


def freeze_again() -> None:
    """Freeze the objects that were made since the start too. It does nothing if none were frozen at the start.

    It runs a full collection first, for which everything waits. That also frees frozen objects that are garbage by now.
    """
    _frozen.renew()


def _is_server() -> bool:
    is_main = threading.current_thread() is threading.main_thread()  # a test client runs applications in other threads
    return is_main and callable(signal.getsignal(signal.SIGTERM))


class _Frozen:
    """Counts the services that rely on frozen objects, since a process can have several services and one collector."""

    def __init__(self) -> None:
        self._services = 0

    @contextmanager
    def one_more(self) -> Iterator[None]:
        self._services += 1
        self.renew()
        try:
            yield
        finally:
            self._services -= 1
            if not self._services:
                gc.unfreeze()

    def renew(self) -> None:
        if self._services:
            gc.unfreeze()
            gc.collect()  # garbage that is frozen would never be freed
            gc.freeze()


_frozen: Final = _Frozen()
