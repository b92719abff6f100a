import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from shlex import quote
from typing import ClassVar

import pytest

from servicekit.jobs.command import MAX_OUTPUT_BYTES, Command
from servicekit.jobs.log_lines import MAX_LINE_CHARACTERS
from servicekit.jobs.options import JobOptions, RunnerKind
from servicekit.jobs.outcome import CANCELED, Outcome
from servicekit.jobs.status import EndedBy, Transition
from servicekit.ports import Runner
from servicekit.runners.command import CommandRunner
from servicekit.runners.launcher import Launcher
from servicekit.testing.runners import JOB_ID, KillContract, RunnerContract, RunnerTargets, StartProblemContract
from tests.hindering import without_descriptors
from tests.runners.trial import Trial, is_running


def shell(script: str) -> Command:
    return Command(script, shell=True)


# A shell runs its traps when the program in front has ended: so it waits for one behind, which has to be one already.
SLEEP = 'sleep 1000 & until read name </proc/$!/comm && [ "$name" = sleep ]; do :; done'
WAIT = f"{SLEEP}; echo began; wait"


class TestCommandRunner(RunnerContract, StartProblemContract, KillContract):
    kind = RunnerKind.COMMAND
    result: ClassVar[object] = {"exit_code": 0, "output": "given\n"}
    error = "CommandFailed: echo: exited with code 3: no"
    targets = RunnerTargets(
        completing=Command(["echo", "given"]),
        failing=shell("echo no >&2; exit 3"),
        obeying=shell(f"trap 'echo tidied up; exit 1' TERM; {WAIT}"),
        finishing=shell(f"trap 'exit 0' TERM; {WAIT}"),
        reporting=shell(f"trap 'exit 0' TERM; {SLEEP}; printf 'one\\n::progress 3/4 three of four\\ntwo\\n'; wait"),
    )

    ignoring = shell(f"trap '' TERM; {WAIT}")

    @classmethod
    def create_runner(cls) -> Runner:
        return CommandRunner(Launcher())

    def hinder(self) -> AbstractContextManager[None]:
        return without_descriptors()


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    runner = CommandRunner(Launcher())
    yield runner
    runner.close()


def trial(runner: Runner, command: Command, *, kill_grace: float = 30.0, options: JobOptions | None = None) -> Trial:
    return Trial(runner, command, kind=RunnerKind.COMMAND, kill_grace=kill_grace, options=options or JobOptions())


async def output_of(runner: Runner, command: Command) -> str:
    outcome = await trial(runner, command).end()
    assert outcome.transition is Transition.COMPLETE, outcome.error
    assert isinstance(outcome.result, dict)
    return str(outcome.result["output"])


async def fail(runner: Runner, command: Command) -> Outcome:
    outcome = await trial(runner, command).end()
    assert (outcome.transition, outcome.ended_by) == (Transition.FAIL, EndedBy.TARGET)
    assert outcome.error_types[0][0] == "servicekit.errors.CommandFailed"
    return outcome


async def test_a_command_finds_the_world_as_the_service_does(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SET_LATE", "yes")
    monkeypatch.chdir("/usr")
    script = "import os, json; print(json.dumps([os.getcwd(), dict(os.environ)]))"
    command = Command([sys.executable, "-c", script], cwd="bin", env={"GIVEN": "ü", "PATH": "/bin"})
    directory, environment = json.loads(await output_of(runner, command))
    assert directory == str(Path("/usr/bin").resolve())
    mine = {**os.environ, "GIVEN": "ü", "PATH": "/bin", "SERVICEKIT_JOB_ID": JOB_ID, "SERVICEKIT_ATTEMPT": "1"}
    assert mine.items() <= environment.items()


async def test_a_command_begins_like_any_program(runner: Runner) -> None:
    script = """import os, signal
print(sorted(map(int, os.listdir("/proc/self/fd")))[:-1], os.getsid(0) == os.getpid())
status = dict(line.split(":\\t") for line in open("/proc/self/status").read().splitlines() if line.startswith("Sig"))
print(int(status["SigBlk"], 16))
"""
    ignored = await output_of(runner, Command(["grep", "SigIgn", "/proc/self/status"]))
    of_the_c_library = 0b11 << 31  # its own two signals, which no program can set
    assert int(ignored.split()[1], 16) & ~of_the_c_library == 0
    output = await output_of(runner, Command([sys.executable, "-c", script]))
    assert output.splitlines() == ["[0, 1, 2] True", "0"]


async def test_a_command_reads_its_standard_input(runner: Runner) -> None:
    text = "ü" * 1_000_000
    assert await output_of(runner, Command(["wc", "-c"], stdin=text)) == "2000000\n"
    assert await output_of(runner, Command(["cat"])) == ""


async def test_lines_of_both_streams_are_in_the_log(runner: Runner) -> None:
    job = trial(runner, shell("echo out; echo err >&2; printf '\\377 is no text, and not ended'"))
    await job.end()
    assert job.texts("stdout") == ["out", "� is no text, and not ended"]
    assert job.texts("stderr") == ["err"]
    assert {line.level for line in job.lines} == {"info"}


async def test_the_result_has_the_end_of_the_output(runner: Runner) -> None:
    output = await output_of(runner, shell("seq 100000"))
    assert len(output) == MAX_OUTPUT_BYTES
    assert output.endswith("99999\n100000\n")


async def test_lines_in_the_right_form_are_progress(runner: Runner, tmp_path: Path) -> None:
    told = {
        "1": (1, None, None),
        "2/4": (2, 4, None),
        "2.5/4 two and a half": (2.5, 4, "two and a half"),
        "3/4  ": (3, 4, " "),
    }
    other = [
        "::progress",
        "::progress x",
        "::progress 4/",
        "::progress -1",
        " ::progress 1",
        "::progress 4/4x",
        "::pro",
    ]
    # One for each: the next reader of the same one could meet the writer of the last.
    heard = [tmp_path / f"heard-{number}" for number in range(len(told))]
    for fifo in heard:
        os.mkfifo(fifo)
    lines = [f"echo '::progress {text}'; read _ < {fifo}" for text, fifo in zip(told, heard, strict=True)]
    script = "\n".join([*lines, *(f"echo '{text}'" for text in other), "printf '::progress 4/4'"])
    job = trial(runner, shell(script)).start()
    for progress, fifo in zip(told.values(), heard, strict=True):
        await job.wait_progress(progress[0])
        await asyncio.to_thread(fifo.write_text, "go on\n")
    await job.end()
    assert [(each.done, each.total, each.message) for each in job.progress] == [*told.values(), (4, 4, None)]
    assert type(job.progress[-1].done) is int
    assert job.texts("stdout") == other


async def test_a_flood_without_line_breaks_is_read_to_its_end(runner: Runner) -> None:
    job = trial(runner, shell("head -c 100000000 /dev/zero | tr '\\0' x; echo; echo end"))
    outcome = await job.end()
    assert outcome.transition is Transition.COMPLETE
    long, end = job.texts("stdout")
    assert (len(long), end) == (MAX_LINE_CHARACTERS, "end")


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (Command(["sh", "-c", "exit 3"]), "sh: exited with code 3"),
        (Command(["sh", "-c", "kill -SEGV $$"]), "sh: was ended by SIGSEGV"),
        (Command(["/nowhere/program"]), "program: could not be started: No such file or directory"),
        (Command(["nowhere-to-be-found"]), "nowhere-to-be-found: could not be started: No such file or directory"),
        (Command(["/etc/passwd"]), "passwd: could not be started: Permission denied"),
        (Command(["ls"], cwd="/nowhere"), "ls: could not be started: No such file or directory: /nowhere"),
        (Command(["ls", "x" * 4_000_000]), "ls: could not be started: Argument list too long"),
        (shell("echo first >&2; echo last >&2; exit 1"), "echo: exited with code 1: last"),
        (
            shell(r"printf '\033[31mno such\033[m file\n\033[0m\n' >&2; exit 2"),
            "printf: exited with code 2: no such file",
        ),
    ],
)
async def test_a_command_that_does_not_exit_with_zero_says_why(runner: Runner, command: Command, error: str) -> None:
    assert (await fail(runner, command)).error == f"CommandFailed: {error}"


async def test_a_command_cannot_have_more_memory_than_its_limit(runner: Runner) -> None:
    command = Command([sys.executable, "-c", "import time; held = b'x' * (400 << 20); time.sleep(1000)"])
    job = trial(runner, command, options=JobOptions(max_memory_bytes=256 * 1024 * 1024))
    outcome = await job.end()
    assert (outcome.transition, outcome.ended_by) == (Transition.FAIL, EndedBy.CRASH)
    assert str(outcome.error).startswith("MemoryLimitExceeded: ")


async def test_the_memory_of_a_program_with_any_name_is_looked_at(runner: Runner) -> None:
    rename = "import ctypes; ctypes.CDLL(None).prctl(15, b'name\\xff')"  # a name that is cut off is no UTF-8 either
    command = Command([sys.executable, "-c", f"{rename}; held = b'x' * (400 << 20); input()"], stdin=None)
    job = trial(runner, command, options=JobOptions(max_memory_bytes=256 * 1024 * 1024))
    assert str((await job.end()).error).startswith("MemoryLimitExceeded: ")


async def test_a_command_that_fails_when_it_is_asked_to_stop_has_stopped(runner: Runner) -> None:
    job = trial(runner, shell(f"trap 'exit 255' TERM; {WAIT}")).start()
    await job.wait_line("began")
    job.cancel()
    assert await job.end() == CANCELED


async def test_every_program_of_a_command_is_asked_to_stop(runner: Runner) -> None:
    tidy = quote(f"trap 'sleep 0.2; echo tidied up; exit 0' TERM; {SLEEP}; echo began $$; wait")
    # The shell in front ends at once, and one of its programs is in a session of its own.
    job = trial(runner, shell(f"sh -c {tidy} & setsid sh -c {tidy} & sleep 1000"), kill_grace=1_000).start()
    await job.wait_line(r"began (\d+)", count=2)
    job.cancel()
    assert await job.end() == CANCELED
    assert job.texts().count("tidied up") == 2


async def test_a_command_may_wait_for_a_program_that_was_asked_with_it(runner: Runner) -> None:
    job = trial(runner, shell(f"trap : TERM; {WAIT}; wait $!"), kill_grace=1_000).start()
    await job.wait_line("began")
    job.cancel()
    assert await job.end() == CANCELED


async def test_what_a_command_starts_to_tidy_up_is_not_asked_to_stop(runner: Runner) -> None:
    job = trial(runner, shell(f"trap 'sleep 0.5 && echo tidied up; exit 1' TERM; {WAIT}"), kill_grace=1_000).start()
    await job.wait_line("began")
    job.cancel()
    assert await job.end() == CANCELED
    assert job.texts() == ["began", "tidied up"]


async def test_what_a_command_leaves_to_itself_is_asked_to_stop_then(runner: Runner) -> None:
    script = f"trap 'sleep 1000 & exit 1' TERM; {WAIT}"
    job = trial(runner, shell(script), kill_grace=1_000).start()
    await job.wait_line("began")
    job.cancel()
    assert await job.end() == CANCELED


async def test_a_command_that_does_not_stop_is_killed_with_all_its_programs(runner: Runner) -> None:
    deaf = "trap '' TERM; echo began $$; while :; do sleep 1000; done"
    script = f"sh -c {quote(deaf)} & setsid sh -c {quote(deaf)} & {deaf}"
    job = trial(runner, shell(script), kill_grace=0.2).start()
    await job.wait_line(r"began (\d+)", count=3)
    pids = {int(text.split()[1]) for text in job.texts()}
    job.cancel()
    outcome = await job.end()
    assert (outcome.transition, outcome.ended_by) == (Transition.CANCEL, EndedBy.KILL)
    assert len(pids) == 3
    assert not any(map(is_running, pids))


async def test_a_command_has_ended_when_its_daemons_have(runner: Runner) -> None:
    daemon = "trap '' TERM; echo daemon $$; exec >&- 2>&-; sleep 1000"
    job = trial(runner, shell(f"(setsid sh -c {quote(daemon)} &) | (read line; echo $line)"))
    assert (await job.end()).transition is Transition.COMPLETE
    assert not is_running(await job.wait_pid("daemon"))


async def test_a_command_stopped_by_a_stranger_has_failed(runner: Runner) -> None:
    job = trial(runner, shell("echo shell $$; sleep 1000")).start()
    os.killpg(await job.wait_pid("shell"), signal.SIGTERM)
    assert (await job.end()).error == "CommandFailed: echo: was ended by SIGTERM"
