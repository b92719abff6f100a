"""What the service's own log says of its jobs."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from servicekit import JobStatus, Retry, RunnerKind, Scheduler, create_scheduler
from servicekit.observability.console import show_by
from tests.fakes import Gate, noop

LOGGER = "servicekit.jobs"


def fail() -> None:
    raise ValueError("Invalid input\nERROR: of another job")


async def fail_in_coroutine() -> None:
    fail()


async def records(caplog: pytest.LogCaptureFixture, count: int) -> list[logging.LogRecord]:
    """So many records: they come when what they tell has been written, maybe after whoever waits for that has heard."""
    while len(found := [record for record in caplog.records if record.name == LOGGER]) < count:
        await asyncio.sleep(0)
    assert len(found) == count
    return found


async def lines(caplog: pytest.LogCaptureFixture, count: int) -> list[tuple[str, str]]:
    """Levels and messages; what differs from run to run is left out."""
    found = await records(caplog, count)
    return [(record.levelname, record.getMessage().replace(str(vars(record)["job_id"]), "ID")) for record in found]


@pytest.mark.parametrize(("target", "runner"), [(fail, "thread"), (fail, "process"), (fail_in_coroutine, "coroutine")])
async def test_a_failed_job_is_one_error_with_its_traceback(
    scheduler: Scheduler, caplog: pytest.LogCaptureFixture, target: Callable[..., Any], runner: RunnerKind
) -> None:
    job_id = await scheduler.with_options(runner=runner).add_job(target)
    record = await scheduler.wait(job_id)
    (line,) = await records(caplog, 1)
    assert line.levelno == logging.ERROR
    text = line.getMessage()
    assert text.startswith(f"Job {target.__name__} ({job_id}) failed after ")
    assert text.endswith(": ValueError: Invalid input ERROR: of another job")
    assert record.error_traceback is not None
    assert line.exc_text == record.error_traceback.rstrip("\n")
    assert (vars(line)["job_id"], vars(line)["error"]) == (job_id, record.error)


async def test_an_attempt_that_will_be_followed_by_another_is_a_warning(
    scheduler: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    await scheduler.wait(await scheduler.with_options(retry=Retry(attempts=2, delay=0)).add_job(fail))
    (first, warning), (last, error) = await lines(caplog, 2)
    assert (first, last) == ("WARNING", "ERROR")
    assert warning.startswith("Job fail (ID) failed, and is tried again in 0.000 s: ValueError: ")
    assert "s (attempt 2): ValueError: " in error


async def test_that_all_is_well_is_for_information(scheduler: Scheduler, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    job_id = await scheduler.add_job(noop)
    await scheduler.wait(job_id)
    assert len(await records(caplog, 2)) == 2
    await scheduler.delete(job_id)
    (_, started), (_, ended), (_, deleted) = await lines(caplog, 3)
    assert started == "Job noop (ID) started"
    assert ended.startswith("Job noop (ID) completed after ")
    assert deleted == "Job ID was deleted"


async def test_that_all_is_well_is_not_said_unasked(url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with create_scheduler(url) as scheduler:
        await scheduler.wait(await scheduler.add_job(noop))
    assert await lines(caplog, 0) == []


async def test_what_a_stop_does_is_for_information(url: str, caplog: pytest.LogCaptureFixture, gate: Gate) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    async with create_scheduler(url, shutdown_grace=0) as scheduler:
        job_id = await scheduler.add_job(wait_for_ever)
        async for record in scheduler.stream(job_id):
            if record.status is JobStatus.RUNNING:
                break
    what = "canceled" if url == "memory://" else "given back"
    _, told = await lines(caplog, 2)
    assert told == ("INFO", f"Job wait_for_ever (ID) was stopped with its process, and is {what}")


async def wait_for_ever() -> None:
    await asyncio.Event().wait()


async def test_what_ends_with_its_process_is_an_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with create_scheduler(f"sqlite:///{tmp_path}/jobs.db", shutdown_grace=0) as scheduler:
        running = await scheduler.with_options(max_restarts=0).add_job(wait_for_ever)
        waiting = await scheduler.with_options(delay=3_600).add_job(lambda: None)
        async for record in scheduler.stream(running):
            if record.status is JobStatus.RUNNING:
                break
    told = {vars(record)["job_id"]: record for record in await records(caplog, 2)}
    assert {record.levelno for record in told.values()} == {logging.ERROR}
    assert "failed: ProcessStopped: " in told[running].getMessage()
    assert "failed: NotRestartable: " in told[waiting].getMessage()


async def test_what_is_put_off_by_a_process_that_stops_and_ends_with_it_is_an_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    started = asyncio.Event()

    async def fail_when_stopped() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError from None

    async with create_scheduler(f"sqlite:///{tmp_path}/jobs.db", shutdown_grace=0) as scheduler:
        await scheduler.with_options(retry=Retry(delay=60)).add_job(fail_when_stopped)
        await started.wait()
    put_off, failed = await records(caplog, 2)
    assert (put_off.levelname, failed.levelname) == ("WARNING", "ERROR")
    assert "failed: NotRestartable: " in failed.getMessage()


async def test_a_job_that_has_waited_too_long_is_an_error(
    single: Scheduler, caplog: pytest.LogCaptureFixture, gate: Gate
) -> None:
    await single.add_job(gate.enter)
    job_id = await single.with_options(queue_timeout=0.01).add_job(noop)
    await single.wait(job_id)
    ((level, text),) = await lines(caplog, 1)
    assert level == "ERROR"
    assert text.startswith("Job noop (ID) failed: QueueTimeout: the job waited for longer than it may")


async def test_a_thread_that_outlives_its_scheduler_raises_no_alarm(
    url: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.INFO)
    file = tmp_path / "outlived.py"  # of `-c`, no other process could import the target, which is an alarm of its own
    file.write_text(OUTLIVED)
    program = await asyncio.create_subprocess_exec(
        sys.executable, file, url, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    _, errors = await program.communicate()
    assert (program.returncode, errors.decode()) == (0, "")


OUTLIVED = """
import asyncio, sys, threading
from servicekit import create_scheduler

entered, leave, left = threading.Event(), threading.Event(), threading.Event()

def work():
    entered.set()
    leave.wait()
    left.set()

async def main():
    async with create_scheduler(sys.argv[1], shutdown_grace=0) as scheduler:
        await scheduler.add_job(work)
        await asyncio.to_thread(entered.wait)
    leave.set()
    await asyncio.to_thread(left.wait)
    while len(asyncio.all_tasks()) > 1:  # until the attempt has seen that the store is closed
        await asyncio.sleep(0.01)

asyncio.run(main())
"""


async def test_a_scheduler_may_be_told_to_be_quiet(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    async with create_scheduler(url, log_jobs=False) as scheduler:
        job_id = await scheduler.with_options(retry=Retry(attempts=2, delay=0)).add_job(fail)
        await scheduler.wait(job_id)
        await scheduler.delete(job_id)
    assert await lines(caplog, 0) == []


def test_a_script_that_configures_nothing_shows_a_failure() -> None:
    script = """
import asyncio
from servicekit import InMemoryScheduler

def fail():
    raise ValueError("Invalid input")

async def main():
    async with InMemoryScheduler() as scheduler:
        await scheduler.wait(await scheduler.add_job(fail))

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=50)
    first, second, *_, last = done.stderr.splitlines()
    assert first.startswith("Job fail (")
    assert (second, last) == ("Traceback (most recent call last):", "ValueError: Invalid input")


def test_each_service_of_a_process_shows_its_lines_once_and_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    ours, shown = logging.getLogger("servicekit"), StringIO()
    console = logging.StreamHandler(shown)
    first, second = ExitStack(), ExitStack()
    for service in (first, second):
        service.enter_context(show_by([console]))
    ours.info("both run")
    first.close()
    ours.info("the second runs")
    second.close()
    ours.info("none runs")
    assert shown.getvalue().splitlines() == ["both run", "the second runs"]
    assert (ours.handlers, ours.level) == ([], logging.NOTSET)
