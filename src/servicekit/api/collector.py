"""What the garbage collector need not look at.

A full collection looks at every object of the process, and everything waits for it: some 100 milliseconds with the
objects of an application and a thousand streams. Most of them were made by imports and at the start, and live as long
as the process. `gc.freeze` takes these out of its sight, and so it does with those of streams when they have become
thousands, which cost it half a second. While they are made, the collector would look at them, and at
those that are there already, again and again, and find nothing: `gc.disable` spares it that.
"""

import gc
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from fastapi import FastAPI  # which is imported while the collector pauses


@contextmanager
def paused() -> Iterator[None]:
    """No automatic collections, for as long as an import takes. Unless they are off anyway, they are on afterwards."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def freeze_when_started(app: "FastAPI") -> None:
    """Freeze what is there when the application has started, its own lifespan's start included, until it ends.

    Does nothing where the process is no server's but a test's, say, or a notebook's: that comes and goes with many
    applications. A server is told by its handler of SIGTERM.
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
    """Freeze what has been made since the start as well, if what was there then is frozen.

    Everything waits for a full collection meanwhile, which also frees what has become garbage since it was frozen.
    """
    _frozen.renew()


def _is_server() -> bool:
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and callable(signal.getsignal(signal.SIGTERM))


class _Frozen:
    """How many services rely on what is frozen: the collector is the process's, which may have several."""

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
            gc.collect()  # else garbage would be kept, too
            gc.freeze()


_frozen: Final = _Frozen()
