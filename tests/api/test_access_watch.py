"""Asking again for open streams: when, how many at once, and what ends a stream. No server, and no stream either."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from fastapi import HTTPException

from servicekit.api import access_watch
from servicekit.api.access_watch import AccessWatch


class Stream:
    """A stream that only knows whether it was ended."""

    def __init__(self, ask_again: Callable[[], Awaitable[bool]] | None) -> None:
        self.ask_again = ask_again
        self.revoked = asyncio.Event()

    def revoke(self) -> None:
        self.revoked.set()


class Crowd:
    """Answers that are given when they are let go; it counts how many wait."""

    def __init__(self) -> None:
        self.waiting = self.most_waiting = self.asked = 0
        self.go = asyncio.Event()

    async def answer(self) -> bool:
        self.asked += 1
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        await self.go.wait()
        self.waiting -= 1
        return True


async def settle(watch: AccessWatch, until: Callable[[], bool]) -> None:
    while not until():
        watch.look()
        await asyncio.sleep(0)


async def test_streams_of_everybody_are_not_asked_for() -> None:
    watch = AccessWatch(0.0)
    watch.add(Stream(None))
    watch.look()
    assert len(asyncio.all_tasks()) == 1


async def test_nobody_is_asked_before_half_of_the_time() -> None:
    watch, crowd = AccessWatch(3_600.0), Crowd()
    watch.add(Stream(crowd.answer))
    watch.look()
    await asyncio.sleep(0)
    assert crowd.asked == 0


async def test_ten_are_asked_at_once_and_the_others_after_them() -> None:
    watch, crowd = AccessWatch(0.0), Crowd()
    streams = [Stream(crowd.answer) for _ in range(100)]
    for stream in streams:
        watch.add(stream)
    await settle(watch, lambda: crowd.waiting == 10)
    for _ in range(20):
        watch.look()
        await asyncio.sleep(0)
    assert crowd.most_waiting == 10
    crowd.go.set()
    await settle(watch, lambda: crowd.asked >= 100)
    assert crowd.most_waiting == 10
    assert not any(stream.revoked.is_set() for stream in streams)
    watch.end()


async def no() -> bool:
    return False


async def refuse() -> bool:
    raise HTTPException(401)


async def fail() -> bool:
    raise RuntimeError("the database is away")


async def hang() -> bool:
    await asyncio.Event().wait()
    return True


async def hang_in_a_thread() -> bool:
    """As a plain function does that waits for a database: it cannot be canceled."""
    waiting = asyncio.ensure_future(asyncio.Event().wait())
    try:
        await asyncio.wait({waiting}, timeout=0.2)
        return True
    except asyncio.CancelledError:
        await asyncio.wait({waiting}, timeout=0.2)
        return True
    finally:
        waiting.cancel()


@pytest.mark.parametrize("answer", [no, refuse, fail, hang, hang_in_a_thread])
async def test_a_no_an_error_and_no_answer_end_the_stream(
    answer: Callable[[], Awaitable[bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_watch, "_PATIENCE_SECONDS", 0.01)
    watch, stream = AccessWatch(0.0), Stream(answer)
    watch.add(stream)
    watch.look()
    await stream.revoked.wait()
    watch.end()


async def test_what_ends_many_streams_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    watch, streams = AccessWatch(0.0), [Stream(fail) for _ in range(20)]
    for stream in streams:
        watch.add(stream)
    await settle(watch, lambda: all(stream.revoked.is_set() for stream in streams))
    watch.end()
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert line.endswith("whether its reader may go on: RuntimeError: the database is away")


async def test_a_stream_that_has_ended_meanwhile_is_left_alone() -> None:
    watch, crowd = AccessWatch(0.0), Crowd()
    stream = Stream(crowd.answer)
    watch.add(stream)
    await settle(watch, lambda: crowd.waiting == 1)
    watch.remove(stream)
    watch.end()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not stream.revoked.is_set()
