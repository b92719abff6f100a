"""Runs functions in processes of their own."""

import logging
import sys
from collections.abc import Callable
from functools import partial
from typing import Protocol

from servicekit.errors import MemoryLimitExceeded, ProcessCrashed, ResourcesUnavailable
from servicekit.jobs.current import RunningJob
from servicekit.jobs.metadata import metadata_of
from servicekit.jobs.outcome import CANCELED, CUT_OFF, Outcome, failure, not_begun
from servicekit.jobs.references import name_of_main
from servicekit.jobs.status import EndedBy
from servicekit.jobs.submission import Submission
from servicekit.runners.calls import dump_call
from servicekit.runners.outcomes import read_outcome
from servicekit.runners.output import OutputLog
from servicekit.runners.reports import take_report
from servicekit.runners.submissions import SubmissionServer
from servicekit.runners.work import WorkEnd, WorkPlan, describe_environment


class WorkLauncher(Protocol):
    """Runs the works of jobs somewhere: on this machine (`Launcher`), or on others."""

    async def run(self, plan: WorkPlan, job: RunningJob) -> WorkEnd:
        """See `Launcher.run`."""
        ...

    def end_cut_off(self, job: RunningJob) -> bool:
        """Kill what is left of a job whose `run` was cut off, and say whether nothing is left."""
        ...

    def find_room(self, on_room: Callable[[], None]) -> int | None:
        """See `Runner`."""
        ...

    def find_notice(self) -> str | None:
        """What does not work as it was asked for, though jobs run; or `None`."""
        ...

    def open(self) -> None:
        """See `Runner`."""
        ...

    def close(self) -> None:
        """See `Runner`."""
        ...


class ProcessRunner:
    """Runs a function, plain or `async`, in a process of its own; what it prints and logs is in the job's log.

    The function is imported there, and its arguments are pickled. Its result is written as JSON.

    A request to stop raises `JobCanceled` in a plain function, wherever it is. A function that waits by
    `current_job().wait_cancel_requested()` learns of the request there instead. An `async` function gets
    `CancelledError` at its next await. After the grace time the process is killed. The threads and processes that the
    function leaves behind when it ends are killed too, daemons included.
    """

    def __init__(self, launcher: WorkLauncher) -> None:
        self._launcher = launcher

    async def run(self, submission: Submission, job: RunningJob) -> Outcome:
        if job.is_cancel_requested:
            return CANCELED
        try:
            end = await self._launcher.run(_plan(submission, job), job)
        except OSError as error:  # the system has no more descriptors, for example
            return not_begun(str(error))
        except Exception as error:  # the arguments cannot be pickled
            return failure(error)
        try:
            return await _judge(end, submission.options.max_memory_bytes)
        finally:
            if end.outcome_file is not None:
                end.outcome_file.close()

    def find_outcome(self, job: RunningJob) -> Outcome | None:
        return CUT_OFF if self._launcher.end_cut_off(job) else None

    def find_room(self, on_room: Callable[[], None]) -> int | None:
        return self._launcher.find_room(on_room)

    def find_notice(self) -> str | None:
        return self._launcher.find_notice()

    def open(self) -> None:
        self._launcher.open()

    def close(self) -> None:
        self._launcher.close()


def _plan(submission: Submission, job: RunningJob) -> WorkPlan:
    request = {
        **describe_environment(submission, job),
        "argv": None,
        "job_id": job.id,
        "attempt": job.attempt,
        "name": submission.name,
        "tags": submission.options.tags,
        "metadata": metadata_of(submission.options.metadata).as_dict(),
        "parent": submission.parent,
        "owner": submission.options.owner,
        "main": name_of_main(),
        "path": [folder for folder in sys.path if isinstance(folder, str)],
        "program": sys.argv,
        "database_url": job.database_url,
        "log_level": logging.getLogger().level,
    }
    return WorkPlan(
        request=request,
        make_stdin=partial(dump_call, submission),
        take_stdout=OutputLog(job, "stdout", "info"),
        take_stderr=OutputLog(job, "stderr", "warning"),
        take_report=partial(take_report, job),
        submissions=SubmissionServer(job),
    )


async def _judge(end: WorkEnd, max_memory_bytes: int | None) -> Outcome:
    if end.start_problem is not None:
        return not_begun(end.start_problem)
    if end.awaited is not None:
        return not_begun(end.awaited, is_waiting=True)
    if end.unmet is not None:
        return failure(ResourcesUnavailable(*end.unmet), EndedBy.CRASH)
    if end.excess is not None and not end.was_asked:
        return failure(MemoryLimitExceeded(max_memory_bytes or 0, end.excess), EndedBy.CRASH)
    outcome = None if end.outcome_file is None else await read_outcome(end.outcome_file.descriptor)
    if outcome is not None:
        return outcome
    if end.is_stopped:
        return CANCELED._replace(ended_by=EndedBy.KILL if end.was_killed else EndedBy.CANCEL)
    reason = f"it {end.description}"
    if end.status == 0:
        reason += " and told no outcome, having called os._exit or closed the descriptors of its process"
    return failure(ProcessCrashed(reason), EndedBy.CRASH)
