"""What is done for all open streams at once, in one event loop and without a server."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from starlette.types import Message

from servicekit import InMemoryScheduler
from servicekit.api.sse import EventStream, OpenStreams
from servicekit.events.hub import EventHub
from servicekit.jobs.events import JobEvent

AGES = 3_600.0


class Readers:
    """Readers of one job that never ends; they count the comments that they get."""

    def __init__(self, scheduler: InMemoryScheduler, job_id: str, streams: OpenStreams) -> None:
        self.comments: Counter[str] = Counter()
        self.on_comment: Callable[[], None] = lambda: None
        self._scheduler = scheduler
        self._job_id = job_id
        self._streams = streams
        self._changed = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    async def add(self, user_agent: str) -> None:
        stream = EventStream(self._scheduler.watch(self._job_id), self._streams, expose_tracebacks=True)
        scope = {"type": "http", "method": "GET", "headers": [(b"user-agent", user_agent.encode())]}
        count = len(self._streams)
        self.tasks.append(asyncio.ensure_future(stream.run(scope, self._never, self._send_to(user_agent))))
        while len(self._streams) == count:
            await asyncio.sleep(0)

    async def wait_comments(self, user_agent: str, count: int) -> None:
        while self.comments[user_agent] < count:
            self._changed.clear()
            await self._changed.wait()

    def _send_to(self, user_agent: str) -> Callable[[Message], Awaitable[None]]:
        async def send(message: Message) -> None:
            if message.get("body", b"").startswith(b":"):
                self.comments[user_agent] += 1
                self.on_comment()
                self._changed.set()

        return send

    @staticmethod
    async def _never() -> Any:
        await asyncio.Event().wait()


@asynccontextmanager
async def open_readers(streams: OpenStreams) -> AsyncIterator[Readers]:
    async with InMemoryScheduler(shutdown_grace=0) as scheduler:
        readers = Readers(scheduler, await scheduler.add_job(asyncio.sleep, AGES), streams)
        try:
            yield readers
        finally:
            for task in readers.tasks:
                task.cancel()
            await asyncio.gather(*readers.tasks, return_exceptions=True)


@pytest.mark.parametrize("httpx", ["python-httpx/0.28.1", "python-httpx2/2.16.2"])
async def test_who_reads_by_httpx_gets_comments_more_often(httpx: str) -> None:
    streams = OpenStreams(keep_alive_seconds=AGES, httpx_keep_alive_seconds=0, tick_seconds=0.001)
    async with open_readers(streams) as readers:
        for user_agent in ("curl/8.0", httpx, "Mozilla/5.0 (not python-httpx)", "python-requests/2.0"):
            await readers.add(user_agent)
        await readers.wait_comments(httpx, 5)
        assert set(readers.comments) == {httpx}


async def test_others_get_theirs_beside_readers_that_are_not_due() -> None:
    streams = OpenStreams(keep_alive_seconds=0, httpx_keep_alive_seconds=AGES, tick_seconds=0.001)
    async with open_readers(streams) as readers:
        for user_agent in ("python-httpx/0.28.1", "curl/8.0", "python-httpx/0.28.0", "curl/7.0"):
            await readers.add(user_agent)
        await readers.wait_comments("curl/7.0", 5)
        await readers.wait_comments("curl/8.0", 5)
        assert set(readers.comments) == {"curl/7.0", "curl/8.0"}


async def test_a_comment_to_httpx_comes_well_before_it_gives_up() -> None:
    streams = OpenStreams()
    assert streams.httpx_keep_alive_seconds + streams.tick_seconds <= 4


async def test_a_crowd_of_streams_is_woken_in_groups() -> None:
    streams = OpenStreams(keep_alive_seconds=0, tick_seconds=0.05)
    async with open_readers(streams) as readers:
        for _ in range(1_000):
            await readers.add("curl/8.0")
        turns: Counter[int] = Counter()
        turn = 0

        def count() -> None:
            turns[turn] += 1

        readers.on_comment = count
        wanted = readers.comments["curl/8.0"] + 1_500
        while readers.comments["curl/8.0"] < wanted:
            await asyncio.sleep(0)
            turn += 1
        assert max(turns.values()) <= 50


async def test_what_comes_when_an_access_has_just_ended_is_not_sent() -> None:
    hub, sent, began = EventHub(), list[bytes](), asyncio.Event()

    async def send(message: Message) -> None:
        sent.append(message.get("body", b""))
        if b"data:" in sent[-1]:
            began.set()

    async with InMemoryScheduler(shutdown_grace=0, hub=hub) as scheduler:
        job_id = await scheduler.add_job(asyncio.sleep, AGES)
        stream = EventStream(scheduler.watch(job_id), OpenStreams(), expose_tracebacks=True)
        scope = {"type": "http", "method": "GET", "headers": []}
        running = asyncio.ensure_future(stream.run(scope, Readers._never, send))
        await began.wait()
        record = await scheduler.get_record(job_id)
        hub.publish(JobEvent(job_id, replace(record, version=record.version + 1, error="not for them")))
        stream.revoke()
        await running
    assert sent[-1] == b""
    assert b"not for them" not in b"".join(sent)
