"""What every job store promises, as tests. A store's own test module subclasses this and provides `store`."""

from collections.abc import AsyncIterator
from dataclasses import asdict

import pytest

from servicekit.errors import JobFailed, JobNotFinished, JobNotFound
from servicekit.jobs.ids import JobIds
from servicekit.jobs.outcome import CANCELED, Outcome, completion, failure
from servicekit.jobs.record import Progress
from servicekit.jobs.status import JobStatus, Transition
from servicekit.jobs.submission import Claim, RunnerKind
from servicekit.ports import JobStore
from tests.fakes import FakeClock, RecordingPublisher, submission

COROUTINE, THREAD = RunnerKind.COROUTINE, RunnerKind.THREAD


class JobStoreContract:
    """Fixtures that a subclass provides: `store`, `clock`, `publisher`."""

    ids = JobIds()

    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def publisher(self) -> RecordingPublisher:
        return RecordingPublisher()

    @pytest.fixture
    async def store(self, clock: FakeClock, publisher: RecordingPublisher) -> AsyncIterator[JobStore]:
        raise NotImplementedError
        yield

    async def insert(self, store: JobStore, count: int = 1, runner: RunnerKind = COROUTINE) -> list[str]:
        job_ids = [self.ids.next_id() for _ in range(count)]
        for job_id in job_ids:
            await store.insert(submission(job_id, runner))
        return job_ids

    async def claim(self, store: JobStore) -> Claim:
        (claim,) = await store.claim(1, ())
        return claim

    async def end(self, store: JobStore, outcome: Outcome) -> str:
        (job_id,) = await self.insert(store)
        assert await store.finish(await self.claim(store), outcome)
        return job_id

    async def test_a_new_job_is_pending(self, store: JobStore, clock: FakeClock) -> None:
        (job_id,) = await self.insert(store)
        record = await store.get_record(job_id)
        assert record.status is JobStatus.PENDING
        assert (record.submitted_at, record.started_at, record.finished_at) == (clock.now(), None, None)
        assert (record.version, record.attempt) == (1, 0)

    async def test_a_whole_life_is_recorded(self, store: JobStore, clock: FakeClock) -> None:
        (job_id,) = await self.insert(store)
        clock.advance(1)
        claim = await self.claim(store)
        running = await store.get_record(job_id)
        assert (running.status, running.started_at, running.attempt) == (JobStatus.RUNNING, clock.now(), 1)
        clock.advance(1)
        assert await store.finish(claim, completion("done"))
        record = await store.get_record(job_id)
        assert (record.status, record.finished_at, record.version) == (JobStatus.COMPLETED, clock.now(), 3)
        assert await store.get_result(job_id) == "done"

    async def test_a_clock_set_back_does_not_turn_a_life_around(self, store: JobStore, clock: FakeClock) -> None:
        (job_id,) = await self.insert(store)
        clock.advance(-60)
        claim = await self.claim(store)
        clock.advance(-60)
        await store.finish(claim, completion(None))
        record = await store.get_record(job_id)
        assert record.submitted_at == record.started_at == record.finished_at

    async def test_the_oldest_are_claimed_first_and_once(self, store: JobStore) -> None:
        job_ids = await self.insert(store, 5)
        first = await store.claim(2, ())
        second = await store.claim(10, ())
        assert [claim.submission.id for claim in first] == job_ids[:2]
        assert [claim.submission.id for claim in second] == job_ids[2:]
        assert await store.claim(10, ()) == []

    async def test_the_oldest_are_claimed_first_across_runners(self, store: JobStore) -> None:
        job_ids = [(await self.insert(store, 1, runner))[0] for runner in (COROUTINE, THREAD, THREAD, COROUTINE)]
        assert [claim.submission.id for claim in await store.claim(4, ())] == job_ids

    async def test_jobs_of_a_full_runner_are_left_waiting(self, store: JobStore) -> None:
        (threaded,) = await self.insert(store, 1, THREAD)
        (coroutine,) = await self.insert(store)
        assert [claim.submission.id for claim in await store.claim(2, (THREAD,))] == [coroutine]
        assert (await store.get_record(threaded)).status is JobStatus.PENDING
        assert [claim.submission.id for claim in await store.claim(2, ())] == [threaded]

    async def test_a_failure_is_recorded(self, store: JobStore) -> None:
        job_id = await self.end(store, failure(ValueError("Invalid input")))
        record = await store.get_record(job_id)
        assert (record.status, record.error) == (JobStatus.FAILED, "ValueError: Invalid input")
        assert record.error_traceback
        with pytest.raises(JobFailed, match="ValueError: Invalid input"):
            await store.get_result(job_id)

    async def test_a_pending_job_is_canceled_at_once_and_never_claimed(self, store: JobStore) -> None:
        (job_id,) = await self.insert(store)
        record = await store.request_cancel(job_id)
        assert (record.status, record.started_at) == (JobStatus.CANCELED, None)
        assert record.finished_at == record.cancel_requested_at is not None
        assert await store.claim(1, ()) == []

    async def test_a_running_job_is_only_marked(self, store: JobStore) -> None:
        (job_id,) = await self.insert(store)
        claim = await self.claim(store)
        record = await store.request_cancel(job_id)
        assert record.status is JobStatus.RUNNING
        assert record.cancel_requested_at is not None
        assert await store.request_cancel(job_id) == record
        await store.finish(claim, CANCELED)
        assert (await store.get_record(job_id)).status is JobStatus.CANCELED
        with pytest.raises(JobFailed, match="status=canceled"):
            await store.get_result(job_id)

    @pytest.mark.parametrize("outcome", [completion(1), failure(ValueError()), CANCELED])
    async def test_a_terminal_status_never_changes(self, store: JobStore, outcome: Outcome) -> None:
        (job_id,) = await self.insert(store)
        claim = await self.claim(store)
        await store.finish(claim, outcome)
        record = await store.get_record(job_id)
        assert not await store.finish(claim, completion(2))
        await store.report_progress(claim, Progress(1))
        assert await store.request_cancel(job_id) == record
        assert await store.get_record(job_id) == record
        assert await store.claim(1, ()) == []

    async def test_a_stale_attempt_changes_nothing(self, store: JobStore) -> None:
        (job_id,) = await self.insert(store)
        claim = await self.claim(store)
        stale = Claim(claim.submission, claim.attempt - 1)
        assert not await store.finish(stale, completion("stale"))
        await store.report_progress(stale, Progress(1))
        record = await store.get_record(job_id)
        assert (record.status, record.progress) == (JobStatus.RUNNING, None)

    async def test_progress_is_recorded_and_kept_to_the_end(self, store: JobStore) -> None:
        (job_id,) = await self.insert(store)
        claim = await self.claim(store)
        await store.report_progress(claim, Progress(1, 2, "half"))
        await store.finish(claim, completion(None))
        assert (await store.get_record(job_id)).progress == Progress(1, 2, "half")

    async def test_a_job_that_is_not_finished_has_no_result(self, store: JobStore) -> None:
        (job_id,) = await self.insert(store)
        with pytest.raises(JobNotFinished, match=r"not finished \(status=pending\)"):
            await store.get_result(job_id)
        await self.claim(store)
        with pytest.raises(RuntimeError, match=r"not finished \(status=running\)"):
            await store.get_result(job_id)

    @pytest.mark.parametrize("claimed", [False, True])
    async def test_a_deleted_job_is_gone_whatever_it_was(self, store: JobStore, claimed: bool) -> None:
        (job_id,) = await self.insert(store)
        claim = await self.claim(store) if claimed else Claim(submission(job_id), 1)
        await store.delete(job_id)
        assert await store.claim(1, ()) == []
        assert not await store.finish(claim, completion(1))
        for find in (store.get_record, store.get_result, store.delete, store.request_cancel):
            with pytest.raises(JobNotFound):
                await find(job_id)
        with pytest.raises(KeyError):
            await store.list_transitions(job_id, 0)
        assert await store.list_records(None, 10, None) == []
        assert not any((await store.count_by_status()).values())

    async def test_every_change_is_published_in_order(self, store: JobStore, publisher: RecordingPublisher) -> None:
        (job_id,) = await self.insert(store)
        claim = await self.claim(store)
        await store.report_progress(claim, Progress(1))
        await store.request_cancel(job_id)
        await store.finish(claim, CANCELED)
        await store.delete(job_id)
        told = [(event.record and (event.record.version, event.record.status)) for event in publisher.events]
        assert told == [
            (1, JobStatus.PENDING),
            (2, JobStatus.RUNNING),
            (3, JobStatus.RUNNING),
            (4, JobStatus.RUNNING),
            (5, JobStatus.CANCELED),
            None,
        ]
        assert [event.is_transition for event in publisher.events] == [True, True, False, False, True, True]

    async def test_the_transitions_of_a_life_are_those_that_were_published(
        self, store: JobStore, publisher: RecordingPublisher
    ) -> None:
        (job_id,) = await self.insert(store)
        claim = await self.claim(store)
        await store.report_progress(claim, Progress(1))
        await store.finish(claim, failure(ValueError("no")))
        published = [event.record for event in publisher.events if event.is_transition]
        for seen in range(5):
            expected = [asdict(record) for record in published if record and record.version > seen]
            assert [asdict(record) for record in await store.list_transitions(job_id, seen)] == expected

    async def test_records_are_listed_newest_first_in_pages(self, store: JobStore) -> None:
        job_ids = await self.insert(store, 300)
        listed: list[str] = []
        before = None
        while page := await store.list_records(None, 7, before):
            assert len(page) <= 7
            before = page[-1].id
            listed += [record.id for record in page]
        assert listed == job_ids[::-1]
        assert [record.id for record in await store.list_records(None, None, None)] == listed

    async def test_a_page_goes_on_where_a_deleted_job_was(self, store: JobStore) -> None:
        job_ids = await self.insert(store, 300)
        for cursor in (job_ids[0], job_ids[128], job_ids[150]):
            await store.delete(cursor)
        rest = [job_id for job_id in job_ids if job_id not in (job_ids[0], job_ids[128], job_ids[150])]
        for cursor in (job_ids[128], job_ids[150]):
            expected = [job_id for job_id in reversed(rest) if job_id < cursor][:5]
            assert [record.id for record in await store.list_records(None, 5, cursor)] == expected
        assert await store.list_records(None, 5, job_ids[0]) == []

    async def test_records_are_listed_by_status(self, store: JobStore) -> None:
        job_ids = await self.insert(store, 300)
        claims = await store.claim(299, ())
        failed = [claims[index] for index in (3, 140, 141, 290)]
        for claim in failed:
            await store.finish(claim, failure(ValueError()))
        expected = [claim.submission.id for claim in reversed(failed)]
        assert [record.id for record in await store.list_records(JobStatus.FAILED, 10, None)] == expected
        assert [record.id for record in await store.list_records(JobStatus.FAILED, 2, expected[0])] == expected[1:3]
        assert [record.id for record in await store.list_records(JobStatus.PENDING, 10, None)] == job_ids[-1:]
        assert await store.list_records(JobStatus.CANCELED, 10, None) == []

    async def test_jobs_are_counted_by_status(self, store: JobStore) -> None:
        await self.insert(store, 3)
        for outcome in (completion(1), CANCELED):
            await store.finish(await self.claim(store), outcome)
        assert await store.count_by_status() == {
            JobStatus.PENDING: 1,
            JobStatus.RUNNING: 0,
            JobStatus.COMPLETED: 1,
            JobStatus.FAILED: 0,
            JobStatus.CANCELED: 1,
        }

    async def test_the_table_is_walked_by_every_transition(self, store: JobStore) -> None:
        reached = {
            outcome: await self.end(store, outcome) for outcome in (completion(1), failure(ValueError()), CANCELED)
        }
        statuses = {outcome.transition: (await store.get_record(job_id)).status for outcome, job_id in reached.items()}
        assert statuses == {
            Transition.COMPLETE: JobStatus.COMPLETED,
            Transition.FAIL: JobStatus.FAILED,
            Transition.CANCEL: JobStatus.CANCELED,
        }
