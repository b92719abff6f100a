"""What is captured of the process's output, and that nobody else in the process notices."""

import io
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout

import pytest

from servicekit import InMemoryScheduler, current_job
from servicekit.observability import capture

log = logging.getLogger("shop.orders")


@pytest.fixture(autouse=True, scope="module")
def _no_abandoned_schedulers() -> None:
    """Those that earlier tests have left open on purpose, with threads that hold them, would hear what is printed."""
    for abandoned in list(capture._capture._owners):
        capture.uninstall(abandoned)


def own_stdout(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Give the test a standard output of its own. In a fixture it would be too early: pytest still sets one."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    return stream


async def texts(scheduler: InMemoryScheduler, target: Callable[[], object]) -> list[str]:
    job_id = await scheduler.add_job(target)
    await scheduler.wait(job_id)
    return [line.text for line in (await scheduler.get_log(job_id)).lines]


def say() -> None:
    print("printed")
    log.error("logged")


async def test_two_schedulers_in_one_process_hear_each_line_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = own_stdout(monkeypatch)
    async with InMemoryScheduler() as one, InMemoryScheduler() as other:
        assert await texts(one, say) == ["printed", "logged"]
        assert await texts(other, say) == ["printed", "logged"]
        await other.close()
        assert await texts(one, say) == ["printed", "logged"]
    assert stream.getvalue() == "printed\n" * 3


async def test_after_the_last_scheduler_all_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = own_stdout(monkeypatch)
    call, before = logging.Logger.callHandlers, vars(stream).copy()
    async with InMemoryScheduler() as scheduler:
        await texts(scheduler, say)
        assert logging.Logger.callHandlers is not call
    assert logging.Logger.callHandlers is call
    assert vars(stream) == before
    assert sys.stdout is stream


async def test_a_scheduler_that_starts_again_hears_again() -> None:
    scheduler = InMemoryScheduler()
    for _ in range(2):
        async with scheduler:
            assert await texts(scheduler, say) == ["printed", "logged"]


async def test_a_scheduler_may_be_told_not_to_capture() -> None:
    async with InMemoryScheduler(capture_output=False) as scheduler:
        assert await texts(scheduler, say) == []
        assert await texts(scheduler, lambda: current_job().log("told")) == ["told"]


async def test_what_a_job_redirects_goes_where_it_wants() -> None:
    def target() -> None:
        with redirect_stdout(io.StringIO()) as mine:
            print("for me")
        print(f"had {mine.getvalue()}", end="")

    async with InMemoryScheduler() as scheduler:
        assert await texts(scheduler, target) == ["had for me"]


async def test_streams_may_be_replaced_meanwhile_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = own_stdout(monkeypatch)
    async with InMemoryScheduler() as scheduler:
        with redirect_stdout(io.StringIO()) as other:
            assert await texts(scheduler, say) == ["logged"]
            assert other.getvalue() == "printed\n"
        assert await texts(scheduler, say) == ["printed", "logged"]
        sys.stdout = other
    assert sys.stdout is other
    assert "write" not in vars(stream)


async def test_whoever_captures_in_the_same_way_is_not_disturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = own_stdout(monkeypatch)
    heard = []

    async with InMemoryScheduler() as scheduler:
        replaced, call = stream.write, logging.Logger.callHandlers

        def write(text: str) -> int:
            heard.append(text)
            return replaced(text)

        def call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())
            call(logger, record)

        stream.write = write  # type: ignore[method-assign]
        monkeypatch.setattr(logging.Logger, "callHandlers", call_handlers)
        assert await texts(scheduler, say) == ["printed", "logged"]
    assert (stream.write, logging.Logger.callHandlers) == (write, call_handlers)
    heard.clear()
    say()
    assert heard == ["printed", "\n", "logged"]
    async with InMemoryScheduler() as scheduler:
        assert await texts(scheduler, say) == ["printed", "logged"]


def own_binary_stdout(monkeypatch: pytest.MonkeyPatch, **options: bool) -> io.BytesIO:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", **options))  # type: ignore[arg-type]
    return raw


@pytest.mark.parametrize("line_buffering", [False, True])
async def test_bytes_are_heard_and_text_is_not_heard_twice(
    monkeypatch: pytest.MonkeyPatch, line_buffering: bool
) -> None:
    raw = own_binary_stdout(monkeypatch, line_buffering=line_buffering)

    def target() -> None:
        print("text before")
        sys.stdout.flush()
        sys.stdout.buffer.write("\N{SNOWMAN} in bytes\n".encode())
        sys.stdout.buffer.writelines([b"\xff is no ", bytearray(b"UTF-8\n")])
        sys.stdout.buffer.flush()
        print("text after", flush=True)

    async with InMemoryScheduler() as scheduler:
        lines = ["text before", "\N{SNOWMAN} in bytes", "\ufffd is no UTF-8", "text after"]
        assert await texts(scheduler, target) == lines
    assert raw.getvalue() == b"text before\n\xe2\x98\x83 in bytes\n\xff is no UTF-8\ntext after\n"
    assert {"write", "flush"}.isdisjoint(vars(sys.stdout))
    assert "write" not in vars(sys.stdout.buffer)


async def test_two_streams_with_one_buffer_are_heard_once(monkeypatch: pytest.MonkeyPatch) -> None:
    own_binary_stdout(monkeypatch)
    other = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", line_buffering=True)
    monkeypatch.setattr(sys, "stderr", other)

    def target() -> None:
        print("complained", file=sys.stderr)
        sys.stderr.buffer.write(b"in bytes\n")

    async with InMemoryScheduler() as scheduler:
        assert await texts(scheduler, target) == ["complained", "in bytes"]
    other.detach()


async def test_a_stream_that_writes_to_another_first_is_not_heard_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tee(io.TextIOWrapper):
        def write(self, text: str) -> int:
            sys.stderr.write(text)
            return super().write(text)

    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(sys, "stdout", Tee(io.BytesIO(), encoding="utf-8", write_through=True))
    async with InMemoryScheduler() as scheduler:
        assert await texts(scheduler, lambda: print("once on each")) == ["once on each", "once on each"]


async def test_a_handler_that_writes_bytes_is_not_heard_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    own_binary_stdout(monkeypatch)

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            sys.stdout.buffer.write(record.getMessage().encode())

    monkeypatch.setattr(log, "handlers", [Handler()])
    async with InMemoryScheduler() as scheduler:
        assert await texts(scheduler, lambda: log.error("logged")) == ["logged"]


async def test_one_stream_for_both_is_heard_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = own_stdout(monkeypatch)
    monkeypatch.setattr(sys, "stderr", stream)
    async with InMemoryScheduler() as scheduler:
        assert await texts(scheduler, say) == ["printed", "logged"]


class Slotted:
    """A stream that cannot be listened to."""

    __slots__ = ()

    def write(self, text: str) -> int:
        return len(text)


@pytest.mark.parametrize("odd", [None, Slotted()])
async def test_a_stream_that_cannot_be_heard_is_left_alone(monkeypatch: pytest.MonkeyPatch, odd: object) -> None:
    monkeypatch.setattr(sys, "stdout", odd)
    async with InMemoryScheduler() as scheduler:
        assert await texts(scheduler, say) == ["logged"]


async def test_a_stream_that_fails_fails_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = own_stdout(monkeypatch)

    def target() -> str:
        try:
            print("lost")
        except ValueError as error:
            return str(error)
        return "no error"

    async with InMemoryScheduler() as scheduler:
        stream.close()
        job_id = await scheduler.add_job(target)
        await scheduler.wait(job_id)
        assert await scheduler.get_result(job_id) == "I/O operation on closed file"
        assert (await scheduler.get_log(job_id)).lines == []


def test_logging_can_still_be_configured_while_jobs_run() -> None:
    script = """
import asyncio, logging, sys
from servicekit import InMemoryScheduler

async def target():
    logging.getLogger("shop").warning("by the last resort")
    logging.basicConfig(format="configured: %(message)s", stream=sys.stdout)
    logging.getLogger("shop").warning("by the handler")

async def main():
    async with InMemoryScheduler() as scheduler:
        job_id = await scheduler.add_job(target)
        await scheduler.wait(job_id)
        print([line.text for line in (await scheduler.get_log(job_id)).lines])

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=50)
    assert done.stderr == "by the last resort\n"
    assert done.stdout == "configured: by the handler\n['by the last resort', 'by the handler']\n"


def fork_and_say() -> int:
    """The exit code of a child that prints and logs."""
    child = os.fork()
    if child == 0:
        try:
            say()
            os._exit(0 if "write" not in vars(sys.stdout) else 3)
        finally:
            os._exit(4)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


async def test_a_forked_child_is_not_heard_and_not_hindered() -> None:
    def target() -> int:
        print("before")
        return fork_and_say()

    async with InMemoryScheduler() as scheduler:
        job_id = await scheduler.add_job(target)
        await scheduler.wait(job_id)
        assert await scheduler.get_result(job_id) == 0
        assert [line.text for line in (await scheduler.get_log(job_id)).lines] == ["before"]


async def test_our_own_log_records_are_not_the_jobs() -> None:
    def target() -> None:
        logging.getLogger("servicekit.engine").error("ours")
        logging.getLogger("servicekit").error("ours")
        logging.getLogger("servicekitchen").error("theirs")
        logging.makeLogRecord({"name": "x", "msg": "from elsewhere"})

    async with InMemoryScheduler() as scheduler:
        assert await texts(scheduler, target) == ["theirs"]
