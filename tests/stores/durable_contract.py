"""What every database promises beyond the contract of all stores: jobs outlive the process that had them."""

from dataclasses import asdict
from datetime import timedelta

import pytest

from servicekit.errors import InvalidArguments, InvalidTarget, ResultDropped
from servicekit.jobs.endings import GIVEN_BACK
from servicekit.jobs.options import RunnerKind
from servicekit.jobs.outcome import CANCELED, completion, failure
from servicekit.jobs.record import PastAttempt, Progress
from servicekit.jobs.retry import Retry
from servicekit.jobs.status import EndedBy, JobStatus
from servicekit.jobs.submission import Submission
from servicekit.ports import JobStore
from servicekit.stores.process_name import name_of_process
from servicekit.testing.stores import JobStoreContract
from servicekit.testing.stores.fakes import ManualClock, RecordingPublisher
from servicekit.testing.stores.schedules import schedule
from tests.fakes import noop


class DurableStoreContract(JobStoreContract):
    """For a store in a database."""

    async def test_a_released_attempt_ends_the_job_where_nobody_else_could_run_it(
        self, store: JobStore, publisher: RecordingPublisher
    ) -> None:
        coroutine = noop()
        job_id = await store.submissions.insert(
            Submission(self.ids.next_id(), "noop", coroutine, (), {}, RunnerKind.COROUTINE)
        )
        assert await store.attempts.end_attempt(await self.claim(store), GIVEN_BACK)
        record = await store.reads.get_record(job_id)
        assert record.status is JobStatus.FAILED
        assert record.error is not None
        assert record.error.startswith("NotRestartable: the process that accepted the job has ended")
        coroutine.close()

    async def test_a_released_attempt_gives_the_job_back(self, store: JobStore) -> None:
        (job_id,) = await self.insert(store)
        for attempt in range(1, 5):  # as often as its process stops in order
            claim = await self.claim(store)
            assert claim.attempt == attempt
            assert await store.attempts.end_attempt(claim, GIVEN_BACK)
            record = await store.reads.get_record(job_id)
            assert (record.status, record.started_at, record.version) == (JobStatus.PENDING, None, 1 + 2 * attempt)
        statuses = [record.status for record in await store.reads.list_transitions(job_id, 0)]
        assert statuses == [JobStatus.PENDING, *[JobStatus.RUNNING, JobStatus.PENDING] * 4]

    async def test_a_released_attempt_joins_the_history(self, store: JobStore, clock: ManualClock) -> None:
        claim = await self.start(store, retry=Retry())
        began = clock.now()
        await store.attempts.report_progress(claim, Progress(1, 2))
        clock.advance(1)
        await store.attempts.end_attempt(claim, GIVEN_BACK)
        first = PastAttempt(1, began, clock.now(), None, EndedBy.STOP, name_of_process())
        record = await store.reads.get_record(claim.submission.id)
        assert (record.attempts, record.progress) == ((first,), None)
        await store.attempts.end_attempt(await self.claim(store), failure(ValueError("no")).to_be_retried(clock.now()))
        second = PastAttempt(2, clock.now(), clock.now(), "ValueError: no", EndedBy.TARGET, name_of_process())
        claim = await self.claim(store)
        assert (claim.attempt, claim.failures) == (3, 1)
        assert (await store.reads.get_record(claim.submission.id)).attempts == (first, second)

    async def test_a_released_attempt_has_a_new_wait_before_it(self, store: JobStore, clock: ManualClock) -> None:
        claim = await self.start(store, queue_timeout=10)
        clock.advance(60)
        await store.attempts.end_attempt(claim, GIVEN_BACK)
        assert await store.attempts.make_due() == clock.now() + timedelta(seconds=10)
        assert await self.status_of(store, claim.submission.id) is JobStatus.PENDING

    async def test_a_released_attempt_keeps_its_place_and_its_turn(self, store: JobStore) -> None:
        claim = await self.start(store, concurrency_key="k")
        other, plain = await self.submit(store, concurrency_key="k"), await self.submit(store)
        await store.attempts.end_attempt(claim, GIVEN_BACK)
        assert await self.claim_ids(store) == [claim.submission.id, plain]
        assert await self.status_of(store, other) is JobStatus.PENDING

    async def test_the_transitions_of_a_retried_life_are_those_that_were_published(
        self, store: JobStore, clock: ManualClock, publisher: RecordingPublisher
    ) -> None:
        try:
            raise ValueError("no")
        except ValueError as error:
            outcomes = [failure(error), failure(TimeoutError(), EndedBy.TIME_LIMIT)]
        claim = await self.start(store)
        for outcome in outcomes:
            clock.advance(1)
            await store.attempts.report_progress(claim, Progress(1))
            await store.attempts.end_attempt(claim, outcome.to_be_retried(clock.now()))
            clock.advance(1)
            claim = await self.claim(store)
        await store.attempts.end_attempt(claim, GIVEN_BACK)
        await store.attempts.end_attempt(await self.claim(store), completion(None))
        published = [event.record for event in publisher.events if event.is_transition and event.record]
        told = await store.reads.list_transitions(claim.submission.id, 0)
        assert [asdict(record) for record in told] == [asdict(record) for record in published]
        assert {(record.error, record.error_traceback) for record in told} == {(None, None)}
        assert [len(record.attempts) for record in told] == [0, 0, 1, 1, 2, 2, 3, 3, 3]

    async def test_a_schedule_for_this_process_alone_is_refused(self, store: JobStore) -> None:
        with pytest.raises(InvalidTarget, match="the target is a lambda, which no other process can import"):
            await store.schedules.put_schedule(schedule(target=lambda: None), None)
        with pytest.raises(InvalidArguments, match="an object cannot be kept in a file"):
            await store.schedules.put_schedule(schedule(args=(object(),)), None)
        assert await store.schedules.list_schedules() == []

    async def test_what_must_not_run_twice_is_not_given_back(self, store: JobStore) -> None:
        job_id = await self.submit(store, max_restarts=0)
        assert await store.attempts.end_attempt(await self.claim(store), GIVEN_BACK)
        record = await store.reads.get_record(job_id)
        assert record.status is JobStatus.FAILED
        assert record.error is not None
        assert record.error.startswith("ProcessStopped: ")

    async def test_a_released_attempt_that_was_asked_to_stop_is_canceled(self, store: JobStore) -> None:
        (job_id,) = await self.insert(store)
        claim = await self.claim(store)
        await store.submissions.request_cancel(job_id)
        assert await store.attempts.end_attempt(claim, GIVEN_BACK)
        assert (await store.reads.get_record(job_id)).status is JobStatus.CANCELED

    async def test_a_result_comes_back_as_json_has_it(self, store: JobStore) -> None:
        for result, expected in [
            ((1, {"a": 2**70}), [1, {"a": 2**70}]),
            (float("inf"), float("inf")),
            ("\0\N{GRINNING FACE}", "\0\N{GRINNING FACE}"),
            (False, False),
        ]:
            assert await store.reads.get_result(await self.end(store, completion(result))) == expected

    async def test_a_result_that_is_no_json_completes_the_job_all_the_same(
        self, store: JobStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        for result in (object(), "\ud800", b"\xff"):
            caplog.clear()
            job_id = await self.end(store, completion(result))
            assert (await store.reads.get_record(job_id)).status is JobStatus.COMPLETED
            with pytest.raises(ResultDropped, match="cannot be written as JSON"):
                await store.reads.get_result(job_id)
            (line,) = caplog.messages
            assert f"({job_id}) is not kept: it cannot be written as JSON: " in line

    async def test_the_slot_of_a_deleted_job_is_held_until_its_work_has_ended(self, store: JobStore) -> None:
        job_id, _ = await self.insert(store, 2)
        claim = await self.claim(store)
        await store.submissions.delete(job_id)
        assert await store.attempts.claim(1, (), 1) == []
        assert not await store.attempts.end_attempt(claim, CANCELED)
        assert len(await store.attempts.claim(1, (), 1)) == 1
