"""One attempt: run the target within its limits, and write how it ended."""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from servicekit.engine.bridge import start_on, wait_for
from servicekit.engine.late_end import LateEnd
from servicekit.engine.limits import TimeLimits
from servicekit.engine.reports import JobReports
from servicekit.engine.result_hooks import HookCalls, ResultHook
from servicekit.errors import (
    JobNotFound,
    NoCurrentJob,
    RecordUnreadable,
    SchedulerClosed,
    StoreUnavailable,
    TimeLimitExceeded,
)
from servicekit.jobs.backoff import FailureLog
from servicekit.jobs.current import JobCall, RunningJob
from servicekit.jobs.endings import choose_ending, heed_limit
from servicekit.jobs.masks import TextMask
from servicekit.jobs.options import DEFAULT_OPTIONS, OUTSIDE, JobOptions, inherited, seconds_of
from servicekit.jobs.outcome import CUT_OFF, Outcome, failure, not_begun
from servicekit.jobs.shown_calls import find_secrets
from servicekit.jobs.status import EndedBy, Transition
from servicekit.jobs.submission import Claim
from servicekit.observability.activity import ActivityRecorder
from servicekit.observability.job_logging import JobLogging
from servicekit.ports import AttemptStore, Clock, JobReads, Runner

# Half of the second that a stop of the service waits for what it has canceled, so that the kill is seen within it.
_KILL_GRACE_AT_STOP_SECONDS: Final = 0.5

Submit = Callable[[JobCall, str], Coroutine[Any, Any, str]]
"""Submits a job. The text is the id of its parent."""

_log = logging.getLogger("servicekit.engine")


@dataclass(slots=True, kw_only=True)
class AttemptHost:
    """What the attempts of a worker share. They tell it what happens, and so do their running jobs.

    A running job and the other objects of an attempt do not refer to the attempt. Only the garbage collector could free
    such a circle, which would cost each job a fifth of its whole cost.
    """

    store: AttemptStore
    reads: JobReads
    now: Callable[[], datetime]
    """The store's time."""
    clock: Clock
    lines: JobLogging
    counted: ActivityRecorder
    failures: FailureLog
    on_begin: "Callable[[Attempt], None]"
    on_end: "Callable[[Attempt], None]"
    on_start_problem: "Callable[[Attempt, Outcome], None]"
    on_put_off: Callable[[], None]
    """The job is pending again."""
    on_submit: Submit
    mask: Set[str] = frozenset()
    result_hooks: Sequence[ResultHook] = ()
    """A feature may add to them until the service starts."""
    database_url: str | None = None
    attempts: "dict[str, Attempt]" = field(default_factory=dict)
    """The attempts that have not ended, by the ids of their jobs; of each job the newest. The worker puts them in."""
    loop: asyncio.AbstractEventLoop = field(init=False)
    """The event loop on which the engine was started last."""
    process: int = 0
    """The process in which the engine was started last."""

    def find_secrets(self, claim: Claim, reports: JobReports | None = None) -> TextMask:
        """What is masked in all that the attempt says. It can mean to read all arguments, so reports keep it."""
        return find_secrets(claim.submission, self.mask) if reports is None else reports.secrets

    def notify_begun(self, job: RunningJob) -> None:
        if (attempt := self._find(job)) is not None:
            self.on_begin(attempt)

    def notify_report(self, job: RunningJob) -> None:
        """The job has new progress or lines. Called in the target's thread, and not again until they are taken."""
        if (attempt := self._find(job)) is not None:
            with suppress(RuntimeError):  # the event loop is closed, and so are the streams that would show it
                attempt.loop.call_soon_threadsafe(attempt.start_reports)

    async def submit_for(self, job: RunningJob, call: JobCall) -> str:
        self._check_process()
        if asyncio.get_running_loop() is self.loop:
            return await self._submit_for(job, call)
        return await asyncio.wrap_future(start_on(self.loop, self._submit_for(job, call)))

    def submit_blocking_for(self, job: RunningJob, call: JobCall) -> str:
        self._check_process()
        return wait_for(start_on(self.loop, self._submit_for(job, call)))

    def _check_process(self) -> None:
        """`NoCurrentJob` in a child that a target has forked: the event loop there is a copy that does not run."""
        if self.process != os.getpid():
            raise NoCurrentJob

    async def _submit_for(self, job: RunningJob, call: JobCall) -> str:
        try:
            options = inherited(call.options, job.submission.options.owner)
            return await self.on_submit(call._replace(options=options), job.id)
        except SchedulerClosed:
            if (attempt := self._find(job)) is not None:
                attempt.is_refused = True
            raise

    async def tell_end(
        self, claim: Claim, ending: Outcome, written: Transition, seconds: float, *, is_told: bool
    ) -> None:
        """Log what has become of the job: perhaps not `ending`, since it may have been asked to stop meanwhile.

        The work took so many seconds; the store may have been away for longer.
        """
        if ending.is_lost:
            await self._tell_of_stop(claim, written)
        elif written is Transition.RETRY and ending.retry_at is not None:
            self.lines.put_off(claim, ending, ending.retry_at - self.now())
        elif written is not Transition.RELEASE and (is_told or written is Transition.FAIL):
            self.lines.ended(claim, written, ending, seconds)
        if written.gives_back and not ending.is_lost:
            self.on_put_off()  # the job's time to wait may be over already

    async def _tell_of_stop(self, claim: Claim, written: Transition) -> None:
        if written is not Transition.FAIL:
            self.lines.stopped(claim, written)
            return
        with suppress(StoreUnavailable, JobNotFound, RecordUnreadable):  # only the log misses it
            self.lines.lost(await self.reads.get_record(claim.submission.id))

    def _find(self, job: RunningJob) -> "Attempt | None":
        """The job's attempt. `None` if it has ended, or if the job was taken over and came back as another attempt."""
        attempt = self.attempts.get(job.id)
        return attempt if attempt is not None and attempt.job is job else None


class Attempt:
    """The run of one claimed job, in a task of its own. It ends when the work has ended and the store has the end."""

    __slots__ = (
        "_began_at", "_exceeded", "_host", "_is_canceled", "_is_left", "_is_shown", "_is_stopped", "_is_told",
        "_limits", "_outcome", "_reports", "_runner", "_seconds", "_store", "_tries", "_watcher", "claim",
        "has_begun", "hook_calls", "is_hurried", "is_refused", "job", "late_end", "loop", "task",
    )  # fmt: skip

    task: asyncio.Task[None]

    def __init__(self, claim: Claim, runner: Runner, host: AttemptHost) -> None:
        self.claim = claim
        self.has_begun = False
        """Whether the work has begun. Coroutines begin at once, and do not say so."""
        self.job = RunningJob(claim.submission, claim.attempt, host)
        self._host = host
        self._store = host.store
        self._runner = runner
        self._limits: TimeLimits | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._reports: JobReports | None = None  # made when the job has said something
        self._exceeded: TimeLimitExceeded | None = None
        self._is_canceled = False
        self._is_stopped = False
        self._outcome: Outcome | None = None
        self._tries = 0  # to write the end
        self._is_left = False
        self._is_shown = False  # to the hooks
        self.hook_calls: HookCalls | None = None
        """Made when there are hooks to which the end is shown."""
        self.late_end: LateEnd | None = None
        """Made when the end could not be written at the first try."""
        self.is_hurried = False
        """Whether the process stops: an end that could not be written is tried again soon."""
        self.is_refused = False
        """Whether the target wanted to submit a job, and was told that the scheduler is closed."""

    def start(self, loop: asyncio.AbstractEventLoop, *, is_told: bool) -> None:
        """Begin. `is_told`: whether the log of the service says that the job starts, and ends without an error."""
        self.loop = loop
        self._began_at = self._host.clock.monotonic()
        self._is_told = is_told
        if is_told:
            self._host.lines.started(self.claim)
        # Not by the loop's create_task: with an eager task factory, it would run the first step here.
        self.task = asyncio.Task(self._run(), loop=loop, name=self.job.id)
        if self.claim.submission.runner in OUTSIDE:
            self.job.guard = self._store.guard
        options = self.claim.submission.options
        if options is not DEFAULT_OPTIONS:
            self.job.kill_grace_seconds = seconds_of(options.kill_grace)
            if self.claim.submission.runner not in OUTSIDE:
                self._set_limits(options)

    def note_begun(self) -> None:
        """The work has begun. A runner whose work may fail to begin says so."""
        self.has_begun = True
        # Its time counts from now: until then the job has waited for the launcher. The runner can hear this after the
        # event loop is closed, when it ends work that was cut off.
        if self.claim.submission.runner in OUTSIDE and not self.loop.is_closed():
            self._set_limits(self.claim.submission.options)

    def _set_limits(self, options: JobOptions) -> None:
        limits = TimeLimits(self.job, options, self._host.clock)
        if limits.is_needed:
            self._limits = limits
            if self._reports is not None:
                self._reports.limits = limits
            self._watcher = self.loop.create_task(self._watch(limits), name=f"limits of {self.job.id}")

    async def _watch(self, limits: TimeLimits) -> None:
        """Ask the target to stop when it exceeds a limit, unless it was asked before or has ended."""
        error = await limits.wait_exceeded()
        if not (self._is_canceled or self._is_stopped or self._outcome is not None):
            self._exceeded = error
            self._ask_to_stop()

    def cancel(self) -> None:
        """Ask the target to stop. It may be asked again if it goes on."""
        self._is_canceled = True
        self._ask_to_stop()

    def stop(self) -> None:
        """Ask the target to stop because the process stops. The job is not canceled: it is given back."""
        self._is_stopped = True
        self.job.kill_grace_seconds = min(self.job.kill_grace_seconds, _KILL_GRACE_AT_STOP_SECONDS)
        self._ask_to_stop()

    def leave(self) -> None:
        """The store will be closed. An end that cannot be written after that is left to `settle` or another process."""
        self._is_left = True
        if self._outcome is None:
            self._host.lines.left(self.claim)
        else:
            self._host.lines.unwritten(self.claim)

    def _ask_to_stop(self) -> None:
        self.job.request_cancel()
        if self.job.is_interruptible and not self.loop.is_closed():
            self.task.cancel()

    async def settle(self, *, may_show: bool) -> None:
        """Write the end if the task was cut off before it could: with its event loop, or before its first step.

        If hooks have to see it first, a new task does both, since they are code of users, which may take long. Unless
        it `may_show` the end to them, the end is left.
        """
        if not (self.task.done() or self.loop.is_closed()):
            return
        if self._outcome is None:
            outcome = self._runner.find_outcome(self.job)
            is_lost = outcome is CUT_OFF and self._is_waiting
            self._outcome = not_begun("its task was ended from outside") if is_lost else outcome
        if self._outcome is None:
            return
        if self._is_shown or not self._host.result_hooks:
            if await self._try_to_write(self._outcome):
                self._host.on_end(self)
        elif may_show:
            self.loop, self._is_left, self._watcher = asyncio.get_running_loop(), False, None
            self.task = asyncio.Task(self._run(), loop=self.loop, name=self.job.id)

    @property
    def _is_waiting(self) -> bool:
        """Whether it is certain that nothing of the work has begun."""
        return self.claim.submission.runner in OUTSIDE and not self.has_begun

    def start_reports(self) -> None:
        """Write what the job has said, unless it has ended since."""
        if not self.task.done():
            self._made_reports().start()

    async def _run(self) -> None:  # noqa: C901 # in parts, each job would pay for more coroutines
        # This is the hot path of every job. What few jobs need is tested here, so that the others save the call.
        outcome = self._outcome
        if outcome is None:  # else `settle` goes on with what another task has begun
            try:
                self._outcome = outcome = await self._runner.run(self.claim.submission, self.job)
                if outcome.transition is Transition.RELEASE:
                    # The reason is logged, and anybody may read it at /health.
                    outcome = self._host.find_secrets(self.claim, self._reports).hide_in_outcome(outcome)
                    self._host.on_start_problem(self, outcome)  # nothing has begun: it is tried again later
            except Exception as error:  # a bug of a runner, which would hold the slot for ever
                self._host.failures.exception(f"Job {self.job.id} could not be run", error)
                self._outcome = outcome = failure(error, EndedBy.CRASH)
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None  # the task holds its error, whose traceback holds this attempt: a circle
        if self._host.result_hooks:
            outcome = await self._show_to_hooks(outcome)
        if self._reports is not None:
            await self._reports.stop()
        # The slot is held until it is known how the job has ended; `settle` goes on if this task is cut off.
        is_written = await self._try_to_write(outcome)
        # A task that was canceled by somebody else, as `asyncio.run` does at its end, must end: `settle` goes on.
        while not (is_written or self.late_end is None or self._is_left or self.task.cancelling()):
            await self.late_end.wait(self)
            is_written = await self._try_to_write(outcome)
        if is_written:
            self._host.on_end(self)

    async def _show_to_hooks(self, outcome: Outcome) -> Outcome:
        """Let the hooks see and change the outcome, once. The attempt keeps what they return."""
        if self._is_shown:
            return outcome
        self._outcome = outcome = heed_limit(outcome, self._exceeded)
        self._exceeded = None  # the hooks have the last word
        try:
            is_given_back = self._choose_ending(outcome).transition is Transition.RELEASE
        except Exception:  # the job fails: `_try_to_write` finds the same, and tells of it
            is_given_back = False
        if not is_given_back:
            self.hook_calls = HookCalls(self._host.result_hooks, self.job, self._host.failures)
            outcome = await self.hook_calls.show(outcome)
        self._outcome, self._is_shown = outcome, True
        return outcome

    async def _try_to_write(self, outcome: Outcome) -> bool:
        if self._tries == 0:
            self._seconds = self._host.clock.monotonic() - self._began_at
        self._tries += 1
        try:
            if outcome.transition is not Transition.COMPLETE or self._exceeded is not None:
                outcome = self._choose_ending(heed_limit(outcome, self._exceeded))
            if self.job.artifact_id is not None:
                outcome = outcome._replace(artifact_id=self.job.artifact_id)
            if self._reports is None and not self.job.has_report:
                written = await self._store.end_attempt(self.claim, outcome)
            else:
                written = await self._end_with_report(outcome)
            self._host.counted.ended(self.claim, written, self._seconds)
            if written is not None and (self._is_told or written is not Transition.COMPLETE):
                await self._host.tell_end(self.claim, outcome, written, self._seconds, is_told=self._is_told)
        except StoreUnavailable as error:
            self._note_late(error)
            return False
        except Exception as error:  # a bug, or the job's row was changed by another program
            self._host.failures.exception(f"Job {self.job.id} fails, since its end cannot be written", error)
            return await self._write_failure(error)
        return True

    async def _write_failure(self, reason: Exception) -> bool:
        """Write that the job has failed, since its real end cannot be written."""
        failed = self._host.find_secrets(self.claim, self._reports).hide_in_outcome(failure(reason, EndedBy.CRASH))
        failed = failed._replace(artifact_id=self.job.artifact_id)
        try:
            self._host.counted.ended(self.claim, await self._store.end_attempt(self.claim, failed), self._seconds)
        except Exception as error:
            self._note_late(error)
            return False
        return True

    def _note_late(self, error: Exception) -> None:
        if self.late_end is None:
            self.late_end = LateEnd(self.loop)
        self.late_end.note(error)
        if self._is_left:  # the store was closed in order, so this is expected: see `leave`
            _log.debug("The end of job %s is not written: %s", self.job.id, error)
        else:
            self._host.failures.warn("The end of job %s is not written yet: %s", self.job.id, error)

    async def _end_with_report(self, outcome: Outcome) -> Transition | None:
        """Write what the job has said last, and its end.

        A store writes in the order in which it is asked, and all of it in one transaction if it can.
        """
        self.job.finish_log()
        reports = self._made_reports()
        *reported, written = await asyncio.gather(
            reports.write_progress(),
            reports.write_lines(),
            self._store.end_attempt(self.claim, outcome),
            return_exceptions=True,
        )
        if isinstance(written, BaseException):
            raise written
        for error in reported:
            if isinstance(error, BaseException):  # the end is more important than a few lines
                self._host.failures.exception(f"The last lines of job {self.job.id} cannot be written", error)
        return written

    def _choose_ending(self, outcome: Outcome) -> Outcome:
        if outcome.error is not None:
            outcome = self._host.find_secrets(self.claim, self._reports).hide_in_outcome(outcome)
        return choose_ending(
            outcome,
            self.claim.submission.options.retry,
            self.claim.failures + 1,
            self._host.now,
            has_begun=not self._is_waiting,
            is_canceled=self._is_canceled,
            is_stopped=self._is_stopped,
            is_refused=self.is_refused,
        )

    def _made_reports(self) -> JobReports:
        if self._reports is None:
            secrets = self._host.find_secrets(self.claim)
            self._reports = JobReports(self.claim, self.job, self._store, self._host.failures, secrets, self._limits)
        return self._reports
