"""Claims jobs while there are free slots, and starts attempts."""

import asyncio
from collections.abc import Collection, Mapping

from servicekit.engine.attempt import Attempt
from servicekit.jobs.submission import Claim, RunnerKind
from servicekit.ports import JobStore, Runner

_CLAIM_BATCH = 100
_CANCEL_SECONDS = 1.0


class Worker:
    """Runs the jobs of one store in this process, never more at once than it has slots.

    A slot is taken from the claim until the work has really ended and that is written, also if the job was deleted
    meanwhile. Without a limit of slots, threads still have one of their own.
    """

    def __init__(
        self, store: JobStore, runners: Mapping[RunnerKind, Runner], max_concurrency: int | None, max_threads: int
    ) -> None:
        self._store = store
        self._runners = runners
        self._max_concurrency = max_concurrency
        self._max_threads = max_threads
        self._attempts: dict[str, Attempt] = {}
        self._thread_count = 0
        self._is_waiting_for_slots = False
        self._wake = asyncio.Event()

    @property
    def running_count(self) -> int:
        """How many slots are taken."""
        return len(self._attempts)

    def wake(self) -> None:
        """There may be something to claim."""
        self._wake.set()

    def set_max_concurrency(self, max_concurrency: int | None) -> None:
        self._max_concurrency = max_concurrency
        self._wake.set()

    def cancel(self, job_id: str) -> None:
        """Ask the job to stop, if it runs here."""
        attempt = self._attempts.get(job_id)
        if attempt is not None:
            attempt.cancel()

    async def run(self) -> None:
        """Claim and start, until canceled. May be run again, also on another event loop."""
        self._wake = asyncio.Event()
        self._wake.set()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while await self._fill_slots():  # noqa: ASYNC110
                await asyncio.sleep(0)  # a long queue must not hold up everything else on the event loop

    async def _fill_slots(self) -> bool:
        """Claim as many jobs as there are free slots, up to a batch, and start them; say whether there may be more."""
        limit, full = self._free_slots(), self._full_runners()
        self._is_waiting_for_slots = True
        if limit <= 0:
            return False
        claims = await self._store.claim(limit, full)
        loop = asyncio.get_running_loop()
        for claim in claims:
            self._start(claim, loop)
        self._is_waiting_for_slots = bool(full) or len(claims) == limit
        return len(claims) == limit

    def _start(self, claim: Claim, loop: asyncio.AbstractEventLoop) -> None:
        runner = claim.submission.runner
        self._thread_count += runner is RunnerKind.THREAD
        attempt = Attempt(claim, self._store, self._runners[runner], self._attempt_ended)
        self._attempts[claim.submission.id] = attempt
        attempt.start(loop)

    async def settle(self) -> None:
        """Write the end of attempts that were cut off before they could: with their event loop, or by a stranger."""
        for attempt in list(self._attempts.values()):
            await attempt.settle()

    async def stop(self, grace_seconds: float) -> None:
        """Let the attempts end, for `grace_seconds`; cancel what is left, and wait a second for that."""
        await self.settle()
        if not await self._wait_for_attempts(grace_seconds):
            for attempt in list(self._attempts.values()):
                attempt.cancel()
            await self._wait_for_attempts(_CANCEL_SECONDS)
            await self.settle()

    async def _wait_for_attempts(self, seconds: float) -> bool:
        tasks = [attempt.task for attempt in self._attempts.values() if not attempt.task.done()]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        return not self._attempts

    def _attempt_ended(self, attempt: Attempt) -> None:
        self._thread_count -= attempt.claim.submission.runner is RunnerKind.THREAD
        del self._attempts[attempt.job.id]
        if self._is_waiting_for_slots:
            self._wake.set()

    def _free_slots(self) -> int:
        free = _CLAIM_BATCH if self._max_concurrency is None else self._max_concurrency - len(self._attempts)
        return min(free, self._free_threads() or free, _CLAIM_BATCH)

    def _full_runners(self) -> Collection[RunnerKind]:
        return () if self._free_threads() else (RunnerKind.THREAD,)

    def _free_threads(self) -> int:
        limit = self._max_threads if self._max_concurrency is None else self._max_concurrency
        return max(0, limit - self._thread_count)
