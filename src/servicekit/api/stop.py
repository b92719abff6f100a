"""Hearing that the server stops, before it waits for open connections.

uvicorn waits for open connections before it runs the lifespan's shutdown, and an event stream is open until its job
ends. So streams must be ended by the stop signal itself. The server's own handler still runs, after ours.

It may also stop without a signal: at a limit of requests, or because a program has set its `should_exit`. To see that,
somebody has to look at it now and then; it is found as the owner of the handler that stood there before ours. Outside
of the main thread it has no handlers, and is not found: there it needs uvicorn's `timeout_graceful_shutdown`.

It also waits for connections that are closed but whose reader takes nothing, until all has been written. Those are cut
off when nothing has been taken for a second.

Who sends the same signal again wants the process to end at once. It does: jobs that run are given back by whoever takes
over, as after an orderly stop. Another signal is not that: Ctrl-C reaches a whole group of processes, whose parent then
passes on a SIGTERM.
"""

import asyncio
import signal
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

_LOOK_SECONDS = 1.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopListener:
    """Calls `stop` on the event loop that is running now when the process is told to stop, until it is removed.

    Only in the main thread can signals be heard; elsewhere (a test client, say) this does nothing.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._loop = asyncio.get_running_loop()
        self._listeners: list[_SignalListener] = []
        if threading.current_thread() is threading.main_thread():
            self._listeners = [_SignalListener(number, self._hear) for number in _SIGNALS]

    def remove(self) -> None:
        """Give the signals back to the handlers that were there before."""
        for listener in reversed(self._listeners):
            listener.restore()

    def look(self) -> None:
        """Call `stop` if the server stops and no signal has told so."""
        server = self._find_server()
        is_serving = all(listening.is_serving() for listening in getattr(server, "servers", ()))
        if getattr(server, "should_exit", False) or not is_serving:
            self._begin_stop()

    def _hear(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._begin_stop)

    def _begin_stop(self) -> None:
        self._stop()
        self._loop.call_later(_LOOK_SECONDS, self._cut_off_stalled, {})

    def _cut_off_stalled(self, before: dict[asyncio.Transport, int]) -> None:
        """End the closed connections of which as much waits to be taken as a second ago; do so every second."""
        transports = self._list_transports()
        waiting = {transport: _waiting_bytes(transport) for transport in transports if transport.is_closing()}
        for transport, count in waiting.items():
            if count >= before.get(transport, count + 1):
                transport.abort()
        if transports:
            self._loop.call_later(_LOOK_SECONDS, self._cut_off_stalled, waiting)

    def _list_transports(self) -> list[asyncio.Transport]:
        state = getattr(self._find_server(), "server_state", None)
        transports = (getattr(connection, "transport", None) for connection in getattr(state, "connections", ()))
        return [transport for transport in transports if transport is not None]

    def _find_server(self) -> object:
        # uvicorn has no interface for this. Of another server, or another uvicorn, there is nothing to be seen.
        owners = (getattr(listener.last_handler(), "__self__", None) for listener in self._listeners)
        return next((owner for owner in owners if hasattr(owner, "server_state")), None)


class _SignalListener:
    """Stands before the handler that was installed, and passes every signal on to it."""

    def __init__(self, number: signal.Signals, hear: Callable[[], None]) -> None:
        self._number = number
        self._hear = hear
        self._has_heard = False
        self._next = signal.getsignal(number)
        if callable(self._next):  # else the signal ends the process or is ignored, and is not ours to hear
            signal.signal(number, self._pass_on)

    def restore(self) -> None:
        if signal.getsignal(self._number) == self._pass_on:  # not if somebody stands before us by now
            signal.signal(self._number, self._next)

    def last_handler(self) -> object:
        """The server's own handler: another service of this process may stand between."""
        owner = getattr(self._next, "__self__", None)
        return owner.last_handler() if isinstance(owner, _SignalListener) else self._next

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        if self._has_heard:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self._has_heard = True
        self._hear()
        if callable(self._next):
            self._next(number, frame)


def _waiting_bytes(transport: asyncio.Transport) -> int:
    """How much of what was written its reader has not taken yet, as far as can be told."""
    count = transport.get_write_buffer_size()
    if sys.platform == "linux":
        import fcntl
        import termios

        # The kernel can hold megabytes, and lets a slow reader take a third of them before it asks us for more.
        with suppress(OSError, AttributeError):
            held = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
            count += struct.unpack("i", held)[0]
    return count
