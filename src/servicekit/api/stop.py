"""Hearing the stop signal before the server acts on it.

uvicorn waits for open connections before it runs the lifespan's shutdown, and an event stream is open until its job
ends. So streams must be ended by the signal itself. The server's own handler still runs, after ours.

It also waits for connections that are closed but whose reader takes nothing, until they have been written. Those are
cut off two seconds after the signal.
"""

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType

_STALLED_SECONDS = 2.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopListener:
    """Calls `stop` on the event loop that is running now when the process is told to stop, until it is removed.

    Only in the main thread can signals be heard; elsewhere (a test client, say) this does nothing.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        self._listeners: list[_SignalListener] = []
        if threading.current_thread() is threading.main_thread():
            loop = asyncio.get_running_loop()
            self._listeners = [_SignalListener(number, loop, stop) for number in _SIGNALS]

    def remove(self) -> None:
        """Give the signals back to the handlers that were there before."""
        for listener in reversed(self._listeners):
            listener.restore()


class _SignalListener:
    """Stands before the handler that was installed, and passes every signal on to it."""

    def __init__(self, number: signal.Signals, loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
        self._number = number
        self._loop = loop
        self._stop = stop
        self._next = signal.getsignal(number)
        if callable(self._next):  # else the signal ends the process or is ignored, and is not ours to hear
            signal.signal(number, self._hear)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop_soon)
        if callable(self._next):
            self._next(number, frame)

    def _stop_soon(self) -> None:
        self._stop()
        self._loop.call_later(_STALLED_SECONDS, self._cut_off_stalled)

    def _cut_off_stalled(self) -> None:
        # uvicorn has no interface for this. With another server, or another uvicorn, there is nothing to find here.
        state = getattr(getattr(self._last_handler(), "__self__", None), "server_state", None)
        for connection in list(getattr(state, "connections", ())):
            transport = getattr(connection, "transport", None)
            if transport is not None and transport.is_closing():
                transport.abort()

    def _last_handler(self) -> object:
        owner = getattr(self._next, "__self__", None)  # another service of this process may stand between
        return owner._last_handler() if isinstance(owner, _SignalListener) else self._next

    def restore(self) -> None:
        if signal.getsignal(self._number) == self._hear:  # not if somebody stands before us by now
            signal.signal(self._number, self._next)
