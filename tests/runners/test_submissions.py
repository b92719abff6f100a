"""The service's end of what a job's process wants to have submitted."""

import asyncio
import json
import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from servicekit.errors import QueueFull
from servicekit.jobs import backoff
from servicekit.jobs.current import JobCall, RunningJob
from servicekit.jobs.options import JobOptions
from servicekit.runners.submissions import MAX_REQUEST_BYTES, SubmissionServer, frame
from servicekit.testing.stores.fakes import submission
from tests.fakes import QuietHost, noop
from tests.hindering import without_threads

NOOP = ["tests.fakes:noop", '{"args": [], "kwargs": {}}', None]


class Host(QuietHost):
    """Takes note of what shall be submitted, when it is allowed to."""

    def __init__(self) -> None:
        self.calls: list[JobCall] = []
        self.refusal: Exception | None = None
        self.allowed = asyncio.Event()
        self.allowed.set()

    async def submit_for(self, job: RunningJob, call: JobCall) -> str:
        self.calls.append(call)
        await self.allowed.wait()
        if self.refusal is not None:
            raise self.refusal
        return f"job {len(self.calls)}"


class Process:
    """The other end, which can say anything."""

    def __init__(self, host: Host) -> None:
        self.desk = SubmissionServer(RunningJob(submission("a job"), 1, host))
        self.service, self.socket = socket.socketpair()
        self.socket.setblocking(False)
        self.desk.open(self.service.fileno())

    def say(self, data: bytes, size: int = 16_384) -> None:
        for start in range(0, len(data), size):
            self.desk.take(data[start : start + size])

    async def hear(self) -> Any:
        size = int.from_bytes(await asyncio.get_running_loop().sock_recv(self.socket, 4))
        return json.loads(await asyncio.get_running_loop().sock_recv(self.socket, size))


@pytest.fixture
async def host() -> Host:
    return Host()


@pytest.fixture
def process(host: Host) -> Iterator[Process]:
    process = Process(host)
    with process.service, process.socket:
        yield process


@pytest.mark.parametrize("size", [1, 3, 16_384])
async def test_requests_are_answered_in_order_however_they_are_cut(process: Process, host: Host, size: int) -> None:
    process.say(frame([1, *NOOP]) + frame([2, *NOOP[:2], '{"queue": "gpu"}']), size)
    assert [await process.hear(), await process.hear()] == [[1, "job 1"], [2, "job 2"]]
    assert host.calls == [JobCall(noop, (), {}, JobOptions()), JobCall(noop, (), {}, JobOptions(queue="gpu"))]


async def test_the_next_request_waits_for_the_answer_to_the_last(process: Process, host: Host) -> None:
    host.allowed.clear()
    process.say(frame([1, *NOOP]) + frame([2, *NOOP]))
    while not host.calls:
        await asyncio.sleep(0)
    assert len(host.calls) == 1
    host.allowed.set()
    assert [await process.hear(), await process.hear()] == [[1, "job 1"], [2, "job 2"]]


@pytest.mark.parametrize(
    "request_",
    [
        {},
        [],
        7,
        [1],
        [1, "no.such.module:f", '{"args": [], "kwargs": {}}', None],
        [1, "tests.fakes:nothing", '{"args": [], "kwargs": {}}', None],
        [1, "json:decoder", '{"args": [], "kwargs": {}}', None],
        [1, "tests.fakes:noop", "no JSON", None],
        [1, *NOOP[:2], '{"colour": "red"}'],
        [1, *NOOP[:2], '{"priority": 10000}'],
        [1, None, None, []],
    ],
)
async def test_a_request_that_makes_no_sense_is_refused_and_hurts_nobody(
    process: Process, host: Host, request_: object
) -> None:
    process.say(frame(request_))
    _, job_id, error, reason = await process.hear()
    assert (job_id, error) == (None, None)
    assert reason.startswith("the service cannot submit it: ")
    assert host.calls == []
    process.say(frame([2, *NOOP]))
    assert await process.hear() == [2, "job 1"]


async def test_an_error_is_told_as_what_it_is(process: Process, host: Host) -> None:
    host.refusal = QueueFull("leaves", 7)
    process.say(frame([1, *NOOP]))
    assert await process.hear() == [1, None, "QueueFull", ["leaves", 7]]
    host.refusal = RuntimeError("x" * 10_000)
    process.say(frame([2, *NOOP]))
    assert len((await process.hear())[3]) < 2_000


async def test_a_process_that_announces_too_much_is_not_listened_to(process: Process, host: Host) -> None:
    process.say((MAX_REQUEST_BYTES + 1).to_bytes(4))
    process.say(frame([1, *NOOP]))
    await asyncio.sleep(0)
    assert host.calls == []


async def test_a_process_that_sends_more_and_more_is_not_listened_to(process: Process, host: Host) -> None:
    host.allowed.clear()
    process.say(frame([1, *NOOP]))
    process.say(b"x" * (2 * MAX_REQUEST_BYTES + 1))
    process.say(b"x" * MAX_REQUEST_BYTES)
    assert process.desk._heard == b""


async def test_nothing_is_written_after_the_end(process: Process, host: Host) -> None:
    host.allowed.clear()
    process.say(frame([1, *NOOP]))
    while not host.calls:
        await asyncio.sleep(0)
    process.desk.take(b"")
    host.allowed.set()
    serving = process.desk._serving
    assert serving is not None
    await serving
    with pytest.raises(BlockingIOError):
        process.socket.recv(1)


async def test_where_there_are_no_threads_a_job_waits_for_one(
    process: Process, host: Host, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(backoff, "_FIRST_SECONDS", 0.001)
    with without_threads():
        process.say(frame([1, *NOOP]))
        while not caplog.records:
            await asyncio.sleep(0.001)
    (record,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert "has to wait: can't start new thread" in record.getMessage()
    assert await process.hear() == [1, "job 1"]


async def test_a_process_that_has_ended_waits_for_no_thread(
    process: Process, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "_FIRST_SECONDS", 0.001)
    with without_threads():
        process.say(frame([1, *NOOP]))
        serving = process.desk._serving
        assert serving is not None
        process.desk.take(b"")
        await serving
    assert host.calls == []
