"""What could not begin has not failed: it waits until it can, and the service says why."""

import asyncio
import logging
import os
import resource
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

import pytest

from servicekit import Command, JobStatus, Scheduler, create_scheduler
from servicekit.engine import start_problems
from servicekit.engine.start_problems import StartProblems
from servicekit.jobs.options import RunnerKind
from servicekit.jobs.submission import JobTarget
from servicekit.runners import launcher_link, work
from servicekit.testing import FakeClock
from tests.hindering import without_descriptors, without_threads
from tests.runners import targets

WORK: list[tuple[JobTarget, Literal["process"] | None, Callable[[], AbstractContextManager[None]], str]] = [
    (targets.give, None, without_threads, "Functions in threads cannot begin in this process: can't start new thread"),
    (targets.give, "process", without_descriptors, "Functions in processes cannot begin in this process: "),
    (Command(["true"]), None, without_descriptors, "Commands cannot begin in this process: "),
]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_problems, "_FIRST_SECONDS", 0.01)


async def wait_problem(scheduler: Scheduler, begin: str) -> str:
    while not (problem := await scheduler.find_problem() or "").startswith(begin):
        await asyncio.sleep(0.001)
    return problem


async def wait_no_problem(scheduler: Scheduler) -> None:
    while await scheduler.find_problem():
        await asyncio.sleep(0.001)


@pytest.mark.parametrize(("target", "runner", "hinder", "words"), WORK)
async def test_jobs_that_cannot_begin_wait_and_run_when_they_can(
    scheduler: Scheduler,
    caplog: pytest.LogCaptureFixture,
    target: JobTarget,
    runner: Literal["process"] | None,
    hinder: Callable[[], AbstractContextManager[None]],
    words: str,
) -> None:
    caplog.set_level(logging.INFO, "servicekit.engine")
    submit = scheduler.with_options(runner=runner, max_restarts=0)
    scheduler._worker._runners[RunnerKind.PROCESS].close()  # nothing is kept for bad times
    with hinder():
        job_ids = [await submit.add_job(target) for _ in range(10)]
        problem = await wait_problem(scheduler, words)
        assert problem.endswith("Such jobs wait, and are tried again.")
        while not (problems := (await scheduler.list_workers())[0].problems):
            await asyncio.sleep(0.001)
        (reason,) = problems.values()
        assert reason in problem
        statuses = [await scheduler.get_status(job_id) for job_id in job_ids]
        assert not any(status.is_terminal for status in statuses)
    for job_id in job_ids:
        record = await scheduler.wait(job_id)
        assert (record.status, record.attempts, record.error) == (JobStatus.COMPLETED, (), None)
    await wait_no_problem(scheduler)
    while (await scheduler.list_workers())[0].problems:
        await asyncio.sleep(0.001)
    warnings = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert [each.getMessage() for each in warnings] == [problem]
    assert any("begin again" in each.getMessage() for each in caplog.records)


async def test_others_run_while_some_cannot_begin(scheduler: Scheduler) -> None:
    with without_threads():
        waiting = await scheduler.add_job(targets.give)
        await wait_problem(scheduler, "Functions in threads")
        job_id = await scheduler.add_job(targets.give_async, 1)
        assert (await scheduler.wait(job_id)).status is JobStatus.COMPLETED
        assert await scheduler.get_result(job_id) == 1
        assert await scheduler.cancel(waiting)
        assert (await scheduler.get_record(waiting)).status is JobStatus.CANCELED
        await wait_no_problem(scheduler)  # nothing is there that could not begin


async def test_a_job_that_cannot_begin_is_held_to_its_limits(scheduler: Scheduler) -> None:
    with without_threads():
        job_id = await scheduler.with_options(queue_timeout=0.1).add_job(targets.give)
        record = await scheduler.wait(job_id)
    assert record.status is JobStatus.FAILED
    assert str(record.error).startswith("QueueTimeout")


async def test_a_service_can_stop_while_jobs_cannot_begin(url: str) -> None:
    async with create_scheduler(url, shutdown_grace=0) as scheduler:
        with without_threads():
            await scheduler.add_job(targets.give)
            await wait_problem(scheduler, "Functions in threads")
    assert await scheduler.find_problem() == "The scheduler is stopped."


async def test_more_commands_at_once_than_there_are_descriptors_for(url: str) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with create_scheduler(url, shutdown_grace=0) as scheduler:
        spare = os.dup(0)
        os.close(spare)
        resource.setrlimit(resource.RLIMIT_NOFILE, (spare + 60, limits[1]))
        try:
            job_ids = [await scheduler.add_job(Command(["sleep", "0.02"])) for _ in range(60)]
            ended = [await scheduler.wait(job_id) for job_id in job_ids]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert {(record.status, record.attempts) for record in ended} == {(JobStatus.COMPLETED, ())}


def launcher_of(scheduler: Scheduler) -> int:
    link = scheduler._worker._runners[RunnerKind.COMMAND]._launcher._link  # type: ignore[attr-defined]
    pid: int = link._process.pid
    return pid


async def test_no_time_limit_runs_before_a_process_has_begun() -> None:
    clock = FakeClock()
    async with create_scheduler("memory://", clock=clock, shutdown_grace=0) as scheduler:
        await scheduler.wait(await scheduler.add_job(Command(["true"])))
        launcher = launcher_of(scheduler)
        os.kill(launcher, signal.SIGSTOP)
        limited = scheduler.with_options(run_timeout=60, silence_timeout=60, kill_grace=0)
        job_id = await limited.add_job(Command(["true"]))
        await wait_running(scheduler, job_id)
        await clock.advance(3_600)
        os.kill(launcher, signal.SIGCONT)
        record = await scheduler.wait(job_id)
        assert (record.status, record.error) == (JobStatus.COMPLETED, None)


async def wait_running(scheduler: Scheduler, job_id: str) -> None:
    while await scheduler.get_status(job_id) is not JobStatus.RUNNING:
        await asyncio.sleep(0.001)


async def test_a_launcher_that_is_stopped_is_replaced(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with create_scheduler(url, shutdown_grace=0) as scheduler:
        await scheduler.wait(await scheduler.add_job(Command(["true"])))
        launcher = launcher_of(scheduler)
        os.kill(launcher, signal.SIGSTOP)
        with monkeypatch.context() as hurried:
            hurried.setattr(work, "_PATIENCE_SECONDS", 0.05)
            job_ids = [await scheduler.add_job(Command(["touch", str(tmp_path / str(number))])) for number in range(3)]
            while not caplog.records:
                await asyncio.sleep(0.001)
        for job_id in job_ids:
            record = await scheduler.wait(job_id)
            assert (record.status, record.attempts) == (JobStatus.COMPLETED, ())
        # Of a slow machine, the next launcher lost patience too, and the last of the jobs had begun before that.
        await scheduler.wait(await scheduler.add_job(Command(["true"])))
        assert launcher_of(scheduler) != launcher
    assert len(list(tmp_path.glob("[0-2]"))) == 3
    assert caplog.records[0].getMessage() == (
        "The process that starts the processes of jobs is replaced by another: a job has not begun for 0.05 seconds"
    )


async def test_jobs_wait_where_every_launcher_hangs(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Three are tried, then the jobs go back, and the service says so."""
    program = tmp_path / "hangs.py"
    program.write_text("import time\ntime.sleep(1_000)")
    async with create_scheduler(url, shutdown_grace=0) as scheduler:
        with monkeypatch.context() as broken:
            broken.setattr(work, "_PATIENCE_SECONDS", 0.05)
            broken.setattr(launcher_link, "_PROGRAM", str(program))
            job_id = await scheduler.with_options(max_restarts=0).add_job(Command(["true"]))
            problem = await wait_problem(scheduler, "Commands cannot begin in this process: ")
            assert "does not answer" in problem
        record = await scheduler.wait(job_id)
        assert (record.status, record.attempts, record.error) == (JobStatus.COMPLETED, (), None)


async def test_what_has_not_begun_when_the_service_stops_runs_later_though_it_must_not_run_twice(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    async with create_scheduler(url, shutdown_grace=0) as scheduler:
        await scheduler.wait(await scheduler.add_job(Command(["true"])))
        os.kill(launcher_of(scheduler), signal.SIGSTOP)
        job_id = await scheduler.with_options(max_restarts=0).add_job(Command(["true"]))
        await wait_running(scheduler, job_id)
    async with create_scheduler(url, shutdown_grace=0) as scheduler:
        record = await scheduler.wait(job_id)
        assert (record.status, record.attempts, record.error) == (JobStatus.COMPLETED, (), None)


def test_what_has_not_begun_when_its_event_loop_is_cut_off_runs_on_the_next(url: str) -> None:
    scheduler = create_scheduler(url, shutdown_grace=0)

    async def leave() -> str:
        await scheduler.wait(await scheduler.add_job(Command(["true"])))
        os.kill(launcher_of(scheduler), signal.SIGSTOP)
        job_id = await scheduler.with_options(max_restarts=0).add_job(Command(["true"]))
        await wait_running(scheduler, job_id)
        for task in asyncio.all_tasks():
            if task.get_name() == "servicekit engine":
                task.cancel()
                await asyncio.wait([task])
            task._log_destroy_pending = False  # type: ignore[attr-defined] # that is what this is about
        return job_id

    async def come_back(job_id: str) -> None:
        async with scheduler:
            record = await scheduler.wait(job_id)
            assert (record.status, record.attempts, record.error) == (JobStatus.COMPLETED, (), None)

    loop = asyncio.new_event_loop()
    job_id = loop.run_until_complete(leave())
    loop.close()
    asyncio.run(come_back(job_id))


class Kind:
    """One kind of work that is hindered, in a time of its own."""

    kind = RunnerKind.COMMAND

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(start_problems, "_FIRST_SECONDS", 0.25)
        monkeypatch.setattr(asyncio.get_running_loop(), "call_later", self._call_later)
        self.problems = StartProblems(lambda: None)
        self.running = 0
        self.pauses: list[float] = []
        self._calls: list[Callable[[], None]] = []

    def _call_later(self, seconds: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        self.pauses.append(seconds)
        self._calls.append(callback)
        loop = asyncio.get_running_loop()
        return asyncio.TimerHandle(loop.time(), callback, (), loop)

    @property
    def most(self) -> int | None:
        return dict(self.problems.list_most()).get(self.kind)

    def fail(self) -> None:
        self.problems.note_problem(self.kind, "no more", self.running, is_late=False)

    def begin(self, count: int = 1) -> None:
        for _ in range(count):
            self.problems.note_claimed(self.kind)
            self.problems.note_begun(self.kind)
            self.running += 1

    def let_pause_pass(self) -> None:
        (callback,) = self._calls[-1:]
        callback()


async def test_a_longer_pause_follows_each_that_was_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = Kind(monkeypatch)
    kind.running = 45
    for _ in range(3):
        kind.fail()  # all that were claimed together
    assert (kind.most, kind.pauses) == (45, [0.25])
    for _ in range(8):
        kind.let_pause_pass()
        assert kind.most == 46
        kind.problems.note_claimed(kind.kind)
        kind.fail()
        assert kind.most == 45
    assert kind.pauses[::2] == [0.25, 0.5, 1, 2, 4, 8, 10, 10, 10]


async def test_twice_as_many_are_tried_as_have_begun_until_nothing_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = Kind(monkeypatch)
    kind.fail()
    allowed = []
    while kind.most is not None:
        kind.let_pause_pass()
        if kind.most is not None:
            allowed.append(kind.most)
            kind.begin(kind.most - kind.running)
            kind.problems.note_all_claimed(())
    assert allowed == [1, 3, 7, 15, 31, 63, 127]
    assert kind.problems.find_problem() is None


async def test_who_still_tries_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = Kind(monkeypatch)
    kind.fail()
    kind.let_pause_pass()
    kind.let_pause_pass()  # the store takes its time
    kind.problems.note_claimed(kind.kind)
    kind.problems.note_all_claimed(())
    for _ in range(3):
        kind.let_pause_pass()
        assert kind.most == 1
    assert kind.problems.find_problem() is not None


async def test_where_nothing_waits_nothing_is_known_to_be_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = Kind(monkeypatch)
    kind.fail()
    kind.let_pause_pass()
    kind.problems.note_all_claimed({kind.kind})
    kind.let_pause_pass()
    assert kind.problems.find_problem() is not None
    kind.problems.note_all_claimed(())
    kind.let_pause_pass()
    assert kind.problems.find_problem() is None
