"""Readers of event streams, over HTTP/1.1 and nothing else, that know what they have seen."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

from tests.api.event_stream import EventStreamParser, ServerSentEvent
from tests.crash.members import Member, Members

_SILENCE_SECONDS: Final = 45.0
"""Longer than a stream may be silent."""


@dataclass(frozen=True)
class Seen:
    """One event as a reader has had it."""

    version: int
    status: str
    attempt: int


class UnexpectedAnswer(Exception):
    """The server has said what it must not."""


@dataclass
class Reader:
    """Reads one job's stream to its end; from one service to the next, if it reconnects."""

    job_id: str
    is_reconnecting: bool
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    end: str | None = None
    """`terminal`, `deleted`, or `broken` for one that does not reconnect; `None` while it reads."""
    problems: list[str] = field(default_factory=list)

    async def read(self, members: Members) -> None:
        while self.end is None:
            member = await members.find_service()
            self.connections += 1
            try:
                await self._read_from(member)
            except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
                await asyncio.sleep(0.02)  # the service is dead, and may not be known to be for a moment
            if self.end is None and not self.is_reconnecting:
                self.end = "broken"

    async def _read_from(self, member: Member) -> None:
        async with asyncio.timeout(10):
            stream, writer = await asyncio.open_connection("127.0.0.1", member.port)
        try:
            writer.write(self._request())
            status = await self._read_head(stream)
            if status == 200:
                await self._read_events(stream)
            else:
                self._take_status(status)
        finally:
            writer.transport.abort()

    def _request(self) -> bytes:
        last = f"Last-Event-ID: {self.seen[-1].version}\r\n" if self.seen else ""
        return (
            f"GET /api/v1/jobs/{self.job_id}/$stream?poll_interval=0.05 HTTP/1.1\r\nHost: localhost\r\n{last}\r\n"
        ).encode()

    async def _read_head(self, stream: asyncio.StreamReader) -> int:
        async with asyncio.timeout(_SILENCE_SECONDS):
            head = await stream.readuntil(b"\r\n\r\n")
        return int(head.split()[1])

    def _take_status(self, status: int) -> None:
        if status == 404:
            self.end = "deleted"
        elif status != 503:  # the store is busy, or the service stops
            self.problems.append(f"the stream was answered with {status} after {self.seen}")
            self.end = "broken"

    async def _read_events(self, stream: asyncio.StreamReader) -> None:
        parser = EventStreamParser()
        async for chunk in _read_chunks(stream):
            for event in parser.feed(chunk):
                self._take(event)

    def _take(self, event: ServerSentEvent) -> None:
        if self.end is not None:
            self.problems.append(f"{event.data} came after the end")
        record: dict[str, Any] = event.record
        if record["status"] == "deleted":
            self.end = "deleted"
            return
        self.seen.append(Seen(record["version"], record["status"], record["attempt"]))
        if event.last_event_id != str(record["version"]):
            self.problems.append(f"the event of version {record['version']} has the id {event.last_event_id}")
        if record["status"] in ("completed", "failed", "canceled"):
            self.end = "terminal"


async def _read_chunks(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The chunks of the body, up to its proper end; `EOFError` if it breaks off."""
    while True:
        async with asyncio.timeout(_SILENCE_SECONDS):
            size = int(await stream.readuntil(b"\r\n"), 16)
            data = await stream.readexactly(size + 2)
        if size == 0:
            return
        yield data[:-2]
