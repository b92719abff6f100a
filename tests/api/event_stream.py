"""A reader of event streams that follows the HTML standard to the letter, over a bare socket.

https://html.spec.whatwg.org/multipage/server-sent-events.html, sections 9.2.5 and 9.2.6.
"""

import codecs
import json
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class ServerSentEvent:
    """An event as it is dispatched."""

    type: str
    data: str
    last_event_id: str

    @property
    def record(self) -> dict[str, Any]:
        return dict(json.loads(self.data))


@dataclass
class EventStreamParser:
    """Bytes in, events out; no input or output of its own."""

    last_event_id: str = ""
    retry: int | None = None
    comments: list[str] = field(default_factory=list)
    _data: str = ""
    _type: str = ""
    _id: str = ""
    _rest: str = ""
    _is_first: bool = True

    def __post_init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        text = self._rest + self._decoder.decode(chunk)
        if self._is_first and text:
            text, self._is_first = text.removeprefix("\ufeff"), False
        # A CR at the end may be the first half of a CRLF.
        *lines, self._rest = re.split(r"\r\n|\n|\r(?!$)", text)
        return [event for line in lines if (event := self._take_line(line)) is not None]

    def _take_line(self, line: str) -> ServerSentEvent | None:
        if line == "":
            return self._dispatch()
        if line.startswith(":"):
            self.comments.append(line[1:])
        else:
            name, _, value = line.partition(":")
            self._take_field(name, value.removeprefix(" "))
        return None

    def _take_field(self, name: str, value: str) -> None:
        if name == "event":
            self._type = value
        elif name == "data":
            self._data += value + "\n"
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and re.fullmatch("[0-9]+", value):
            self.retry = int(value)

    def _dispatch(self) -> ServerSentEvent | None:
        self.last_event_id = self._id
        data, kind = self._data, self._type or "message"
        self._data = self._type = ""
        return ServerSentEvent(kind, data.removesuffix("\n"), self.last_event_id) if data else None


class EventSourceClient:
    """Opens one stream over HTTP/1.1 and reads it event by event; the socket is the test's to misuse."""

    def __init__(self, port: int, path: str, *, last_event_id: str | None = None, method: str = "GET") -> None:
        self.parser = EventStreamParser()
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=45)
        header = f"Last-Event-ID: {last_event_id}\r\n" if last_event_id is not None else ""
        self.socket.sendall(f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{header}\r\n".encode())
        self._file = self.socket.makefile("rb")
        self.status = int(self._file.readline().split()[1])
        self.headers = dict(self._read_headers())
        self._chunks = self._read_chunks()
        self._events = self._read_events()

    def __enter__(self) -> "EventSourceClient":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
        self.socket.close()

    def next(self) -> ServerSentEvent:
        """The next event; `StopIteration` is turned into an error that says that the stream has ended."""
        event = next(self._events, None)
        assert event is not None, "the stream has ended"
        return event

    def wait_comment(self) -> str:
        """Read up to the next comment; an event that comes before it is an error."""
        while not self.parser.comments:
            events = self.parser.feed(next(self._chunks))
            assert events == []
        return self.parser.comments.pop()

    def rest(self) -> list[ServerSentEvent]:
        """All events up to the end of the stream, which must come."""
        return list(self._events)

    def _read_headers(self) -> Iterator[tuple[str, str]]:
        while line := self._file.readline().strip():
            name, _, value = line.decode("latin-1").partition(":")
            yield name.lower(), value.strip()

    def _read_events(self) -> Iterator[ServerSentEvent]:
        for chunk in self._chunks:
            yield from self.parser.feed(chunk)

    def _read_chunks(self) -> Iterator[bytes]:
        if self.headers.get("transfer-encoding") != "chunked":
            return
        while size := int(self._file.readline(), 16):
            yield self._file.read(size)
            self._file.readline()
        assert self._file.readline() == b"\r\n"  # a proper end, not a broken connection
