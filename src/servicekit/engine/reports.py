"""Reports: progress and lines of a running job, on their way to the store."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from servicekit.engine.limits import TimeLimits
from servicekit.errors import StoreUnavailable
from servicekit.jobs.backoff import Backoff, FailureLog
from servicekit.jobs.current import RunningJob
from servicekit.jobs.log_lines import NewLine
from servicekit.jobs.masks import NO_SECRETS, TextMask
from servicekit.jobs.record import Progress
from servicekit.jobs.submission import Claim
from servicekit.ports import AttemptStore

PROGRESS_INTERVAL_SECONDS: Final = 0.05  # twenty writes a second at most, however often a target reports
_MOST_LINES: Final = 2_000  # two full buffers of a job: what a store that is away may cost in memory


class JobReports:
    """Progress and lines of one attempt. They are written at intervals while there are new ones, and at the end.

    If they cannot be written, they are kept for the next time: the newest progress, and the newest 2,000 lines.
    """

    def __init__(
        self,
        claim: Claim,
        job: RunningJob,
        store: AttemptStore,
        failures: FailureLog,
        secrets: TextMask,
        limits: TimeLimits | None,
    ) -> None:
        self._claim = claim
        self._job = job
        self._store = store
        self._failures = failures
        self.secrets = secrets
        """What is masked in all that the job says."""
        self.limits = limits
        """The time limits, which are told of progress."""
        self._task: asyncio.Task[None] | None = None
        self._is_writing = False
        self._is_stopped = False
        self._timer: asyncio.TimerHandle | None = None  # for a line that is written over: see `seconds_to_next_line`
        self._progress: Progress | None = None
        self._lines: Sequence[NewLine] = ()

    def start(self) -> None:
        """Write reports as long as there are new ones. Called on the event loop."""
        self._cancel_timer()
        if self._task is None and not self._is_stopped:
            self._task = asyncio.create_task(self._write_all(), name=f"reports of {self._job.id}")

    async def stop(self) -> None:
        """Start no more writes, and wait for one that is under way: `write` would else write the same again."""
        self._is_stopped = True
        self._cancel_timer()
        task, self._task = self._task, None  # see `AttemptHost`
        if task is None or task.get_loop() is not asyncio.get_running_loop():
            return  # nothing can be under way: an earlier event loop has ended, and its tasks with it
        if self._is_writing:
            await asyncio.wait([task])
        else:
            task.cancel()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _write_all(self) -> None:
        backoff = Backoff(PROGRESS_INTERVAL_SECONDS)
        pause = await self._write_once(backoff)
        while pause is not None and not self._is_stopped:
            await asyncio.sleep(pause)
            pause = await self._write_once(backoff)
        self._task = None
        seconds = self._job.seconds_to_next_line()
        if seconds is not None and not self._is_stopped:
            self._timer = asyncio.get_running_loop().call_later(seconds, self.start)

    async def _write_once(self, backoff: Backoff) -> float | None:
        """Write new reports. Return the seconds to wait until the next time; `None` if there were none."""
        self._is_writing = True
        try:
            is_new = await self.write()
        except StoreUnavailable:
            return backoff.next_seconds()
        except Exception as error:  # a bug, which must not keep from the store what the job says later
            self._failures.exception(f"The report of job {self._job.id} cannot be written yet", error)
            return backoff.next_seconds()
        finally:
            self._is_writing = False
        backoff.reset()
        return PROGRESS_INTERVAL_SECONDS if is_new else None

    async def write(self) -> bool:
        """Write the newest progress and the new lines. Return whether there were any."""
        has_progress = await self.write_progress()
        return await self.write_lines() or has_progress

    async def write_progress(self) -> bool:
        """Write the newest progress. Return whether there was one."""
        progress = self._job.take_progress()
        if progress is not None and self.limits is not None:
            self.limits.hear()
        if progress is not None and progress.message is not None:
            progress = replace(progress, message=self.secrets.hide_in_clipped(progress.message))
        progress = progress or self._progress
        if progress is None:
            return False
        self._progress = progress  # kept for the next write, if this one is cut off; writing it twice does no harm
        await self._store.report_progress(self._claim, progress)
        self._progress = None
        return True

    def _take_lines(self) -> list[NewLine]:
        lines, secrets = self._job.take_lines(), self.secrets
        if secrets is NO_SECRETS:
            return lines
        return [
            line._replace(text=secrets.hide_in_clipped(line.text), source=secrets.hide(line.source)) for line in lines
        ]

    async def write_lines(self) -> bool:
        """Write the new lines. Return whether there were any."""
        # Taken right before they are written. If the task is cut off while it waits for the store, the store still
        # writes them; if it were cut off between, they would be lost.
        lines = [*self._lines, *self._take_lines()][-_MOST_LINES:]
        if not lines:
            return False
        self._lines = ()
        try:
            await self._store.append_log(self._claim, lines)
        except StoreUnavailable:
            self._lines = lines
            raise
        return True
