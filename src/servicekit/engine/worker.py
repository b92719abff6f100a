"""Claims jobs while there are free slots, and starts attempts."""

import asyncio
import logging
import os
from collections.abc import Collection, Mapping

from servicekit.engine.attempt import Attempt, AttemptHost, Submit
from servicekit.engine.options import SchedulerOptions
from servicekit.engine.running_attempts import RunningAttempts
from servicekit.engine.slots import NOT_ON_CLUSTER, Slots
from servicekit.engine.start_problems import StartProblems
from servicekit.engine.timekeeper import Timekeeper
from servicekit.errors import StoreUnavailable
from servicekit.jobs.backoff import Backoff, FailureLog
from servicekit.jobs.options import RunnerKind
from servicekit.jobs.outcome import Outcome, clip
from servicekit.jobs.record import JobRecord
from servicekit.jobs.resources import Resources
from servicekit.jobs.workers import MOST_CHARACTERS, Readiness
from servicekit.observability.activity import ActivityRecorder
from servicekit.observability.job_logging import JobLogging
from servicekit.ports import Clock, JobStore, Runner

_log = logging.getLogger("servicekit.engine")


class Worker:
    """Runs the jobs of one store in this process, never more at once than it has slots.

    A job holds its slot from the claim until its work has really ended and the store has the end, also if the job was
    deleted meanwhile.
    """

    def __init__(
        self,
        store: JobStore,
        runners: Mapping[RunnerKind, Runner],
        clock: Clock,
        timekeeper: Timekeeper,
        options: SchedulerOptions,
        lines: JobLogging,
        counted: ActivityRecorder,
        on_submit: Submit,
        database_url: str | None = None,
    ) -> None:
        self._store = store.attempts
        self._runners = runners
        self._kinds = tuple(kind for kind in RunnerKind if kind in runners)
        self._failures = FailureLog(_log)
        self._host = AttemptHost(
            store=store.attempts,
            reads=store.reads,
            now=store.liveness.now,
            clock=clock,
            lines=lines,
            counted=counted,
            failures=FailureLog(_log),  # its own: late ends must not hide other failures
            on_begin=self._attempt_begun,
            on_end=self._attempt_ended,
            on_start_problem=self._attempt_not_begun,
            on_put_off=timekeeper.wake,
            on_submit=on_submit,
            result_hooks=options.result_hooks,
            mask=frozenset(options.mask),
            database_url=database_url,
        )
        self.runs_jobs = False
        """Whether this process claims jobs. The engine says so before it opens the store."""
        self.attempts = RunningAttempts(self._host.attempts)
        self._by_job = self._host.attempts
        self.start_problems = StartProblems(self.wake)
        self._slots = Slots(options, self.start_problems, runners, self.wake, is_durable=store.liveness.is_durable)
        self._taken = self._slots.taken
        self._pid = os.getpid()
        self._is_waiting_for_slots = False
        self._is_paused = False
        self._wake = asyncio.Event()
        self._lines = lines
        self._counted = counted

    @property
    def running_count(self) -> int:
        """How many jobs hold a slot."""
        return len(self._by_job)

    def wake(self) -> None:
        """There may be something to claim."""
        self._wake.set()

    @property
    def readiness(self) -> Readiness:
        """See `JobSignals`."""
        if not self.runs_jobs:
            return Readiness()
        reasons = self.start_problems.list_reasons()
        cluster = self._runners.get(RunnerKind.RAY)
        # A cluster has a notice while it cannot be reached. Those of other runners keep no job from beginning.
        if cluster is not None and (notice := cluster.find_notice()) is not None:
            reasons[RunnerKind.RAY] = notice
        return Readiness(self._kinds, {kind: clip(reason, MOST_CHARACTERS) for kind, reason in reasons.items()})

    def set_max_concurrency(self, max_concurrency: int | None) -> None:
        self._slots.max_concurrency = max_concurrency
        self._wake.set()

    def pause(self) -> None:
        """Claim no more, until `run` is called again."""
        self._is_paused = True

    @property
    def is_stopping(self) -> bool:
        """Whether the worker claims no more, since the process stops."""
        return self._is_paused

    def limit_process(self, max_concurrency: int | None) -> None:
        self._slots.max_here = max_concurrency
        self._wake.set()

    def is_running(self, job_id: str, attempt: int) -> bool:
        """Whether this is an attempt of this process."""
        found = self._by_job.get(job_id)
        return found is not None and found.claim.attempt == attempt

    def cancel(self, job_id: str) -> None:
        """Ask the job to stop, if it runs here."""
        attempt = self._by_job.get(job_id)
        if attempt is not None:
            attempt.cancel()

    def keep_only(self, held: Collection[tuple[str, int]]) -> None:
        """Stop what else runs here: it is no attempt of this process any more."""
        for attempt in list(self._by_job.values()):
            if (attempt.job.id, attempt.claim.attempt) not in held:
                attempt.stop()

    def stop_attempts(self, *, are_lost: bool) -> None:
        """Other processes may take over what runs here. Claiming goes on."""
        self.attempts.ask_to_stop(is_all=are_lost)

    def hear_of_failure(self, record: JobRecord) -> None:
        """The store has ended this job: it waited too long, or no process is left that could run it."""
        self._lines.lost(record)
        self._counted.ended_record(record)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Submit on this event loop the jobs that jobs submit, also jobs that began on an earlier loop."""
        self._host.loop, self._host.process = loop, os.getpid()

    async def run(self) -> None:
        """Claim and start, until canceled. May be run again, also on another event loop."""
        if self._pid != os.getpid():  # in a forked child, the attempts are the parent's
            self._pid = os.getpid()
            self._slots.clear()
            self._by_job.clear()
        self.start_problems.clear()
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
        slots = self._slots
        if slots.cluster is not None:
            await asyncio.sleep(0)  # attempts that were just started take their room with their first step
        limit, most, full = slots.find_room(len(self._by_job))
        self._is_waiting_for_slots = True
        if limit <= 0 or self._is_paused:
            return False
        on_cluster = slots.find_room_on_cluster(limit)
        excluded, count = full, 0
        if on_cluster is not None:
            if on_cluster > 0:
                count = await self._claim(on_cluster, NOT_ON_CLUSTER)
            excluded += (RunnerKind.RAY,)
        claimed = await self._claim(limit - count, excluded, most - count)
        # If fewer jobs came than there are free slots here, other processes may hold the rest of a shared limit. Then
        # every end is a reason to look again. The cluster tells itself when it has room again.
        is_limited = bool(slots.queues) or (slots.max_concurrency is not None and slots.is_durable)
        are_more = claimed >= limit - count or 0 < (on_cluster or 0) <= count
        self._is_waiting_for_slots = is_limited or full != slots.missing or are_more
        return are_more

    async def _claim(self, limit: int, excluded: tuple[RunnerKind, ...], most: int = 0) -> int:
        """Claim and start jobs; return how many."""
        slots = self._slots
        claims = await self._store.claim(limit, excluded, slots.max_concurrency, slots.queues, most)
        loop, is_told = asyncio.get_running_loop(), self._lines.tells_all
        if claims:
            self._counted.started(claims, self._host.now())
        for claim in claims:
            job_id, kind = claim.submission.id, claim.submission.runner
            # A store that has lost its newest changes can give the very attempt that runs here: it goes on.
            if self.is_running(job_id, claim.attempt):
                continue
            self._taken[kind] += 1
            if kind is not RunnerKind.COROUTINE:
                self.start_problems.note_claimed(kind)
            self._by_job[job_id] = attempt = Attempt(claim, self._runners[kind], self._host)
            attempt.start(loop, is_told=is_told)
        if len(claims) < limit and not self.start_problems.is_empty:
            self.start_problems.note_all_claimed(excluded)
        return len(claims)

    def _attempt_ended(self, attempt: Attempt) -> None:
        self._taken[attempt.claim.submission.runner] -= 1
        if self._by_job.get(attempt.job.id) is attempt:  # else the job was taken over, and is here as another attempt
            del self._by_job[attempt.job.id]
        if self._is_waiting_for_slots:
            self._wake.set()

    def _attempt_begun(self, attempt: Attempt) -> None:
        attempt.note_begun()
        kind = attempt.claim.submission.runner
        self.start_problems.note_begun(kind)
        if kind is RunnerKind.RAY and self._slots.cluster is not None:
            self._slots.cluster.note_begun(attempt.job.id)

    def _attempt_not_begun(self, attempt: Attempt, outcome: Outcome) -> None:
        submission, is_late = attempt.claim.submission, attempt.has_begun
        kind = submission.runner
        attempt.has_begun = False
        if self._slots.cluster is not None and kind is RunnerKind.RAY:
            if outcome.is_waiting:
                self._slots.cluster.note_waiting(submission.id, submission.options.resources or Resources())
            if outcome.is_waiting or self._slots.cluster.find_room() == 0:
                return  # it tells when there is room again, so nothing need be tried
        others = [each for each in self._by_job.values() if each.claim.submission.runner is kind]
        running = sum(each.has_begun for each in others)
        self.start_problems.note_problem(kind, outcome.error or "", running, is_late=is_late)
