"""Event streams: the response, and the list of all open streams.

A stream has two tasks: that of the request, which waits for the next event and sends it, and one that waits for the
disconnect. A single ticker does everything periodic for all streams. It sends a comment on streams that have been idle
for half a minute (three seconds for readers that use httpx). It ends streams whose reader has taken nothing for half a
minute. It has readers asked again whether they may go on. And it looks whether the server ends without a signal.

    job changes ──▶ hub ──▶ mailbox ──▶ reader.next_event() ─▶ send
    ticker ────────────────────────────▶ wake ───────────────▶ send a comment
    disconnect, stop signal ───────────▶ close ──────────────▶ the stream ends

The format is that of the HTML standard's chapter on server-sent events, with care for clients that differ from it.
`id:` comes in the same event as its data, since some clients forget an id that comes alone. Only data is followed by an
empty line, since some clients take other empty lines for empty events; so a comment and `retry:` stand right before the
next event. After a job's last event the server ends the response. A client that comes back with that event's id gets
204, which tells it to stop.

The reader of a stream is a `JobReader`; with the job's log, a `LogReader`; for all jobs, whose stream never ends, an
`AllJobsReader`.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from itertools import chain, takewhile
from typing import Final, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from servicekit.api.access_watch import AccessWatch
from servicekit.api.collector import freeze_again
from servicekit.api.encoding import encode_event
from servicekit.api.stop import StopListener
from servicekit.engine.all_jobs_reader import AllJobsReader
from servicekit.engine.job_reader import JobReader
from servicekit.engine.log_reader import LogEvent, LogReader
from servicekit.errors import JobNotFound, RecordUnreadable, StoreUnavailable
from servicekit.jobs.backoff import ErrorLog
from servicekit.jobs.events import JobEvent
from servicekit.jobs.query import JobChange

Reader = JobReader | LogReader | AllJobsReader

_log = logging.getLogger("servicekit.api")

RETRY_MILLISECONDS: Final = 1_000  # the default of browsers is three to five seconds, long for a restart of the service
_KEEP_ALIVE: Final = b": keep-alive\n"
_HEADERS: Final = (
    (b"content-type", b"text/event-stream"),
    # Some proxies, such as the development servers of JavaScript, compress what they pass on, and so hold it back until
    # the stream ends. `no-transform` forbids that.
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),  # nginx would else buffer the response
)
_STOP_SECONDS: Final = 1.0  # a reader that works takes what is left in this time; the server waits for the others
_WOKEN_AT_ONCE: Final = 50  # which takes a millisecond
STREAM_IN_SCOPE: Final = "servicekit.stream"


class Closable(Protocol):
    """Something that requests wait for, and that can be told to end."""

    def close(self) -> None:
        """Let the waiting request go on. It may be called more than once."""
        ...


class OpenStreams:
    """All open streams of one application.

    A stream that has been idle for `keep_alive_seconds` gets a comment, since proxies close connections that are silent
    for a minute. For readers that use httpx, which gives up after five seconds, it is `httpx_keep_alive_seconds`. A
    comment can be `tick_seconds` late. A stream whose reader has taken nothing for `stall_seconds` is ended. Whether a
    reader may still see its stream is asked every `access_seconds`, where not everybody may. When there are
    `freeze_count` streams, and whenever their number has doubled, they are frozen: see `servicekit.api.collector`.
    """

    def __init__(
        self,
        *,
        keep_alive_seconds: float = 30.0,
        httpx_keep_alive_seconds: float = 3.0,
        stall_seconds: float = 30.0,
        tick_seconds: float = 1.0,
        freeze_count: int = 2_000,
        access_seconds: float = 30.0,
    ) -> None:
        self.keep_alive_seconds = keep_alive_seconds
        self.httpx_keep_alive_seconds = httpx_keep_alive_seconds
        self.stall_seconds = stall_seconds
        self.tick_seconds = tick_seconds
        self.failures = ErrorLog(_log)
        self._freeze_count = self._next_freeze_count = freeze_count
        # One queue for each interval between comments. In each, the stream that has been idle for longest comes first.
        self._queues: dict[float, OrderedDict[EventStream, None]] = {}
        self._access = AccessWatch(access_seconds)
        self._ticker: asyncio.Task[None] | None = None
        self._listener: StopListener | None = None
        self._on_stop: Callable[[], None] | None = None
        self._waits: dict[Closable, None] = {}
        self._is_stopping = False

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def __iter__(self) -> Iterator["EventStream"]:
        return chain.from_iterable(self._queues.values())

    def add(self, stream: "EventStream") -> None:
        if self._listener is None:  # a mounted application has no lifespan, so nothing has called `start`
            self._listener = StopListener(self.stop)
        self._queues.setdefault(stream.keep_alive_seconds, OrderedDict())[stream] = None
        self._access.add(stream)
        if self._is_stopping:
            stream.close()
        if len(self) >= self._next_freeze_count:
            self._next_freeze_count *= 2
            freeze_again()
        if self._ticker is None:
            self._ticker = asyncio.get_running_loop().create_task(self._tick(), name="servicekit streams")

    def remove(self, stream: "EventStream") -> None:
        del self._queues[stream.keep_alive_seconds][stream]
        self._access.remove(stream)
        if not len(self):
            self._access.end()
            self._next_freeze_count = self._freeze_count
            if self._ticker is not None:
                self._ticker.cancel()
                self._ticker = None

    def sent(self, stream: "EventStream") -> None:
        """Note that something was sent on this stream."""
        self._queues[stream.keep_alive_seconds].move_to_end(stream)

    def start(self, on_stop: Callable[[], None] | None = None) -> None:
        """The service starts, and streams may be opened. When it is told to stop, they end, and `on_stop` is called."""
        self._is_stopping = False
        self._on_stop = on_stop
        self._listener = StopListener(self.stop)

    @contextmanager
    def close_at_stop(self, closable: Closable) -> Iterator[None]:
        """Close what a request waits for when the service stops, though the request is no stream."""
        self._waits[closable] = None
        if self._is_stopping:
            closable.close()
        try:
            yield
        finally:
            del self._waits[closable]

    def end(self) -> None:
        """The service has stopped: end everything, and give the signals back."""
        self.stop()
        if self._listener is not None:
            self._listener.remove()
            self._listener = None

    def stop(self) -> None:
        """The service stops: end all streams, and those that are opened from now on. Their clients connect again."""
        self._is_stopping = True
        if self._on_stop is not None:
            self._on_stop()
        for closable in [*self, *self._waits]:
            closable.close()
        asyncio.get_running_loop().call_later(_STOP_SECONDS, self._drop_all)

    def _drop_all(self) -> None:
        if self._is_stopping:
            for stream in self:
                stream.drop()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self.tick_seconds)
            if self._listener is not None and not self._is_stopping:
                self._listener.look()
            self._access.look()
            for number, stream in enumerate(self._list_due(), 1):
                stream.tend()
                if number % _WOKEN_AT_ONCE == 0:
                    await asyncio.sleep(0)  # thousands that send at once would hold up everything else

    def _list_due(self) -> list["EventStream"]:
        # A queue is in order of the last sending, so all streams after the first one that is not due are not due
        # either.
        return [stream for queue in self._queues.values() for stream in takewhile(EventStream.is_due, queue)]


class EventStream(Response):
    """Sends the events of a reader until the last event, the client's disconnect, or the stop of the service.

    When FastAPI calls it, it only asks its route to run it later, after the request's dependencies have ended. A stream
    can be open for hours, and a database session would be held as long.

    `ask_again` tells whether the reader may still see it: see `AccessWatch`.
    """

    def __init__(
        self,
        reader: AbstractAsyncContextManager[Reader],
        streams: OpenStreams,
        *,
        expose_tracebacks: bool,
        ask_again: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        super().__init__()
        self.ask_again = ask_again
        self.keep_alive_seconds = streams.keep_alive_seconds
        self._opening = reader
        self._streams = streams
        self._expose_tracebacks = expose_tracebacks
        self._reader: Reader | None = None
        self._task: asyncio.Task[object] | None = None
        self._last_sent_at = 0.0
        self._sending_since: float | None = None
        self._is_comment_due = False
        self._is_reader_gone = False
        self._is_revoked = False
        self._has_stalled = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        scope[STREAM_IN_SCOPE] = self

    async def run(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _is_from_httpx(scope):
            self.keep_alive_seconds = self._streams.httpx_keep_alive_seconds
        await send({"type": "http.response.start", "status": 200, "headers": _list_headers(scope)})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        disconnect = asyncio.get_running_loop().create_task(self._wait_disconnect(receive), name="disconnect")
        try:
            async with self._opening as self._reader:
                await self._send_events(self._reader, send)
        except JobNotFound as error:  # the job was deleted after the request was accepted
            deleted = JobEvent(error.job_id, None)
            await send({"type": "http.response.body", "body": self._encode(deleted), "more_body": True})
        except (StoreUnavailable, RecordUnreadable) as error:  # the stream ends, and its client connects again
            self._streams.failures.error(error)
        finally:
            disconnect.cancel()
        if not self._is_reader_gone:
            await send({"type": "http.response.body", "body": b""})

    def close(self) -> None:
        """End the stream after the events that are still to be sent."""
        if self._reader is not None:
            self._reader.close()

    def revoke(self) -> None:
        """End the stream at once, without the events that are still to be sent: its reader may not see them."""
        self._is_revoked = True
        self.close()
        self.drop()

    def is_due(self) -> bool:
        """Whether the stream has been idle for so long that `tend` must be called."""
        return time.monotonic() - self._last_sent_at >= self.keep_alive_seconds

    def tend(self) -> None:
        """Send a comment on an idle stream; end a stream whose reader has taken nothing for too long."""
        if self._sending_since is not None:
            if time.monotonic() - self._sending_since >= self._streams.stall_seconds:
                self.drop()
        elif self._reader is not None:
            self._is_comment_due = True
            self._reader.wake()

    def drop(self) -> None:
        """End the stream if its reader takes nothing.

        The server then logs that the response was not completed, which is true.
        """
        if self.is_stalled and self._task is not None:
            self._is_reader_gone = self._has_stalled = True
            self._task.cancel()

    @property
    def is_stalled(self) -> bool:
        """Whether the stream waits for its reader to take something."""
        return self._sending_since is not None

    async def _send_events(self, reader: Reader, send: Send) -> None:
        self._task = asyncio.current_task()
        self._last_sent_at = time.monotonic()
        self._streams.add(self)
        try:
            await self._send(send, b"retry: %d\n" % RETRY_MILLISECONDS)
            # As few calls within calls as possible: each is a coroutine object in each of thousands of idle streams.
            while True:
                event = await reader.next_event()
                if self._is_reader_gone or self._is_revoked or (event is None and reader.is_closed):
                    break
                if event is not None:
                    await self._send(send, self._encode(event))
                    if event.is_last:
                        break
                elif self._is_comment_due:
                    await self._send(send, _KEEP_ALIVE)
                event = None  # the variable would else keep the event while the stream waits for the next
        except asyncio.CancelledError:
            if not self._has_stalled or self._task is None:
                raise
            self._task.uncancel()  # `drop` has canceled it, and nobody else: the request ends in order
        finally:
            self._streams.remove(self)
            self._task = None

    def _encode(self, event: JobEvent | LogEvent | JobChange) -> bytes:
        return encode_event(event, expose_traceback=self._expose_tracebacks)

    async def _send(self, send: Send, body: bytes) -> None:
        self._sending_since = time.monotonic()
        await send({"type": "http.response.body", "body": body, "more_body": True})
        self._sending_since = None
        self._is_comment_due = False
        self._last_sent_at = time.monotonic()
        self._streams.sent(self)

    async def _wait_disconnect(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._is_reader_gone = True
        self.close()


def _list_headers(scope: Scope) -> list[tuple[bytes, bytes]]:
    """The headers of a stream. They are made when they are sent, so that thousands of streams need not keep them."""
    return [*_HEADERS, (b"connection", b"keep-alive")] if _may_keep_alive(scope) else [*_HEADERS]


def _may_keep_alive(scope: Scope) -> bool:
    """Whether the connection may have `Connection: keep-alive`: HTTP/2 forbids it, and HTTP/1.0 does not know it."""
    return scope.get("http_version") == "1.1" and (b"connection", b"close") not in scope["headers"]


def _is_from_httpx(scope: Scope) -> bool:
    """Whether the reader is httpx, which gives up after five seconds of silence by default.

    Other readers do not get comments that often: with thousands of idle streams, that would be most of the work.
    """
    return any(name == b"user-agent" and value.startswith(b"python-httpx") for name, value in scope["headers"])
