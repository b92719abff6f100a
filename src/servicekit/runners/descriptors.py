"""The descriptors by which the service and a job's processes speak to each other."""

import asyncio
import os
import socket
import tempfile
from collections.abc import Callable
from typing import Final

# Large enough that a flood costs few calls, small enough that a thousand jobs that write hold little memory.
_PIECE_BYTES: Final = 16 * 1024
# 128 KiB a turn: other tasks wait for less than a millisecond.
_PIECES_A_TURN: Final = 8
# A pipe holds 64 KiB. A job may make that a megabyte without special rights, which is 64 pieces. The bound is for a
# process that goes on writing all the same, since it could not be killed.
_MOST_PIECES_LEFT: Final = 1_000
# The longest message, a line of the log, has 12 KB. A job may be some messages ahead before it has to wait.
_REPORT_BYTES: Final = 128 * 1024

TakeBytes = Callable[[bytes], None]
"""Takes what was read; nothing (`b""`) at its end."""


class WorkDescriptors:
    """The descriptors of one job: the service's ends, and the ends that the job's processes get.

    They are plain numbers, closed by `close` or with this object. Programs that the service starts do not inherit them.
    A child that is forked from the service does: see `Launcher`.
    """

    def __init__(self, request: bytes, stdin: bytes, *, is_call: bool) -> None:
        self._ours: set[int] = set()
        self._theirs: set[int] = set()
        self.report = self.outcome_file = self.calls = -1
        self.control, control = self._add(make_pair(socket.SOCK_STREAM))
        self.stdout, stdout = self._add(os.pipe())
        self.stderr, stderr = self._add(os.pipe())
        self.sent = [self._give(request), control, self._give(stdin), stdout, stderr]
        """What is sent to the launcher, in the order that it expects."""
        if is_call:
            self.report, report = self._add(make_pair(socket.SOCK_DGRAM))
            self.outcome_file = make_file(b"")
            self._ours.add(self.outcome_file)
            self.calls, calls = self._add(make_pair(socket.SOCK_STREAM))
            self.sent += [report, self.outcome_file, calls]
        for descriptor in self._ours:
            os.set_blocking(descriptor, False)

    def _add(self, ends: tuple[int, int]) -> tuple[int, int]:
        self._ours.add(ends[0])
        self._theirs.add(ends[1])
        return ends

    def _give(self, data: bytes) -> int:
        descriptor = make_file(data)
        self._theirs.add(descriptor)
        return descriptor

    def close_theirs(self) -> None:
        """Close the ends of the job's processes. Open here, they would hide that the processes have ended."""
        while self._theirs:
            os.close(self._theirs.pop())

    def take_outcome_file(self) -> int:
        """The descriptor of the file with the outcome. The caller closes it."""
        self._ours.remove(self.outcome_file)
        return self.outcome_file

    def close(self) -> None:
        self.close_theirs()
        while self._ours:
            os.close(self._ours.pop())

    __del__ = close


class DescriptorReader:
    """Passes on what can be read from a descriptor, in small pieces, and few of them at a turn of the event loop.

    So a flood leaves the loop time for everything else, and holds no more memory than a piece. A process that writes
    faster has to wait.
    """

    def __init__(self, descriptor: int, take: TakeBytes) -> None:
        self._descriptor = descriptor
        self._take = take
        self._is_open = True
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(descriptor, self.read)

    def close(self) -> None:
        """Pass on what is left, and nothing after that. Called before the descriptor is closed."""
        self.read(_MOST_PIECES_LEFT)
        self._stop()

    def read(self, most_pieces: int = _PIECES_A_TURN) -> None:
        """Pass on what can be read, up to so many pieces."""
        for _ in range(most_pieces):
            if not self._is_open or not self._read_piece():
                return

    def _read_piece(self) -> bool:
        try:
            data = os.read(self._descriptor, _PIECE_BYTES)
        except BlockingIOError:
            return False
        except ConnectionError:
            # The other end has closed without reading what was sent to it. The kernel tells that once, before what the
            # other end has sent.
            return True
        if data:
            self._take(data)
        else:
            self._stop()
        return bool(data)

    def _stop(self) -> None:
        if self._is_open:
            self._is_open = False
            if not self._loop.is_closed():
                self._loop.remove_reader(self._descriptor)
            self._take(b"")


def make_pair(kind: socket.SocketKind) -> tuple[int, int]:
    """Two connected sockets: the service's end, and the other."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    if kind is socket.SOCK_DGRAM:  # some systems take only 2 KiB at a time by default
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _REPORT_BYTES)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _REPORT_BYTES)
    return ours.detach(), theirs.detach()


def make_file(data: bytes) -> int:
    """A file without a name, to be read from its beginning. It is in memory where the system has such files."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("servicekit")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
