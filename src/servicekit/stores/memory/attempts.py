"""How jobs in memory are run."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from servicekit.jobs.endings import AttemptFacts, check_return, decide_end, end_expired
from servicekit.jobs.log_lines import NewLine
from servicekit.jobs.options import RunnerKind, seconds_of
from servicekit.jobs.outcome import Outcome
from servicekit.jobs.record import Progress
from servicekit.jobs.restartable import as_accepted, is_fixed
from servicekit.jobs.status import Transition, move_of
from servicekit.jobs.submission import Claim
from servicekit.stores.memory.job import Job
from servicekit.stores.memory.kept_jobs import KeptJobs
from servicekit.stores.memory.log_lines import JobLog
from servicekit.stores.process_name import name_of_process

_CLAIM: Final = move_of(Transition.CLAIM)
_RETRY: Final = move_of(Transition.RETRY)
_RELEASE: Final = move_of(Transition.RELEASE)
# Asked for each job: the property would cost a call.
_GIVING_BACK: Final = frozenset(transition for transition in Transition if transition.gives_back)
_NO_LIMITS: Final[Mapping[str, int]] = {}


class MemoryAttempts:
    """The `AttemptStore` of a store in memory."""

    def __init__(self, kept: KeptJobs) -> None:
        self._kept = kept
        self._now = kept.now

    @property
    def guard(self) -> None:
        """No other process could take the attempts over."""

    async def claim(
        self,
        limit: int,
        excluding: Collection[RunnerKind],
        max_running: int | None = None,  # noqa: ARG002 (no other process runs any, so `limit` says it already)
        queue_limits: Mapping[str, int] | None = None,
        most: int = 0,  # noqa: ARG002 (a claim costs nothing by itself)
    ) -> list[Claim]:
        worker = self._kept.worker
        if worker is not None and not worker.runs_jobs:
            self._kept.worker = replace(worker, runs_jobs=True)
        now, process = self._now(), name_of_process()
        return [
            self._start(job, now, process)
            for job in self._kept.pending.take(limit, excluding, queue_limits or _NO_LIMITS)
        ]

    def _start(self, job: Job, now: datetime, process: str) -> Claim:
        submission = job.submission
        assert submission is not None  # it is kept until the job has ended
        # A clock that was set back does not make a job start before it was submitted.
        job.started_at = now if now > job.submitted_at else job.submitted_at
        failures = job.attempt - job.spared  # what began and does not fail ends the job: nobody else could run it
        job.attempt += 1
        job.process, job.pending_reason = process, None
        self._kept.move(job, _CLAIM)
        # What is fixed was not described, as a rule.
        accepted = submission if submission.description is None or is_fixed(submission) else as_accepted(submission)
        ready_at = (job.scheduled_at or job.submitted_at) if job.attempt == 1 else None
        return Claim(accepted, job.attempt, failures, ready_at)

    async def make_due(self) -> datetime | None:
        self._kept.heed_clock()
        now = self._now()
        self._kept.pending.make_due(now)
        while (job := self._kept.pending.find_expired(now)) is not None:
            self._kept.end_waiting(job, end_expired(seconds_of(job.options.queue_timeout or 0)))
            if self._kept.signals is not None:
                self._kept.signals.hear_of_failure(job.record(now))
        return self._kept.pending.next_moment()

    async def end_attempt(self, claim: Claim, ending: Outcome) -> Transition | None:
        gives_back = ending.transition in _GIVING_BACK
        if gives_back:
            check_return(ending)
        job = self._kept.find_running(claim)
        if job is None:
            self._kept.let_go_of_deleted(claim)
            return None
        if gives_back:
            return self._give_back(job, ending)
        self._kept.pending.end(job)
        self._kept.end(job, ending)
        return ending.transition

    def _give_back(self, job: Job, ending: Outcome) -> Transition:
        is_asked_to_stop = job.cancel_requested_at is not None
        facts = AttemptFacts(is_deleted=False, is_asked_to_stop=is_asked_to_stop, is_restartable=False, is_kept=False)
        fate = decide_end(ending, facts)
        assert fate is not None  # it is not deleted
        if fate.transition is Transition.RETRY:
            self._retry(job, fate)
        elif fate.transition is Transition.RELEASE:
            self._put_back(job, fate.error)
        else:
            self._kept.pending.end(job)
            self._kept.end(job, fate)
        return fate.transition

    def _retry(self, job: Job, failure: Outcome) -> None:
        self._kept.heed_clock()
        now = self._now()
        self._kept.pending.end(job)
        job.begin_again(failure, now)
        self._kept.move(job, _RETRY)
        self._kept.byte_budget.weigh(job)
        self._kept.pending.add(job, now)
        self._kept.wake()

    def _put_back(self, job: Job, reason: str | None) -> None:
        job.take_back(reason, self._now())
        self._kept.move(job, _RELEASE)
        self._kept.pending.put_back(job)

    async def report_progress(self, claim: Claim, progress: Progress) -> None:
        job = self._kept.find_running(claim)
        if job is not None:
            job.progress = replace(progress, reported_at=self._now())
            self._kept.touch(job)

    async def append_log(self, claim: Claim, lines: Sequence[NewLine]) -> None:
        job = self._kept.find_running(claim)
        if job is None:
            return
        if job.log is None:
            job.log = JobLog(self._kept.retention.max_log_bytes)
        for line in lines:
            job.log.add(line, job.attempt)
        self._kept.byte_budget.weigh(job)
        self._kept.publisher.notify_log(job.id)
