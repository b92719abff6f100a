"""The stop of the server, noticed before the server waits for open connections.

uvicorn waits for open connections before it runs the lifespan's shutdown, and an event stream is open until its job
ends. So the stop signal itself must end the streams. The server's own handler runs afterwards.

uvicorn can also stop without a signal: at its limit of requests, or because a program has set its `should_exit`. So the
ticker of the streams looks at the server every second. The server is found as the owner of the signal handler that was
installed before. Outside of the main thread it has no signal handlers, and is not found. Then uvicorn's
`timeout_graceful_shutdown` is needed.

uvicorn also waits for connections that are closed but whose reader takes nothing. They are cut off when nothing has
been taken for a second.

If the same signal comes again, the process ends at once. Its jobs are given back by the process that takes them over,
as after an orderly stop. A different signal does not have this effect: Ctrl-C reaches a whole group of processes, and
their parent then sends a SIGTERM as well.
"""

import asyncio
import signal
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

_LOOK_SECONDS = 1.0  # a reader on a slow line takes something in a second; a stop must not take long
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopListener:
    """Calls `stop` on the present event loop when the process is told to stop, until it is removed.

    Python allows signal handlers in the main thread only. In another thread (a test client's) this does nothing.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._loop = asyncio.get_running_loop()
        self._listeners: list[_SignalListener] = []
        if threading.current_thread() is threading.main_thread():
            self._listeners = [_SignalListener(number, self._hear) for number in _SIGNALS]

    def remove(self) -> None:
        """Give the signals back to the handlers that were installed before."""
        for listener in reversed(self._listeners):
            listener.restore()

    def look(self) -> None:
        """Call `stop` if the server stops without a signal."""
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
        """End closed connections whose reader has taken nothing since the last look; look again every second."""
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
        # uvicorn has no interface for this, so its attributes are looked at. Another server, or a uvicorn whose
        # attributes have changed, is not found, and nothing is done.
        owners = (getattr(listener.last_handler(), "__self__", None) for listener in self._listeners)
        return next((owner for owner in owners if hasattr(owner, "server_state")), None)


class _SignalListener:
    """A signal handler in front of the one that was installed before, to which it passes every signal on."""

    def __init__(self, number: signal.Signals, hear: Callable[[], None]) -> None:
        self._number = number
        self._hear = hear
        self._has_heard = False
        self._next = signal.getsignal(number)
        if callable(self._next):  # else the signal ends the process or is ignored, and that must stay so
            signal.signal(number, self._pass_on)

    def restore(self) -> None:
        # If other code has installed a handler since, it may call this one, which must then stay.
        if signal.getsignal(self._number) == self._pass_on:
            signal.signal(self._number, self._next)

    def last_handler(self) -> object:
        """The server's own handler, behind those of other services of this process."""
        owner = getattr(self._next, "__self__", None)
        return owner.last_handler() if isinstance(owner, _SignalListener) else self._next

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        if self._has_heard:  # the same signal again: end at once, as if there were no handlers
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self._has_heard = True
        self._hear()
        if callable(self._next):
            self._next(number, frame)


def _waiting_bytes(transport: asyncio.Transport) -> int:
    """How many bytes the reader has not taken yet, as far as the system tells that."""
    count = transport.get_write_buffer_size()
    if sys.platform == "linux":
        import fcntl
        import termios

        # The kernel can hold megabytes of these bytes, and asks for more only when a reader has taken a third of them.
        # So a slow reader would look like one that takes nothing.
        with suppress(OSError, AttributeError):
            held = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
            count += struct.unpack("i", held)[0]
    return count
