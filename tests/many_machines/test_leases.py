"""Processes that die, stand still, or are cut off: what they run goes on elsewhere, and never in two places.

Leases are shorter here than usual, so that the tests take seconds.
"""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from servicekit import Every, JobStatus, Retry, Scheduler, create_scheduler, current_job
from servicekit.engine.clock import SystemClock
from servicekit.ports import ClockSetting
from tests.fakes import noop
from tests.many_machines.lease_member import TERMS, beat, block
from tests.many_machines.proxy import run_proxy
from tests.needs import needs
from tests.postgres import PostgresServer, StopMode, run_postgres
from tests.service import ROOT, Service

pytestmark = needs("postgresql")

_LONG_SECONDS: Final = 60.0


class Beat(NamedTuple):
    """Somebody has run this job at that time."""

    pid: int
    label: str
    at: float


class Members:
    """Processes that run jobs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()

    def start(self, url: str) -> Service:
        command = [sys.executable, "-m", "tests.many_machines.lease_member", url]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert process.stdin
        self._stack.enter_context(process.stdin)
        member = Service(process)
        self._stack.callback(member.kill)
        member.wait_log("is ready")
        return member

    def list_beats(self, label: str) -> list[Beat]:
        journal = self.folder / "journal"
        lines = journal.read_text().splitlines() if journal.exists() else []
        beats = [Beat(int(pid), each, float(at)) for pid, each, at in map(str.split, lines)]
        return [each for each in beats if each.label == label]

    async def wait_until(self, label: str, at: float) -> None:
        """Wait until the job has run after that time."""
        while not any(each.at > at for each in self.list_beats(label)):
            await asyncio.sleep(0.01)

    async def wait_beat(self, label: str, *pids: int) -> Beat:
        """Wait until one of the processes runs the job, or any process; return its first beat."""
        while True:
            for each in self.list_beats(label):
                if each.pid in pids or not pids:
                    return each
            await asyncio.sleep(0.01)

    def end(self, label: str) -> None:
        """Let the job end."""
        (self.folder / f"end {label}").touch()

    def check_never_twice(self, label: str) -> None:
        """Whoever has begun the job was alone with it from then on."""
        beats = self.list_beats(label)
        order = [pid for index, (pid, _, _) in enumerate(beats) if index == 0 or beats[index - 1].pid != pid]
        assert len(order) == len(set(order)), f"two processes ran the job at the same time: {order}"

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def members(tmp_path: Path) -> Iterator[Members]:
    members = Members(tmp_path)
    yield members
    members.close()


@pytest.fixture
async def scheduler(postgres_url: str) -> AsyncIterator[Scheduler]:
    """Submits jobs, and runs none."""
    async with create_scheduler(postgres_url, run_jobs=False) as scheduler:
        yield scheduler


async def submit(scheduler: Scheduler, members: Members, label: str) -> str:
    return await scheduler.add_job(beat, str(members.folder), label)


async def test_the_jobs_of_a_process_that_was_killed_go_on_in_another_one(
    scheduler: Scheduler, members: Members, postgres_url: str
) -> None:
    one = members.start(postgres_url)
    labels = [f"job{number}" for number in range(5)]
    job_ids = [await submit(scheduler, members, label) for label in labels]
    for label in labels:
        await members.wait_beat(label)
    other = members.start(postgres_url)
    killed_at = time.monotonic()
    one.kill()
    for label in labels:
        beat = await members.wait_beat(label, other.process.pid)
        print(f"rescued {beat.at - killed_at:.2f} s after the kill")
        members.end(label)
        members.check_never_twice(label)
    records = [await scheduler.wait(job_id, _LONG_SECONDS) for job_id in job_ids]
    assert {(record.status, record.attempt) for record in records} == {(JobStatus.COMPLETED, 2)}


async def test_nothing_that_a_process_writes_after_it_stood_still_counts(
    scheduler: Scheduler, members: Members, postgres_url: str
) -> None:
    one = members.start(postgres_url)
    job_id = await submit(scheduler, members, "job")
    await members.wait_beat("job")
    other = members.start(postgres_url)
    one.process.send_signal(signal.SIGSTOP)
    stopped_at = time.monotonic()
    begun = await members.wait_beat("job", other.process.pid)
    print(f"rescued {begun.at - stopped_at:.2f} s after it stood still")
    members.end("job")  # so that it ends as soon as it goes on
    assert (await scheduler.wait(job_id, _LONG_SECONDS)).attempt == 2
    log_length = len(one.log)
    one.process.send_signal(signal.SIGCONT)
    one.wait_log("joins them anew", after=log_length)
    assert await scheduler.get_result(job_id) == other.process.pid
    assert (await scheduler.get_record(job_id)).attempt == 2
    other.kill()
    last = await submit(scheduler, members, "last")  # and it goes on working
    await members.wait_beat("last", one.process.pid)
    members.end("last")
    assert await scheduler.get_result((await scheduler.wait(last, _LONG_SECONDS)).id) == one.process.pid


async def test_an_end_that_comes_after_the_job_was_taken_over_does_not_end_it(
    scheduler: Scheduler, members: Members, postgres_url: str
) -> None:
    one = members.start(postgres_url)
    job_id = await scheduler.add_job(block, str(members.folder), "block", 0.5)
    await members.wait_beat("block")
    one.process.send_signal(signal.SIGSTOP)  # it has nothing left to do but to end
    members.start(postgres_url)
    while (await scheduler.get_record(job_id)).attempt == 1:
        await asyncio.sleep(0.01)
    one.process.send_signal(signal.SIGCONT)
    record = await scheduler.wait(job_id, _LONG_SECONDS)
    assert record.attempt == 2
    assert await scheduler.get_result(job_id) != one.process.pid


async def test_a_process_whose_event_loop_is_blocked_is_not_taken_for_dead(
    scheduler: Scheduler, members: Members, postgres_url: str
) -> None:
    members.start(postgres_url)
    job_id = await scheduler.add_job(block, str(members.folder), "block", 1.5 * TERMS.death)
    begun = await members.wait_beat("block")
    members.start(postgres_url)
    record = await scheduler.wait(job_id, _LONG_SECONDS)
    assert (record.status, record.attempt) == (JobStatus.COMPLETED, 1)
    assert await scheduler.get_result(job_id) == begun.pid


async def test_a_process_that_is_cut_off_stops_its_jobs_before_others_begin_them(
    scheduler: Scheduler, members: Members, postgres: PostgresServer, postgres_url: str
) -> None:
    database = postgres_url.rpartition("/")[2]
    with run_proxy(postgres.port) as proxy:
        one = members.start(postgres.url(database, port=proxy.port))
        job_id = await submit(scheduler, members, "job")
        await members.wait_beat("job")
        other = members.start(postgres_url)
        proxy.swallow()
        cut_at = time.monotonic()
        begun = await members.wait_beat("job", other.process.pid)
        last = [each for each in members.list_beats("job") if each.pid == one.process.pid][-1]
        print(f"stopped {last.at - cut_at:.2f} s, rescued {begun.at - cut_at:.2f} s after it was cut off")
        members.check_never_twice("job")
        log_length = len(one.log)
        proxy.heal()
        one.wait_log("joins them anew", after=log_length)
    members.end("job")
    assert (await scheduler.wait(job_id, _LONG_SECONDS)).attempt == 2
    assert await scheduler.get_result(job_id) == other.process.pid
    members.check_never_twice("job")


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_attempts_go_on_while_the_server_is_down(members: Members, mode: StopMode) -> None:
    """For longer than a lease: nobody can take them over meanwhile, nor when it is just back."""
    with run_postgres() as server, server.new_database() as url:
        one, other = members.start(url), members.start(url)
        async with create_scheduler(url, run_jobs=False) as scheduler:
            job_id = await submit(scheduler, members, "job")
            runner = (await members.wait_beat("job")).pid
            await asyncio.to_thread(server.stop, mode)
            stopped_at = time.monotonic()
            await members.wait_until("job", stopped_at + TERMS.death + 1)
            await asyncio.to_thread(server.start)
            await members.wait_until("job", time.monotonic() + 1)
            members.end("job")
            assert (await scheduler.wait(job_id, _LONG_SECONDS)).attempt == 1
            assert await scheduler.get_result(job_id) == runner
        assert {each.pid for each in members.list_beats("job")} == {runner} <= {one.process.pid, other.process.pid}


async def test_a_proxy_that_refuses_is_no_server_that_is_down(
    scheduler: Scheduler, members: Members, postgres: PostgresServer, postgres_url: str
) -> None:
    database = postgres_url.rpartition("/")[2]
    with run_proxy(postgres.port) as proxy:
        one = members.start(postgres.url(database, port=proxy.port))
        job_id = await submit(scheduler, members, "job")
        await members.wait_beat("job", one.process.pid)
        other = members.start(postgres_url)
        proxy.refuse()
        await members.wait_beat("job", other.process.pid)
    members.end("job")
    assert (await scheduler.wait(job_id, _LONG_SECONDS)).attempt == 2
    members.check_never_twice("job")


class WrongClock(SystemClock):
    """The clock of a machine that shows another time than the server's."""

    def __init__(self, seconds: float) -> None:
        self._error = timedelta(seconds=seconds)

    def now(self) -> datetime:
        return datetime.now(UTC) + self._error

    def setting(self) -> ClockSetting:
        return super().setting()._replace(seconds=super().setting().seconds + self._error.total_seconds())


# Each process knows the server's clock within half a round trip, which can take long on a busy machine.
_ABOUT: Final = timedelta(seconds=0.4)


async def fail_once() -> None:
    if current_job().attempt == 1:
        raise ValueError


@pytest.mark.parametrize("errors", [(90.0, -90.0), (-90.0, 90.0)], ids=["submitter-ahead", "runner-ahead"])
async def test_machines_whose_clocks_differ_agree(postgres_url: str, errors: tuple[float, float]) -> None:
    began_at = datetime.now(UTC)
    submitting = create_scheduler(postgres_url, run_jobs=False, clock=WrongClock(errors[0]))
    running = create_scheduler(postgres_url, clock=WrongClock(errors[1]))
    async with submitting, running:
        await submitting.schedules.add("often", Every(1), noop)
        job_ids = [
            await submitting.add_job(noop),
            await submitting.with_options(delay=0.5).add_job(noop),
            await submitting.with_options(start_at=datetime.now(UTC) + timedelta(seconds=0.5)).add_job(noop),
            await submitting.with_options(retry=Retry(attempts=2, delay=0.5)).add_job(fail_once),
            await submitting.with_options(queue_timeout=60).add_job(noop),
        ]
        records = [await submitting.wait(job_id, _LONG_SECONDS) for job_id in job_ids]
        while not (ticks := [each for each in await running.get_all_records() if each.schedule]):
            await asyncio.sleep(0.05)
    now = datetime.now(UTC)
    for record in [*records, *ticks]:
        assert record.status in (JobStatus.COMPLETED, JobStatus.RUNNING, JobStatus.PENDING)
        times = [began_at, record.submitted_at, record.started_at, record.finished_at, now]
        told = [each for each in times if each is not None]
        assert all(later - earlier > -_ABOUT for earlier, later in pairwise(told))
    for record in records[1:4]:
        assert record.started_at is not None
        assert record.started_at - record.submitted_at > timedelta(seconds=0.5) - _ABOUT
