"""What is ready before a job comes: its processes, and the modules that were named."""

import asyncio
import logging
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from servicekit.jobs.command import Command
from servicekit.jobs.options import RunnerKind
from servicekit.jobs.outcome import CANCELED
from servicekit.jobs.status import Transition
from servicekit.ports import Runner
from servicekit.runners import launcher_link
from servicekit.runners import work as work_module
from servicekit.runners.command import CommandRunner
from servicekit.runners.launcher import Launcher
from servicekit.runners.process import ProcessRunner
from tests.runners import targets
from tests.runners.trial import Trial, children_of, is_running, wait_gone


@pytest.fixture
def runner() -> Iterator[Runner]:
    runner = ProcessRunner(Launcher())
    yield runner
    runner.close()


def launcher_of(runner: Runner) -> int:
    process: subprocess.Popen[bytes] = runner._launcher._link._process  # type: ignore[attr-defined]
    return process.pid


async def wait_spare(runner: Runner) -> tuple[int, int]:
    """The supervisor and the work that wait for a job."""
    while True:
        for supervisor in children_of(launcher_of(runner)):
            for work in children_of(supervisor):
                return supervisor, work
        await asyncio.sleep(0.002)


async def test_the_next_jobs_processes_are_there_before_it_comes(runner: Runner) -> None:
    await Trial(runner, targets.give).end()
    supervisor, work = await wait_spare(runner)
    trial = Trial(runner, targets.sleep).start()
    assert await trial.wait_pid("work") == work
    trial.cancel()
    assert await trial.end() == CANCELED
    assert not is_running(work)
    await wait_gone(supervisor)


@pytest.mark.parametrize("which", [0, 1])
async def test_a_job_needs_no_spare_that_was_killed(runner: Runner, which: int) -> None:
    await Trial(runner, targets.give).end()
    pids = await wait_spare(runner)
    os.kill(pids[which], signal.SIGKILL)
    await wait_gone(pids[which])
    assert (await Trial(runner, targets.give, 1).end()).result == 1
    await wait_gone(*pids)
    assert (await Trial(runner, targets.give, 2).end()).result == 2


async def test_a_job_does_not_wait_for_ever_for_spares_that_were_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    launcher = Launcher()
    runner = CommandRunner(launcher)
    await Trial(runner, Command(["true"]), kind=RunnerKind.COMMAND).end()
    pids = await wait_spare(runner)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    with monkeypatch.context() as hurried:
        hurried.setattr(work_module, "_PATIENCE_SECONDS", 0.05)
        trial = Trial(runner, Command(f"echo line >> {tmp_path}/lines", shell=True), kind=RunnerKind.COMMAND).start()
        await asyncio.sleep(0)
        first = launcher._works[trial.job]
        while not first.is_over:
            await asyncio.sleep(0.001)
    assert (await trial.end()).transition is Transition.COMPLETE
    for pid in reversed(pids):
        os.kill(pid, signal.SIGCONT)
    await wait_gone(*pids)
    assert (tmp_path / "lines").read_text() == "line\n"  # by the one that began it, and not by the other as well
    runner.close()


@pytest.mark.parametrize("is_killed", [False, True])
async def test_a_spare_ends_with_its_launcher(runner: Runner, *, is_killed: bool) -> None:
    await Trial(runner, targets.give).end()
    pids = await wait_spare(runner)
    if is_killed:
        os.kill(launcher_of(runner), signal.SIGKILL)
    else:
        runner.close()
    await wait_gone(*pids)


async def test_a_spare_holds_nothing_of_other_jobs(runner: Runner) -> None:
    running = Trial(runner, targets.finish_anyway).start()
    await running.wait_line("began")
    while len(children_of(launcher_of(runner))) < 2:
        await asyncio.sleep(0.002)
    os.kill(launcher_of(runner), signal.SIGSTOP)  # so that it closes nothing that the spare would hold
    running.cancel()
    assert (await running.end()).result == "finished anyway"
    os.kill(launcher_of(runner), signal.SIGCONT)


async def test_a_command_can_take_what_was_forked_for_a_function_and_the_other_way_round() -> None:
    launcher = Launcher()
    processes, commands = ProcessRunner(launcher), CommandRunner(launcher)
    for _ in range(2):
        outcome = await Trial(commands, Command(["echo", "1"]), kind=RunnerKind.COMMAND).end()
        assert outcome.result == {"exit_code": 0, "output": "1\n"}
        await wait_spare(processes)
        assert (await Trial(processes, targets.give, 1).end()).result == 1
        await wait_spare(processes)
    processes.close()


async def test_commands_do_not_wait_for_what_is_preloaded_also_if_it_was_named_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "preloaded_for_ever.py").write_text("import time\ntime.sleep(1_000)")
    monkeypatch.syspath_prepend(tmp_path)
    preload: list[str] = []
    launcher = Launcher(preload)
    processes, commands = ProcessRunner(launcher), CommandRunner(launcher)
    preload.append("preloaded_for_ever")
    for runner in (processes, commands):
        runner.open()
    outcome = await Trial(commands, Command(["true"]), kind=RunnerKind.COMMAND).end()
    assert outcome.transition is Transition.COMPLETE
    for runner in (processes, commands):
        runner.close()


class Modules:
    """Modules that tell in a file who has imported them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, name: str, text: str = "") -> str:
        note = (
            f"import os\nwith open({str(self._folder / 'imports')!r}, 'a') as file:\n    print(os.getpid(), file=file)"
        )
        path = self._folder / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{note}\n{text}\n")
        return name

    @property
    def has_importers(self) -> bool:
        return (self._folder / "imports").exists()

    @property
    def importers(self) -> list[int]:
        return [int(pid) for pid in (self._folder / "imports").read_text().split()]


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Modules:
    monkeypatch.syspath_prepend(str(tmp_path))
    return Modules(tmp_path)


async def use(name: str, preload: tuple[str, ...]) -> int:
    """Have three jobs import it, and return who started them at the end."""
    runner = ProcessRunner(Launcher(preload))
    for _ in range(3):
        assert (await Trial(runner, targets.import_by_name, name).end()).result == name
    launcher = launcher_of(runner)
    runner.close()
    return launcher


async def test_what_is_preloaded_is_imported_once_for_all_jobs(modules: Modules) -> None:
    name = modules.write("preloaded_once")
    launcher = await use(name, (name,))
    assert modules.importers == [launcher]


ENDS_ITS_THREAD = """
import threading
stop = threading.Event()
thread = threading.Thread(target=stop.wait)
thread.start()

def end():
    stop.set()
    thread.join()

os.register_at_fork(before=end)
"""


async def test_threads_that_end_before_a_fork_do_no_harm(modules: Modules) -> None:
    name = modules.write("preloaded_with_care", ENDS_ITS_THREAD)
    launcher = await use(name, (name,))
    assert modules.importers == [launcher]


STARTS_A_DAEMON = """
import time
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    time.sleep(1_000)
os.wait()
"""
DANGERS = {
    "starts a thread": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(1_000,)).start()",
        "threads (",
    ),
    "starts a program": ("import subprocess\nsubprocess.Popen(['sleep', '1000'])", "processes (sleep)"),
    "stays in a child": ("import time\nif os.fork() == 0: time.sleep(1_000)", "processes ("),
    "goes on in a child": ("if os.fork(): os._exit(0)", "has ended, or closed"),
    "starts a daemon": (STARTS_A_DAEMON, "processes ("),
    "leaves a file open": (f"file = open({__file__!r})", f"files open ({__file__})"),
    "closes all descriptors": ("os.closerange(3, 1_000)", "has ended, or closed"),
    "uses what it has closed": ("os.closerange(3, 99)\nfiles = [open(os.devnull) for _ in '123456789']", "has ended"),
    "ends its process": ("os._exit(0)", "has ended, or closed"),
    "kills its process": ("os.kill(os.getpid(), 9)", "has ended, or closed"),
    "hangs": ("import time\ntime.sleep(1_000)", "that has not ended for 0.5 seconds"),
}


@pytest.mark.parametrize("danger", DANGERS)
async def test_nothing_is_preloaded_from_which_no_process_can_be_forked_safely(
    modules: Modules, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, danger: str
) -> None:
    text, reason = DANGERS[danger]
    name = modules.write("preloaded_in_vain", text)
    monkeypatch.setenv("IMPORTED_FOR", str(tmp_path))
    runner = ProcessRunner(Launcher((name,)))
    with monkeypatch.context() as hurried:
        if danger == "hangs":
            hurried.setattr(launcher_link, "_IMPORT_SECONDS", 0.5)
        runner.open()
    trials = [Trial(runner, targets.import_by_name, "json").start() for _ in range(3)]
    for trial in trials:
        outcome = await trial.end()
        assert (outcome.result, outcome.error) == ("json", None)
    (record,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    message = record.getMessage()
    assert message.startswith("Each job in a process of its own imports preloaded_in_vain by itself")
    assert reason in message
    assert runner.find_notice() == message
    runner.close()
    while find_processes(f"IMPORTED_FOR={tmp_path}"):
        await asyncio.sleep(0.002)


def find_processes(variable: str) -> list[str]:
    """Those that have, or whose parents have, begun with this in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if variable.encode() in path.read_bytes().split(b"\0"):
                found.append(path.parent.name)
    return found


async def test_a_child_that_comes_to_the_end_of_its_import_ends_there(modules: Modules) -> None:
    name = modules.write("preloaded_with_a_child", "pid = os.fork()\nif pid: os.waitpid(pid, 0)")
    launcher = await use(name, (name,))
    assert modules.importers == [launcher]


async def test_what_is_preloaded_may_handle_signals(modules: Modules) -> None:
    text = "import signal\nsignal.set_wakeup_fd(-1)\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)"
    name = modules.write("preloaded_with_signals", text)
    launcher = await use(name, (name,))
    assert modules.importers == [launcher]


async def test_what_is_preloaded_is_imported_before_a_job_comes(modules: Modules) -> None:
    name = modules.write("preloaded_early")
    runner = ProcessRunner(Launcher((name,)))
    runner.open()
    launcher = launcher_of(runner)
    while not modules.has_importers:
        await asyncio.sleep(0.002)
    assert (await Trial(runner, targets.import_by_name, name).end()).result == name
    assert modules.importers == [launcher]
    runner.close()


def test_what_an_event_loop_has_left_while_it_was_imported_is_imported_again(modules: Modules) -> None:
    name = modules.write("preloaded_for_two")
    runner = ProcessRunner(Launcher((name,)))

    async def open_and_leave() -> None:
        runner.open()

    async def run() -> object:
        return (await Trial(runner, targets.import_by_name, name).end()).result

    asyncio.run(open_and_leave())
    assert asyncio.run(run()) == name
    assert runner.find_notice() is None
    runner.close()


@pytest.mark.parametrize("text", ["import nothing_like_this", "raise SystemExit('install more')"])
async def test_what_cannot_be_preloaded_is_said(modules: Modules, caplog: pytest.LogCaptureFixture, text: str) -> None:
    name, other = modules.write("preloaded_badly", text), modules.write("preloaded_beside")
    runner = ProcessRunner(Launcher((name, other)))
    assert (await Trial(runner, targets.import_by_name, other).end()).result == other
    assert set(modules.importers) == {launcher_of(runner)}
    runner.close()
    (record,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert record.getMessage().startswith("preloaded_badly cannot be imported beforehand: ")
    assert runner.find_notice() == record.getMessage()


async def test_a_job_that_is_canceled_while_it_waits_for_imports_costs_the_others_nothing(
    modules: Modules, tmp_path: Path
) -> None:
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    wait = f"open({str(begun)!r}, 'w')\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)"
    name = modules.write("preloaded_slowly", f"import os, time\n{wait}")
    runner = ProcessRunner(Launcher((name,)))
    canceled, other = (Trial(runner, targets.import_by_name, name).start() for _ in range(2))
    while not begun.exists():
        await asyncio.sleep(0.01)
    canceled.cancel()
    assert (await canceled.end()).transition is Transition.CANCEL
    gate.touch()
    assert (await other.end()).result == name
    assert modules.importers == [launcher_of(runner)]
    runner.close()


async def test_each_job_has_random_numbers_of_its_own(modules: Modules) -> None:
    """Python's own are sown anew in each forked process; NumPy's, of which this stands in the place, are not."""
    modules.write("numpy.__init__")
    modules.write("numpy.random", "import random\ngenerator = random.Random(1)\ndef seed(): generator.seed()")
    runner = ProcessRunner(Launcher(("numpy.random",)))
    numbers = [(await Trial(runner, targets.draw).end()).result for _ in range(3)]
    runner.close()
    assert len(set(map(str, numbers))) == 3
