"""Runs coroutines on the event loop."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from servicekit.jobs.current import RunningJob, current
from servicekit.jobs.outcome import CANCELED, CUT_OFF, Outcome, completion, failure, is_cancellation
from servicekit.jobs.submission import Submission
from servicekit.jobs.this_process import this_process
from servicekit.runners.children import leave_to_parent


class CoroutineRunner:
    """Runs a coroutine in the task that calls `run`; a cancellation is thrown into the target at its next await."""

    async def run(self, submission: Submission, job: RunningJob) -> Outcome:
        if job.is_cancel_requested:
            submission.discard()
            return CANCELED
        current.set(job)
        job.is_interruptible = True
        process = this_process.id
        try:
            result = await submission.call()
            leave_to_parent(process)
            return completion(result)
        except BaseException as error:
            leave_to_parent(process, error)
            was_asked = job.is_cancel_requested or _is_canceled()
            return CANCELED if was_asked and is_cancellation(error) else failure(error)
        finally:
            job.is_interruptible = False
            if job.is_cancel_requested:
                await absorb_cancellation()

    def find_outcome(self, job: RunningJob) -> Outcome:  # noqa: ARG002
        return CUT_OFF  # the work has ended with its task

    def find_room(self, on_room: Callable[[], None]) -> int | None:  # noqa: ARG002 (it is never full)
        return None

    def find_notice(self) -> str | None:
        return None

    def open(self) -> None:
        """Nothing is kept ready."""

    def close(self) -> None:
        """Nothing is kept ready."""


def _is_canceled() -> bool:
    """Whether this task was canceled by somebody else, as `asyncio.run` does at its end. The work has stopped too."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def absorb_cancellation() -> None:
    """Take the requests to cancel back, so that they cannot hit what this task does next.

    asyncio has not delivered a request yet that came after the target's last await. It is delivered here.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        while task.uncancel():
            pass
