"""The gateway as the service sees it: its process, the socket to it, and what it says of itself."""

import asyncio
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Final, Protocol

from servicekit.jobs.cluster import GONE_SECONDS
from servicekit.runners.cluster.mailbox import BEAT_SECONDS
from servicekit.runners.descriptors import DescriptorReader, make_file, make_pair
from servicekit.runners.launcher_link import send_request
from servicekit.runners.launcher_program.messages import IMPORT, tell

_MODULE: Final = "servicekit.runners.cluster.gateway"
# The gateway ends by itself if the cluster does not answer for two thirds of that.
_HANGING_SECONDS: Final = 3 * BEAT_SECONDS
# To install what `runtime_env` wants takes minutes. And what listens at the address may never answer.
_CONNECT_SECONDS: Final = 300.0
_CONTROL: Final = 1
"""Where the control is among the descriptors of a request."""


class GatewayListener(Protocol):
    """Hears what a gateway says of itself."""

    def gateway_connected(self) -> None:
        """It has reached the cluster."""
        ...

    def gateway_found_room(self, room: int, works: int) -> None:
        """So many more works could begin now, besides so many."""
        ...

    def gateway_failed(self, problem: str) -> None:
        """It cannot reach the cluster, or has lost it. It will end."""
        ...

    def gateway_ended(self, link: "GatewayLink", *, was_closed: bool) -> None:
        """It takes no more works: because it `was_closed`, or for a problem that it may have told before."""
        ...


class GatewayLink:
    """A gateway's process, and the socket to it: a `Link`.

    A gateway that is connected says something each second. If it does not for 15 to 30 seconds, it is killed: its works
    have ended without it. One that has not connected within five minutes is killed as well.
    """

    is_importing = False

    def __init__(self, settings: Mapping[str, object], listener: GatewayListener) -> None:
        """`settings`: the arguments of the cluster."""
        self._listener = listener
        self._controls: list[int] = []
        self._has_connected = self._is_prepared = False
        self._is_closed = self._is_ended = False
        self._problem: str | None = None
        self._heard = b""
        self._loop = asyncio.get_running_loop()
        self._has_said = False
        self._connects_until = time.monotonic() + _CONNECT_SECONDS
        with ExitStack() as undo:
            self._file = make_file(json.dumps(dict(settings)).encode())
            undo.callback(os.close, self._file)
            self._status, self._their_status = make_pair(socket.SOCK_STREAM)
            undo.callback(os.close, self._status)
            undo.callback(os.close, self._their_status)
            self._socket, theirs = socket.socketpair()
            undo.enter_context(self._socket)
            self._socket.setblocking(False)
            os.set_blocking(self._status, False)
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", _MODULE, str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,  # the signals of a terminal are meant for the service
                )
            undo.pop_all()
        self._finalizer = weakref.finalize(self, _end, self._process, self._socket)
        self._status_finalizer = weakref.finalize(self, os.close, self._status)
        # If the event loop ends first, the end of the gateway is not seen.
        weakref.finalize(self, _close_all, self._controls)
        self._reader = DescriptorReader(self._status, self._hear)
        self._watch()

    @property
    def is_left(self) -> bool:
        return False

    def prepare(self) -> bool:
        if self._is_closed:
            raise ConnectionError
        self._listen_here()
        if not self._is_prepared:
            self._is_prepared = send_request(self._socket, IMPORT, [self._file, self._their_status])
            if self._is_prepared:
                self._close_theirs()
        return self._is_prepared

    def send(self, kind: bytes, descriptors: Sequence[int]) -> bool:
        if self._is_closed:
            raise ConnectionError
        control = os.dup(descriptors[_CONTROL])
        is_sent = False
        try:
            is_sent = send_request(self._socket, kind, descriptors)
        finally:
            if is_sent:
                # The service takes the end of this one for the end of the work, which outlives a gateway that dies.
                self._drop_ended()
                self._controls.append(control)
            else:
                os.close(control)
        return is_sent

    def work_stuck(self, reason: str | None) -> None:
        """One work is no reason to end the others: a gateway that hangs is seen without it, see `_watch`."""

    def note_end(self) -> None:
        self._reader.read()
        if self._is_closed and self._process.poll() is None:
            return  # it takes no more works, but has some yet
        self._take_end()

    def look(self) -> None:
        """Take what it has said, if the event loop cannot."""
        self._reader.read()

    def close(self) -> None:
        """Take no more works. The gateway ends when none is left."""
        self._is_closed = True
        self._finalizer()
        self._drop_ended()

    def forget(self) -> None:
        self._is_closed = True
        self._finalizer.detach()
        self._socket.close()
        self._process.returncode = 0  # it is no child of this process: `Popen` must not wait for it, nor warn
        self._close_theirs()
        self._status_finalizer()
        _close_all(self._controls)

    def _listen_here(self) -> None:
        """Hear on the event loop that runs now: the one before may have ended."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop = loop
            self._reader = DescriptorReader(self._status, self._hear)
            self._watch()

    def _watch(self) -> None:
        """Look after a while whether the gateway has said anything. Nobody looks while no event loop runs."""
        self._has_said = False
        self._loop.call_later(_HANGING_SECONDS, self._end_if_it_hangs)

    def _end_if_it_hangs(self) -> None:
        self._reader.read()  # this process may have stood still itself
        if self._is_ended:
            return
        if not self._has_connected and time.monotonic() >= self._connects_until:
            self._fail(f"it has not answered within {_CONNECT_SECONDS:g} seconds")
        elif self._has_said or not self._has_connected:
            self._watch()
            return
        self._process.kill()
        self._take_end()

    def _drop_ended(self) -> None:
        poll = select.poll()
        for each in self._controls:
            poll.register(each, 0)
        for ended, _ in poll.poll(0):  # the service has closed its end: the work is over
            os.close(ended)
            self._controls.remove(ended)

    def _hear(self, data: bytes) -> None:
        self._has_said = True
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in lines:
            self._take_message(**json.loads(line))
        if not data:
            self._take_end()

    def _take_message(
        self, *, is_connected: bool = False, room: tuple[int, int] | None = None, problem: str | None = None
    ) -> None:
        if is_connected:
            self._has_connected = True
            self._listener.gateway_connected()
        if room is not None and not self._is_closed:
            self._listener.gateway_found_room(*room)
        if problem is not None:
            self._fail(problem)

    def _fail(self, problem: str) -> None:
        self._problem = problem
        if not self._is_closed:
            self._listener.gateway_failed(problem)

    def _take_end(self) -> None:
        if self._is_ended:
            return
        if self._problem is None:
            self._fail("the process that speaks to the cluster has ended")
        was_closed = self._is_closed
        self._is_ended = self._is_closed = True
        self._reader.close()
        self._status_finalizer()
        self._close_theirs()
        self._listener.gateway_ended(self, was_closed=was_closed)
        if not self._has_connected:
            self._release()
        elif self._controls:
            self._release_later()

    def _release_later(self) -> None:
        # In a thread, since the event loop may end before.
        timer = threading.Timer(GONE_SECONDS, self._release)
        timer.daemon = True
        try:
            timer.start()
        except RuntimeError:  # the system gives no more threads, which may be why the gateway has ended
            with suppress(RuntimeError):  # the event loop has ended
                self._loop.call_later(GONE_SECONDS, self._release)

    def _release(self) -> None:
        """Nothing is left of the works of this gateway."""
        for control in self._controls:
            if self._has_connected:
                tell(control, "lost", self._problem)
            tell(control, "over", True)  # a child that was forked from the service may have this end open too
        _close_all(self._controls)

    def _close_theirs(self) -> None:
        for descriptor in (self._file, self._their_status):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._their_status = -1


def _close_all(descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())


def _end(process: "subprocess.Popen[bytes]", connection: socket.socket) -> None:
    """Close the socket, at which the process ends, and wait for that in a thread: it may have works yet."""
    connection.close()
    with suppress(RuntimeError):  # Python ends, and starts no threads any more
        threading.Thread(target=process.wait, daemon=True).start()
