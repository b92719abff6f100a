import asyncio
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import date
from functools import partial
from pathlib import Path

import pytest

from servicekit.errors import InvalidTarget
from servicekit.jobs.log_lines import MAX_LINE_CHARACTERS
from servicekit.jobs.options import JobOptions, RunnerKind
from servicekit.jobs.outcome import CANCELED
from servicekit.jobs.status import EndedBy, Transition
from servicekit.ports import Runner
from servicekit.runners.calls import check_isolatable
from servicekit.runners.launcher import Launcher
from servicekit.runners.outcomes import MAX_RESULT_BYTES
from servicekit.runners.process import ProcessRunner
from servicekit.testing.runners import (
    ASYNC_FUNCTIONS,
    DROPPED,
    FUNCTIONS,
    JOB_ID,
    CrashContract,
    KillContract,
    PythonRunnerContract,
    StartProblemContract,
)
from tests.hindering import without_descriptors
from tests.runners import odd_targets, targets
from tests.runners.trial import Trial, block_until_gone, is_running, parent_of

WITHOUT_OUTCOME = " and told no outcome, having called os._exit or closed the descriptors of its process"


class TestProcessRunner(PythonRunnerContract, StartProblemContract, KillContract, CrashContract):
    kind = RunnerKind.PROCESS
    targets = FUNCTIONS

    @classmethod
    def create_runner(cls) -> Runner:
        return ProcessRunner(Launcher())

    def hinder(self) -> AbstractContextManager[None]:
        return without_descriptors()


class TestProcessRunnerWithAsyncFunctions(TestProcessRunner):
    targets = ASYNC_FUNCTIONS


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    runner = ProcessRunner(Launcher())
    yield runner
    runner.close()


async def test_a_target_finds_the_world_as_the_service_does(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SET_LATE", "yes")
    monkeypatch.chdir("/")
    result = (await Trial(runner, targets.describe_process).end()).result
    assert isinstance(result, dict)
    assert (result["id"], result["attempt"]) == (JOB_ID, 1)
    assert result["pid"] != os.getpid()
    assert (result["cwd"], result["path"], result["argv"]) == ("/", sys.path, sys.argv)
    assert result["env"] == {**os.environ, "SERVICEKIT_JOB_ID": JOB_ID, "SERVICEKIT_ATTEMPT": "1"}


async def test_a_target_has_nothing_of_the_service_open(runner: Runner, tmp_path: Path) -> None:
    inheritable = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(inheritable, True)
    result = (await Trial(runner, targets.describe_process).end()).result
    os.close(inheritable)
    assert isinstance(result, dict)
    # Its standard streams, what it reports by, its outcome, what it submits by, and the list itself.
    assert len(result["descriptors"]) <= 7
    assert result["stdin"] == ""
    assert (result["blocked"], result["interrupts"], result["threads"]) == ([], True, 1)


async def test_all_that_a_target_writes_is_in_its_log(runner: Runner) -> None:
    trial = Trial(runner, targets.write_everywhere)
    level = logging.getLogger().level
    try:
        logging.getLogger().setLevel(logging.WARNING)
        await trial.end()
    finally:
        logging.getLogger().setLevel(level)
    assert sorted(filter(None, trial.texts("stdout"))) == ["from C", "from a program", "no line break", "printed"]
    assert trial.texts("stderr") == ["complained"]  # and not what is logged, which is there already
    logged = [(line.level, line.text) for line in trial.lines if line.source == "tests.logger"]
    traceback = logged.index(("error", "Traceback (most recent call last):"))
    assert logged[:traceback] == [("warning", "logged 7"), ("error", "it failed")]
    assert logged[-1] == ("error", "ValueError: logged too")


async def test_odd_lines_arrive_bounded(runner: Runner) -> None:
    trial = Trial(runner, targets.log_odd_lines)
    await trial.end()
    faces, nothing, *others = trial.texts()
    assert faces.startswith("\N{GRINNING FACE}" * 1_000)
    assert nothing.startswith("\\x00" * 400)
    assert others == ["\\udc80 alone", "two", "lines"]
    assert max(len(text) for text in trial.texts()) <= MAX_LINE_CHARACTERS


async def test_a_loop_can_report_as_often_as_it_likes(runner: Runner) -> None:
    trial = Trial(runner, targets.hurry, 200_000)
    outcome = await trial.end()
    assert isinstance(outcome.result, float)
    assert trial.progress[-1].done == 200_000
    assert len(trial.progress) < 30 + 30 * outcome.result  # twenty a second, and some


async def test_the_newest_progress_arrives_though_nothing_follows(runner: Runner) -> None:
    trial = Trial(runner, targets.report_then_hold).start()
    await trial.wait_progress(2)
    trial.cancel()
    await trial.end()


async def test_a_function_that_knows_nothing_of_jobs_is_interrupted(runner: Runner) -> None:
    trial = Trial(runner, targets.sleep).start()
    pid = await trial.wait_pid("work")
    trial.cancel()
    assert await trial.end() == CANCELED
    assert not is_running(pid)


@pytest.mark.parametrize(
    ("target", "result"),
    [
        (targets.catch_and_return, "caught"),
        (targets.look_and_go_on, "caught"),
        (targets.wait_and_tidy_up, "tidied up, True, True"),
        (targets.wait_in_a_thread, "told [True]"),
    ],
)
async def test_a_function_can_take_note_and_end_in_order(
    runner: Runner, target: Callable[[], object], result: str
) -> None:
    trial = Trial(runner, target).start()
    await trial.wait_line("work .*|began")
    trial.cancel()
    outcome = await trial.end()
    assert (outcome.transition, outcome.ended_by) == (Transition.COMPLETE, EndedBy.TARGET)
    assert outcome.result == result


async def test_a_signal_that_the_service_has_not_sent_is_not_a_request(runner: Runner) -> None:
    """Systemd, for one, sends SIGTERM to each process of a service; the jobs have their grace time all the same."""
    trial = Trial(runner, targets.sleep).start()
    pid = await trial.wait_pid("work")
    for process in (pid, parent_of(pid), parent_of(parent_of(pid))):
        os.kill(process, signal.SIGTERM)
    trial_after = Trial(runner, targets.give, 1)
    assert (await trial_after.end()).result == 1
    assert is_running(pid)
    trial.cancel()
    assert await trial.end() == CANCELED


@pytest.mark.parametrize("target", [targets.hold_interpreter, targets.ignore_everything, targets.swallow_everything])
async def test_what_does_not_stop_is_killed_after_its_grace_time(runner: Runner, target: Callable[[], object]) -> None:
    trial = Trial(runner, target, kill_grace=0.1).start()
    pid = await trial.wait_pid("work")
    trial.cancel()
    outcome = await trial.end()
    assert (outcome.transition, outcome.ended_by) == (Transition.CANCEL, EndedBy.KILL)
    assert not is_running(pid)


async def test_a_killed_job_leaves_no_children(runner: Runner) -> None:
    trial = Trial(runner, targets.wait_for_grandchild, kill_grace=0).start()
    pids = [await trial.wait_pid(who) for who in ("work", "child", "grandchild")]
    trial.cancel()
    assert (await trial.end()).transition is Transition.CANCEL
    assert not any(map(is_running, pids))


async def test_a_job_that_multiplies_is_ended_with_all_its_children(runner: Runner) -> None:
    trial = Trial(runner, targets.multiply, 10, kill_grace=0.1).start()
    await trial.wait_line("work .*", count=12)  # the first says it twice
    pids = [int(text.removeprefix("work ")) for text in trial.texts()]
    trial.cancel()
    assert (await trial.end()).ended_by is EndedBy.KILL
    assert len(set(pids)) == 11
    assert not any(map(is_running, pids))


async def test_a_job_has_ended_when_its_daemons_have(runner: Runner) -> None:
    trial = Trial(runner, targets.leave_daemon_behind)
    outcome = await trial.end()
    assert (outcome.transition, outcome.result) == (Transition.COMPLETE, "left")
    assert not is_running(await trial.wait_pid("daemon"))


async def test_a_canceled_job_has_ended_when_its_daemons_have(runner: Runner) -> None:
    trial = Trial(runner, targets.sleep_with_daemon).start()
    daemon, _ = await trial.wait_pid("daemon"), await trial.wait_pid("work")
    trial.cancel()
    assert await trial.end() == CANCELED
    assert not is_running(daemon)


async def test_a_thread_that_is_left_behind_does_not_hold_the_job_up(runner: Runner) -> None:
    assert (await Trial(runner, targets.leave_thread_behind).end()).result == "left"


@pytest.mark.parametrize("method", ["fork", "spawn"])
async def test_a_process_pool_works_in_a_target(runner: Runner, method: str) -> None:
    """A process that is spawned executes the program of its parent once more: the launcher's."""
    assert (await Trial(runner, targets.use_pool, method).end()).result == [1, 2, 3]


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (partial(targets.exit_at_once, 3), "it exited with code 3"),
        (partial(targets.exit_at_once, 0), f"it exited with code 0{WITHOUT_OUTCOME}"),
        (targets.crash, "it was ended by SIGSEGV"),
        (partial(targets.end_by, signal.SIGKILL), "it was ended by SIGKILL"),
        (partial(targets.end_by, signal.SIGTERM), "it was ended by SIGTERM"),
        (partial(targets.end_by, signal.SIGRTMIN + 2), f"it was ended by signal {signal.SIGRTMIN + 2}"),
    ],
)
async def test_a_process_that_ends_without_an_outcome_has_crashed(
    runner: Runner, target: Callable[[], object], reason: str
) -> None:
    outcome = await Trial(runner, target).end()
    assert (outcome.transition, outcome.ended_by) == (Transition.FAIL, EndedBy.CRASH)
    assert outcome.error == f"ProcessCrashed: the job's own process ended before it did: {reason}."
    assert outcome.error_types[0][0] == "servicekit.errors.ProcessCrashed"


async def test_a_signal_in_the_midst_of_a_fork_is_not_lost(runner: Runner) -> None:
    assert (await Trial(runner, targets.fork_and_end, 300).end()).result == [-signal.SIGTERM]


async def test_all_that_was_said_is_heard_though_the_service_was_busy(runner: Runner) -> None:
    trial = Trial(runner, targets.chatter_when_asked, 200).start()
    pid = await trial.wait_pid("work")
    while not trial.has_begun:  # what the work says may be heard before that it has begun, and only then is it stopped
        await asyncio.sleep(0)
    trial.cancel()
    for _ in range(3):
        await asyncio.sleep(0)
    block_until_gone(pid)
    await trial.end()
    assert trial.texts()[1:] == [str(number) for number in range(200)]


async def test_what_was_said_before_a_crash_is_in_the_log(runner: Runner) -> None:
    trial = Trial(runner, targets.exit_at_once, 1)
    await trial.end()
    assert sorted(trial.texts()) == ["logged before", "the last words"]


async def test_a_crash_in_c_leaves_a_traceback_in_the_log(runner: Runner) -> None:
    trial = Trial(runner, targets.crash)
    await trial.end()
    assert any("targets.py" in text for text in trial.texts("stderr"))


async def test_a_target_cannot_have_more_memory_than_its_limit(runner: Runner) -> None:
    options = JobOptions(max_memory_bytes=512 * 1024 * 1024)
    outcome = await Trial(runner, targets.eat_memory, options=options).end()
    assert (outcome.transition, outcome.ended_by) == (Transition.FAIL, EndedBy.CRASH)
    assert str(outcome.error).startswith("MemoryLimitExceeded: the job's processes held ")
    assert str(outcome.error).endswith("more than they may (max_memory_bytes=536,870,912)")


@pytest.mark.parametrize("target", [targets.reserve_addresses, targets.share_memory])
async def test_only_memory_that_is_really_held_counts_and_once(runner: Runner, target: Callable[[], object]) -> None:
    options = JobOptions(max_memory_bytes=256 * 1024 * 1024)
    assert (await Trial(runner, target, options=options).end()).result == "done"


async def test_the_memory_of_all_processes_of_a_job_counts(runner: Runner) -> None:
    options = JobOptions(max_memory_bytes=256 * 1024 * 1024)
    outcome = await Trial(runner, targets.eat_memory_together, options=options).end()
    assert str(outcome.error).startswith("MemoryLimitExceeded: ")


async def test_a_failure_says_what_a_retry_needs(runner: Runner) -> None:
    outcome = await Trial(runner, targets.try_later).end()
    assert outcome.retry_after_seconds == 7.5
    assert outcome.error_types == ()


async def test_methods_and_objects_can_be_sent(runner: Runner) -> None:
    assert (await Trial(runner, targets.Shape(3).count).end()).result == 3
    assert (await Trial(runner, targets.Shape.count, targets.Shape(4)).end()).result == 4


async def test_arguments_that_cannot_be_sent_are_a_clear_failure(runner: Runner) -> None:
    outcome = await Trial(runner, targets.give, lambda: 1).end()
    assert outcome.transition is Transition.FAIL
    assert str(outcome.error).startswith("PicklingError: the arguments of give cannot be sent to its process: ")


async def test_arguments_that_cannot_be_read_are_a_clear_failure(runner: Runner) -> None:
    outcome = await Trial(runner, targets.give, targets.Unreadable()).end()
    assert (outcome.transition, outcome.error) == (Transition.FAIL, "ValueError: it cannot be read")


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (targets.give_lock, "PydanticSerializationError: Error serializing to JSON: TypeError: a "),
        (odd_targets.give_leaving, "PydanticSerializationError: Error serializing to JSON: TypeError: a "),
        (partial(targets.give, "\udc80"), "PydanticSerializationError: "),
        (partial(targets.give_text, MAX_RESULT_BYTES), "it has 67,108,866 bytes as JSON, of at most 67,108,864."),
    ],
)
async def test_a_result_that_cannot_be_kept_is_said_so(
    runner: Runner, target: Callable[[], object], reason: str
) -> None:
    trial = Trial(runner, target)
    outcome = await trial.end()
    assert (outcome.transition, outcome.result) == (Transition.COMPLETE, DROPPED)
    (line,) = trial.lines
    assert line.level == "warning"
    assert line.text.startswith("The result is not kept")
    assert reason in line.text


async def test_a_result_is_what_json_makes_of_it(runner: Runner) -> None:
    outcome = await Trial(runner, targets.give, {"at": date(2026, 1, 31), "path": Path("/tmp"), "pair": (1, 2)}).end()
    assert outcome.result == {"at": "2026-01-31", "path": "/tmp", "pair": [1, 2]}


async def test_nothing_of_a_result_runs_in_the_service(runner: Runner) -> None:
    for target in (odd_targets.give_leaving, odd_targets.give_leaving_when_read):
        assert (await Trial(runner, target).end()).transition is Transition.COMPLETE


async def test_a_large_result_is_never_in_the_service(runner: Runner) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    trial = Trial(runner, odd_targets.give_many, 10_000_000)
    assert (await trial.end()).result is DROPPED
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


async def test_large_arguments_and_results_arrive(runner: Runner) -> None:
    data = "0123456789" * 1_000_000
    assert (await Trial(runner, targets.give, data).end()).result == data


@pytest.mark.parametrize("is_failing", [False, True])
async def test_who_closes_all_descriptors_gets_nothing_of_ours_in_its_files(
    runner: Runner, tmp_path: Path, *, is_failing: bool
) -> None:
    outcome = await Trial(runner, odd_targets.close_everything_and_write, str(tmp_path), is_failing=is_failing).end()
    assert (outcome.transition, outcome.ended_by) == (Transition.FAIL, EndedBy.CRASH)
    assert WITHOUT_OUTCOME in str(outcome.error)
    assert [path.read_text() for path in sorted(tmp_path.iterdir())] == ["mine"] * 10


@pytest.mark.parametrize(
    "target", [odd_targets.write_to_every_descriptor, odd_targets.replace_output, odd_targets.forget_environment]
)
async def test_a_target_can_do_what_it_likes_with_its_process(runner: Runner, target: Callable[[], object]) -> None:
    trial = Trial(runner, target)
    assert (await trial.end()).result == "done"
    assert (trial.lines, trial.progress) == ([], [])


@pytest.mark.parametrize("target", [odd_targets.fork_and_return, odd_targets.fork_a_child_that_raises])
async def test_the_outcome_is_the_parents(runner: Runner, target: Callable[[], object]) -> None:
    assert (await Trial(runner, target).end()).result == "the parent's"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "[" * 100_000,
        '{"transition": "claim", "result_bytes": null}\n',
        '{"transition": "complete", "result_bytes": 5}\n1234',
        '{"transition": "complete", "result_bytes": 99999999999}\n',
        '{"transition": "complete", "result_bytes": 1.5}\n1',
        '{"transition": "fail", "result_bytes": null, "error": 3}\n',
        '{"transition": "fail", "result_bytes": null, "retry_after_seconds": -1}\n',
        '{"transition": "fail", "result_bytes": null, "retry_after_seconds": NaN}\n',
        '{"transition": "fail", "result_bytes": null, "error": "' + "x" * 10_000 + '"}\n',
    ],
)
async def test_what_is_no_outcome_is_a_crash(runner: Runner, text: str) -> None:
    outcome = await Trial(runner, odd_targets.pretend, text).end()
    assert (outcome.transition, outcome.ended_by) == (Transition.FAIL, EndedBy.CRASH)


async def test_a_huge_file_instead_of_an_outcome_is_a_crash(runner: Runner) -> None:
    assert (await Trial(runner, odd_targets.grow).end()).ended_by is EndedBy.CRASH


async def test_arguments_that_end_whoever_writes_them_are_a_clear_failure(runner: Runner) -> None:
    outcome = await Trial(runner, targets.give, odd_targets.Leaving()).end()
    assert outcome.transition is Transition.FAIL
    assert "SystemExit: install more" in str(outcome.error)


async def test_a_flood_without_line_breaks_is_read_in_bounded_memory(runner: Runner) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    trial = Trial(runner, targets.write_without_end, 100)
    assert (await trial.end()).transition is Transition.COMPLETE
    (line,) = trial.texts("stdout")
    assert len(line) <= MAX_LINE_CHARACTERS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


PROGRAM = """
import asyncio
from servicekit.jobs.options import RunnerKind
from servicekit.runners.launcher import Launcher
from servicekit.runners.process import ProcessRunner
from tests.runners.trial import Trial

class Shape:
    pass

def look_at(shape):
    assert type(shape) is Shape
    return "seen"

async def main():
    runner = ProcessRunner(Launcher())
    outcome = await Trial(runner, look_at, Shape()).end()
    print(outcome.result, outcome.error)
    runner.close()

if __name__ == "__main__":
    asyncio.run(main())
"""


async def test_a_program_can_run_its_own_functions_with_its_own_classes(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    process = await asyncio.create_subprocess_exec(
        sys.executable, program, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, stdout=subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert output == b"seen None\n"


WITHOUT_A_GUARD = """
import asyncio
from servicekit import InMemoryScheduler

def work():
    pass

async def main():
    async with InMemoryScheduler() as scheduler:
        job_id = await scheduler.with_options(runner="process").add_job(work)
        print((await scheduler.wait(job_id)).error)

asyncio.run(main())
"""


async def test_a_program_that_begins_anew_whenever_it_is_imported_does_not_go_on_for_ever(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(WITHOUT_A_GUARD)
    process = await asyncio.create_subprocess_exec(sys.executable, program, stdout=subprocess.PIPE)
    output, _ = await process.communicate()
    assert output.startswith(b"InvalidTarget: ")
    assert b"if __name__ == '__main__':" in output


SERVICE_WITH_SCHEDULES = """
from fastapi.testclient import TestClient
from servicekit import Every, job_options
from servicekit.api import Service, ServiceBuilder, ServiceInfo
from servicekit.artifacts import Artifacts
from servicekit.tasks import Tasks

@job_options(runner="process")
def work(number):
    return number + 1

tasks = Tasks(page=None)
tasks.add_command("greet", ["echo", "hello"])

app = (
    ServiceBuilder(info=ServiceInfo(display_name="Test"))
    .with_jobs(url="memory://")
    .with_artifacts(Artifacts("artifacts"))
    .with_tasks(tasks)
    .with_schedule("work", Every(1_000_000), work, 1)
    .with_feature(tasks.recurring("greet", Every(1_000_000), "greet"))
    .build()
)

@app.post("/work")
async def start() -> str:
    return await Service.of(app).scheduler.add_job(work, 2)

if __name__ == "__main__":
    with TestClient(app) as client:
        job = client.get(f"/api/v1/jobs/{client.post('/work').json()}?wait=60").json()
        print(job["status"], job["error"])
"""


async def test_a_service_that_declares_schedules_can_be_imported_by_the_processes_of_its_jobs(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(SERVICE_WITH_SCHEDULES)
    process = await asyncio.create_subprocess_exec(sys.executable, program, cwd=tmp_path, stdout=subprocess.PIPE)
    output, _ = await process.communicate()
    assert output == b"completed None\n"


SCHEDULES_WITHOUT_A_GUARD = """
import asyncio
from servicekit import Every, InMemoryScheduler, job_options

@job_options(runner="process")
def work():
    pass

async def main():
    scheduler = InMemoryScheduler()
    scheduler.schedules.declare("work", Every(1), work)
    async with scheduler:
        while not (job_id := (await scheduler.schedules.get("work")).last_job_id):
            await asyncio.sleep(0.05)
        print((await scheduler.wait(job_id)).error)

asyncio.run(main())
"""


async def test_a_program_that_starts_its_schedules_whenever_it_is_imported_does_not_go_on_for_ever(
    tmp_path: Path,
) -> None:
    program = tmp_path / "program.py"
    program.write_text(SCHEDULES_WITHOUT_A_GUARD)
    process = await asyncio.create_subprocess_exec(sys.executable, program, stdout=subprocess.PIPE)
    output, _ = await process.communicate()
    assert output.startswith(b"InvalidTarget: ")
    assert b"if __name__ == '__main__':" in output


class _Unsendable:
    def __init__(self) -> None:
        self.lock = threading.Lock()

    def method(self) -> None:
        """It cannot go where its object cannot."""


@pytest.mark.parametrize("target", [lambda: 1, partial(lambda: 1), _Unsendable().method])
def test_a_target_that_no_other_process_could_find_is_refused(target: object) -> None:
    with pytest.raises(InvalidTarget, match="a process of its own cannot import it"):
        check_isolatable(target)


@pytest.mark.parametrize("target", [targets.give, partial(targets.give, 1), targets.Shape(3).count, len])
def test_a_target_that_can_be_imported_is_accepted(target: object) -> None:
    check_isolatable(target)


FOLDER = """
import sys
from servicekit.runners.calls import check_isolatable
from servicekit.errors import InvalidTarget

def work():
    pass

try:
    check_isolatable(work)
    print("accepted")
except InvalidTarget as error:
    print(error.reason)
"""


@pytest.mark.parametrize("how", ["folder", "archive", "package"])
def test_what_a_process_cannot_import_again_is_refused_at_once(tmp_path: Path, how: str) -> None:
    """A folder and an archive are run as `__main__`, a name that means something else in every process."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "__main__.py").write_text(FOLDER)
    (package / "__init__.py").touch()
    archive = shutil.make_archive(str(tmp_path / "program"), "zip", package)
    argv = {"folder": [str(package)], "archive": [archive], "package": ["-m", "package"]}[how]
    said = subprocess.run([sys.executable, *argv], cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert said == "accepted\n" if how == "package" else "it is part of a program that is no module" in said
