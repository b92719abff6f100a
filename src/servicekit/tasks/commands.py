"""The target of command tasks: a program runs, and its output becomes an artifact."""

import os
import signal
from contextvars import copy_context
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final

from servicekit.errors import CommandFailed, JobCanceled
from servicekit.jobs.current import current_job, running_job
from servicekit.jobs.ids import JobIds
from servicekit.jobs.options import job_options
from servicekit.tasks.calls import CommandCall
from servicekit.tasks.programs import Output, Program

if TYPE_CHECKING:
    from servicekit.artifacts import Artifacts

# What fits is a part of the document; the whole document then fits into the record of the artifact.
_MAX_INLINE_BYTES: Final = 16 * 1024

_BYTES: Final = "application/octet-stream"

_ids = JobIds()


@job_options(mask=["secrets"])
def run_command(call: CommandCall) -> dict[str, object]:
    """Run the program of a task, and save what it has written as an artifact, which the job's record names.

    It belongs into a process of its own. A request to stop sends SIGTERM to the program's group, and SIGKILL when most
    of the grace time is over. The artifact is saved also if the program fails or is stopped. `CommandFailed` for an
    exit code that is not ok, `JobCanceled` if the program was stopped. If it exits with an ok code although it was
    asked to stop, the job completes.
    """
    run = _Run(call)
    # In a thread: the request to stop raises `JobCanceled` in the main one, wherever that is.
    Thread(target=copy_context().run, args=(run.run,), name="servicekit command", daemon=True).start()
    try:
        run.ended.wait()  # and not `join`, which in Python 3.11 takes the thread for ended if it is interrupted
    except JobCanceled:
        current_job().wait_cancel_requested(0)  # who has seen the request is not interrupted once more
        run.program.send(signal.SIGTERM)
        if not run.ended.wait(call.stop_seconds):
            run.program.send(signal.SIGKILL)
            run.ended.wait()
    return run.conclude()


class _Run:
    """One run of the program, with its artifact."""

    def __init__(self, call: CommandCall) -> None:
        job = running_job()
        assert job is not None
        self.program = Program(call, job)
        self.ended = Event()
        """Set when the program has ended, and its artifact is saved."""
        self._call = call
        self._artifact_id: str | None = None
        self._error: Exception | None = None

    def run(self) -> None:
        """Run the program, and save the artifact. It does not raise: `conclude` does."""
        try:
            self.program.run()
            if self.program.exit_code is not None:
                self._save()
        except Exception as error:  # it is raised in the main thread
            self._error = error
        finally:
            self.program.stdout.close()
            self.program.stderr.close()
            self.ended.set()

    def conclude(self) -> dict[str, object]:
        """The result of the job. Raises the error as which it ends."""
        program, code = self.program, self.program.exit_code
        if self._error is not None:
            raise self._error
        if program.problem is not None:
            raise CommandFailed(self._name, _explain(program.problem, self._call))
        if code in self._call.ok_codes:
            self._check_files()
            return {"exit_code": code, "output": program.stdout.text, "artifact_id": self._artifact_id}
        if program.was_asked or code is None:
            raise JobCanceled(current_job().id)
        reason = f"exited with code {code}" if code >= 0 else f"was ended by {_name_signal(-code)}"
        last_line = program.stderr.last_line
        raise CommandFailed(self._name, f"{reason}: {last_line}" if last_line else reason)

    @property
    def _name(self) -> str:
        return self._call.argv[0].rpartition("/")[2] or self._call.argv[0]

    def _check_files(self) -> None:
        """A result that is not whole is none: `CommandFailed` if a part of the output could not be kept."""
        for output in (self.program.stdout, self.program.stderr):
            if output.problem is not None:
                raise CommandFailed(self._name, f"its output could not be kept: {output.problem.strerror}")

    def _save(self) -> None:
        from servicekit.artifacts import Artifacts  # for a process that saves

        artifacts = Artifacts.at(self._call.artifacts)
        streams = {"stdout": _Stream(self.program.stdout), "stderr": _Stream(self.program.stderr)}
        document: dict[str, Any] = {
            "task": dict(self._call.snapshot),
            **{name: stream.text for name, stream in streams.items()},
            **{f"{name}_artifact_id": stream.artifact_id for name, stream in streams.items()},
            "exit_code": self.program.exit_code,
            "duration": round(self.program.seconds, 3),
        }
        artifact_id = artifacts.save(document, kind="task_run", name=self._call.task).id
        current_job().artifact(artifact_id)
        self._artifact_id = artifact_id
        for name, stream in streams.items():
            if stream.artifact_id is not None:
                stream.save(artifacts, parent=artifact_id, name=name)


class _Stream:
    """One stream of the program, as the document shows it: as text, or as an artifact of its own."""

    def __init__(self, output: Output) -> None:
        self._output = output
        is_whole = output.is_text and output.size <= _MAX_INLINE_BYTES
        self.text = output.text if is_whole else output.text[-_MAX_INLINE_BYTES:]
        self.artifact_id = None if is_whole else _ids.next_id()
        """The id under which all of it is saved, byte for byte; `None` if the text is all of it."""

    def save(self, artifacts: "Artifacts", *, parent: str, name: str) -> None:
        ending, media_type = ("txt", "text/plain; charset=utf-8") if self._output.is_text else ("bin", _BYTES)
        self._output.file.seek(0)
        artifacts.save(
            self._output.file,
            id=self.artifact_id,
            parent=parent,
            kind="task_output",
            name=f"{name}.{ending}",
            media_type=media_type,
        )


def _explain(problem: OSError, call: CommandCall) -> str:
    """Why the program could not be started, with the path that is meant if it is not the program's."""
    if isinstance(problem, FileNotFoundError) and (call.cwd is None or os.path.isdir(call.cwd)):  # noqa: PTH112
        return "there is no such program"
    place = "" if problem.filename in (None, call.argv[0]) else f": {problem.filename}"
    return f"it could not be started: {problem.strerror}{place}"


def _name_signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
