"""How the jobs of a store are run."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from servicekit.errors import StoreUnavailable
from servicekit.jobs.backoff import Backoff
from servicekit.jobs.endings import check_return
from servicekit.jobs.log_lines import NewLine
from servicekit.jobs.options import RunnerKind
from servicekit.jobs.outcome import Outcome
from servicekit.jobs.record import Progress
from servicekit.jobs.retention import Retention
from servicekit.jobs.status import Transition
from servicekit.jobs.submission import Claim, Submission
from servicekit.stores.durable.expiry import expiry_after
from servicekit.stores.durable.lease_watch import LEASE_OVER
from servicekit.stores.durable.loading import load_submission
from servicekit.stores.durable.records import progress_text
from servicekit.stores.durable.requests import (
    AttemptEnd,
    ClaimedJob,
    ClaimRequest,
    Decline,
    LogRow,
    NewLines,
    ProcessForgotten,
    ProgressReport,
)
from servicekit.stores.durable.results import encode_result
from servicekit.stores.durable.session import StoreSession
from servicekit.stores.durable.times import find_moment, time_text
from servicekit.stores.process_name import name_of_process

_ANOTHER_LOOK: Final = timedelta(seconds=1)


class DurableAttempts:
    """The `AttemptStore` of a database. It calls `join_again` if others took this process for dead."""

    def __init__(
        self, session: StoreSession, retention: Retention, join_again: Callable[[int], Awaitable[None]]
    ) -> None:
        self._session = session
        self._statements = session.statements
        self._retention = retention
        self._join_again = join_again

    @property
    def guard(self) -> int | None:
        return self._session.database.registration.guard

    async def claim(
        self,
        limit: int,
        excluding: Collection[RunnerKind],
        max_running: int | None = None,
        queue_limits: Mapping[str, int] | None = None,
        most: int = 0,
    ) -> list[Claim]:
        registration = self._session.database.registration
        request = ClaimRequest(
            registration.number, limit, excluding, max_running, queue_limits or {}, self._session.now_text(),
            name_of_process(),
            is_first=not registration.runs_jobs, most=most,
        )  # fmt: skip
        try:
            async with self._session.claiming:
                jobs = await self._ask_for_jobs(request)
                registration.runs_jobs = True
                return [self._claim(job) for job in jobs]
        except ProcessForgotten:
            await self._join_again(request.process)
            return await self.claim(limit, excluding, max_running, queue_limits, most)

    async def _ask_for_jobs(self, request: ClaimRequest) -> list[ClaimedJob]:
        self._check_lease()
        try:
            jobs = await self._session.database.write(self._statements.claims.claim, request)
            self._check_lease()  # else they may be those of another process by now
        except StoreUnavailable:
            self._session.note_doubt()
            raise
        return jobs

    def _check_lease(self) -> None:
        if self._session.database.registration.held_seconds <= 0:
            raise StoreUnavailable(self._session.database.location, LEASE_OVER)

    def _claim(self, job: ClaimedJob) -> Claim:
        submission = self._session.local.take(job.id) or load_submission(job, self._decline)
        return Claim(submission, job.attempt, job.failures, find_moment(job.ready_at) if job.attempt == 1 else None)

    async def _decline(self, job: ClaimedJob, error: BaseException) -> bool:
        backoff = Backoff()
        while True:
            try:
                request = Decline(job.id, job.attempt)
                is_left = await self._session.database.write(self._statements.writes.decline, request)
            except StoreUnavailable:
                await asyncio.sleep(backoff.next_seconds())
            else:
                if is_left:
                    self._session.failures.warn(
                        "A job is left to another process, which may be able to run it: %s", error
                    )
                return is_left

    async def make_due(self) -> datetime | None:
        await self._session.heed_clock()
        known = self._session.database.registration.find_next()
        moment = await self._find_next() if known is None else known.text
        while moment is not None and moment <= self._session.now_text():
            expired = await self._session.database.write(self._statements.times.make_due, self._session.now_text())
            for job_id in expired:
                self._session.local.forget(job_id)
            await self._session.tell_of_failures(expired)
            moment = await self._find_next()
        # What is no time is looked at again, since more may come after it.
        return None if moment is None else find_moment(moment) or self._session.now() + _ANOTHER_LOOK

    async def _find_next(self) -> str | None:
        return await self._session.database.read(self._statements.times.find_next, None)

    async def end_attempt(self, claim: Claim, ending: Outcome) -> Transition | None:
        submission = claim.submission
        if ending.transition.gives_back:
            end = await self._prepare_return(claim, ending)
        else:
            if ending.result is not None:
                ending = self._encode(submission, ending)
            end = AttemptEnd(submission.id, claim.attempt, ending, self._session.now_text())
        return await self._session.database.write(self._statements.writes.end_attempts, end)

    async def _prepare_return(self, claim: Claim, ending: Outcome) -> AttemptEnd:
        check_return(ending)
        submission, expires_at = claim.submission, None
        if ending.retry_at is not None or ending.is_lost:  # the job has a time from now on, or another one
            await self._session.heed_clock()
        if ending.retry_at is not None:
            expires_at = expiry_after(submission.options, ending.retry_at)
        return AttemptEnd(submission.id, claim.attempt, ending, self._session.now_text(), expires_at, submission)

    def _encode(self, job: Submission, ending: Outcome) -> Outcome:
        """The ending with its result as JSON. A result that is not JSON or too large is left out, with a warning."""
        result, reason = encode_result(ending.result, self._retention.max_result_bytes)
        if result.text is None:
            self._session.failures.warn("The result of job %s (%s) is not kept: %s", job.name, job.id, reason)
        return ending._replace(result=result)

    async def report_progress(self, claim: Claim, progress: Progress) -> None:
        text = progress_text(progress, self._session.now())
        report = ProgressReport(claim.submission.id, claim.attempt, text)
        await self._session.database.write(self._statements.writes.report_progress, report)

    async def append_log(self, claim: Claim, lines: Sequence[NewLine]) -> None:
        rows = [LogRow(time_text(line.at), line.level, line.source, line.text) for line in lines]
        new = NewLines(claim.submission.id, claim.attempt, rows, self._retention.max_log_bytes)
        await self._session.database.write(self._statements.log_lines.append, new)
