"""Clients on raw sockets, lean enough that the server is what is measured."""

import asyncio
import json
import re
import selectors
import socket
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

Address = tuple[str, int]

_CONTENT_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_TIMEOUT_SECONDS = 120.0
_OPENED_AT_ONCE = 200
_RUNNING, _ENDED = b'running"', b'completed"'


def request_of(
    method: str, path: str, body: bytes = b"", media_type: str = "application/json", **headers: str
) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *(f"{name}: {value}" for name, value in headers.items())]
    if method == "POST":
        lines += [f"Content-Type: {media_type}"] * bool(body) + [f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def length_of_response(data: bytes) -> int | None:
    """The length of the response that `data` begins with, once its headers are there."""
    head, separator, _ = data.partition(b"\r\n\r\n")
    if not separator:
        return None
    match = _CONTENT_LENGTH.search(head)
    if not match or not 200 <= int(head[9:12]) < 300:
        raise RuntimeError(f"unexpected answer: {head.decode(errors='replace')}")
    return len(head) + 4 + int(match[1])


class Connection:
    """A keep-alive connection that waits for each answer."""

    def __init__(self, address: Address) -> None:
        self._socket = socket.create_connection(address, timeout=_TIMEOUT_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()

    def get(self, path: str) -> Any:
        return json.loads(self.exchange(request_of("GET", path)))

    def post(self, path: str) -> Any:
        return json.loads(self.exchange(request_of("POST", path)))

    def count(self, request: bytes) -> int:
        """Send a request; how many bytes the body of its answer has, without keeping them."""
        self._socket.sendall(request)
        head, length = b"", None
        while length is None:
            head += self._receive()
            length = length_of_response(head)
        received = len(head)
        while received < length:
            received += len(self._receive())
        return length - head.index(b"\r\n\r\n") - 4

    def _receive(self) -> bytes:
        chunk = self._socket.recv(1 << 20)
        if not chunk:
            raise ConnectionError("closed before the answer was complete")
        return chunk

    def exchange(self, request: bytes) -> bytes:
        """Send a request; the body of its answer."""
        self._socket.sendall(request)
        data, length = b"", None
        while length is None or len(data) < length:
            data += self._receive()
            length = length or length_of_response(data)
        return data.partition(b"\r\n\r\n")[2]


async def load(address: Address, request: bytes, count: int, connections: int) -> None:
    """Send `count` requests over several connections, each as soon as the one before it is answered."""
    loop = asyncio.get_running_loop()
    remaining = iter(range(count))
    lanes = [(await loop.create_connection(lambda: _Lane(request, remaining), *address))[1] for _ in range(connections)]
    async with asyncio.timeout(_TIMEOUT_SECONDS):
        await asyncio.gather(*(lane.ended for lane in lanes))


class _Lane(asyncio.Protocol):
    """One connection of a load."""

    def __init__(self, request: bytes, remaining: Any) -> None:
        self.ended = asyncio.get_running_loop().create_future()
        self._request = request
        self._remaining = remaining
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send_next()

    def data_received(self, data: bytes) -> None:
        self._data += data
        try:
            length = length_of_response(self._data)
        except RuntimeError as error:
            self._end(error)
            return
        if length is not None and len(self._data) >= length:
            self._data = self._data[length:]
            self._send_next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or ConnectionError("closed by the server"))

    def _send_next(self) -> None:
        if next(self._remaining, None) is None:
            self._end(None)
            self._transport.close()
        else:
            self._transport.write(self._request)

    def _end(self, error: Exception | None) -> None:
        if self.ended.done():
            return
        if error:
            self.ended.set_exception(error)
        else:
            self.ended.set_result(None)


class Crowd:
    """Many open streams, read by one selector. What nobody waits for stays in the kernel's buffers."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._selector = selectors.DefaultSelector()
        self._tails: dict[socket.socket, bytes] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._selector.close()
        for stream in self._tails:
            stream.close()

    def open(self, paths: Sequence[str]) -> None:
        """Open a stream on each path, and wait until all have told that their job runs."""
        for start in range(0, len(paths), _OPENED_AT_ONCE):
            self._read_until_each_sent(_RUNNING, {self.start(path) for path in paths[start : start + _OPENED_AT_ONCE]})

    def start(self, path: str) -> socket.socket:
        """Open one stream, without waiting for its first event."""
        stream = socket.create_connection(self._address, timeout=_TIMEOUT_SECONDS)
        stream.sendall(request_of("GET", path))
        stream.setblocking(False)
        self._selector.register(stream, selectors.EVENT_READ)
        self._tails[stream] = b""
        return stream

    def wait_ended(self) -> dict[socket.socket, float]:
        """Read until all streams have told that their job completed; when each did, on the monotonic clock."""
        return self._read_until_each_sent(_ENDED, set(self._tails))

    def _read_until_each_sent(self, marker: bytes, streams: set[socket.socket]) -> dict[socket.socket, float]:
        sent_at: dict[socket.socket, float] = {}
        while len(sent_at) < len(streams):
            ready = self._selector.select(_TIMEOUT_SECONDS)
            if not ready:
                raise TimeoutError(f"{len(streams) - len(sent_at)} streams never sent {marker!r}")
            for key, _ in ready:
                stream = key.fileobj
                assert isinstance(stream, socket.socket)
                if self._has_sent(marker, stream) and stream in streams:
                    sent_at.setdefault(stream, time.monotonic())
        return sent_at

    def _has_sent(self, marker: bytes, stream: socket.socket) -> bool:
        chunk = stream.recv(8192)
        if not chunk:
            self._selector.unregister(stream)
            return False
        data = self._tails[stream] + chunk
        self._tails[stream] = data[-len(marker) :]
        return marker in data
