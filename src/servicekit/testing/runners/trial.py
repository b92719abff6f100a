"""One run of a target, made as the engine makes it."""

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Self

from servicekit.jobs.current import JobCall, RunningJob
from servicekit.jobs.log_lines import NewLine
from servicekit.jobs.options import DEFAULT_OPTIONS, JobOptions, RunnerKind
from servicekit.jobs.outcome import Outcome
from servicekit.jobs.record import Progress
from servicekit.jobs.results import WrittenResult, read_result
from servicekit.jobs.submission import JobTarget, Submission, name_of
from servicekit.ports import Runner

JOB_ID = "01JQRS7X0000000000000000AB"
DROPPED: Final = object()
"""Instead of a result that was not kept."""


class Trial:
    """A job of a runner, in a task of its own: started, watched, asked to stop.

    A wait of more than `patience_seconds` is an `AssertionError`; `None`: it has no limit.
    """

    def __init__(
        self,
        runner: Runner,
        target: JobTarget,
        *args: object,
        kind: RunnerKind = RunnerKind.PROCESS,
        options: JobOptions = DEFAULT_OPTIONS,
        kill_grace: float = 30.0,
        patience_seconds: float | None = None,
        **kwargs: object,
    ) -> None:
        self._submission = Submission(JOB_ID, name_of(target), target, args, kwargs, kind, options)
        self.database_url: str | None = None
        self.job = RunningJob(self._submission, 1, self)
        self.job.kill_grace_seconds = kill_grace
        self.calls: list[JobCall] = []
        """The jobs that the job has submitted."""
        self.refusal: Exception | None = None
        """What a job gets instead that wants to submit another one."""
        self.has_begun = False
        """Whether the runner has called `RunningJob.note_begun`."""
        self.lines: list[NewLine] = []
        self.progress: list[Progress] = []
        self._loop = asyncio.get_running_loop()
        self._heard = asyncio.Condition()
        self._runner = runner
        self._patience_seconds = patience_seconds
        self.task: asyncio.Task[Outcome] | None = None

    def start(self) -> Self:
        """Have the runner begin."""
        self.task = self._loop.create_task(self._run())
        return self

    def cancel(self) -> None:
        """Ask the job to stop, as the engine does."""
        self.job.request_cancel()
        if self.job.is_interruptible and self.task is not None:
            self.task.cancel()

    async def end(self) -> Outcome:
        """Wait for the end; start it, if that was not done."""
        if self.task is None:
            self.start()
        assert self.task is not None
        done, _ = await asyncio.wait({self.task}, timeout=self._patience_seconds)
        assert done, f"the attempt has not ended within {self._patience_seconds} seconds"
        outcome = self.task.result()
        self.job.finish_log()
        self._take_reports()
        result = outcome.result
        if type(result) is not WrittenResult:
            return outcome
        return outcome._replace(result=DROPPED if result.text is None else read_result(result.text))

    async def end_cut_off(self) -> Outcome:
        """Cut the task off, as `asyncio.run` does at its end, ask the job to stop, and wait until its end is known."""
        assert self.task is not None
        self.task.cancel()
        self.job.request_cancel()
        done, _ = await asyncio.wait({self.task}, timeout=self._patience_seconds)
        if not (done and self.task.cancelled()):
            return await self.end()
        async with asyncio.timeout(self._patience_seconds):
            while (outcome := self._runner.find_outcome(self.job)) is None:  # noqa: ASYNC110 # a runner does not tell
                await asyncio.sleep(0.001)
        self._take_reports()
        return outcome

    async def wait_line(self, pattern: str, count: int = 1) -> str:
        """Wait for so many lines like this, and return the last one's first group, or all of it."""
        found: list[re.Match[str]] = []

        def is_there() -> bool:
            found[:] = [match for line in self.lines if (match := re.fullmatch(pattern, line.text))]
            return len(found) >= count

        await self._wait_heard(f"The line {pattern!r}", is_there)
        return found[-1].group(found[-1].re.groups and 1)

    async def wait_progress(self, done: float) -> Progress:
        """Wait for a report that so much is done."""
        await self._wait_heard(f"The progress {done}", lambda: any(progress.done == done for progress in self.progress))
        return next(progress for progress in self.progress if progress.done == done)

    def abandon(self) -> None:
        """Forget the task, whose event loop may be gone."""
        self.task = None

    def texts(self, source: str | None = None) -> list[str]:
        """The lines that have come, of that source alone if it is given."""
        return [line.text for line in self.lines if source in (None, line.source)]

    def notify_begun(self, job: RunningJob) -> None:
        self.has_begun = True

    def notify_report(self, job: RunningJob) -> None:
        with suppress(RuntimeError):  # the event loop is closed: a job can report after its end
            self._loop.call_soon_threadsafe(lambda: self._loop.create_task(self._hear()))

    async def submit_for(self, job: RunningJob, call: JobCall) -> str:
        """Take note of the call, and give the job the number of it for an id."""
        if self.refusal is not None:
            raise self.refusal
        self.calls.append(call)
        return f"job {len(self.calls)}"

    def submit_blocking_for(self, job: RunningJob, call: JobCall) -> str:
        return asyncio.run_coroutine_threadsafe(self.submit_for(job, call), self._loop).result()

    async def _wait_heard(self, what: str, condition: Callable[[], bool]) -> None:
        try:
            async with self._heard, asyncio.timeout(self._patience_seconds):
                await self._heard.wait_for(condition)
        except TimeoutError:
            told = f"its lines are {self.texts()}, its progress is {self.progress}"
            raise AssertionError(f"{what} did not come within {self._patience_seconds} seconds: {told}") from None

    async def _hear(self) -> None:
        async with self._heard:
            self._take_reports()
            self._heard.notify_all()

    def _take_reports(self) -> None:
        progress = self.job.take_progress()
        if progress is not None:
            self.progress.append(progress)
        self.lines += self.job.take_lines()

    async def _run(self) -> Outcome:
        outcome = await self._runner.run(self._submission, self.job)
        await asyncio.sleep(0)  # no request to stop is left over to hit what the engine does next
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()
        return outcome
