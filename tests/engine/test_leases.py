"""A process whose lease has run out: others may take its jobs over, so it stops them before."""

import asyncio
import logging
import os
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import pytest

from servicekit import Command, JobStatus, Scheduler, create_scheduler
from servicekit.errors import StoreUnavailable
from servicekit.stores.durable.operations import Operation
from servicekit.stores.sqlite import claims, jobs_file
from servicekit.stores.sqlite.jobs_file import JobsFile
from servicekit.stores.sqlite.registration import ProcessRegistration
from servicekit.testing.stores.fakes import wait_healthy
from tests.fakes import Gate, noop

ENDLESS: Final = "import time\nwhile True: time.sleep(0.1)"


class LeasedRegistration(ProcessRegistration):
    """One with a lease, which lasts for as long as the test says."""

    newest: "LeasedRegistration"

    def __init__(self, path: Path, service: str | None = None) -> None:
        super().__init__(path, service)
        self.held_until = float("inf")
        self.lost: int | None = None
        LeasedRegistration.newest = self

    @property
    def held_seconds(self) -> float:
        return 1_000.0 if time.monotonic() < self.held_until else 0.0

    @property
    def is_lost(self) -> bool:
        return self.lost == self.number


@pytest.fixture
async def leased(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scheduler]:
    monkeypatch.setattr(jobs_file, "ProcessRegistration", LeasedRegistration)
    async with create_scheduler(f"sqlite:///{tmp_path}/jobs.db", max_concurrency=4, shutdown_grace=0) as scheduler:
        yield scheduler


@pytest.fixture
def lease(leased: Scheduler) -> LeasedRegistration:
    assert leased is not None
    return LeasedRegistration.newest


async def hold(file: str) -> None:
    while not Path(file).exists():
        await asyncio.sleep(0.01)


def hold_in_a_thread(file: str) -> str:
    Path(f"{file}.begun").touch()
    while not Path(file).exists():
        time.sleep(0.01)
    return "finished anyway"


def spin(folder: str) -> None:
    Path(folder, f"{os.getpid()}").touch()
    while True:
        time.sleep(0.1)


async def wait_until(is_so: Callable[[], bool]) -> None:
    while not is_so():
        await asyncio.sleep(0.01)


async def wait_for_status(scheduler: Scheduler, job_id: str, status: JobStatus) -> None:
    while await scheduler.get_status(job_id) is not status:
        await asyncio.sleep(0.01)


async def test_what_runs_is_given_back_and_nothing_is_claimed_until_the_lease_is_renewed(
    leased: Scheduler, lease: LeasedRegistration, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = await leased.add_job(hold, str(tmp_path / "let-it-end"))
    await wait_for_status(leased, job_id, JobStatus.RUNNING)
    lease.held_until = 0.0
    await wait_for_status(leased, job_id, JobStatus.PENDING)
    other = await leased.add_job(noop)
    await wait_until(lambda: "No jobs can be claimed" in caplog.text)
    assert await leased.get_status(other) is JobStatus.PENDING
    assert [each.levelno for each in caplog.records if "stopped, and left to other" in each.message] == [
        logging.WARNING
    ]
    lease.held_until = float("inf")
    (tmp_path / "let-it-end").touch()
    for each in (job_id, other):
        assert (await leased.wait(each, 60)).status is JobStatus.COMPLETED
    record = await leased.get_record(job_id)
    assert record.attempt == 2
    assert not record.error


async def test_a_service_without_a_lease_is_not_healthy(leased: Scheduler, lease: LeasedRegistration) -> None:
    await wait_healthy(leased)
    lease.held_until = 0.0
    assert "lease" in (await leased.find_problem() or "")
    lease.held_until = float("inf")
    await wait_healthy(leased)


@pytest.mark.parametrize("kind", ["process", "command"])
async def test_work_outside_of_the_process_is_killed(
    leased: Scheduler, lease: LeasedRegistration, tmp_path: Path, kind: str
) -> None:
    code = (
        f"import os, pathlib, signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"pathlib.Path({str(tmp_path)!r}, str(os.getpid())).touch()\n{ENDLESS}"
    )
    if kind == "process":
        job_id = await leased.with_options(runner="process", kill_grace=60).add_job(spin, str(tmp_path))
    else:
        job_id = await leased.with_options(kill_grace=60).add_job(Command([sys.executable, "-c", code]))
    await wait_until(lambda: bool(list_pids(tmp_path)))
    (pid,) = list_pids(tmp_path)
    lease.held_until = 0.0
    await wait_until(lambda: not is_there(pid))
    await wait_for_status(leased, job_id, JobStatus.PENDING)


def list_pids(folder: Path) -> list[int]:
    return [int(each.name) for each in folder.iterdir() if each.name.isdigit()]


def is_there(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


async def test_what_no_other_process_can_run_goes_on_without_a_lease(
    leased: Scheduler, lease: LeasedRegistration, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = await leased.add_job(gate.enter, "label")
    await gate.wait_entered(1)
    lease.held_until = 0.0
    await wait_until(lambda: "stopped, and left to other" in caplog.text)
    gate.open()
    record = await leased.wait(job_id, 60)
    assert (record.status, record.attempt) == (JobStatus.COMPLETED, 1)


async def test_what_goes_on_though_it_was_asked_to_stop_counts_if_nobody_has_taken_it_over(
    leased: Scheduler, lease: LeasedRegistration, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "let-it-end"
    job_id = await leased.add_job(hold_in_a_thread, str(file))
    await wait_until(Path(f"{file}.begun").exists)  # what has not begun is given back
    lease.held_until = 0.0
    await wait_until(lambda: "stopped, and left to other" in caplog.text)
    file.touch()
    record = await leased.wait(job_id, 60)
    assert (record.status, record.attempt) == (JobStatus.COMPLETED, 1)
    assert await leased.get_result(job_id) == "finished anyway"


async def test_a_process_that_was_taken_for_dead_stops_what_it_runs_and_joins_anew(
    leased: Scheduler, lease: LeasedRegistration, tmp_path: Path
) -> None:
    file = tmp_path / "let-it-end"
    job_id = await leased.add_job(hold, str(file))
    await wait_for_status(leased, job_id, JobStatus.RUNNING)
    before = lease.number
    async with create_scheduler(f"sqlite:///{tmp_path}/jobs.db", run_jobs=False) as other:
        with closing(sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)) as file_of_jobs:
            file_of_jobs.execute("DELETE FROM processes WHERE id = ?", [before])
        lease.lost = before
        await wait_until(lambda: lease.number not in (0, before))
        file.touch()
        record = await other.wait(job_id, 60)
    assert (record.status, record.attempt) == (JobStatus.COMPLETED, 2)


async def test_a_claim_whose_answer_was_lost_leaves_no_job_running(
    leased: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = JobsFile.write
    lost: list[object] = []

    async def lose(file: JobsFile, operation: Operation[object, object], argument: object) -> object:
        answer = await write(file, operation, argument)
        if answer and not lost:
            lost.append(answer)
            raise StoreUnavailable("jobs.db", "the answer was lost.")
        return answer

    def write_or_lose(
        file: JobsFile, operation: Operation[object, object], argument: object
    ) -> "asyncio.Future[object]":
        if operation is not claims.claim:
            return write(file, operation, argument)
        return asyncio.ensure_future(lose(file, operation, argument))

    monkeypatch.setattr(JobsFile, "write", write_or_lose)
    record = await leased.wait(await leased.add_job(noop), 60)
    while not lost:  # a claim was on its way before
        record = await leased.wait(await leased.add_job(noop), 60)
    assert (record.status, record.attempt) == (JobStatus.COMPLETED, 2)
