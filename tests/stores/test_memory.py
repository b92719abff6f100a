import gc
import sys
import weakref
from collections.abc import AsyncIterator, Collection
from datetime import timedelta

import pytest

from servicekit.errors import JobNotFound, ResultDropped, RetryUnavailable
from servicekit.jobs.log_lines import NewLine
from servicekit.jobs.options import JobOptions
from servicekit.jobs.outcome import Outcome, completion, failure
from servicekit.jobs.query import ALL_JOBS
from servicekit.jobs.record import JobRecord, Progress
from servicekit.jobs.retention import Retention
from servicekit.jobs.status import EndedBy, JobStatus, Transition
from servicekit.jobs.submission import Claim, JobTarget
from servicekit.jobs.workers import Readiness
from servicekit.ports import JobStore
from servicekit.stores.memory import MemoryStore
from servicekit.testing.stores import (
    KEY,
    SCAN_LIMIT,
    BoundedContract,
    BoundsByStatus,
    JobStoreContract,
    StoreSetting,
    StoreTests,
    with_status,
)
from servicekit.testing.stores.base import THREAD
from servicekit.testing.stores.fakes import ManualClock, RecordingPublisher, submission
from servicekit.testing.stores.life import another
from servicekit.testing.stores.schedules import schedule


class RecordingSignals:
    """Remembers whether it was told that there may be something to claim."""

    def __init__(self) -> None:
        self._is_woken = False

    def take(self) -> bool:
        """Whether it was told since this was asked last."""
        is_woken, self._is_woken = self._is_woken, False
        return is_woken

    def wake(self) -> None:
        self._is_woken = True

    is_stopping = False
    readiness = Readiness()

    def is_running(self, job_id: str, attempt: int) -> bool:
        return False

    def hear_of_failure(self, record: JobRecord) -> None:
        pass

    def cancel(self, job_id: str) -> None:
        raise AssertionError("there is no other process")

    def keep_only(self, held: Collection[tuple[str, int]]) -> None:
        raise AssertionError("there is no other process")

    def stop_attempts(self, *, are_lost: bool) -> None:
        raise AssertionError("there is no other process")


class Thing:
    """Something that a job was called with, or has returned."""


class InMemory:
    """How the suite makes a store."""

    def create_store(self, setting: StoreSetting) -> JobStore:
        return MemoryStore(
            setting.publisher,
            setting.clock,
            setting.retention,
            max_pending=setting.max_pending,
            scan_limit=setting.scan_limit,
        )


class TestMemoryStore(InMemory, JobStoreContract):
    async def test_pending_jobs_are_canceled_when_it_is_retired(self, store: JobStore) -> None:
        running, waiting = await self.insert(store, 2)
        claim = await self.claim(store)
        await store.liveness.retire()
        assert (await store.reads.get_record(running)).status is JobStatus.RUNNING
        record = await store.reads.get_record(waiting)
        assert (record.status, record.ended_by, record.cancel_requested_at) == (JobStatus.CANCELED, EndedBy.STOP, None)
        assert await store.attempts.end_attempt(claim, completion(1))
        await store.liveness.close()
        assert await store.reads.get_result(running) == 1

    async def test_what_waits_for_a_time_or_a_key_is_canceled_as_well(self, store: JobStore) -> None:
        claim = await self.start(store, concurrency_key="k")
        waiting = [await self.submit(store, concurrency_key="k"), await self.submit(store, delay=60)]
        await store.liveness.retire()
        assert [await self.status_of(store, job_id) for job_id in waiting] == [JobStatus.CANCELED] * 2
        assert await store.attempts.make_due() is None
        assert await store.attempts.end_attempt(claim, completion(None))

    @pytest.mark.parametrize("how", ["ready", "delayed", "blocked", "ended"])
    async def test_of_a_deleted_job_nothing_is_held(self, store: JobStore, how: str) -> None:
        await self.start(store, concurrency_key="k")
        thing = Thing()
        reference = weakref.ref(thing)
        job_id = await self.submit(
            store,
            args=(thing,),
            target=another,
            delay=60 if how == "delayed" else 0,
            queue_timeout=60,
            concurrency_key="k" if how == "blocked" else None,
            outcome=completion(thing) if how == "ended" else None,
        )
        del thing
        await store.submissions.delete(job_id)
        gc.collect()
        assert reference() is None

    async def test_what_waits_costs_a_claim_nothing(self, store: JobStore) -> None:
        await store.queues.set_queue_paused("paused", is_paused=True)
        await self.start(store, concurrency_key="k")

        async def wait(count: int) -> None:
            for _ in range(count):
                await self.submit(store, concurrency_key="k")
                await self.submit(store, delay=60, queue_timeout=60)
                await self.submit(store, queue="paused")
                await self.submit(store, queue="full")
                await self.submit(store, kind=THREAD)
                await self.submit(store, priority=-1)

        async def count_calls() -> int:
            """Of all functions, while a job is submitted, claimed and finished."""
            calls = 0

            def count_call(frame: object, event: str, argument: object) -> None:
                nonlocal calls
                calls += 1

            sys.setprofile(count_call)
            try:
                await self.submit(store, priority=1)
                (claim,) = await store.attempts.claim(1, (THREAD,), None, {"full": 0})
                await store.attempts.end_attempt(claim, completion(None))
            finally:
                sys.setprofile(None)
            return calls

        await wait(5)
        few = await count_calls()
        await wait(1_000)
        many = await count_calls()
        assert many < 2 * few

    async def test_a_list_by_status_is_not_cut_short_however_many_jobs_it_passes(self, store: JobStore) -> None:
        job_ids = await self.insert(store, 2 * SCAN_LIMIT)
        await self.claim(store)
        page = await store.reads.list_records(with_status(JobStatus.RUNNING), 10, None)
        assert [record.id for record in page.records] == job_ids[:1]
        assert page.next_before is None

    async def test_queues_of_which_all_jobs_were_canceled_are_forgotten(self, store: JobStore) -> None:
        assert isinstance(store, MemoryStore)
        for number in range(300):
            await store.submissions.request_cancel(await self.submit(store, queue=f"user {number}"))
        assert len(store.kept.pending._queues._queues) <= 101

    async def test_old_changes_are_forgotten(self, store: JobStore) -> None:
        begin = await store.changes.get_position()
        await self.insert(store)
        claim = await self.claim(store)
        for step in range(9_998):
            await store.attempts.report_progress(claim, Progress(step))
        assert [change.record is not None for change in await self.changes_since(store, begin, 20_000)] == [True]
        await store.attempts.end_attempt(claim, completion(None))
        assert await store.changes.list_changes(begin, 10) is None
        assert await store.changes.list_changes(begin + 1, 10) is not None

    async def test_positions_of_an_earlier_process_are_not_known(
        self, store: JobStore, clock: ManualClock, publisher: RecordingPublisher
    ) -> None:
        await self.insert(store, 5)
        seen = await store.changes.get_position()
        clock.advance(0.001)
        later = MemoryStore(publisher, clock, Retention())
        await self.insert(later, 10)
        assert await later.changes.list_changes(seen, 10) is None


class TestSignalsOfTheMemoryStore(StoreTests):
    """The engine is told when something has become ready that no submission announces."""

    @pytest.fixture
    async def signals(self) -> RecordingSignals:
        return RecordingSignals()

    @pytest.fixture
    async def store(
        self, clock: ManualClock, publisher: RecordingPublisher, signals: RecordingSignals
    ) -> AsyncIterator[JobStore]:
        store = MemoryStore(publisher, clock, Retention())
        await store.liveness.open(signals)
        yield store

    async def test_a_job_that_becomes_due(self, store: JobStore, clock: ManualClock, signals: RecordingSignals) -> None:
        await self.submit(store, delay=60)
        await store.attempts.make_due()
        assert not signals.take()
        clock.advance(60)
        await store.attempts.make_due()
        assert signals.take()

    @pytest.mark.parametrize("how", ["finish", "retry later", "cancel", "delete"])
    async def test_a_job_that_gets_a_place_of_its_key(
        self, store: JobStore, clock: ManualClock, signals: RecordingSignals, how: str
    ) -> None:
        first = await self.submit(store, concurrency_key="k")
        await self.submit(store, concurrency_key="k")
        assert not signals.take()
        match how:
            case "finish":
                await store.attempts.end_attempt(await self.claim(store), completion(None))
            case "retry later":
                retry = failure(ValueError()).to_be_retried(clock.now() + timedelta(1))
                await store.attempts.end_attempt(await self.claim(store), retry)
            case "cancel":
                await store.submissions.request_cancel(first)
            case _:
                await store.submissions.delete(first)
        assert signals.take()

    async def test_a_job_that_nobody_waits_for_ends(self, store: JobStore, signals: RecordingSignals) -> None:
        await store.attempts.end_attempt(await self.start(store, concurrency_key="k"), completion(None))
        assert not signals.take()

    async def test_a_job_that_is_tried_again_at_once(
        self, store: JobStore, clock: ManualClock, signals: RecordingSignals
    ) -> None:
        await store.attempts.end_attempt(await self.start(store), failure(ValueError()).to_be_retried(clock.now()))
        assert signals.take()

    async def test_a_job_that_is_submitted_again(self, store: JobStore, signals: RecordingSignals) -> None:
        await store.submissions.resubmit(await self.end(store, completion(None)), self.ids.next_id())
        assert signals.take()

    async def test_a_job_of_a_schedule(self, store: JobStore, clock: ManualClock, signals: RecordingSignals) -> None:
        await store.schedules.put_schedule(schedule(), clock.now())
        await store.schedules.fire_schedule("nightly", clock.now(), None, self.ids.next_id())
        assert signals.take()

    async def test_a_queue_that_goes_on(self, store: JobStore, signals: RecordingSignals) -> None:
        await store.queues.set_queue_paused("default", is_paused=True)
        await self.submit(store)
        assert not signals.take()
        await store.queues.set_queue_paused("default", is_paused=False)
        assert signals.take()


class TestBoundedMemoryStore(InMemory, BoundedContract):
    """Its bounds."""


class TestBoundsByStatusInMemory(InMemory, BoundsByStatus):
    """Its bounds by status."""


class TestRetentionInMemory(InMemory, JobStoreContract):
    """The whole contract again, with as little kept as its tests allow, and the bounds themselves."""

    retention = Retention(max_count=4, max_age=timedelta(seconds=60), max_result_bytes=10_000)

    async def test_the_oldest_finished_go_first_when_there_are_too_many(self, store: JobStore) -> None:
        (pending,) = await self.insert(store)
        running = await self.claim(store)
        finished = [await self.end(store, completion(index)) for index in range(10)]
        kept = await self.list_ids(store, with_status(JobStatus.COMPLETED))
        assert kept == finished[:-5:-1]
        assert (await store.reads.get_record(pending)).status is JobStatus.RUNNING
        with pytest.raises(JobNotFound):
            await store.reads.get_record(finished[0])
        assert await store.attempts.end_attempt(running, completion(None))

    async def test_what_is_too_old_is_pruned(self, store: JobStore, clock: ManualClock) -> None:
        (waiting,) = await self.insert(store)
        await self.claim(store)
        old = await self.end(store, completion(None))
        clock.advance(61)
        young = await self.end(store, completion(None))
        assert not await store.liveness.prune(10)
        kept = set(await self.list_ids(store))
        assert kept == {waiting, young}
        with pytest.raises(JobNotFound):
            await store.reads.get_record(old)

    async def test_it_is_pruned_in_small_steps(self, store: JobStore, clock: ManualClock) -> None:
        for _ in range(3):
            await self.end(store, completion(None))
        clock.advance(61)
        assert [await store.liveness.prune(2), len(await self.list_all(store))] == [True, 1]
        assert [await store.liveness.prune(2), len(await self.list_all(store))] == [False, 0]

    async def test_the_oldest_tracebacks_are_dropped_when_they_are_too_large(self, store: JobStore) -> None:
        failed = [
            await self.end(store, Outcome(Transition.FAIL, error="E", error_traceback="x" * 4_000)) for _ in "123"
        ]
        tracebacks = [(await store.reads.get_record(job_id)).error_traceback for job_id in failed]
        assert tracebacks == [None, "x" * 4_000, "x" * 4_000]

    async def test_the_oldest_results_are_dropped_when_they_are_too_large(self, store: JobStore) -> None:
        small = await self.end(store, completion("small"))
        large = await self.end(store, completion(b"x" * 9_000))
        larger = await self.end(store, completion(b"x" * 90_000))
        for dropped in (small, large):
            assert (await store.reads.get_record(dropped)).status is JobStatus.COMPLETED
            with pytest.raises(ResultDropped, match="is not kept"):
                await store.reads.get_result(dropped)
        assert await store.reads.get_result(larger) == b"x" * 90_000

    async def test_a_key_is_free_again_when_its_job_was_dropped(self, store: JobStore, clock: ManualClock) -> None:
        options = JobOptions(idempotency_key=KEY)
        await store.submissions.insert(submission(self.ids.next_id(), options=options))
        await store.attempts.end_attempt(await self.claim(store), completion(None))
        clock.advance(61)
        await store.liveness.prune(10)
        second = submission(self.ids.next_id(), options=options)
        assert await store.submissions.insert(second) == second.id

    async def test_what_is_dropped_is_no_change(self, store: JobStore, clock: ManualClock) -> None:
        await self.end(store, completion(None))
        position = await store.changes.get_position()
        clock.advance(61)
        await store.liveness.prune(10)
        assert await store.changes.get_position() == position
        assert (await store.reads.list_records(ALL_JOBS, 10, None)).records == []

    async def test_deleted_results_make_room(self, store: JobStore) -> None:
        for _ in range(5):
            await store.submissions.delete(await self.end(store, completion(b"x" * 9_000)))
        first = await self.end(store, completion(b"x" * 4_000))
        await self.end(store, completion(b"x" * 4_000))
        assert await store.reads.get_result(first) == b"x" * 4_000

    async def end_call(self, store: JobStore, *args: object, target: JobTarget = another) -> str:
        return await self.submit(store, target=target, args=args, outcome=completion(None))

    async def check_repeatable(self, store: JobStore, *job_ids: str) -> None:
        for job_id in job_ids:
            await store.submissions.resubmit(job_id, self.ids.next_id())

    async def check_unrepeatable(self, store: JobStore, *job_ids: str) -> None:
        for job_id in job_ids:
            with pytest.raises(RetryUnavailable, match=r"too much memory to be kept \(Retention.max_result_bytes\)"):
                await store.submissions.resubmit(job_id, self.ids.next_id())

    async def test_the_oldest_arguments_are_dropped_when_they_are_too_large(self, store: JobStore) -> None:
        first, *others = [await self.end_call(store, {"data": [b"x" * 3_000]}, 1) for _ in range(3)]
        await self.check_unrepeatable(store, first)
        await self.check_repeatable(store, *others)

    async def test_arguments_that_are_too_large_by_themselves_cost_nobody_anything(self, store: JobStore) -> None:
        small = await self.end_call(store, b"x" * 4_000)
        large = await self.end_call(store, b"x" * 90_000)
        await self.check_unrepeatable(store, large)
        await self.check_repeatable(store, small)

    async def test_a_target_that_no_name_leads_to_is_let_go_of_at_the_end(self, store: JobStore) -> None:
        data = [b"x"]

        async def use() -> None:
            assert data

        job_id = await self.end_call(store, target=use)
        with pytest.raises(RetryUnavailable, match="defined inside of a function"):
            await store.submissions.resubmit(job_id, self.ids.next_id())

    async def test_arguments_are_dropped_before_results(self, store: JobStore) -> None:
        with_result = await self.end(store, completion(b"x" * 4_000))
        with_arguments = await self.end_call(store, b"x" * 8_000)
        with_results = await self.end(store, completion(b"y" * 4_000))
        assert await store.reads.get_result(with_result) == b"x" * 4_000
        assert await store.reads.get_result(with_results) == b"y" * 4_000
        await self.check_unrepeatable(store, with_arguments)
        await self.check_repeatable(store, with_result, with_results)

    async def test_arguments_of_deleted_jobs_make_room(self, store: JobStore) -> None:
        for _ in range(5):
            await store.submissions.delete(await self.end_call(store, b"x" * 9_000))
        await self.check_repeatable(store, await self.end_call(store, b"x" * 4_000))

    async def log(self, store: JobStore, clock: ManualClock, claim: Claim, count: int) -> None:
        await store.attempts.append_log(claim, [NewLine(clock.now(), "info", "log", "x" * 1_000)] * count)

    async def test_the_oldest_logs_are_dropped_when_they_are_too_large(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        await self.insert(store, 2)
        old, new = await store.attempts.claim(2, ())
        await self.log(store, clock, old, 5)
        await self.log(store, clock, new, 5)
        assert await store.reads.list_log(old.submission.id, 0, 10) == ([], True, 5)
        assert len((await store.reads.list_log(new.submission.id, 0, 10)).lines) == 5
        await self.log(store, clock, old, 1)
        assert [line.number for line in (await store.reads.list_log(old.submission.id, 0, 10)).lines] == [6]

    async def test_of_a_long_life_the_newest_transitions_are_kept(self, store: JobStore, clock: ManualClock) -> None:
        claim = await self.start(store)
        for _ in range(70):
            await store.attempts.end_attempt(claim, failure(ValueError()).to_be_retried(clock.now()))
            claim = await self.claim(store)
        told = await store.reads.list_transitions(claim.submission.id, 0)
        newest = await store.reads.get_record(claim.submission.id)
        assert told[-1] == newest
        assert [record.version for record in told] == list(range(newest.version + 1 - len(told), newest.version + 1))
        assert 10 < len(told) <= 100

    async def test_the_metadata_of_a_history_counts(self, store: JobStore, clock: ManualClock) -> None:
        claim = await self.start(store, metadata={"note": "x" * 4_000})
        await store.attempts.end_attempt(claim, failure(ValueError()).to_be_retried(clock.now() + timedelta(hours=1)))
        await self.end(store, completion(b"x" * 1_000))
        assert len(await store.reads.list_transitions(claim.submission.id, 0)) == 1

    async def test_the_oldest_histories_are_dropped_when_they_are_too_large(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        claim = await self.start(store)
        failed = Outcome(Transition.FAIL, error="E", error_traceback="x" * 3_000)
        await store.attempts.end_attempt(claim, failed.to_be_retried(clock.now() + timedelta(hours=1)))
        await self.end(store, completion(b"x" * 9_000))
        (last,) = await store.reads.list_transitions(claim.submission.id, 0)
        assert last == await store.reads.get_record(claim.submission.id)
        assert (last.status, [past.error for past in last.attempts]) == (JobStatus.PENDING, ["E"])
