"""A job's log: what it prints and logs, and what is kept of it."""

import asyncio
import logging
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from servicekit import Command, JobNotFound, Retry, RunnerKind, Scheduler, current_job
from servicekit.jobs.log_lines import MAX_LINE_CHARACTERS, LogLine
from tests.fakes import Gate

log = logging.getLogger("shop.orders")


async def run(scheduler: Scheduler, target: Callable[..., Any], *args: object) -> list[LogLine]:
    """Run a job, and return its log."""
    job_id = await scheduler.add_job(target, *args)
    await scheduler.wait(job_id)
    return (await scheduler.get_log(job_id, limit=10_000)).lines


async def texts(scheduler: Scheduler, target: Callable[..., Any], *args: object) -> list[str]:
    return [line.text for line in await run(scheduler, target, *args)]


def say() -> None:
    print("printed")
    print("complained", file=sys.stderr)
    log.warning("%d logged", 1)
    current_job().log("told")


async def say_in_coroutine() -> None:
    say()


async def say_in_task() -> None:
    await asyncio.create_task(say_in_coroutine())


async def say_in_other_thread() -> None:
    await asyncio.to_thread(say)


@pytest.mark.parametrize("target", [say, say_in_coroutine, say_in_task, say_in_other_thread])
async def test_what_a_job_says_is_in_its_log(scheduler: Scheduler, target: Callable[..., Any]) -> None:
    lines = await run(scheduler, target)
    assert [(line.number, line.attempt, line.level, line.source, line.text) for line in lines] == [
        (1, 1, "info", "stdout", "printed"),
        (2, 1, "warning", "stderr", "complained"),
        (3, 1, "warning", "shop.orders", "1 logged"),
        (4, 1, "info", "log", "told"),
    ]
    assert sorted(lines, key=lambda line: line.at) == lines


async def test_it_is_printed_all_the_same(scheduler: Scheduler, capfd: pytest.CaptureFixture[str]) -> None:
    async def target() -> None:
        print("on the screen")
        print("there too", file=sys.__stderr__)

    await texts(scheduler, target)
    assert "on the screen\n" in capfd.readouterr().out


async def test_jobs_that_run_at_once_do_not_mix(scheduler: Scheduler) -> None:
    barrier = threading.Barrier(2)

    def target(name: str) -> None:
        for number in range(50):
            print(name, end="")
            barrier.wait()
            print(f" {number}")
            log.error("%s logs", name)

    ids = [await scheduler.add_job(target, name) for name in ("a", "b")]
    for job_id, name in zip(ids, ("a", "b"), strict=True):
        await scheduler.wait(job_id)
        said = [line.text for line in (await scheduler.get_log(job_id)).lines]
        assert said == [text for number in range(50) for text in (f"{name} {number}", f"{name} logs")]


async def test_the_threads_of_one_job_do_not_mix_their_lines(scheduler: Scheduler) -> None:
    barrier = threading.Barrier(2)

    def piece_by_piece(name: str) -> None:
        for piece in (name, name, "\n"):
            barrier.wait()
            print(piece, end="")

    async def target() -> None:
        await asyncio.gather(*(asyncio.to_thread(piece_by_piece, name) for name in ("a", "b")))

    assert sorted(await texts(scheduler, target)) == ["aa", "bb"]


async def test_what_is_said_outside_of_jobs_is_nobodys(scheduler: Scheduler, gate: Gate) -> None:
    job_id = await scheduler.add_job(gate.enter)
    await gate.wait_entered(1)
    say_outside()
    await asyncio.to_thread(say_outside)
    gate.open()
    await scheduler.wait(job_id)
    assert (await scheduler.get_log(job_id)).lines == []


def say_outside() -> None:
    print("printed")
    log.error("logged")


async def test_levels_are_those_of_logging(scheduler: Scheduler, caplog: pytest.LogCaptureFixture) -> None:
    async def target() -> None:
        for level in ("debug", "info", "warning", "error", "critical"):
            getattr(log, level)(level)

    with caplog.at_level(logging.INFO, log.name):
        lines = await run(scheduler, target)
    assert [(line.level, line.text) for line in lines] == [
        (level, level) for level in ("info", "warning", "error", "critical")
    ]


async def test_a_logged_exception_has_its_traceback(scheduler: Scheduler) -> None:
    async def target() -> None:
        try:
            _ = 1 / 0
        except ZeroDivisionError:
            log.exception("could not divide")

    first, second, *_, last = await run(scheduler, target)
    assert first.text == "could not divide"
    assert second.text == "Traceback (most recent call last):"
    assert last.text == "ZeroDivisionError: division by zero"
    assert {first.level, last.level} == {"error"}


class Mask(logging.Filter):
    """Masks passwords, and drops what is secret altogether."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = record.getMessage().replace("hunter2", "***"), ()
        return "secret" not in record.msg


def log_passwords() -> None:
    logger = logging.getLogger("shop.accounts")
    logger.filters = [Mask()]
    logger.warning("the password is %s", "hunter2")
    logger.warning("the secret is hunter2")
    logger.filters = []
    logger.warning("and that was hunter2")


async def log_passwords_in_coroutine() -> None:
    log_passwords()


@pytest.mark.parametrize(
    ("target", "runner"),
    [(log_passwords, "thread"), (log_passwords_in_coroutine, "coroutine"), (log_passwords, "process")],
)
async def test_a_record_is_heard_as_the_filters_of_its_logger_have_left_it(
    scheduler: Scheduler, target: Callable[..., Any], runner: RunnerKind
) -> None:
    job_id = await scheduler.with_options(runner=runner).add_job(target)
    assert (await scheduler.wait(job_id)).error is None
    assert [line.text for line in (await scheduler.get_log(job_id)).lines] == [
        "the password is ***",
        "and that was hunter2",
    ]


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (["%s is bad", Unprintable()], "%s is bad (cannot be shown: RuntimeError)"),
        (["%d is bad", "x"], "%d is bad (cannot be shown: TypeError)"),
        ([Unprintable()], "(a message) (cannot be shown: RuntimeError)"),
    ],
)
async def test_a_message_that_cannot_be_shown_does_no_harm(
    scheduler: Scheduler, call: list[object], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def target() -> None:
        log.error(*call)

    monkeypatch.setattr(logging, "raiseExceptions", False)
    monkeypatch.setattr(log, "propagate", False)  # the handler of pytest wants to show it
    monkeypatch.setattr(log, "handlers", [logging.NullHandler()])
    assert await texts(scheduler, target) == [text]


async def test_a_logging_handler_that_prints_is_not_heard_twice(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def target() -> None:
        log.warning("only once")
        log.handlers = []
        log.warning("by the handler of last resort")

    monkeypatch.setattr(log, "propagate", False)
    monkeypatch.setattr(log, "handlers", [logging.StreamHandler(sys.stderr)])
    assert await texts(scheduler, target) == ["only once", "by the handler of last resort"]


async def test_a_traceback_that_is_printed_is_heard(scheduler: Scheduler) -> None:
    async def target() -> None:
        try:
            raise KeyError("x")
        except KeyError:
            traceback.print_exc()

    first, *_, last = await run(scheduler, target)
    assert (first.text, last.text) == ("Traceback (most recent call last):", "KeyError: 'x'")
    assert {first.source, last.source} == {"stderr"}


async def test_lines_end_where_they_are_ended(scheduler: Scheduler) -> None:
    async def target() -> None:
        print("one ", end="")
        print("line", end="\n\n")
        sys.stdout.writelines(["a\r\n", "b\n", "c"])
        sys.stderr.write("x\ny")

    assert await texts(scheduler, target) == ["one line", "", "a", "b", "x", "c", "y"]


async def test_of_a_line_that_is_written_over_the_last_state_is_kept(scheduler: Scheduler) -> None:
    async def target() -> None:
        for percent in range(0, 101, 10):
            sys.stderr.write(f"\r{percent}%|{'#' * percent}")
        sys.stderr.write("\n")
        for percent in (0, 50, 100):
            sys.stdout.write(f"{percent}%\r")
        sys.stdout.write("\n")
        current_job().log("10%\r20%\nready\r\n")

    assert await texts(scheduler, target) == [f"100%|{'#' * 100}", "100%", "20%", "ready"]


async def follow_bar(scheduler: Scheduler, job_id: str, go_on: Callable[[], object]) -> list[str]:
    """Follow a job that goes on when what stands on its line was heard."""
    heard = []
    async for line in scheduler.stream_log(job_id):
        heard.append(line.text)
        if line.text == "20%":
            go_on()
    return heard


async def test_what_stands_on_a_line_is_heard_while_it_stands(scheduler: Scheduler) -> None:
    event = threading.Event()

    def target() -> None:
        for percent in (10, 20):
            sys.stderr.write(f"{percent}%\r")
        event.wait(30)
        sys.stderr.write("100%\n")

    heard = await follow_bar(scheduler, await scheduler.add_job(target), event.set)
    assert heard[-2:] == ["20%", "100%"]


async def test_what_stands_on_a_line_of_a_command_is_heard_while_it_stands(
    scheduler: Scheduler, tmp_path: Path
) -> None:
    script = r"printf '\r10%%'; printf '\r20%%'; until [ -e go-on ]; do sleep 0.05; done; printf '\r100%%\n'"
    job_id = await scheduler.add_job(Command(["sh", "-c", script], cwd=str(tmp_path)))
    heard = await follow_bar(scheduler, job_id, (tmp_path / "go-on").touch)
    assert heard[-2:] == ["20%", "100%"]


async def test_odd_texts_are_kept_as_far_as_they_can_be_told(scheduler: Scheduler) -> None:
    async def target() -> None:
        print("grüße 👋\u2028 ja")
        current_job().log("half \ud800 and \0")
        current_job().log("")
        current_job().log("two\nlines\n", level="ERROR", source="mine")
        current_job().log(5)  # type: ignore[arg-type]

    lines = await run(scheduler, target)
    assert [line.text for line in lines] == [
        "grüße 👋\u2028 ja", "half \\ud800 and \\x00", "", "two", "lines", "5"
    ]  # fmt: skip
    assert (lines[3].level, lines[3].source) == ("error", "mine")


async def test_a_line_is_cut_off_where_it_is_too_long(scheduler: Scheduler) -> None:
    async def target() -> None:
        print("x" * 1_000_000)
        for _ in range(1_000):
            print("y" * 1_000, end="")
        print("\rz")
        print("z" * MAX_LINE_CHARACTERS)

    first, second, third = await texts(scheduler, target)
    assert len(first) == MAX_LINE_CHARACTERS
    assert first.startswith("xxx")
    assert first.endswith("x ... (too long)")
    assert second == "z"
    assert third == "z" * MAX_LINE_CHARACTERS


async def test_of_a_flood_the_newest_lines_are_kept_and_the_rest_is_counted(scheduler: Scheduler) -> None:
    async def target() -> None:  # nobody has a turn to write down what it says
        for number in range(100_000):
            print(f"line {number}")

    job_id = await scheduler.add_job(target)
    await scheduler.wait(job_id)
    page = await scheduler.get_log(job_id, limit=10_000)
    said = [line.text for line in page.lines]
    assert said[-500:] == [f"line {number}" for number in range(99_500, 100_000)]
    notes = [line for line in page.lines if line.text.endswith("lines left out ...")]
    assert notes
    assert {(note.level, note.source) for note in notes} == {("warning", "log")}
    for note in notes:
        place = said.index(note.text)
        if place:
            before, after = (int(said[neighbour].split()[1]) for neighbour in (place - 1, place + 1))
            assert note.text == f"... {after - before - 1:,} lines left out ..."
    assert page.lines[0].number == page.dropped + 1


async def test_a_flood_in_one_text_is_bounded_as_well(scheduler: Scheduler) -> None:
    async def target() -> None:
        current_job().log("\n".join(f"line {number}" for number in range(5_000)))
        current_job().log("last")

    said = await texts(scheduler, target)
    assert said == ["... 4,001 lines left out ...", *(f"line {number}" for number in range(4_001, 5_000)), "last"]


async def test_what_was_said_before_the_end_is_there_at_the_end(scheduler: Scheduler) -> None:
    async def fail() -> None:
        print("about to fail", end="")
        raise ValueError

    async def hang(gate: asyncio.Event) -> None:
        print("about to hang")
        gate.set()
        await asyncio.Event().wait()

    assert await texts(scheduler, fail) == ["about to fail"]
    begun = asyncio.Event()
    job_id = await scheduler.add_job(hang, begun)
    await begun.wait()
    await scheduler.cancel(job_id)
    assert [line.text for line in (await scheduler.get_log(job_id)).lines] == ["about to hang"]


async def test_no_line_is_lost_between_a_report_and_the_end(scheduler: Scheduler) -> None:
    def target() -> None:
        print("said")
        current_job().progress(1, 2)  # its report is being written when the job ends

    ids = [await scheduler.add_job(target) for _ in range(50)]
    for job_id in ids:
        await scheduler.wait(job_id)
        assert [line.text for line in (await scheduler.get_log(job_id)).lines] == ["said"]


async def test_lines_say_which_attempt_wrote_them(scheduler: Scheduler) -> None:
    def target() -> None:
        print(f"attempt {current_job().attempt}")
        if current_job().attempt < 3:
            raise OSError

    job_id = await scheduler.with_options(retry=Retry(attempts=3, delay=0)).add_job(target)
    await scheduler.wait(job_id)
    lines = (await scheduler.get_log(job_id)).lines
    assert [(line.attempt, line.text) for line in lines] == [(number, f"attempt {number}") for number in (1, 2, 3)]


async def count_to(number: int) -> None:
    current_job().log("\n".join(f"line {count}" for count in range(1, number + 1)))


async def test_a_log_is_read_in_pages_or_from_its_end(scheduler: Scheduler) -> None:
    job_id = await scheduler.add_job(count_to, 10)
    await scheduler.wait(job_id)
    page = await scheduler.get_log(job_id, after=3, limit=4)
    assert [line.number for line in page.lines] == [4, 5, 6, 7]
    assert not page.is_last
    page = await scheduler.get_log(job_id, after=7)
    assert ([line.number for line in page.lines], page.is_last) == ([8, 9, 10], True)
    page = await scheduler.get_log_tail(job_id, 2)
    assert ([line.number for line in page.lines], page.is_last) == ([9, 10], True)
    assert len((await scheduler.get_log_tail(job_id, 99)).lines) == 10


async def test_the_tail_of_a_long_log_is_its_end(scheduler: Scheduler) -> None:
    is_read = asyncio.Semaphore(0)

    async def target() -> None:
        for _ in range(3):
            await count_to(900)
            await is_read.acquire()

    job_id = await scheduler.add_job(target)
    async for line in scheduler.stream_log(job_id):
        if line.text == "line 900":
            is_read.release()
    assert [line.number for line in (await scheduler.get_log_tail(job_id, 1_200)).lines] == list(range(1_501, 2_701))


async def test_a_log_can_be_followed_to_the_end_of_its_job(scheduler: Scheduler, gate: Gate) -> None:
    async def target() -> None:
        print("before")
        await gate.enter()
        await count_to(900)
        print("after", end="")

    job_id = await scheduler.add_job(target)
    seen = []
    async for line in scheduler.stream_log(job_id):
        if line.text == "before":
            gate.open()
        seen.append(line.text)
    assert seen == ["before", *(f"line {number}" for number in range(1, 901)), "after"]
    assert [line.number async for line in scheduler.stream_log(job_id, after=899)] == [900, 901, 902]


async def test_a_job_that_is_not_there_has_no_log(scheduler: Scheduler, gate: Gate) -> None:
    job_id = await scheduler.add_job(gate.enter)
    lines = scheduler.stream_log(job_id)
    following = asyncio.ensure_future(anext(lines))
    await gate.wait_entered(1)
    await scheduler.delete(job_id)
    with pytest.raises(JobNotFound):
        await following
    with pytest.raises(JobNotFound):
        await scheduler.get_log(job_id)
    with pytest.raises(JobNotFound):
        await scheduler.get_log_tail(job_id, 1)
    with pytest.raises(JobNotFound):
        await anext(scheduler.stream_log(job_id))
