"""What every runner promises, as tests."""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import pytest

import servicekit.testing.runners.targets as targets
from servicekit.jobs.options import RunnerKind
from servicekit.jobs.outcome import CANCELED, CUT_OFF, Outcome
from servicekit.jobs.status import EndedBy, Transition
from servicekit.jobs.submission import JobTarget
from servicekit.ports import Runner
from servicekit.testing.runners.trial import Trial
from servicekit.testing.suite import Suite


@dataclass(frozen=True, kw_only=True)
class RunnerTargets:
    """What a runner is tried with. The texts are lines of the job's log."""

    completing: JobTarget
    """Returns `result`, which the subclass of the suite gives."""
    failing: JobTarget
    """Ends with an error. The subclass of the suite gives its text as `error`."""
    obeying: JobTarget
    """Says "began", and when it is asked to stop, "tidied up", and stops."""
    finishing: JobTarget
    """Says "began", and completes when it is asked to stop."""
    reporting: JobTarget
    """Says the lines "one" and "two" and the progress 3 of 4, "three of four"; completes when it is asked to stop."""


@dataclass(frozen=True, kw_only=True)
class PythonTargets(RunnerTargets):
    """What a runner of functions is tried with: `completing` returns "given", `failing` raises `ValueError("no")`."""

    leaving: JobTarget
    """Calls `sys.exit("no more")`."""
    interrupting: JobTarget
    """Raises `KeyboardInterrupt`."""
    failing_oddly: JobTarget
    """Raises an error whose text, class and pickling raise other errors."""
    failing_late: JobTarget
    """Says "began", and when it is asked to stop, raises `ValueError("could not tidy up")`."""
    naming: JobTarget
    """Names `targets.ARTIFACT` as its artifact, after another one."""
    forking: JobTarget
    """Forks three children: one returns, one calls `sys.exit(7)`, the `exec` of one fails. Returns their exit codes."""


FUNCTIONS = PythonTargets(
    completing=partial(targets.give, "given"),
    failing=partial(targets.fail, "no"),
    obeying=targets.obey,
    finishing=targets.finish_anyway,
    reporting=targets.report,
    leaving=targets.leave,
    interrupting=targets.interrupt,
    failing_oddly=targets.raise_odd,
    failing_late=targets.fail_when_asked,
    naming=targets.name_artifact,
    forking=targets.fork_and_return,
)
"""For a runner that calls functions. Another process imports them by their names."""
ASYNC_FUNCTIONS = PythonTargets(
    completing=partial(targets.give_async, "given"),
    failing=partial(targets.fail_async, "no"),
    obeying=targets.obey_async,
    finishing=targets.finish_anyway_async,
    reporting=targets.report_async,
    leaving=targets.leave_async,
    interrupting=targets.interrupt_async,
    failing_oddly=targets.raise_odd_async,
    failing_late=targets.fail_when_asked_async,
    naming=targets.name_artifact_async,
    forking=targets.fork_and_return_async,
)
"""The same for a runner that awaits coroutines."""


class RunnerTests(Suite):
    """What tests of runners share. A subclass creates the runner, and says what it is tried with and leaves out."""

    kind: ClassVar[RunnerKind]
    """What the submissions say of the runner that they need."""
    patience_seconds: ClassVar[float | None] = 60.0  # of what takes a second: a machine may be very busy
    """How long a test waits for an end, a line or progress until it fails; `None`: without end."""
    targets: ClassVar[RunnerTargets]
    result: ClassVar[object]
    """What `completing` returns."""
    error: ClassVar[str]
    """The text of the error of `failing`."""

    @classmethod
    def create_runner(cls) -> Runner:
        """A new runner, which is not open. The tests of a class share one, and close it."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def runner(cls) -> Iterator[Runner]:
        runner = cls.create_runner()
        yield runner
        runner.close()

    def trial(self, runner: Runner, target: JobTarget) -> Trial:
        """A job that the runner shall run."""
        return Trial(runner, target, kind=self.kind, patience_seconds=self.patience_seconds)


class RunnerContract(RunnerTests):
    """What every runner promises."""

    async def test_what_a_target_returns_is_the_result(self, runner: Runner) -> None:
        outcome = await self.trial(runner, self.targets.completing).end()
        assert (outcome.transition, outcome.ended_by) == (Transition.COMPLETE, EndedBy.TARGET)
        assert outcome.result == self.result

    async def test_what_a_target_raises_is_the_error(self, runner: Runner) -> None:
        outcome = await self.trial(runner, self.targets.failing).end()
        assert (outcome.transition, outcome.ended_by) == (Transition.FAIL, EndedBy.TARGET)
        assert outcome.error == self.error
        assert "builtins.Exception" in outcome.error_types[0]

    async def test_a_job_that_was_canceled_before_its_start_does_not_start(self, runner: Runner) -> None:
        trial = self.trial(runner, self.targets.obeying)
        trial.cancel()
        assert await trial.end() == CANCELED
        assert trial.texts() == []

    @pytest.mark.parametrize("turns", [1, 2, 3])
    async def test_a_job_can_be_canceled_while_it_starts(self, runner: Runner, turns: int) -> None:
        trial = self.trial(runner, self.targets.obeying).start()
        for _ in range(turns):
            await asyncio.sleep(0)
        trial.cancel()
        assert (await trial.end()).transition is Transition.CANCEL

    async def test_a_job_that_obeys_is_canceled_when_its_work_has_ended(self, runner: Runner) -> None:
        trial = self.trial(runner, self.targets.obeying).start()
        await trial.wait_line("began")
        trial.cancel()
        assert await trial.end() == CANCELED
        assert trial.texts() == ["began", "tidied up"]

    async def test_a_job_can_be_asked_twice(self, runner: Runner) -> None:
        trial = self.trial(runner, self.targets.obeying).start()
        await trial.wait_line("began")
        trial.cancel()
        trial.cancel()
        assert await trial.end() == CANCELED

    async def test_the_end_of_a_job_whose_task_was_cut_off_is_known_when_its_work_has_ended(
        self, runner: Runner
    ) -> None:
        trial = self.trial(runner, self.targets.obeying).start()
        await trial.wait_line("began")
        outcome = await trial.end_cut_off()
        assert outcome in (CANCELED, CUT_OFF)
        assert outcome == CUT_OFF or trial.texts() == ["began", "tidied up"]

    async def test_an_attempt_takes_its_room_until_it_has_ended(self, runner: Runner) -> None:
        told = asyncio.Event()
        room = runner.find_room(told.set)
        trial = self.trial(runner, self.targets.obeying).start()
        await trial.wait_line("began")
        left = runner.find_room(told.set)
        trial.cancel()
        await trial.end()
        assert (left is None) if room is None else (left is not None and 0 <= left < room)
        async with asyncio.timeout(self.patience_seconds):
            while runner.find_room(told.set) != room:
                await told.wait()
                told.clear()

    async def test_an_open_runner_runs_jobs_and_can_be_opened_again(self) -> None:
        runner = self.create_runner()
        for _ in range(2):
            runner.open()
            assert (await self.trial(runner, self.targets.completing).end()).result == self.result
            runner.close()

    async def test_a_target_that_completes_all_the_same_has_completed(self, runner: Runner) -> None:
        trial = self.trial(runner, self.targets.finishing).start()
        await trial.wait_line("began")
        trial.cancel()
        outcome = await trial.end()
        assert (outcome.transition, outcome.ended_by) == (Transition.COMPLETE, EndedBy.TARGET)

    async def test_progress_and_lines_arrive_while_it_runs(self, runner: Runner) -> None:
        trial = self.trial(runner, self.targets.reporting).start()
        progress = await trial.wait_progress(3)
        assert (progress.total, progress.message) == (4, "three of four")
        await trial.wait_line("one")
        await trial.wait_line("two")
        trial.cancel()
        assert (await trial.end()).transition is Transition.COMPLETE

    async def test_jobs_run_side_by_side(self, runner: Runner) -> None:
        trials = [self.trial(runner, self.targets.obeying).start() for _ in range(5)]
        for trial in trials:
            await trial.wait_line("began")
        for trial in trials:
            trial.cancel()
        assert [await trial.end() for trial in trials] == [CANCELED] * 5

    def test_a_runner_can_be_used_on_one_event_loop_after_the_other(self, runner: Runner) -> None:
        async def run() -> Outcome:
            return await self.trial(runner, self.targets.completing).end()

        assert [asyncio.run(run()).result for _ in range(2)] == [self.result] * 2

    async def test_a_closed_runner_still_runs_jobs(self, runner: Runner) -> None:
        runner.close()
        runner.close()
        assert (await self.trial(runner, self.targets.completing).end()).result == self.result


class StartProblemContract(RunnerTests):
    """What a runner promises whose work can fail to begin, because there is no thread or no process, for example."""

    def hinder(self) -> AbstractContextManager[None]:
        """A block in which this runner cannot begin a job."""
        raise NotImplementedError

    async def test_what_cannot_begin_has_not_failed_and_begins_when_it_can(self) -> None:
        runner = self.create_runner()  # it has no idle thread
        with self.hinder():
            trial = self.trial(runner, self.targets.completing)
            outcome = await trial.end()
        assert (outcome.transition, trial.has_begun) == (Transition.RELEASE, False)
        assert outcome.error
        trial = self.trial(runner, self.targets.completing)
        assert (await trial.end()).result == self.result
        assert trial.has_begun
        runner.close()


class KillContract(RunnerTests):
    """What a runner promises that can kill its work."""

    ignoring: ClassVar[JobTarget] = targets.ignore_requests
    """Says "began", and does not stop when it is asked to."""

    async def test_what_does_not_stop_is_killed_after_its_grace_time(self, runner: Runner) -> None:
        trial = await self._start_ignoring(runner, kill_grace_seconds=0.1)
        trial.cancel()
        outcome = await trial.end()
        assert (outcome.transition, outcome.ended_by) == (Transition.CANCEL, EndedBy.KILL)

    async def test_a_shorter_grace_time_counts_with_the_next_request(self, runner: Runner) -> None:
        trial = await self._start_ignoring(runner, kill_grace_seconds=1_000)
        trial.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
        trial.job.kill_grace_seconds = 0.1
        trial.cancel()
        assert (await trial.end()).ended_by is EndedBy.KILL

    async def _start_ignoring(self, runner: Runner, *, kill_grace_seconds: float) -> Trial:
        trial = self.trial(runner, type(self).ignoring)  # of the instance, a function would be a method
        trial.job.kill_grace_seconds = kill_grace_seconds
        await trial.start().wait_line("began")
        return trial


class CrashContract(RunnerTests):
    """What a runner of functions promises whose work can end with no outcome."""

    crashing: ClassVar[JobTarget] = targets.crash
    """Names `targets.ARTIFACT`, and ends the process that it runs in, at once."""

    async def test_work_that_ends_with_no_outcome_has_crashed_alone(self, runner: Runner) -> None:
        trial = self.trial(runner, type(self).crashing)
        outcome = await trial.end()
        assert (outcome.transition, outcome.ended_by) == (Transition.FAIL, EndedBy.CRASH)
        assert outcome.error
        assert trial.job.artifact_id == targets.ARTIFACT
        assert (await self.trial(runner, self.targets.completing).end()).result == self.result


class PythonRunnerContract(RunnerContract):
    """For runners of functions in Python."""

    targets: ClassVar[PythonTargets]
    result = "given"
    error = "ValueError: no"

    async def test_an_exit_is_a_failure_of_the_target_alone(self, runner: Runner) -> None:
        outcome = await self.trial(runner, self.targets.leaving).end()
        assert (outcome.transition, outcome.ended_by) == (Transition.FAIL, EndedBy.TARGET)
        assert outcome.error == "SystemExit: no more"

    async def test_an_interrupt_is_a_failure_of_the_target_alone(self, runner: Runner) -> None:
        outcome = await self.trial(runner, self.targets.interrupting).end()
        assert (outcome.transition, outcome.error) == (Transition.FAIL, "KeyboardInterrupt")

    async def test_an_error_with_ideas_of_its_own_is_a_failure_of_the_target_alone(self, runner: Runner) -> None:
        outcome = await self.trial(runner, self.targets.failing_oddly).end()
        assert (outcome.transition, outcome.ended_by) == (Transition.FAIL, EndedBy.TARGET)
        assert str(outcome.error).startswith("Odd: (its text cannot be shown")

    async def test_the_artifact_that_a_target_names_last_is_known(self, runner: Runner) -> None:
        trial = self.trial(runner, self.targets.naming)
        assert (await trial.end()).transition is Transition.COMPLETE
        assert trial.job.artifact_id == targets.ARTIFACT

    async def test_a_forked_child_that_comes_to_the_end_of_the_target_ends_there(self, runner: Runner) -> None:
        outcome = await self.trial(runner, self.targets.forking).end()
        assert outcome.result == [0, 7, 1]

    async def test_a_target_that_fails_when_it_is_asked_to_stop_has_failed(self, runner: Runner) -> None:
        trial = self.trial(runner, self.targets.failing_late).start()
        await trial.wait_line("began")
        trial.cancel()
        outcome = await trial.end()
        assert (outcome.transition, outcome.error) == (Transition.FAIL, "ValueError: could not tidy up")

    async def test_a_traceback_begins_in_the_target(self, runner: Runner) -> None:
        outcome = await self.trial(runner, self.targets.failing).end()
        assert outcome.error_traceback is not None
        first, place, *_ = outcome.error_traceback.splitlines()
        assert first == "Traceback (most recent call last):"
        assert "servicekit/testing/runners/targets.py" in place
