"""One attempt: run the target, write how it ended."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from servicekit.errors import StoreUnavailable
from servicekit.jobs.current import CurrentJob
from servicekit.jobs.outcome import Outcome
from servicekit.jobs.status import Transition
from servicekit.jobs.submission import Claim
from servicekit.ports import JobStore, Runner

PROGRESS_INTERVAL_SECONDS = 0.05
_RETRY_SECONDS = 0.5

_log = logging.getLogger("servicekit.engine")


class Attempt:
    """The run of one claimed job, in a task of its own. It ends when the work has ended and that is written."""

    __slots__ = (
        "_is_late", "_is_stopped", "_loop", "_on_end", "_outcome", "_reporter", "_runner", "_store", "claim", "job",
        "task",
    )  # fmt: skip

    task: asyncio.Task[None]

    def __init__(self, claim: Claim, store: JobStore, runner: Runner, on_end: "Callable[[Attempt], None]") -> None:
        self.claim = claim
        self.job = CurrentJob(claim.submission.id, claim.attempt, self)
        self._store = store
        self._runner = runner
        self._on_end = on_end
        self._reporter: asyncio.Task[None] | None = None
        self._is_stopped = False
        self._outcome: Outcome | None = None
        self._is_late = False

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # Not by the loop's create_task: that may be set to run the first step at once, inside whoever starts it.
        self.task = asyncio.Task(self._run(), loop=loop, name=self.job.id)

    def cancel(self) -> None:
        """Ask the target to stop. It may be asked again, if it did not listen."""
        self.job.request_cancel()
        if self.job.is_interruptible and not self._loop.is_closed():
            self.task.cancel()

    def stop(self) -> None:
        """Ask the target to stop because its process will. The job itself is not canceled, but given back."""
        self._is_stopped = True
        self.cancel()

    async def settle(self) -> None:
        """Write an end if the task was cut off before it could: with its event loop, or before its first step."""
        if not (self.task.done() or self._loop.is_closed()):
            return
        self._outcome = self._outcome or self._runner.find_outcome(self.job)
        if self._outcome is not None and await self._try_to_write(self._outcome):
            self._on_end(self)

    def notify_progress(self) -> None:
        """There is progress to take. Called from the target's thread, once until it is taken."""
        with suppress(RuntimeError):  # the event loop is closed, and nobody watches
            self._loop.call_soon_threadsafe(self._start_reporter)

    async def _run(self) -> None:
        self._outcome = await self._runner.run(self.claim.submission, self.job)
        if self._reporter is not None:
            self._reporter.cancel()
        # The slot is held until it is known how the job has ended; `settle` goes on if this task is cut off.
        while not await self._try_to_write(self._outcome):  # noqa: ASYNC110
            await asyncio.sleep(_RETRY_SECONDS)
        self._on_end(self)

    async def _try_to_write(self, outcome: Outcome) -> bool:
        try:
            progress = self.job.take_progress()
            if progress is not None:
                await self._store.report_progress(self.claim, progress)
            await self._end(outcome)
        except StoreUnavailable as error:
            level = logging.DEBUG if self._is_late else logging.WARNING  # it is tried twice a second
            _log.log(level, "The end of job %s is not written yet: %s", self.job.id, error)
            self._is_late = True
            return False
        return True

    async def _end(self, outcome: Outcome) -> None:
        if self._is_stopped and outcome.transition is Transition.CANCEL:
            await self._store.release(self.claim)
        else:
            await self._store.finish(self.claim, outcome)

    def _start_reporter(self) -> None:
        if self._reporter is None and not self.task.done():
            self._reporter = self._loop.create_task(self._report_progress(), name=f"progress of {self.job.id}")

    async def _report_progress(self) -> None:
        """Write the newest progress now and then, for as long as there is something new."""
        while (progress := self.job.take_progress()) is not None:
            with suppress(StoreUnavailable):  # the next report says all that this one did
                await self._store.report_progress(self.claim, progress)
            await asyncio.sleep(PROGRESS_INTERVAL_SECONDS)
        self._reporter = None
