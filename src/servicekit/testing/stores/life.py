"""What every store promises of the life of a job, and of lists and changes."""

import asyncio
import inspect
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest
from ulid import ULID

from servicekit.errors import IdempotencyConflict, JobFailed, JobNotFinished, JobNotFound, ResultDropped
from servicekit.jobs.endings import GIVEN_BACK, NOT_BEGUN
from servicekit.jobs.options import DEFAULT_OPTIONS, JobOptions, OptionChanges, changed
from servicekit.jobs.outcome import CANCELED, Outcome, completion, failure
from servicekit.jobs.query import ALL_JOBS, JobFilter
from servicekit.jobs.record import JobRecord, Progress
from servicekit.jobs.results import WrittenResult
from servicekit.jobs.status import EndedBy, JobStatus, Transition
from servicekit.jobs.submission import Claim, Submission
from servicekit.ports import JobStore
from servicekit.testing.stores.base import COROUTINE, SCAN_LIMIT, THREAD, StoreTests, with_status
from servicekit.testing.stores.fakes import ManualClock, RecordingPublisher, noop, submission, wait_healthy

KEY = "a key"
ARTIFACT = "01JQRS7XK5N8Z3VQ2M4T6W8Y0A"


async def another(*args: object) -> None:
    """A target that is not `noop`."""


class LifeContract(StoreTests):
    """What every store promises of the life of a job, and of lists and changes."""

    async def test_a_new_job_is_pending(self, store: JobStore, clock: ManualClock) -> None:
        (job_id,) = await self.insert(store)
        record = await store.reads.get_record(job_id)
        assert record.status is JobStatus.PENDING
        assert (record.submitted_at, record.started_at, record.finished_at) == (clock.now(), None, None)
        assert (record.version, record.attempt) == (1, 0)

    async def test_the_times_of_a_life_are_those_that_the_store_tells(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        times = [store.liveness.now()]
        claim = await self.start(store)
        clock.advance(1)
        await store.submissions.request_cancel(claim.submission.id)
        await store.attempts.end_attempt(claim, CANCELED)
        times.append(store.liveness.now())
        record = await store.reads.get_record(claim.submission.id)
        assert [record.submitted_at, record.started_at, record.cancel_requested_at, record.finished_at] == [
            times[0], times[0], times[1], times[1],
        ]  # fmt: skip

    async def test_a_whole_life_is_recorded(self, store: JobStore, clock: ManualClock) -> None:
        (job_id,) = await self.insert(store)
        clock.advance(1)
        claim = await self.claim(store)
        running = await store.reads.get_record(job_id)
        assert (running.status, running.started_at, running.attempt) == (JobStatus.RUNNING, clock.now(), 1)
        clock.advance(1)
        assert await store.attempts.end_attempt(claim, completion("done"))
        record = await store.reads.get_record(job_id)
        assert (record.status, record.finished_at, record.version) == (JobStatus.COMPLETED, clock.now(), 3)
        assert await store.reads.get_result(job_id) == "done"

    async def test_every_record_says_how_its_job_runs(self, store: JobStore, publisher: RecordingPublisher) -> None:
        (job_id,) = await self.insert(store, 1, THREAD)
        await store.attempts.end_attempt(await self.claim(store), completion(None))
        told = [event.record for event in publisher.events if event.record is not None]
        for records in ([await store.reads.get_record(job_id)], await store.reads.list_transitions(job_id, 0), told):
            assert {record.runner for record in records} == {THREAD}

    async def test_a_clock_set_back_does_not_turn_a_life_around(self, store: JobStore, clock: ManualClock) -> None:
        (job_id,) = await self.insert(store)
        clock.advance(-60)
        claim = await self.claim(store)
        clock.advance(-60)
        await store.attempts.end_attempt(claim, completion(None))
        record = await store.reads.get_record(job_id)
        assert record.submitted_at == record.started_at == record.finished_at

    async def test_the_oldest_are_claimed_first_and_once(self, store: JobStore) -> None:
        job_ids = await self.insert(store, 5)
        first = await store.attempts.claim(2, ())
        second = await store.attempts.claim(10, ())
        assert [claim.submission.id for claim in first] == job_ids[:2]
        assert [claim.submission.id for claim in second] == job_ids[2:]
        assert await store.attempts.claim(10, ()) == []

    async def test_the_oldest_are_claimed_first_across_runners(self, store: JobStore) -> None:
        job_ids = [(await self.insert(store, 1, runner))[0] for runner in (COROUTINE, THREAD, THREAD, COROUTINE)]
        assert [claim.submission.id for claim in await store.attempts.claim(4, ())] == job_ids

    async def test_more_than_the_limit_are_claimed_only_where_all_are_coroutines(self, store: JobStore) -> None:
        await self.insert(store, 5)
        first = await store.attempts.claim(1, (), most=3)
        assert 1 <= len(first) <= 3
        await self.insert(store, 1, THREAD)
        assert len(await store.attempts.claim(1, (), most=3)) == 1

    async def test_jobs_of_a_full_runner_are_left_waiting(self, store: JobStore) -> None:
        (threaded,) = await self.insert(store, 1, THREAD)
        (coroutine,) = await self.insert(store)
        assert [claim.submission.id for claim in await store.attempts.claim(2, (THREAD,))] == [coroutine]
        assert (await store.reads.get_record(threaded)).status is JobStatus.PENDING
        assert [claim.submission.id for claim in await store.attempts.claim(2, ())] == [threaded]

    @pytest.mark.parametrize("outcome", [completion(None), completion(1), failure(ValueError("no")), CANCELED])
    async def test_what_an_attempt_has_left_is_in_the_record_however_it_ends(
        self, store: JobStore, outcome: Outcome
    ) -> None:
        job_id = await self.end(store, outcome._replace(artifact_id=ARTIFACT))
        record = await store.reads.get_record(job_id)
        assert (record.artifact_id, record.status.is_terminal) == (ARTIFACT, True)
        life = await store.reads.list_transitions(job_id, 0)
        assert [each.artifact_id for each in life] == [None, None, ARTIFACT]

    async def test_an_end_that_becomes_another_one_keeps_what_the_attempt_has_left(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        again = failure(ValueError("no")).to_be_retried(clock.now())
        for ending in (NOT_BEGUN, GIVEN_BACK, again):
            claim = await self.start(store)
            await store.submissions.request_cancel(claim.submission.id)
            await store.attempts.end_attempt(claim, ending._replace(artifact_id=ARTIFACT))
            assert (await store.reads.get_record(claim.submission.id)).artifact_id == ARTIFACT
        claim = await self.start(store, max_restarts=0)
        await store.attempts.end_attempt(claim, GIVEN_BACK._replace(artifact_id=ARTIFACT))
        assert (await store.reads.get_record(claim.submission.id)).artifact_id == ARTIFACT

    async def test_the_next_attempt_begins_without_what_the_last_one_has_left(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        claim = await self.start(store)
        again = failure(ValueError("no")).to_be_retried(clock.now())
        await store.attempts.end_attempt(claim, again._replace(artifact_id=ARTIFACT))
        assert (await store.reads.get_record(claim.submission.id)).artifact_id is None
        await store.attempts.end_attempt(await self.claim(store), completion(None))
        assert (await store.reads.get_record(claim.submission.id)).artifact_id is None

    async def test_of_many_ids_it_is_told_which_belong_to_no_job(self, store: JobStore) -> None:
        pending = await self.insert(store, 3)
        gone = [await self.end(store, completion(None)), pending.pop()]
        never = [self.ids.next_id(), "no id", ""]
        running = await self.claim(store)
        for job_id in (*gone, running.submission.id):
            await store.submissions.delete(job_id)
        pending.remove(running.submission.id)
        asked = [*pending, *gone, *never, running.submission.id]
        assert await store.reads.find_missing(asked) == {*gone, *never, running.submission.id}
        assert await store.reads.find_missing(pending) == await store.reads.find_missing([]) == set()

    async def test_a_failure_is_recorded(self, store: JobStore) -> None:
        job_id = await self.end(store, failure(ValueError("Invalid input")))
        record = await store.reads.get_record(job_id)
        assert (record.status, record.error) == (JobStatus.FAILED, "ValueError: Invalid input")
        assert record.error_traceback
        with pytest.raises(JobFailed, match="ValueError: Invalid input"):
            await store.reads.get_result(job_id)

    @pytest.mark.parametrize("text", [None, "", "[1, nonsense", "[" * 100_000])
    async def test_a_result_that_a_process_could_not_write_is_not_given(
        self, store: JobStore, text: str | None
    ) -> None:
        job_id = await self.end(store, completion(WrittenResult(text)))
        assert await self.status_of(store, job_id) is JobStatus.COMPLETED
        with pytest.raises(ResultDropped):
            await store.reads.get_result(job_id)

    async def test_a_pending_job_is_canceled_at_once_and_never_claimed(self, store: JobStore) -> None:
        (job_id,) = await self.insert(store)
        record = await store.submissions.request_cancel(job_id)
        assert record is not None
        assert (record.status, record.started_at) == (JobStatus.CANCELED, None)
        assert record.finished_at == record.cancel_requested_at is not None
        assert await store.attempts.claim(1, ()) == []

    async def test_a_running_job_is_only_marked(self, store: JobStore) -> None:
        (job_id,) = await self.insert(store)
        claim = await self.claim(store)
        record = await store.submissions.request_cancel(job_id)
        assert record is not None
        assert record.status is JobStatus.RUNNING
        assert record.cancel_requested_at is not None
        assert await store.submissions.request_cancel(job_id) == record
        await store.attempts.end_attempt(claim, CANCELED)
        assert (await store.reads.get_record(job_id)).status is JobStatus.CANCELED
        with pytest.raises(JobFailed, match="status=canceled"):
            await store.reads.get_result(job_id)

    @pytest.mark.parametrize("outcome", [completion(1), failure(ValueError()), CANCELED])
    async def test_a_terminal_status_never_changes(self, store: JobStore, outcome: Outcome) -> None:
        (job_id,) = await self.insert(store)
        claim = await self.claim(store)
        await store.attempts.end_attempt(claim, outcome)
        record = await store.reads.get_record(job_id)
        assert not await store.attempts.end_attempt(claim, completion(2))
        await store.attempts.report_progress(claim, Progress(1))
        assert await store.submissions.request_cancel(job_id) == record
        assert await store.reads.get_record(job_id) == record
        assert await store.attempts.claim(1, ()) == []

    async def test_a_stale_attempt_changes_nothing(self, store: JobStore) -> None:
        (job_id,) = await self.insert(store)
        claim = await self.claim(store)
        stale = Claim(claim.submission, claim.attempt - 1)
        assert not await store.attempts.end_attempt(stale, completion("stale"))
        await store.attempts.report_progress(stale, Progress(1))
        record = await store.reads.get_record(job_id)
        assert (record.status, record.progress) == (JobStatus.RUNNING, None)

    async def test_of_attempts_that_end_at_once_each_that_runs_its_job_ends_it(self, store: JobStore) -> None:
        first, second, deleted, canceled = [await self.start(store) for _ in range(4)]
        stale = Claim(first.submission, first.attempt - 1)
        await store.submissions.delete(deleted.submission.id)
        await store.submissions.request_cancel(canceled.submission.id)
        failed = failure(ValueError("no"))
        ends = [
            (stale, completion(0)), (first, completion(1)), (first, completion(2)), (deleted, completion(3)),
            (second, failed), (canceled, CANCELED),
        ]  # fmt: skip
        written = await asyncio.gather(*(store.attempts.end_attempt(claim, outcome) for claim, outcome in ends))
        assert written == [None, Transition.COMPLETE, None, None, Transition.FAIL, Transition.CANCEL]
        assert await store.reads.get_result(first.submission.id) == 1
        assert (await store.reads.get_record(second.submission.id)).error == failed.error
        assert await self.status_of(store, canceled.submission.id) is JobStatus.CANCELED
        with pytest.raises(JobNotFound):
            await store.reads.get_record(deleted.submission.id)

    async def test_progress_is_recorded_with_its_time_and_kept_to_the_end(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        (job_id,) = await self.insert(store)
        claim = await self.claim(store)
        clock.advance(1)
        reported_at = clock.now()
        await store.attempts.report_progress(claim, Progress(1, 2, "half"))
        clock.advance(5)
        await store.attempts.end_attempt(claim, completion(None))
        assert (await store.reads.get_record(job_id)).progress == Progress(1, 2, "half", reported_at)

    async def test_of_progress_that_is_reported_at_once_the_newest_of_each_attempt_counts(
        self, store: JobStore
    ) -> None:
        claims = [await self.start(store), await self.start(store)]
        stale = [Claim(claim.submission, claim.attempt - 1) for claim in claims]
        reports = [(claim, Progress(done)) for done in range(20) for claim in (*claims, *stale)]
        await asyncio.gather(*(store.attempts.report_progress(claim, progress) for claim, progress in reports))
        for claim in claims:
            progress = (await store.reads.get_record(claim.submission.id)).progress
            assert progress is not None
            assert progress.done == 19

    async def test_a_job_says_how_long_it_has_run_and_how_long_it_will(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        claim = await self.start(store)
        clock.advance(10)
        await store.attempts.report_progress(claim, Progress(1, 4))
        clock.advance(5)
        running = await store.reads.get_record(claim.submission.id)
        assert (running.elapsed_seconds, running.remaining_seconds) == (15, 25)
        await store.attempts.end_attempt(claim, completion(None))
        clock.advance(5)
        ended = await store.reads.get_record(claim.submission.id)
        assert (ended.elapsed_seconds, ended.remaining_seconds) == (15, None)

    async def test_a_job_that_has_not_begun_says_nothing_of_it(self, store: JobStore) -> None:
        record = await store.reads.get_record(await self.submit(store, queue="gpu", priority=5))
        assert (record.queue, record.priority, record.scheduled_at) == ("gpu", 5, None)
        assert (record.elapsed_seconds, record.remaining_seconds, record.ended_by) == (None, None, None)
        assert (record.attempts, record.retry_of, record.schedule) == ((), None, None)

    @pytest.mark.parametrize(
        ("outcome", "ended_by"),
        [
            (completion(None), EndedBy.TARGET),
            (failure(ValueError()), EndedBy.TARGET),
            (failure(TimeoutError(), EndedBy.TIME_LIMIT), EndedBy.TIME_LIMIT),
            (Outcome(Transition.CANCEL, ended_by=EndedBy.KILL), EndedBy.KILL),
            (CANCELED, EndedBy.CANCEL),
        ],
    )
    async def test_what_made_a_job_end_is_recorded(self, store: JobStore, outcome: Outcome, ended_by: EndedBy) -> None:
        claim = await self.start(store)
        assert (await store.reads.get_record(claim.submission.id)).ended_by is None
        await store.attempts.end_attempt(claim, outcome)
        assert (await store.reads.get_record(claim.submission.id)).ended_by is ended_by

    async def test_a_pending_job_that_is_canceled_was_ended_by_that(self, store: JobStore) -> None:
        await store.submissions.request_cancel(job_id := await self.submit(store))
        assert (await store.reads.get_record(job_id)).ended_by is EndedBy.CANCEL

    async def test_a_job_that_returns_nothing_has_that_as_its_result(self, store: JobStore) -> None:
        job_id = await self.end(store, completion(None))
        assert await store.reads.get_result(job_id) is None

    async def test_a_job_that_is_not_finished_has_no_result(self, store: JobStore) -> None:
        (job_id,) = await self.insert(store)
        with pytest.raises(JobNotFinished, match=r"not finished \(status=pending\)"):
            await store.reads.get_result(job_id)
        await self.claim(store)
        with pytest.raises(RuntimeError, match=r"not finished \(status=running\)"):
            await store.reads.get_result(job_id)

    @pytest.mark.parametrize("claimed", [False, True])
    async def test_a_deleted_job_is_gone_whatever_it_was(self, store: JobStore, claimed: bool) -> None:
        (job_id,) = await self.insert(store)
        claim = await self.claim(store) if claimed else Claim(submission(job_id), 1)
        await store.submissions.delete(job_id)
        assert await store.attempts.claim(1, ()) == []
        assert not await store.attempts.end_attempt(claim, completion(1))
        for find in (
            store.reads.get_record,
            store.reads.get_result,
            store.submissions.delete,
            store.submissions.request_cancel,
        ):
            with pytest.raises(JobNotFound):
                await find(job_id)
        with pytest.raises(KeyError):
            await store.reads.list_transitions(job_id, 0)
        assert await self.list_all(store) == []
        assert not any((await store.reads.count_by_status()).values())

    async def test_every_change_is_published_in_order(self, store: JobStore, publisher: RecordingPublisher) -> None:
        (job_id,) = await self.insert(store)
        claim = await self.claim(store)
        await store.attempts.report_progress(claim, Progress(1))
        await store.submissions.request_cancel(job_id)
        await store.attempts.end_attempt(claim, CANCELED)
        await store.submissions.delete(job_id)
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
        await store.attempts.report_progress(claim, Progress(1))
        await store.attempts.end_attempt(claim, failure(ValueError("no")))
        published = [event.record for event in publisher.events if event.is_transition]
        for seen in range(5):
            expected = [asdict(record) for record in published if record and record.version > seen]
            assert [asdict(record) for record in await store.reads.list_transitions(job_id, seen)] == expected

    async def test_records_are_listed_newest_first_in_pages(self, store: JobStore) -> None:
        job_ids = await self.insert(store, 300)
        assert await self.list_ids(store, limit=7) == job_ids[::-1]
        assert await self.list_ids(store) == job_ids[::-1]

    async def test_the_last_page_says_that_it_is(self, store: JobStore) -> None:
        job_ids = await self.insert(store, 6)
        first = await store.reads.list_records(ALL_JOBS, 3, None)
        assert first.next_before == job_ids[3]
        assert (await store.reads.list_records(ALL_JOBS, 3, first.next_before)).next_before is None
        assert await store.reads.list_records(ALL_JOBS, 3, job_ids[0]) == ([], None)

    async def test_a_request_to_cancel_finds_a_job_that_is_deleted_right_after_it(self, store: JobStore) -> None:
        (job_id,) = await self.insert(store)
        await store.attempts.claim(1, ())
        asked = (store.submissions.request_cancel(job_id), store.submissions.delete(job_id))
        canceled, _ = await asyncio.gather(*asked)
        assert canceled is not None
        assert canceled.cancel_requested_at is not None

    async def test_a_page_goes_on_where_a_deleted_job_was(self, store: JobStore) -> None:
        job_ids = await self.insert(store, 300)
        gone = [job_ids[0], job_ids[128], job_ids[150]]
        for job_id in gone:
            await store.submissions.delete(job_id)
        for cursor in gone:
            expected = [job_id for job_id in reversed(job_ids) if job_id < cursor and job_id not in gone][:5]
            page = await store.reads.list_records(ALL_JOBS, 5, cursor)
            assert [record.id for record in page.records] == expected

    async def test_records_are_listed_by_status(self, store: JobStore) -> None:
        job_ids = await self.insert(store, 300)
        claims = await store.attempts.claim(299, ())
        failed = [claims[index] for index in (3, 140, 141, 290)]
        for claim in failed:
            await store.attempts.end_attempt(claim, failure(ValueError()))
        expected = [claim.submission.id for claim in reversed(failed)]
        assert await self.list_ids(store, with_status(JobStatus.FAILED)) == expected
        second = await store.reads.list_records(with_status(JobStatus.FAILED), 2, expected[0])
        assert [record.id for record in second.records] == expected[1:3]
        assert await self.list_ids(store, with_status(JobStatus.PENDING)) == job_ids[-1:]
        assert await self.list_ids(store, with_status(JobStatus.CANCELED)) == []

    async def test_records_are_listed_by_several_statuses(self, store: JobStore) -> None:
        completed = await self.submit(store, outcome=completion(None))
        failed = await self.submit(store, outcome=failure(ValueError()))
        running = await self.submit(store)
        await self.claim(store)
        pending = await self.submit(store)
        for limit in (1, 10):
            for statuses, expected in [
                ((JobStatus.FAILED, JobStatus.COMPLETED), [failed, completed]),
                ((JobStatus.PENDING, JobStatus.RUNNING), [pending, running]),
                ((JobStatus.PENDING, JobStatus.COMPLETED, JobStatus.CANCELED), [pending, completed]),
                (tuple(JobStatus), [pending, running, failed, completed]),
            ]:
                assert await self.list_ids(store, with_status(*statuses), limit) == expected

    async def test_records_are_listed_by_name_and_by_tag(self, store: JobStore) -> None:
        train = await self.submit(store, name="train", tags=("nightly", "gpu"))
        await self.submit(store, name="training", tags=("night",))
        again = await self.submit(store, name="train")
        assert await self.list_ids(store, JobFilter(name="train")) == [again, train]
        assert await self.list_ids(store, JobFilter(name="Train")) == []
        assert await self.list_ids(store, JobFilter(tag="nightly")) == [train]
        assert await self.list_ids(store, JobFilter(tag="gpu")) == [train]
        assert await self.list_ids(store, JobFilter(tag="gp")) == []
        assert await self.list_ids(store, JobFilter(name="train", tag="night")) == []
        assert (await store.reads.get_record(train)).tags == ("gpu", "nightly")

    @pytest.mark.parametrize(
        "text",
        [
            "\ufdd0",
            "\ufdd1",
            "\ufdd0\ufdd1",
            "\ufdd0\ufdd2",
            "\ufdd0\ufdd0\ufdd1\ufdd2",
            "servicekit.jobs",
            "%s %(id)s %%",
        ],
    )
    async def test_a_text_is_read_as_it_was_written(self, store: JobStore, text: str) -> None:
        options: OptionChanges = {"name": text, "tags": (text,), "metadata": {text: text}, "queue": text}
        job = submission(self.ids.next_id(), args=(text,), options=changed(DEFAULT_OPTIONS, options))
        assert await store.submissions.insert(job) == job.id
        claim = await self.claim(store)
        assert claim.submission.args == (text,)
        await store.attempts.end_attempt(claim, failure(ValueError(f"\0{text}\0")))
        record = await store.reads.get_record(job.id)
        assert (record.name, record.tags, record.metadata, record.queue) == (text, (text,), {text: text}, text)
        assert record.error == str(failure(ValueError(f"\0{text}\0")).error)
        for wanted in (JobFilter(name=text), JobFilter(tag=text), JobFilter(metadata={text: text})):
            assert await self.list_ids(store, wanted) == [job.id]
        keyed = await self.submit(store, idempotency_key=text)
        assert await store.submissions.find_by_key(text) == keyed

    async def test_a_search_looks_into_names_and_errors(self, store: JobStore) -> None:
        named = await self.submit(store, name="Disk_check 100%")
        await self.submit(store, name="Diskcheck 100")
        failed = await self.submit(store)
        claims = {claim.submission.id: claim for claim in await store.attempts.claim(3, ())}
        await store.attempts.end_attempt(claims[failed], failure(OSError("no space left on DISK Ä")))
        assert (await self.list_ids(store, JobFilter(search="disk")))[0] == failed
        assert len(await self.list_ids(store, JobFilter(search="disk"))) == 3
        assert await self.list_ids(store, JobFilter(search="k_c")) == [named]
        assert await self.list_ids(store, JobFilter(search="0%")) == [named]
        assert await self.list_ids(store, JobFilter(search="disk Ä")) == [failed]
        assert await self.list_ids(store, JobFilter(search="disk ä")) == []  # only ASCII letters are told alike
        assert await self.list_ids(store, JobFilter(search="'; --")) == []

    async def test_records_are_listed_by_the_time_in_their_ids(self, store: JobStore) -> None:
        noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
        minutes = [noon + timedelta(minutes=minute) for minute in range(5)]
        job_ids = [str(ULID.from_datetime(minute)) for minute in minutes]
        for job_id in job_ids:
            await store.submissions.insert(submission(job_id))
        for after in (None, *minutes):
            for before in (None, *minutes):
                wanted = JobFilter(submitted_after=after, submitted_before=before)
                start = 0 if after is None else minutes.index(after)
                end = 5 if before is None else minutes.index(before)
                assert await self.list_ids(store, wanted, limit=2) == job_ids[start:end][::-1]
        page = await store.reads.list_records(JobFilter(submitted_after=minutes[1]), 10, job_ids[3])
        assert [record.id for record in page.records] == [job_ids[2], job_ids[1]]

    async def test_filters_are_combined(self, store: JobStore) -> None:
        wanted = JobFilter(
            statuses=frozenset([JobStatus.FAILED, JobStatus.COMPLETED]), name="train", tag="gpu", search="memory"
        )
        outcome = failure(MemoryError("out of memory"))
        expected = await self.submit(store, name="train", tags=("gpu",), outcome=outcome)
        await self.submit(store, name="test", tags=("gpu",), outcome=outcome)
        await self.submit(store, name="train", tags=("cpu",), outcome=outcome)
        await self.submit(store, name="train", tags=("gpu",), outcome=failure(ValueError("x")))
        assert await self.list_ids(store, wanted) == [expected]
        assert wanted.matches(await store.reads.get_record(expected))

    async def test_a_search_that_looks_at_many_jobs_goes_on_with_the_next_page(self, store: JobStore) -> None:
        oldest = await self.submit(store, name="needle")
        await self.insert(store, SCAN_LIMIT)
        middle = await self.submit(store, name="needle")
        await self.insert(store, 2 * SCAN_LIMIT)
        wanted = JobFilter(search="needle")
        first = await store.reads.list_records(wanted, 10, None)
        assert first.records == []
        assert first.next_before is not None
        assert await self.list_ids(store, wanted) == [middle, oldest]
        assert await self.list_ids(store, wanted, limit=1) == [middle, oldest]
        assert await self.list_ids(store, JobFilter(search="no such thing")) == []

    async def test_a_submission_with_the_same_key_is_the_same_job(self, store: JobStore) -> None:
        job_id, repeated = self.ids.next_id(), self.ids.next_id()
        for name in ("first", "second"):  # what it is called does not make it another
            options = JobOptions(name=name, idempotency_key=KEY)
            new = submission(job_id if name == "first" else repeated, args=(1, {"b": 2, "a": [None]}), options=options)
            assert await store.submissions.insert(new) == job_id
        assert await self.list_ids(store) == [job_id]
        assert (await store.reads.get_record(job_id)).name == "first"
        with pytest.raises(JobNotFound):
            await store.reads.get_record(repeated)
        assert [claim.submission.id for claim in await store.attempts.claim(2, ())] == [job_id]

    async def test_a_key_is_kept_as_long_as_its_job(self, store: JobStore) -> None:
        options = JobOptions(idempotency_key=KEY)
        first, second, third = [submission(self.ids.next_id(), options=options) for _ in range(3)]
        await store.submissions.insert(first)
        await store.attempts.end_attempt(await self.claim(store), completion(None))
        assert await store.submissions.insert(second) == first.id
        await store.submissions.delete(first.id)
        assert await store.submissions.insert(third) == third.id
        assert await self.list_ids(store) == [third.id]

    async def test_a_job_is_found_by_its_key_for_as_long_as_it_is_kept(self, store: JobStore) -> None:
        assert await store.submissions.find_by_key(KEY) is None
        claim = await self.start(store, idempotency_key=KEY)
        assert await store.submissions.find_by_key(KEY) == claim.submission.id
        assert await store.submissions.find_by_key(f"{KEY}s") is None
        await store.submissions.delete(claim.submission.id)
        assert await store.submissions.find_by_key(KEY) is None
        await store.attempts.end_attempt(claim, completion(None))
        ended = await self.submit(store, outcome=completion(None), idempotency_key=KEY)
        assert await store.submissions.find_by_key(KEY) == ended

    @pytest.mark.parametrize("other", ["arguments", "target"])
    async def test_a_key_is_for_one_target_and_its_arguments(self, store: JobStore, other: str) -> None:
        options = JobOptions(idempotency_key=KEY)
        first = submission(self.ids.next_id(), args=(1,), options=options)
        await store.submissions.insert(first)
        args, target = ((2,), noop) if other == "arguments" else ((1,), another)
        with pytest.raises(IdempotencyConflict, match="another target or other arguments") as caught:
            await store.submissions.insert(submission(self.ids.next_id(), args=args, target=target, options=options))
        assert (caught.value.key, caught.value.job_id) == (KEY, first.id)
        assert await self.list_ids(store) == [first.id]

    async def test_a_coroutine_object_that_is_not_needed_is_closed(self, store: JobStore) -> None:
        options = JobOptions(idempotency_key=KEY)
        repeated, conflicting = noop(), another()
        await store.submissions.insert(
            Submission(self.ids.next_id(), "noop", first := noop(), (), {}, COROUTINE, options)
        )
        await store.submissions.insert(Submission(self.ids.next_id(), "noop", repeated, (), {}, COROUTINE, options))
        with pytest.raises(IdempotencyConflict):
            await store.submissions.insert(
                Submission(self.ids.next_id(), "another", conflicting, (), {}, COROUTINE, options)
            )
        assert inspect.getcoroutinestate(repeated) == inspect.getcoroutinestate(conflicting) == inspect.CORO_CLOSED
        assert inspect.getcoroutinestate(first) == inspect.CORO_CREATED
        first.close()

    async def test_changes_tell_what_each_job_has_become(self, store: JobStore) -> None:
        begin = await store.changes.get_position()
        first, second, third = await self.insert(store, 3)
        claims = await store.attempts.claim(2, ())
        await store.attempts.report_progress(claims[0], Progress(1))
        await store.attempts.end_attempt(claims[1], completion(None))
        await store.submissions.request_cancel(first)
        await store.submissions.delete(third)
        changes = await self.changes_since(store, begin)
        assert [change.job_id for change in changes] == [second, first, third]
        assert [change.record and change.record.status for change in changes] == [
            JobStatus.COMPLETED,
            JobStatus.RUNNING,
            None,
        ]
        for job_id, change in zip([second, first], changes, strict=False):
            assert change.record == await store.reads.get_record(job_id)

    async def test_every_change_has_a_position_and_is_told(
        self, store: JobStore, publisher: RecordingPublisher
    ) -> None:
        position, told = await store.changes.get_position(), publisher.notify_count

        async def check_moved() -> None:
            nonlocal position, told
            before, position = position, await store.changes.get_position()
            told_before, told = told, publisher.notify_count
            assert position > before
            assert told > told_before

        (job_id,) = await self.insert(store)
        await check_moved()
        claim = await self.claim(store)
        await check_moved()
        await store.attempts.report_progress(claim, Progress(1))
        await check_moved()
        await store.submissions.request_cancel(job_id)
        await check_moved()
        await store.attempts.end_attempt(claim, CANCELED)
        await check_moved()
        await store.submissions.delete(job_id)
        await check_moved()
        assert await self.changes_since(store, position) == []

    async def test_who_changes_nothing_is_no_change(self, store: JobStore) -> None:
        (job_id,) = await self.insert(store)
        claim = await self.claim(store)
        await store.attempts.end_attempt(claim, completion(None))
        position = await store.changes.get_position()
        await store.attempts.end_attempt(claim, CANCELED)
        await store.attempts.end_attempt(claim, GIVEN_BACK)
        await store.attempts.report_progress(claim, Progress(1))
        await store.submissions.request_cancel(job_id)
        assert await store.changes.get_position() == position

    async def test_changes_can_be_followed_in_small_steps(self, store: JobStore) -> None:
        begin = await store.changes.get_position()
        job_ids = await self.insert(store, 4)
        claims = await store.attempts.claim(4, ())
        for claim in claims:
            await store.attempts.report_progress(claim, Progress(1))
            await store.attempts.end_attempt(claim, completion(None))
        await store.submissions.delete(job_ids[1])
        for limit in (1, 3, 1_000):
            known: dict[str, JobRecord | None] = {}
            for change in await self.changes_since(store, begin, limit):
                known[change.job_id] = change.record
            assert known.pop(job_ids[1]) is None
            assert known == {record.id: record for record in await self.list_all(store)}
        middle = (await self.changes_since(store, begin))[1].position
        assert [change.job_id for change in await self.changes_since(store, middle)] == [job_ids[3], job_ids[1]]

    async def test_a_change_that_has_not_happened_is_not_known(self, store: JobStore) -> None:
        await self.insert(store)
        position = await store.changes.get_position()
        assert await self.changes_since(store, position) == []
        assert await store.changes.list_changes(position + 1, 10) is None
        assert await store.changes.list_changes(10**17, 10) is None

    async def test_a_released_attempt_ends_the_job_where_nobody_else_could_run_it(
        self, store: JobStore, publisher: RecordingPublisher
    ) -> None:
        (job_id,) = await self.insert(store)
        assert await store.attempts.end_attempt(await self.claim(store), GIVEN_BACK) is Transition.CANCEL
        record = await store.reads.get_record(job_id)
        assert not store.liveness.is_durable
        assert (record.status, record.ended_by) == (JobStatus.CANCELED, EndedBy.STOP)
        assert publisher.events[-1].record == record

    async def test_a_released_attempt_that_was_asked_to_stop_was_ended_by_that(self, store: JobStore) -> None:
        (job_id,) = await self.insert(store)
        claim = await self.claim(store)
        await store.submissions.request_cancel(job_id)
        assert await store.attempts.end_attempt(claim, GIVEN_BACK)
        record = await store.reads.get_record(job_id)
        assert (record.status, record.ended_by) == (JobStatus.CANCELED, EndedBy.CANCEL)

    async def test_a_stale_attempt_releases_nothing(self, store: JobStore) -> None:
        (job_id,) = await self.insert(store)
        claim = await self.claim(store)
        running = await store.reads.get_record(job_id)
        assert not await store.attempts.end_attempt(Claim(claim.submission, claim.attempt - 1), GIVEN_BACK)
        assert await store.reads.get_record(job_id) == running
        assert await store.attempts.end_attempt(claim, completion(None))
        completed = await store.reads.get_record(job_id)
        assert not await store.attempts.end_attempt(claim, GIVEN_BACK)
        assert await store.reads.get_record(job_id) == completed
        await store.submissions.delete(job_id)
        assert not await store.attempts.end_attempt(claim, GIVEN_BACK)

    async def test_it_works_when_it_is_asked_whether_it_does(self, store: JobStore) -> None:
        await wait_healthy(store.liveness)
        await store.liveness.rescue()
        assert await store.reads.list_records(ALL_JOBS, 10, None) == ([], None)

    async def test_jobs_are_counted_by_status(self, store: JobStore) -> None:
        await self.insert(store, 3)
        for outcome in (completion(1), CANCELED):
            await store.attempts.end_attempt(await self.claim(store), outcome)
        assert await store.reads.count_by_status() == {
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
        statuses = {
            outcome.transition: (await store.reads.get_record(job_id)).status for outcome, job_id in reached.items()
        }
        assert statuses == {
            Transition.COMPLETE: JobStatus.COMPLETED,
            Transition.FAIL: JobStatus.FAILED,
            Transition.CANCEL: JobStatus.CANCELED,
        }
