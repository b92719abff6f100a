"""Claims jobs while there are free slots, and starts attempts."""

import asyncio
import logging
import os
from collections.abc import Mapping
from typing import Final

from servicekit.engine.attempt import Attempt, AttemptHost, Submit
from servicekit.engine.options import SchedulerOptions
from servicekit.engine.start_problems import StartProblems
from servicekit.engine.timekeeper import Timekeeper
from servicekit.errors import StoreUnavailable
from servicekit.jobs.backoff import Backoff, FailureLog
from servicekit.jobs.options import RunnerKind
from servicekit.jobs.record import JobRecord
from servicekit.jobs.submission import Claim
from servicekit.observability.job_logging import JobLogging
from servicekit.ports import Clock, JobStore, Runner

_CLAIM_BATCH = 100
# Where a claim costs nothing, 32 jobs at once leave the garbage collector little to do: their dozen objects each are
# gone again before there are so many that it looks for circles (700 in Python 3.11, 2,000 in others).
_CLAIM_BATCH_IN_MEMORY = 32
_CANCEL_SECONDS = 1.0
_IN_THREADS: Final = (RunnerKind.THREAD,)
_OUTSIDE: Final = (RunnerKind.PROCESS, RunnerKind.COMMAND)

_log = logging.getLogger("servicekit.engine")


class Worker:
    """Runs the jobs of one store in this process, never more at once than it has slots.

    A slot is taken from the claim until the work has really ended and that is written, also if the job was deleted
    meanwhile.
    """

    def __init__(
        self,
        store: JobStore,
        runners: Mapping[RunnerKind, Runner],
        clock: Clock,
        timekeeper: Timekeeper,
        options: SchedulerOptions,
        lines: JobLogging,
        on_submit: Submit,
    ) -> None:
        self._store = store.attempts
        self._is_durable = store.liveness.is_durable
        self._batch = _CLAIM_BATCH if self._is_durable else _CLAIM_BATCH_IN_MEMORY
        self._runners = runners
        self._failures = FailureLog(_log)
        self._host = AttemptHost(
            store=store.attempts,
            reads=store.reads,
            now=store.liveness.now,
            clock=clock,
            lines=lines,
            failures=FailureLog(_log),  # its own: ends that are late must not hide what else fails
            on_begin=self._attempt_begun,
            on_end=self._attempt_ended,
            on_start_problem=self._attempt_not_begun,
            on_put_off=timekeeper.wake,
            on_submit=on_submit,
        )
        self._max_concurrency = options.max_concurrency
        self._max_here = options.max_concurrency_per_process
        self._queues = {name: limit for name, limit in options.queues.items() if limit is not None}
        self._max_threads = options.max_threads
        self._max_processes = options.max_processes
        self._attempts = self._host.attempts
        self._start_problems = StartProblems(self.wake)
        self._running = dict.fromkeys(RunnerKind, 0)
        self._pid = os.getpid()
        self._is_waiting_for_slots = False
        self._is_paused = False
        self._wake = asyncio.Event()
        self._lines = lines

    @property
    def running_count(self) -> int:
        """How many slots are taken."""
        return len(self._attempts)

    def wake(self) -> None:
        """There may be something to claim."""
        self._wake.set()

    def find_problem(self) -> str | None:
        """What keeps jobs from beginning here, or `None`."""
        return self._start_problems.find_problem()

    def find_notice(self) -> str | None:
        """What keeps single jobs from ending here, though others begin and end; or `None`."""
        late = [problem for attempt in self._attempts.values() if (problem := attempt.find_problem()) is not None]
        if late:
            ends = "The end of a job" if len(late) == 1 else f"The ends of {len(late):,} jobs"
            return f"{ends} cannot be written, and it is tried again: {late[0]}"
        return None

    def set_max_concurrency(self, max_concurrency: int | None) -> None:
        self._max_concurrency = max_concurrency
        self._wake.set()

    def pause(self) -> None:
        """Claim no more, until `run` is called again."""
        self._is_paused = True

    @property
    def is_stopping(self) -> bool:
        """Whether that was said."""
        return self._is_paused

    def limit_process(self, max_concurrency: int | None) -> None:
        self._max_here = max_concurrency
        self._wake.set()

    def is_running(self, job_id: str, attempt: int) -> bool:
        """Whether this is an attempt of this process."""
        found = self._attempts.get(job_id)
        return found is not None and found.claim.attempt == attempt

    def cancel(self, job_id: str) -> None:
        """Ask the job to stop, if it runs here."""
        attempt = self._attempts.get(job_id)
        if attempt is not None:
            attempt.cancel()

    def hear_of_failure(self, record: JobRecord) -> None:
        """The store has ended this job: it waited too long, or nobody is left that could run it."""
        self._lines.lost(record)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Submit on this event loop what jobs submit, those of an earlier one included."""
        self._host.loop, self._host.process = loop, os.getpid()

    async def run(self) -> None:
        """Claim and start, until canceled. May be run again, also on another event loop."""
        if self._pid != os.getpid():  # in a forked child, the attempts are the parent's
            self._pid, self._running = os.getpid(), dict.fromkeys(RunnerKind, 0)
            self._attempts.clear()
        self._start_problems.clear()
        self._wake = asyncio.Event()
        self._wake.set()
        self._is_paused = False
        backoff = Backoff()
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                while await self._fill_slots():  # noqa: ASYNC110
                    await asyncio.sleep(0)  # a long queue must not hold up everything else on the event loop
                backoff.reset()
            except StoreUnavailable as error:
                self._failures.warn("No jobs can be claimed: %s", error)
                await asyncio.sleep(backoff.next_seconds())
                self._wake.set()

    async def _fill_slots(self) -> bool:
        """Claim as many jobs as there are free slots, up to a batch, and start them; say whether there may be more."""
        limit, full = self._find_room()
        self._is_waiting_for_slots = True
        if limit <= 0 or self._is_paused:
            return False
        claims = await self._store.claim(limit, full, self._max_concurrency, self._queues)
        loop, is_told = asyncio.get_running_loop(), self._lines.tells_all
        for claim in claims:
            self._start(claim, loop, is_told=is_told)
        if len(claims) < limit and not self._start_problems.is_empty:
            self._start_problems.note_all_claimed(full)
        # If fewer came than there are slots here, others may hold those of all processes: then every end counts.
        is_limited = bool(self._queues) or (self._max_concurrency is not None and self._is_durable)
        self._is_waiting_for_slots = is_limited or bool(full) or len(claims) == limit
        return len(claims) == limit

    def _start(self, claim: Claim, loop: asyncio.AbstractEventLoop, *, is_told: bool) -> None:
        runner = claim.submission.runner
        self._running[runner] += 1
        attempt = Attempt(claim, self._runners[runner], self._host)
        if runner is not RunnerKind.COROUTINE:
            self._start_problems.note_claimed(runner)
        self._attempts[claim.submission.id] = attempt
        attempt.start(loop, is_told=is_told)

    async def settle(self) -> None:
        """Write the end of attempts that were cut off before they could: with their event loop, or by a stranger."""
        for attempt in list(self._attempts.values()):
            try:
                await attempt.settle()
            except Exception as error:  # a bug must not keep the others from their end
                self._failures.exception(f"The end of job {attempt.job.id} cannot be written", error)

    async def stop(self, grace_seconds: float) -> None:
        """Let the attempts end, for `grace_seconds`; cancel what is left, and wait a second for that."""
        for attempt in self._attempts.values():
            attempt.hurry()
        await self.settle()
        if not await self._wait_for_attempts(grace_seconds):
            for attempt in list(self._attempts.values()):
                attempt.stop()
            await self._wait_for_attempts(_CANCEL_SECONDS)
            await self.settle()
        for attempt in self._attempts.values():
            attempt.leave()

    async def _wait_for_attempts(self, seconds: float) -> bool:
        tasks = [attempt.task for attempt in self._attempts.values() if not attempt.task.done()]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        return not self._attempts

    def _attempt_ended(self, attempt: Attempt) -> None:
        self._running[attempt.claim.submission.runner] -= 1
        if self._attempts.get(attempt.job.id) is attempt:  # others may have taken it over, and given it back
            del self._attempts[attempt.job.id]
        if self._is_waiting_for_slots:
            self._wake.set()

    def _attempt_begun(self, attempt: Attempt) -> None:
        attempt.note_begun()
        self._start_problems.note_begun(attempt.claim.submission.runner)

    def _attempt_not_begun(self, attempt: Attempt, reason: str) -> None:
        kind, is_late = attempt.claim.submission.runner, attempt.has_begun
        attempt.has_begun = False
        others = [each for each in self._attempts.values() if each.claim.submission.runner is kind]
        running = sum(each.has_begun for each in others)
        self._start_problems.note_problem(kind, reason, running, is_late=is_late)

    def _find_room(self) -> tuple[int, tuple[RunnerKind, ...]]:
        """How many jobs may be claimed, and the kinds of runner that take none of them.

        Threads and processes have limits of their own only where slots have none: whoever asks for a thousand threads
        has them.
        """
        limit, running = self._limit, self._running
        free = self._batch if limit is None else min(limit - len(self._attempts), self._batch)
        threads = (limit or self._max_threads) - running[RunnerKind.THREAD]
        outside = (limit or self._max_processes) - running[RunnerKind.PROCESS] - running[RunnerKind.COMMAND]
        least = min(free, threads, outside)
        if least > 0 and self._start_problems.is_empty:  # nearly always
            return least, ()
        full: tuple[RunnerKind, ...] = ()
        hindered = (((kind,), most - running[kind]) for kind, most in self._start_problems.list_most())
        for kinds, room in ((_IN_THREADS, threads), (_OUTSIDE, outside), *hindered):
            if room > 0:
                free = min(free, room)
            else:
                full += tuple(kind for kind in kinds if kind not in full)
        return free, full

    @property
    def _limit(self) -> int | None:
        if self._max_concurrency is None or self._max_here is None:
            return self._max_concurrency or self._max_here
        return min(self._max_concurrency, self._max_here)
