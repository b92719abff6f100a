"""Who ends when somebody is killed, and what is left: nothing."""

import asyncio
import errno
import fcntl
import gc
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from servicekit.jobs.command import Command
from servicekit.jobs.options import RunnerKind
from servicekit.jobs.outcome import CANCELED, CUT_OFF
from servicekit.jobs.status import EndedBy, Transition
from servicekit.ports import Runner
from servicekit.runners import launcher_link, work
from servicekit.runners.command import CommandRunner
from servicekit.runners.launcher import Launcher
from servicekit.runners.launcher_program import memory, processes
from servicekit.runners.process import ProcessRunner
from tests.hindering import without_descriptors
from tests.runners import service, targets
from tests.runners.trial import Trial, is_running, parent_of, wait_gone

ROOT = Path(__file__).parents[2]
COMMAND = RunnerKind.COMMAND


@pytest.fixture
def runner() -> Iterator[Runner]:
    runner = ProcessRunner(Launcher())
    yield runner
    runner.close()


def list_descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def launcher_of(runner: Runner) -> "subprocess.Popen[bytes]":
    """The process of its launcher, which has begun."""
    link = runner._launcher._link  # type: ignore[attr-defined]
    assert link is not None
    process: subprocess.Popen[bytes] = link._process
    return process


async def start_service(how_to_end: str) -> tuple[asyncio.subprocess.Process, list[int]]:
    """A service, and the numbers of all processes that belong to it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", service.__name__, how_to_end, cwd=ROOT, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    pids = json.loads(await process.stdout.readline())
    return process, pids


async def test_nothing_is_left_of_a_service_that_was_killed() -> None:
    process, pids = await start_service("by a kill")
    assert all(map(is_running, pids))
    process.kill()
    await process.communicate()
    await wait_gone(*pids)


async def test_nothing_is_left_of_a_service_that_was_killed_while_it_imported() -> None:
    """Not even a launcher that has closed all descriptors, and hangs."""
    process, pids = await start_service("while it imports")
    assert all(map(is_running, pids))
    process.kill()
    await process.communicate()
    await wait_gone(*pids)


async def test_nothing_is_left_of_a_service_whose_forked_child_lives_on() -> None:
    process, pids = await start_service("with a forked child")
    child = pids.pop()
    process.kill()
    try:
        await wait_gone(*pids)
        assert is_running(child)
    finally:
        os.kill(child, signal.SIGKILL)
        await process.communicate()


async def test_nothing_is_left_of_a_service_that_ends_by_itself() -> None:
    process, pids = await start_service("by an exception")
    await process.communicate()
    assert process.returncode == 3
    await wait_gone(*pids)


async def test_running_jobs_do_not_need_the_launcher_and_the_next_one_gets_another(runner: Runner) -> None:
    trial = Trial(runner, targets.finish_anyway).start()
    await trial.wait_line("began")
    other = Trial(runner, targets.sleep).start()
    launcher = parent_of(parent_of(await other.wait_pid("work")))
    os.kill(launcher, signal.SIGKILL)
    await wait_gone(launcher)
    assert (await Trial(runner, targets.give, 1).end()).result == 1
    other.cancel()
    assert await other.end() == CANCELED
    trial.cancel()
    assert (await trial.end()).result == "finished anyway"


async def test_jobs_that_a_killed_launcher_had_not_begun_are_begun_by_the_next(runner: Runner) -> None:
    other = Trial(runner, targets.sleep).start()
    launcher = parent_of(parent_of(await other.wait_pid("work")))
    os.kill(launcher, signal.SIGSTOP)
    trials = [Trial(runner, targets.give, number).start() for number in range(3)]
    await asyncio.sleep(0)
    os.kill(launcher, signal.SIGKILL)
    assert [(await trial.end()).result for trial in trials] == [0, 1, 2]
    other.cancel()
    await other.end()


async def test_nothing_is_left_of_a_job_whose_supervisor_was_killed(runner: Runner) -> None:
    trial = Trial(runner, targets.wait_for_grandchild).start()
    pids = [await trial.wait_pid(who) for who in ("work", "child", "grandchild")]
    os.kill(parent_of(pids[0]), signal.SIGKILL)
    outcome = await trial.end()
    assert not any(map(is_running, pids))
    assert (outcome.transition, outcome.ended_by) == (Transition.FAIL, EndedBy.CRASH)
    assert "its supervisor was killed" in str(outcome.error)
    assert (await Trial(runner, targets.give, 1).end()).result == 1


async def test_a_job_of_which_nobody_is_left_to_tell_has_crashed(runner: Runner) -> None:
    trial = Trial(runner, targets.sleep).start()
    work = await trial.wait_pid("work")
    supervisor = parent_of(work)
    for pid in (parent_of(supervisor), supervisor):
        os.kill(pid, signal.SIGKILL)
    assert (await trial.end()).ended_by is EndedBy.CRASH
    await wait_gone(work)


@pytest.mark.parametrize("is_command", [False, True])
def test_a_job_that_was_cut_off_with_its_event_loop_is_ended_when_it_is_asked_for(is_command: bool) -> None:
    loop = asyncio.new_event_loop()
    runner: Runner = CommandRunner(Launcher()) if is_command else ProcessRunner(Launcher())
    command = Command(["sh", "-c", "sleep 60 & echo daemon $!; echo work $$; wait"])

    async def start() -> tuple[Trial, list[int]]:
        trial = Trial(runner, command if is_command else targets.sleep_with_daemon).start()
        return trial, [await trial.wait_pid("work"), await trial.wait_pid("daemon")]

    trial, pids = loop.run_until_complete(start())
    loop.close()
    assert all(map(is_running, pids))
    assert runner.find_outcome(trial.job) == CUT_OFF
    assert not any(map(is_running, pids))
    trial.abandon()
    runner.close()


@pytest.mark.parametrize("error", [errno.EAGAIN, errno.ETOOMANYREFS])
async def test_a_busy_launcher_is_asked_again(runner: Runner, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    refusals = iter([OSError(error, "busy"), OSError(error, "busy")])
    send = socket.send_fds

    def refuse_twice(*args: Any) -> int:
        for refusal in refusals:
            raise refusal
        return send(*args)

    monkeypatch.setattr(socket, "send_fds", refuse_twice)
    trial = Trial(runner, targets.sleep).start()
    await asyncio.sleep(0)
    assert not trial.job.is_interruptible
    trial.cancel()
    assert await trial.end() == CANCELED


async def test_the_launcher_ends_when_it_is_closed(runner: Runner) -> None:
    trial = Trial(runner, targets.sleep).start()
    launcher = parent_of(parent_of(await trial.wait_pid("work")))
    runner.close()
    await wait_gone(launcher)
    trial.cancel()
    assert await trial.end() == CANCELED


async def test_the_launcher_ends_when_nobody_has_it_any_more() -> None:
    trial = Trial(ProcessRunner(Launcher()), targets.sleep).start()
    launcher = parent_of(parent_of(await trial.wait_pid("work")))
    trial.cancel()
    await trial.end()
    trial.abandon()
    del trial
    gc.collect()
    await wait_gone(launcher)


async def test_the_processes_of_jobs_hold_no_lock_of_the_service(runner: Runner, tmp_path: Path) -> None:
    lock = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    trial = Trial(runner, targets.sleep).start()
    await trial.wait_pid("work")
    os.close(lock)
    again = os.open(tmp_path / "lock", os.O_RDWR)
    fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(again)
    trial.cancel()
    await trial.end()


async def test_jobs_leave_no_descriptors_behind(runner: Runner) -> None:
    await Trial(runner, targets.give).end()
    gc.collect()  # earlier tests may have left descriptors that nobody closes
    before = list_descriptors()
    for target in (targets.give, targets.crash, targets.leave):
        await asyncio.gather(*(Trial(runner, target).end() for _ in range(3)))
    assert list_descriptors() == before


@pytest.mark.parametrize("spare", [0, 1, 6, 9])
async def test_a_job_that_finds_no_descriptors_goes_back_and_leaves_none(runner: Runner, spare: int) -> None:
    await Trial(runner, targets.give).end()
    gc.collect()  # earlier tests may have left descriptors that nobody closes
    before = list_descriptors()
    with without_descriptors(spare):
        outcome = await Trial(runner, targets.give).end()
    assert outcome.transition is Transition.RELEASE
    assert "Too many open files" in str(outcome.error)
    gc.collect()
    assert list_descriptors() == before


@pytest.mark.parametrize("has_launcher", [False, True])
async def test_a_runner_that_is_open_keeps_descriptors_for_jobs(runner: Runner, *, has_launcher: bool) -> None:
    if has_launcher:
        await Trial(runner, targets.give).end()
    runner.open()
    before = list_descriptors()
    with without_descriptors():
        assert [(await Trial(runner, targets.give, number).end()).result for number in range(3)] == [0, 1, 2]
    runner.close()
    assert len(before - list_descriptors()) > 20


@pytest.mark.parametrize(("name", "kind"), [("_PROGRAM", "the launcher"), ("sys.executable", "the interpreter")])
async def test_nothing_fails_for_a_deploy_that_moves(
    runner: Runner, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    with monkeypatch.context() as moved:
        moved.setattr(f"servicekit.runners.launcher_link.{name}", f"/nowhere/{kind}")
        outcome = await Trial(runner, targets.give, 1).end()
    assert outcome.transition is Transition.RELEASE
    assert (await Trial(runner, targets.give, 1).end()).result == 1


async def test_of_a_job_that_cannot_be_sent_to_the_launcher_nothing_is_kept(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    await Trial(runner, targets.give).end()
    gc.collect()  # what tests before this one have left
    before = list_descriptors()

    def refuse(*args: Any) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(socket, "send_fds", refuse)
        trial = Trial(runner, targets.give)
        await trial.end()
    left = weakref.ref(trial)
    del trial
    gc.collect()
    assert left() is None
    assert list_descriptors() == before


FORKLESS = """
import os, runpy
fork, left = os.fork, {left}

def refuse():
    global left
    left -= 1
    if left < 0:
        raise BlockingIOError(11, "Resource temporarily unavailable")
    return fork()

os.fork = refuse
runpy.run_path({program!r}, run_name="__main__")
"""


@pytest.mark.parametrize("left", [0, 1])
@pytest.mark.parametrize("create", [ProcessRunner, CommandRunner])
async def test_nothing_fails_where_no_process_can_be_forked(
    create: Callable[[Launcher], Runner], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, left: int
) -> None:
    """Neither for want of a supervisor, nor if that finds no process for the work."""
    program = tmp_path / "forkless.py"
    program.write_text(FORKLESS.format(left=left, program=launcher_link._PROGRAM))
    monkeypatch.setattr(launcher_link, "_PROGRAM", str(program))
    runner = create(Launcher())
    target, kind = (targets.give, RunnerKind.PROCESS) if create is ProcessRunner else (Command(["true"]), COMMAND)
    outcome = await Trial(runner, target, kind=kind).end()
    assert outcome.transition is Transition.RELEASE
    assert "no process can be started: Resource temporarily unavailable" in str(outcome.error)
    runner.close()


HANGS_IN_WORK = """
import os, runpy, time

os.chdir = lambda _: time.sleep(1_000)
runpy.run_path({program!r}, run_name="__main__")
"""


async def test_work_that_hangs_before_it_begins_is_killed_and_goes_back(
    runner: Runner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "hangs.py"
    program.write_text(HANGS_IN_WORK.format(program=launcher_link._PROGRAM))
    monkeypatch.setattr(launcher_link, "_PROGRAM", str(program))
    monkeypatch.setattr(work, "_PATIENCE_SECONDS", 0.1)
    trial = Trial(runner, targets.give)
    outcome = await trial.end()
    assert outcome.transition is Transition.RELEASE
    assert "ends, or does not answer, before it has begun any" in str(outcome.error)
    assert not trial.has_begun


async def test_a_launcher_that_can_have_no_more_descriptors_refuses(runner: Runner) -> None:
    trial = Trial(runner, targets.finish_anyway).start()
    await trial.wait_line("began")
    pid = launcher_of(runner).pid
    opened = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (opened + 3, opened + 3))
    outcome = await Trial(runner, targets.give).end()
    assert outcome.transition is Transition.RELEASE
    assert "too many open files" in str(outcome.error)
    trial.cancel()
    assert (await trial.end()).result == "finished anyway"


async def test_a_launcher_that_does_not_answer_holds_no_job_that_is_asked_to_stop(runner: Runner) -> None:
    running = Trial(runner, targets.finish_anyway).start()
    await running.wait_line("began")
    os.kill(launcher_of(runner).pid, signal.SIGSTOP)
    asked = Trial(runner, targets.give, kill_grace=0).start()
    other = Trial(runner, targets.give, 1).start()
    await asyncio.sleep(0)
    asked.cancel()
    assert await asked.end() == CANCELED
    assert not asked.has_begun
    assert (await other.end()).result == 1
    running.cancel()
    assert (await running.end()).result == "finished anyway"


async def test_a_launcher_that_takes_no_more_requests_holds_no_job_that_is_asked_to_stop(runner: Runner) -> None:
    await Trial(runner, targets.give).end()
    process = launcher_of(runner)
    os.kill(process.pid, signal.SIGSTOP)
    trials = [Trial(runner, targets.give, kill_grace=0).start() for _ in range(400)]
    await asyncio.sleep(0)
    for trial in reversed(trials):
        trial.cancel()
    assert [await trial.end() for trial in trials] == [CANCELED] * 400


async def test_a_job_whose_supervisor_was_stopped_can_be_ended(runner: Runner) -> None:
    trial = Trial(runner, targets.swallow_everything, kill_grace=0).start()
    os.kill(parent_of(await trial.wait_pid("work")), signal.SIGSTOP)
    trial.cancel()
    assert (await trial.end()).ended_by is EndedBy.KILL


async def test_a_program_that_is_being_replaced_has_not_failed(tmp_path: Path) -> None:
    program = tmp_path / "program"
    shutil.copy("/bin/true", program)
    runner = CommandRunner(Launcher())
    with program.open("ab"):
        outcome = await Trial(runner, Command([str(program)]), kind=COMMAND).end()
    assert (outcome.transition, outcome.error) == (Transition.RELEASE, "Text file busy")
    assert (await Trial(runner, Command([str(program)]), kind=COMMAND).end()).transition is Transition.COMPLETE
    runner.close()


async def test_only_what_needs_the_working_directory_waits_for_one_that_is_gone(
    runner: Runner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    release.mkdir()
    monkeypatch.chdir(release)
    release.rmdir()
    commands = CommandRunner(Launcher())
    for trial in [
        Trial(runner, targets.give),
        Trial(commands, Command(["pwd"]), kind=COMMAND),
        Trial(commands, Command(["pwd"], cwd="reports"), kind=COMMAND),
    ]:
        outcome = await trial.end()
        expected = (Transition.RELEASE, "the working directory of the service is gone")
        assert (outcome.transition, outcome.error) == expected
    outcome = await Trial(commands, Command(["pwd"], cwd="/"), kind=COMMAND).end()
    assert outcome.result == {"exit_code": 0, "output": "/\n"}
    commands.close()


async def test_a_flood_of_lines_leaves_time_for_others(runner: Runner) -> None:
    commands = CommandRunner(Launcher())
    trial = Trial(commands, Command(["yes"]), kind=RunnerKind.COMMAND).start()
    await trial.wait_line("y", count=1_000)
    assert (await Trial(runner, targets.give, 1).end()).result == 1
    trial.cancel()
    assert await trial.end() == CANCELED
    commands.close()


def test_runners_work_on_uvloop(runner: Runner) -> None:
    uvloop = pytest.importorskip("uvloop")

    async def run() -> None:
        assert (await Trial(runner, targets.give, 1).end()).result == 1
        trial = Trial(runner, targets.obey).start()
        await trial.wait_line("began")
        trial.cancel()
        assert await trial.end() == CANCELED
        trial = Trial(runner, targets.swallow_everything, kill_grace=0.1).start()
        await trial.wait_pid("work")
        trial.cancel()
        assert (await trial.end()).ended_by is EndedBy.KILL

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(run())


@pytest.mark.parametrize("create", [ProcessRunner, CommandRunner])
def test_a_launcher_is_not_started_before_it_is_needed(create: Callable[[Launcher], Runner]) -> None:
    gc.collect()
    before = list_descriptors()
    create(Launcher()).close()
    assert list_descriptors() == before


def test_memory_that_takes_long_to_count_is_counted_more_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    now, counted = [100.0], []

    def read_memory(_pid: int, file: str, _names: object) -> int:
        if file == "status":
            return 1_000
        counted.append(now[0])
        now[0] += 1.0
        return 10

    monkeypatch.setattr(memory, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(memory, "list_descendants", lambda: [processes.ProcessEntry(1, b"")])
    monkeypatch.setattr(memory, "read_memory", read_memory)
    watch = memory.MemoryWatch(100)
    while now[0] < 125.0:
        assert watch.find_excess() is None
        now[0] += 0.5
    assert counted == [100.0, 110.0, 120.0]
