"""Runs commands."""

from collections.abc import Callable
from functools import partial

from servicekit.errors import CommandFailed, MemoryLimitExceeded
from servicekit.jobs.command import MAX_OUTPUT_BYTES, Command
from servicekit.jobs.current import RunningJob
from servicekit.jobs.outcome import (
    CANCELED,
    CUT_OFF,
    MAX_ERROR_CHARACTERS,
    Outcome,
    completion,
    failure,
    not_begun,
)
from servicekit.jobs.status import EndedBy
from servicekit.jobs.submission import Submission, name_of_program
from servicekit.runners.launcher import Launcher
from servicekit.runners.output import OutputLog, OutputTail, ProgressReader
from servicekit.runners.work import WorkEnd, WorkPlan, describe_environment


class CommandRunner:
    """Runs a program; what it writes is in the job's log.

    A request to stop sends SIGTERM to the program, and to every program that it has started. If it exits with 0 after
    that, it has completed; else it counts as stopped. After the grace time it is killed. What it leaves behind when it
    ends is killed too, daemons included.
    """

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher

    async def run(self, submission: Submission, job: RunningJob) -> Outcome:
        if job.is_cancel_requested:
            return CANCELED
        command = submission.target
        assert isinstance(command, Command)
        stdout = OutputTail(MAX_OUTPUT_BYTES, ProgressReader(job, OutputLog(job, "stdout", "info")))
        # Many programs write there what is no error.
        stderr = OutputTail(MAX_ERROR_CHARACTERS, OutputLog(job, "stderr", "info"))
        try:
            plan = WorkPlan(_describe(command, submission, job), partial(_encode, command.stdin), stdout, stderr)
            end = await self._launcher.without_preload.run(plan, job)
        except OSError as error:  # the system has no more descriptors, for example
            return not_begun(str(error))
        return _judge(end, command, submission.options.max_memory_bytes, stdout.text, stderr.last_line)

    def find_outcome(self, job: RunningJob) -> Outcome | None:
        return CUT_OFF if self._launcher.without_preload.end_cut_off(job) else None

    def find_room(self, on_room: Callable[[], None]) -> int | None:  # noqa: ARG002 (it is never full)
        return None

    def find_notice(self) -> str | None:
        return None

    def open(self) -> None:
        self._launcher.without_preload.open()

    def close(self) -> None:
        self._launcher.without_preload.close()


def _describe(command: Command, submission: Submission, job: RunningJob) -> dict[str, object]:
    environment = describe_environment(submission, job, command.cwd)
    return {
        **environment,
        "argv": command.list_arguments(),
        "env": {**environment["env"], **(command.env or {})},
    }


def _encode(text: str | None) -> bytes:
    return b"" if text is None else text.encode(errors="replace")


def _judge(end: WorkEnd, command: Command, max_memory_bytes: int | None, output: str, last_error: str) -> Outcome:
    if end.start_problem is not None:
        return not_begun(end.start_problem)
    if end.excess is not None and not end.was_asked:
        return failure(MemoryLimitExceeded(max_memory_bytes or 0, end.excess), EndedBy.CRASH)
    if end.status == 0 and end.error is None:
        return completion({"exit_code": 0, "output": output})
    if end.is_stopped or (end.was_asked and end.error is None):
        return CANCELED._replace(ended_by=EndedBy.KILL if end.was_killed else EndedBy.CANCEL)
    reason = f"{end.description}: {last_error}" if last_error and end.error is None else end.description
    return failure(CommandFailed(name_of_program(command), reason))._replace(error_traceback=None)
