"""The attempts of this process that have not ended, and how they end when the process stops."""

import asyncio
import logging
from typing import Final

from servicekit.engine.attempt import Attempt
from servicekit.jobs.backoff import FailureLog
from servicekit.jobs.submission import CallProblem, Submission

# Work that obeys ends within milliseconds. The stop of a service must not wait long for the rest: after some seconds
# systemd or Kubernetes kills the process, and nothing is written any more.
_CANCEL_SECONDS: Final = 1.0

_log = logging.getLogger("servicekit.engine")


class RunningAttempts:
    """The attempts of a worker, by the ids of their jobs. The worker puts them in, and takes them out at their end."""

    def __init__(self, by_job: dict[str, Attempt]) -> None:
        self._by_job = by_job
        self._failures = FailureLog(_log)

    def find_submission(self, job_id: str) -> Submission | None:
        """The submission of a job that runs in this process."""
        found = self._by_job.get(job_id)
        return None if found is None else found.claim.submission

    def find_notice(self) -> str | None:
        """What keeps single jobs from ending here, though others begin and end; or `None`."""
        ends = [attempt.late_end for attempt in self._by_job.values() if attempt.late_end is not None]
        late = [problem for end in ends if (problem := end.find_problem()) is not None]
        calls = [attempt.hook_calls for attempt in self._by_job.values() if attempt.hook_calls is not None]
        slow = [call.slow_hook for call in calls if call.slow_hook is not None]
        notices = []
        if late:
            notices.append(f"{_count_ends(late)} cannot be written, and it is tried again: {late[0]}")
        if slow:
            notices.append(f"{_count_ends(slow)} cannot be written yet: the hook {slow[0]} has not answered.")
        return " ".join(notices) or None

    async def settle(self, *, may_show: bool = True) -> None:
        """Write the ends of attempts whose tasks were cut off: with their event loop, or by somebody else.

        What hooks have to see first goes on in a task of its own; unless it `may_show` that to them, it is left.
        """
        for attempt in list(self._by_job.values()):
            try:
                await attempt.settle(may_show=may_show)
            except Exception as error:  # a bug must not keep the others from their end
                self._failures.exception(f"The end of job {attempt.job.id} cannot be written", error)

    async def stop(self, grace_seconds: float) -> None:
        """Let the attempts end, for `grace_seconds`; cancel what is left, and wait a second for that."""
        for attempt in self._by_job.values():
            attempt.is_hurried = True
        await self.settle()
        if not await self._wait(grace_seconds):
            self.ask_to_stop(is_all=True)
            await self._wait(_CANCEL_SECONDS)
            await self.settle(may_show=False)  # no time is left for hooks
        for attempt in self._by_job.values():
            attempt.leave()

    def ask_to_stop(self, *, is_all: bool) -> None:
        """Ask all to stop, or those that another process could run, so that their jobs are given back."""
        for attempt in list(self._by_job.values()):
            if is_all or not isinstance(attempt.claim.submission.description, CallProblem):
                attempt.stop()

    async def _wait(self, seconds: float) -> bool:
        """Wait for the end of all, for so long; say whether they have ended."""
        tasks = [attempt.task for attempt in self._by_job.values() if not attempt.task.done()]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        return not self._by_job


def _count_ends(problems: list[str]) -> str:
    return "The end of a job" if len(problems) == 1 else f"The ends of {len(problems):,} jobs"
