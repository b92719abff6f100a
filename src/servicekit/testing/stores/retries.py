"""What every store promises of attempts that follow failed ones, and of jobs that repeat others."""

from datetime import datetime, timedelta
from typing import Unpack

import pytest

from servicekit.errors import JobNotFound, ResultUnavailable, RetryUnavailable
from servicekit.jobs.endings import GIVEN_BACK, NOT_BEGUN
from servicekit.jobs.options import JobOptions, OptionChanges
from servicekit.jobs.outcome import CANCELED, Outcome, completion, failure, not_begun
from servicekit.jobs.record import MAX_PAST_ATTEMPTS, MAX_TRANSITIONS, PastAttempt, Progress
from servicekit.jobs.retry import Retry
from servicekit.jobs.status import EndedBy, JobStatus, Transition
from servicekit.jobs.submission import Claim, Submission
from servicekit.ports import JobStore
from servicekit.stores.process_name import name_of_process
from servicekit.testing.stores.base import COROUTINE, THREAD, StoreTests
from servicekit.testing.stores.fakes import ManualClock, RecordingPublisher, RecordingSignals, noop, submission


def failed(number: int = 1) -> Outcome:
    try:
        raise ValueError(f"no {number}")
    except ValueError as error:
        return failure(error)


def report(*args: object, **kwargs: object) -> None:
    """A target that takes anything."""


class UnclaimContract(StoreTests):
    """What every store promises of attempts that could not begin."""

    async def test_a_job_that_could_not_begin_is_pending_as_if_it_had_not_been_claimed(self, store: JobStore) -> None:
        job_id = await self.submit(store, max_restarts=0)
        for number in (1, 2):
            claim = await self.claim(store)
            assert (claim.attempt, claim.failures) == (number, 0)
            assert await store.attempts.end_attempt(claim, NOT_BEGUN)
            record = await store.reads.get_record(job_id)
            assert (record.status, record.started_at, record.attempts) == (JobStatus.PENDING, None, ())
            assert record.version == 1 + 2 * number
        claim = await self.claim(store)
        assert claim.submission.target is noop
        assert await store.attempts.end_attempt(claim, completion("done"))

    async def test_what_only_this_process_can_run_is_kept_when_it_could_not_begin(self, store: JobStore) -> None:
        def closure() -> None: ...

        await self.submit(store, kind=THREAD, target=closure)
        await store.attempts.end_attempt(await self.claim(store), NOT_BEGUN)
        assert (await self.claim(store)).submission.target is closure

    async def test_jobs_that_could_not_begin_have_their_old_places(self, store: JobStore) -> None:
        first = [await self.submit(store), await self.submit(store, concurrency_key="k")]
        urgent = await self.submit(store, priority=1)
        claims = await store.attempts.claim(3, ())
        rest = [await self.submit(store), await self.submit(store, concurrency_key="k")]
        for claim in claims:
            await store.attempts.end_attempt(claim, NOT_BEGUN)
        assert await self.claim_ids(store, 1) == [urgent]
        assert await self.claim_ids(store, 2) == first
        assert await self.claim_ids(store) == rest[:1]

    async def test_a_job_that_could_not_begin_frees_its_slot(self, store: JobStore) -> None:
        claim = await self.start(store, queue="a")
        await store.attempts.end_attempt(claim, NOT_BEGUN)
        assert await self.claim_ids(store, a=1) == [claim.submission.id]
        assert await self.claim_ids(store, a=1) == []

    async def test_an_attempt_that_nobody_works_on_is_given_back_at_the_close(self, store: JobStore) -> None:
        """A store that forgets ends the job."""
        await store.liveness.open(RecordingSignals())
        claim = await self.start(store)
        await store.attempts.report_progress(claim, Progress(1))
        await store.liveness.retire()
        await store.liveness.close()
        await store.liveness.open(RecordingSignals())
        record = await store.reads.get_record(claim.submission.id)
        expected = JobStatus.PENDING if store.liveness.is_durable else JobStatus.CANCELED
        assert (record.status, record.progress, record.process) == (expected, None, None)
        assert not await store.attempts.end_attempt(claim, completion("late"))

    async def test_a_job_that_could_not_begin_waits_no_longer_than_it_may(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        job_id = await self.submit(store, queue_timeout=10)
        clock.advance(6)
        await store.attempts.end_attempt(await self.claim(store), NOT_BEGUN)
        clock.advance(6)
        await store.attempts.make_due()
        assert (await store.reads.get_record(job_id)).ended_by is EndedBy.TIME_LIMIT

    async def test_a_job_that_could_not_begin_waits_until_it_would_have(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        await self.submit(store, queue_timeout=60)
        clock.set_by(3_600)
        moment = await store.attempts.make_due()
        await store.attempts.end_attempt(await self.claim(store), NOT_BEGUN)
        assert await store.attempts.make_due() == moment == clock.now() + timedelta(seconds=60)

    async def test_of_a_job_that_can_never_begin_the_newest_changes_are_told(self, store: JobStore) -> None:
        job_id = await self.submit(store)
        for _ in range(MAX_TRANSITIONS):
            await store.attempts.end_attempt(await self.claim(store), NOT_BEGUN)
        version = (await store.reads.get_record(job_id)).version
        assert version == 1 + 2 * MAX_TRANSITIONS
        newest = list(range(version - MAX_TRANSITIONS + 1, version + 1))
        assert [record.version for record in await store.reads.list_transitions(job_id, 0)] == newest
        assert [record.version for record in await store.reads.list_transitions(job_id, version - 2)] == newest[-2:]

    @pytest.mark.parametrize("is_deleted", [False, True])
    async def test_what_could_not_begin_and_is_not_wanted_any_more_ends(
        self, store: JobStore, *, is_deleted: bool
    ) -> None:
        claim = await self.start(store, concurrency_key="k")
        job_id = claim.submission.id
        await (store.submissions.delete(job_id) if is_deleted else store.submissions.request_cancel(job_id))
        assert await store.attempts.end_attempt(claim, NOT_BEGUN) is (None if is_deleted else Transition.CANCEL)
        if not is_deleted:
            assert await self.status_of(store, job_id) is JobStatus.CANCELED
        following = await self.submit(store, concurrency_key="k")
        assert await self.claim_ids(store) == [following]

    async def test_every_change_of_a_job_that_could_not_begin_is_told(
        self, store: JobStore, publisher: RecordingPublisher
    ) -> None:
        claim = await self.start(store)
        await store.attempts.end_attempt(claim, NOT_BEGUN)
        await store.attempts.end_attempt(await self.claim(store), completion(None))
        told = await store.reads.list_transitions(claim.submission.id, 0)
        assert [record.version for record in told] == [1, 2, 3, 4, 5]
        assert [event.record.version for event in publisher.events if event.record] == [1, 2, 3, 4, 5]
        assert [record.status.value for record in told] == ["pending", "running", "pending", "running", "completed"]

    async def test_a_job_that_could_not_begin_says_why_until_its_next_attempt(
        self, store: JobStore, publisher: RecordingPublisher, clock: ManualClock
    ) -> None:
        job_id = await self.submit(store)
        for reason in ("no room", "still no room"):
            await store.attempts.end_attempt(await self.claim(store), not_begun(reason))
            record = await store.reads.get_record(job_id)
            assert (record.pending_reason, record.error, record.error_traceback) == (reason, None, None)
        claim = await self.claim(store)
        assert (await store.reads.get_record(job_id)).pending_reason is None
        await store.attempts.report_progress(claim, Progress(1))
        await store.attempts.end_attempt(claim, failed().to_be_retried(clock.now()))
        assert (await store.reads.get_record(job_id)).pending_reason is None
        await store.attempts.end_attempt(await self.claim(store), NOT_BEGUN)
        reasons = [None, None, "no room", None, "still no room", *[None] * 5]
        told = await store.reads.list_transitions(job_id, 0)
        assert [record.pending_reason for record in told] == [*reasons[:6], *reasons[7:]]  # without the progress
        assert [event.record.pending_reason for event in publisher.events if event.record] == reasons

    async def test_a_job_that_ends_before_it_has_begun_does_not_say_why_it_waited(self, store: JobStore) -> None:
        job_id = await self.submit(store)
        await store.attempts.end_attempt(await self.claim(store), not_begun("no room"))
        await store.submissions.request_cancel(job_id)
        record = await store.reads.get_record(job_id)
        assert (record.status, record.pending_reason, record.error_traceback) == (JobStatus.CANCELED, None, None)
        assert (await store.reads.list_transitions(job_id, record.version - 1)) == [record]

    async def test_an_attempt_that_was_taken_back_is_stale(self, store: JobStore) -> None:
        claim = await self.start(store)
        assert await store.attempts.end_attempt(claim, NOT_BEGUN)
        second = await self.claim(store)
        assert not await store.attempts.end_attempt(claim, NOT_BEGUN)
        assert not await store.attempts.end_attempt(claim, completion("stale"))
        assert await store.attempts.end_attempt(second, completion("fresh"))
        assert not await store.attempts.end_attempt(second, NOT_BEGUN)


class RetryContract(UnclaimContract):
    """What every store promises of attempts that follow failed ones."""

    async def start_and_retry(self, store: JobStore, clock: ManualClock, **options: Unpack[OptionChanges]) -> str:
        """A job that waits for its second attempt, which may start in a minute."""
        claim = await self.start(store, **options)
        assert await store.attempts.end_attempt(claim, failed().to_be_retried(self.soon(clock)))
        return claim.submission.id

    def soon(self, clock: ManualClock) -> datetime:
        return clock.now() + timedelta(seconds=60)

    async def test_a_retry_that_does_not_say_when_is_refused(self, store: JobStore) -> None:
        claim = await self.start(store)
        retry = failed()._replace(transition=Transition.RETRY)
        with pytest.raises(ValueError, match="retry_at"):
            await store.attempts.end_attempt(claim, retry)
        assert await store.attempts.end_attempt(claim, completion(None))
        with pytest.raises(ValueError, match="retry_at"):
            await store.attempts.end_attempt(claim, retry)

    async def test_a_retried_job_waits_for_its_next_attempt(self, store: JobStore, clock: ManualClock) -> None:
        began, claim = clock.now(), await self.start(store)
        await store.attempts.report_progress(claim, Progress(1, 2))
        clock.advance(1)
        assert await store.attempts.end_attempt(claim, failed().to_be_retried(self.soon(clock)))
        record = await store.reads.get_record(claim.submission.id)
        assert (record.status, record.scheduled_at, record.version) == (JobStatus.PENDING, self.soon(clock), 4)
        assert (record.error, record.error_traceback) == (None, None)
        assert (record.started_at, record.finished_at, record.progress) == (None, None, None)
        assert (record.ended_by, record.elapsed_seconds, record.attempt) == (None, None, 1)
        assert record.attempts == (
            PastAttempt(1, began, clock.now(), "ValueError: no 1", EndedBy.TARGET, name_of_process()),
        )
        with pytest.raises(ResultUnavailable, match="status=pending"):
            await store.reads.get_result(record.id)

    async def test_the_next_attempt_starts_at_its_time(self, store: JobStore, clock: ManualClock) -> None:
        job_id = await self.start_and_retry(store, clock)
        assert await store.attempts.make_due() == self.soon(clock)
        assert await self.claim_ids(store) == []
        clock.advance(60)
        assert await store.attempts.make_due() is None
        claim = await self.claim(store)
        assert (claim.submission.id, claim.attempt, claim.failures) == (job_id, 2, 1)
        record = await store.reads.get_record(job_id)
        assert (record.status, record.started_at, record.attempt) == (JobStatus.RUNNING, clock.now(), 2)
        assert (record.error, record.error_traceback, record.scheduled_at) == (None, None, clock.now())
        assert [past.error for past in record.attempts] == ["ValueError: no 1"]

    async def test_a_success_leaves_no_error_but_in_the_history(self, store: JobStore, clock: ManualClock) -> None:
        job_id = await self.start_and_retry(store, clock)
        clock.advance(60)
        await store.attempts.make_due()
        assert await store.attempts.end_attempt(await self.claim(store), completion("done"))
        record = await store.reads.get_record(job_id)
        assert (record.status, record.error, record.error_traceback) == (JobStatus.COMPLETED, None, None)
        assert [past.error for past in record.attempts] == ["ValueError: no 1"]
        assert await store.reads.get_result(job_id) == "done"

    async def test_the_last_failure_is_that_of_the_job(self, store: JobStore, clock: ManualClock) -> None:
        job_id = await self.start_and_retry(store, clock)
        clock.advance(60)
        await store.attempts.make_due()
        last = failure(TimeoutError("too long"), EndedBy.TIME_LIMIT)
        assert await store.attempts.end_attempt(await self.claim(store), last)
        record = await store.reads.get_record(job_id)
        assert (record.error, record.error_traceback) == ("TimeoutError: too long", None)
        assert (record.ended_by, record.attempt, len(record.attempts)) == (EndedBy.TIME_LIMIT, 2, 1)

    async def test_a_job_that_ends_between_two_attempts_has_the_last_one_behind_it(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        job_id = await self.start_and_retry(store, clock)
        await store.submissions.request_cancel(job_id)
        record = await store.reads.get_record(job_id)
        assert (record.status, record.started_at, record.process) == (JobStatus.CANCELED, None, None)
        assert [past.attempt for past in record.attempts] == [1]
        assert (await store.reads.list_transitions(record.id, record.version - 1)) == [record]
        page = await store.changes.list_changes(await store.changes.get_position() - 1, 10)
        assert page is not None
        assert [change.record for change in page.changes] == [record]

    async def test_a_retry_at_once_stands_behind_what_is_there(self, store: JobStore, clock: ManualClock) -> None:
        claim = await self.start(store)
        there = await self.insert(store, 2)
        await store.attempts.end_attempt(claim, failed().to_be_retried(clock.now()))
        after = await self.insert(store, 1)
        assert await self.claim_ids(store) == [*there, claim.submission.id, *after]

    @pytest.mark.parametrize("end", ["finish", "retry", "delete"])
    async def test_who_lost_its_job_retries_nothing(self, store: JobStore, clock: ManualClock, end: str) -> None:
        claim = await self.start(store)
        match end:
            case "finish":
                await store.attempts.end_attempt(claim, completion(None))
            case "retry":
                await store.attempts.end_attempt(claim, failed().to_be_retried(clock.now()))
                await self.claim(store)
            case _:
                await store.submissions.delete(claim.submission.id)
        before = await self.list_all(store)
        assert not await store.attempts.end_attempt(claim, failed(2).to_be_retried(clock.now()))
        assert await self.list_all(store) == before

    async def test_an_attempt_that_never_was_retries_nothing(self, store: JobStore, clock: ManualClock) -> None:
        claim = await self.start(store)
        before = await store.reads.get_record(claim.submission.id)
        stale = Claim(claim.submission, claim.attempt + 1)
        assert not await store.attempts.end_attempt(stale, failed().to_be_retried(clock.now()))
        assert await store.reads.get_record(claim.submission.id) == before

    async def test_an_attempt_that_was_retried_is_stale(self, store: JobStore, clock: ManualClock) -> None:
        claim = await self.start(store)
        await store.attempts.end_attempt(claim, failed().to_be_retried(clock.now()))
        second = await self.claim(store)
        before = await store.reads.get_record(second.submission.id)
        assert not await store.attempts.end_attempt(claim, completion("stale"))
        assert not await store.attempts.end_attempt(claim, GIVEN_BACK)
        await store.attempts.report_progress(claim, Progress(1))
        assert await store.reads.get_record(second.submission.id) == before
        assert await store.attempts.end_attempt(second, completion("fresh"))

    async def test_a_job_that_was_asked_to_stop_is_not_retried(self, store: JobStore, clock: ManualClock) -> None:
        claim = await self.start(store)
        await store.submissions.request_cancel(claim.submission.id)
        assert await store.attempts.end_attempt(claim, failed().to_be_retried(self.soon(clock))) is Transition.FAIL
        record = await store.reads.get_record(claim.submission.id)
        assert (record.status, record.error) == (JobStatus.FAILED, "ValueError: no 1")
        assert (record.scheduled_at, record.attempts, record.attempt) == (None, (), 1)
        assert await store.attempts.make_due() is None

    async def test_a_job_that_waits_for_its_next_attempt_can_be_canceled(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        job_id = await self.start_and_retry(store, clock)
        record = await store.submissions.request_cancel(job_id)
        assert record is not None
        assert (record.status, record.ended_by, record.error) == (JobStatus.CANCELED, EndedBy.CANCEL, None)
        assert [past.error for past in record.attempts] == ["ValueError: no 1"]
        clock.advance(60)
        assert await store.attempts.make_due() is None
        assert await self.claim_ids(store) == []

    async def test_a_job_that_waits_for_its_next_attempt_can_be_deleted(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        await store.submissions.delete(await self.start_and_retry(store, clock))
        clock.advance(60)
        assert await store.attempts.make_due() is None
        assert await self.claim_ids(store) == []

    async def test_the_wait_for_the_next_attempt_is_counted_anew(self, store: JobStore, clock: ManualClock) -> None:
        job_id = await self.submit(store, queue_timeout=10)
        clock.advance(9)
        claim = await self.claim(store)
        clock.advance(100)
        due_at = self.soon(clock)
        await store.attempts.end_attempt(claim, failed().to_be_retried(due_at))
        for _ in range(2):
            clock.advance(30)
            await store.attempts.make_due()
        assert await self.status_of(store, job_id) is JobStatus.PENDING
        assert await store.attempts.make_due() == due_at + timedelta(seconds=10)
        clock.advance(10)
        await store.attempts.make_due()
        record = await store.reads.get_record(job_id)
        assert (record.status, record.ended_by) == (JobStatus.FAILED, EndedBy.TIME_LIMIT)
        assert (record.error or "").startswith("QueueTimeout: ")
        assert (record.attempt, len(record.attempts)) == (1, 1)

    async def test_the_newest_attempts_are_kept_and_all_failures_counted(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        claim = await self.start(store)
        for number in range(1, MAX_PAST_ATTEMPTS + 6):
            assert (claim.attempt, claim.failures) == (number, number - 1)
            await store.attempts.end_attempt(claim, failed(number).to_be_retried(clock.now()))
            claim = await self.claim(store)
        record = await store.reads.get_record(claim.submission.id)
        assert [past.attempt for past in record.attempts] == list(range(6, MAX_PAST_ATTEMPTS + 6))
        assert [past.error for past in record.attempts[:2]] == ["ValueError: no 6", "ValueError: no 7"]

    async def test_every_change_of_a_retried_life_is_published_and_told(
        self, store: JobStore, clock: ManualClock, publisher: RecordingPublisher
    ) -> None:
        job_id = await self.start_and_retry(store, clock)
        clock.advance(60)
        await store.attempts.make_due()
        claim = await self.claim(store)
        await store.attempts.report_progress(claim, Progress(1))
        clock.advance(1)
        await store.attempts.end_attempt(claim, failed(2).to_be_retried(clock.now()))
        await store.attempts.end_attempt(await self.claim(store), completion(None))
        published = [event.record for event in publisher.events if event.is_transition and event.record]
        assert [record.status for record in published] == [
            JobStatus.PENDING,
            JobStatus.RUNNING,
            JobStatus.PENDING,
            JobStatus.RUNNING,
            JobStatus.PENDING,
            JobStatus.RUNNING,
            JobStatus.COMPLETED,
        ]
        assert [record.attempt for record in published] == [0, 1, 1, 2, 2, 3, 3]
        for seen in (0, 3, published[-1].version):
            told = await store.reads.list_transitions(job_id, seen)
            for record, expected in zip(told, [each for each in published if each.version > seen], strict=True):
                for field in ("id", "status", "version", "attempt", "error", "started_at", "scheduled_at", "progress"):
                    assert getattr(record, field) == getattr(expected, field), field

    async def test_a_clock_set_back_does_not_turn_an_attempt_around(self, store: JobStore, clock: ManualClock) -> None:
        claim = await self.start(store)
        clock.advance(-60)
        await store.attempts.end_attempt(claim, failed().to_be_retried(clock.now()))
        (past,) = (await store.reads.get_record(claim.submission.id)).attempts
        assert past.started_at == past.finished_at

    async def test_a_job_with_retry_options_is_claimed_with_them(self, store: JobStore) -> None:
        retry = Retry(attempts=5, delay=2, only=[ValueError], except_for=["a.B"])
        claim = await self.start(store, retry=retry, run_timeout=5, max_memory_bytes=10_000, kill_grace=1)
        options = claim.submission.options
        assert (options.retry, options.run_timeout, options.kill_grace) == (retry, 5, 1)
        assert options.max_memory_bytes == 10_000


class ResubmitContract(StoreTests):
    """What every store promises of jobs that repeat others."""

    @pytest.mark.parametrize("outcome", [completion(1), failed(), CANCELED])
    async def test_an_ended_job_is_submitted_again(
        self, store: JobStore, clock: ManualClock, publisher: RecordingPublisher, outcome: Outcome
    ) -> None:
        options = JobOptions(name="again", tags=("a",), priority=3, queue="q", retry=Retry(), max_restarts=0)
        first, second = self.ids.next_id(), self.ids.next_id()
        await store.submissions.insert(Submission(first, "again", report, (1, [None]), {"b": "c"}, THREAD, options))
        original = await self.claim(store)
        await store.attempts.end_attempt(original, outcome)
        clock.advance(1)
        assert await store.submissions.resubmit(first, second) == second
        record = await store.reads.get_record(second)
        assert (record.status, record.submitted_at, record.retry_of) == (JobStatus.PENDING, clock.now(), first)
        assert (record.name, record.tags, record.priority, record.queue) == ("again", ("a",), 3, "q")
        assert (record.attempt, record.version) == (0, 1)
        assert publisher.events[-1].record == record
        repeated = await self.claim(store)
        assert (repeated.submission.id, repeated.attempt, repeated.failures) == (second, 1, 0)
        for field in ("name", "target", "args", "kwargs", "runner", "options"):
            assert getattr(repeated.submission, field) == getattr(original.submission, field)
        assert repeated.submission.retry_of == first

    async def test_a_job_that_was_canceled_before_it_began_is_submitted_again(self, store: JobStore) -> None:
        first = await self.submit(store)
        await store.submissions.request_cancel(first)
        second = await store.submissions.resubmit(first, self.ids.next_id())
        assert await self.claim_ids(store) == [second]

    async def test_what_is_submitted_again_is_due_at_once_and_has_no_idempotency_key(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        for times in (JobOptions(delay=60, idempotency_key="a"), JobOptions(start_at=clock.now() + timedelta(1))):
            first = submission(self.ids.next_id(), options=times)
            await store.submissions.insert(first)
            await store.submissions.request_cancel(first.id)
            second = await store.submissions.resubmit(first.id, self.ids.next_id())
            assert (await store.reads.get_record(second)).scheduled_at is None
            claim = await self.claim(store)
            assert claim.submission.id == second
            assert claim.submission.options == JobOptions()
        repeated = submission(self.ids.next_id(), options=JobOptions(idempotency_key="a"))
        assert await store.submissions.insert(repeated) == (await self.list_ids(store))[-1]

    async def test_a_repetition_can_be_repeated(self, store: JobStore) -> None:
        first = await self.end(store, failed())
        second = await store.submissions.resubmit(first, self.ids.next_id())
        await store.attempts.end_attempt(await self.claim(store), failed())
        third = await store.submissions.resubmit(second, self.ids.next_id())
        fourth = await store.submissions.resubmit(first, self.ids.next_id())
        assert [(await store.reads.get_record(job_id)).retry_of for job_id in (second, third, fourth)] == [
            first,
            second,
            first,
        ]

    async def test_a_job_that_has_not_ended_is_not_submitted_again(self, store: JobStore) -> None:
        job_id = await self.submit(store)
        with pytest.raises(RetryUnavailable, match=r"status=pending\): it has not ended") as caught:
            await store.submissions.resubmit(job_id, self.ids.next_id())
        assert (caught.value.job_id, caught.value.status) == (job_id, JobStatus.PENDING)
        await self.claim(store)
        with pytest.raises(RetryUnavailable, match="status=running"):
            await store.submissions.resubmit(job_id, self.ids.next_id())
        assert await self.list_ids(store) == [job_id]

    async def test_a_job_that_is_not_there_is_not_submitted_again(self, store: JobStore) -> None:
        with pytest.raises(JobNotFound):
            await store.submissions.resubmit(self.ids.next_id(), self.ids.next_id())
        job_id = await self.end(store, completion(None))
        await store.submissions.delete(job_id)
        with pytest.raises(JobNotFound):
            await store.submissions.resubmit(job_id, self.ids.next_id())

    async def test_a_coroutine_object_does_not_run_twice(self, store: JobStore) -> None:
        job_id, target = self.ids.next_id(), noop()
        await store.submissions.insert(Submission(job_id, "noop", target, (), {}, COROUTINE))
        claim = await self.claim(store)
        target.close()
        await store.attempts.end_attempt(claim, completion(None))
        with pytest.raises(RetryUnavailable, match="status=completed"):
            await store.submissions.resubmit(job_id, self.ids.next_id())
