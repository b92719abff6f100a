"""Runs plain functions in threads of the scheduler's own."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from dataclasses import replace

from servicekit.jobs.current import RunningJob
from servicekit.jobs.outcome import CUT_OFF, Outcome, not_begun
from servicekit.jobs.submission import Submission
from servicekit.ports import Runner
from servicekit.runners.functions import call_target, is_coroutine
from servicekit.runners.thread_pool import ThreadPool


class ThreadRunner:
    """Runs a plain function in a thread; a coroutine that it returns is awaited on the event loop.

    A thread cannot be stopped from outside. The function can look at `current_job().is_cancel_requested`. The job goes
    on running until the function has returned.
    """

    def __init__(self, coroutines: Runner) -> None:
        self._coroutines = coroutines
        self._threads = ThreadPool()
        # The outcome of every job that a thread has begun; `None` while the thread works.
        self._outcomes: dict[RunningJob, Outcome | None] = {}

    async def run(self, submission: Submission, job: RunningJob) -> Outcome:
        outcome = await self._run_in_thread(submission, job)
        result = outcome.result
        if is_coroutine(result):
            returned = replace(submission, target=result, args=(), kwargs={})
            return await self._coroutines.run(returned, job)
        return outcome

    def find_outcome(self, job: RunningJob) -> Outcome | None:
        if job not in self._outcomes:
            return CUT_OFF
        outcome = self._outcomes[job]
        if outcome is not None:
            del self._outcomes[job]
            if is_coroutine(outcome.result):  # the task that would await it has ended
                outcome.result.close()
                return CUT_OFF
        return outcome

    def find_room(self, on_room: Callable[[], None]) -> int | None:  # noqa: ARG002 (it is never full)
        return None

    def find_notice(self) -> str | None:
        return None

    def open(self) -> None:
        """Nothing is kept ready."""

    def close(self) -> None:
        """Idle threads end by themselves."""

    async def _run_in_thread(self, submission: Submission, job: RunningJob) -> Outcome:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        context = copy_context()

        def work() -> None:
            self._outcomes[job] = context.run(call_target, submission, job)
            with suppress(RuntimeError):  # the event loop is closed: `find_outcome` will be asked
                loop.call_soon_threadsafe(ended.set)

        self._outcomes[job] = None
        try:
            self._threads.start(work)
        except (RuntimeError, MemoryError) as error:  # the system gives no more threads
            del self._outcomes[job]
            return not_begun(str(error) or "no memory")
        job.note_begun()
        await ended.wait()
        return self._outcomes.pop(job) or CUT_OFF
