"""What every store promises of what is kept with a job: who submitted it, what it is about, and where it runs."""

from dataclasses import replace
from typing import Unpack

from servicekit.jobs.metadata import NO_METADATA
from servicekit.jobs.options import DEFAULT_OPTIONS, JobOptions, OptionChanges, RunnerKind, changed
from servicekit.jobs.outcome import completion, failure
from servicekit.jobs.query import ALL_JOBS, JobFilter
from servicekit.jobs.status import JobStatus
from servicekit.jobs.submission import Submission
from servicekit.ports import JobStore
from servicekit.stores.process_name import name_of_process
from servicekit.testing.stores.base import COROUTINE, SCAN_LIMIT, StoreTests, with_status
from servicekit.testing.stores.fakes import ManualClock, noop, submission
from servicekit.testing.stores.schedules import schedule

ABOUT = {"customer": "c-17", "order": 17, "paid": True, "rate": 0.5, "lines": [1, {"a": None}], "note": "1"}
BAD = failure(ValueError("no"))


def by(**words: str) -> JobFilter:
    return JobFilter(metadata=words)


class FamilyContract(StoreTests):
    """What every store promises of parents, metadata, and the process that runs a job."""

    async def submit_child(self, store: JobStore, parent: str, **options: Unpack[OptionChanges]) -> str:
        made = changed(DEFAULT_OPTIONS, options)
        child = Submission(
            self.ids.next_id(), made.name or "child", noop, (), {}, RunnerKind.COROUTINE, made, parent=parent
        )
        return await store.submissions.insert(child)

    async def test_metadata_is_shown_as_it_was_given(self, store: JobStore) -> None:
        position = await store.changes.get_position()
        job_id = await self.submit(store, metadata=ABOUT)
        plain = await self.submit(store)
        for claim in await store.attempts.claim(2, ()):
            expected = ABOUT if claim.submission.id == job_id else {}
            assert claim.submission.options.metadata == expected
            await store.attempts.end_attempt(claim, completion(None))
        for expected, name in ((ABOUT, job_id), ({}, plain)):
            assert (await store.reads.get_record(name)).metadata == expected
            assert [record.metadata for record in await store.reads.list_transitions(name, 0)] == [expected] * 3
            changes = await self.changes_since(store, position)
            assert [each.record.metadata for each in changes if each.record and each.job_id == name] == [expected]
        assert [record.metadata for record in await self.list_all(store)] == [{}, ABOUT]

    async def test_what_is_taken_out_of_a_record_changes_no_job(self, store: JobStore) -> None:
        job_id = await self.submit(store, metadata=ABOUT)
        (await store.reads.get_record(job_id)).metadata.clear()
        assert (await store.reads.get_record(job_id)).metadata == ABOUT
        plain = await self.submit(store)
        (await store.reads.get_record(plain)).metadata["customer"] = "c-17"
        assert (await store.reads.get_record(plain)).metadata == NO_METADATA

    async def test_jobs_are_found_by_their_metadata(self, store: JobStore) -> None:
        job_id = await self.submit(store, metadata=ABOUT)
        other = await self.submit(store, metadata={"customer": "c-18", "order": "17"})
        await self.submit(store)
        assert await self.list_ids(store, by(customer="c-17")) == [job_id]
        assert await self.list_ids(store, by(order="17")) == [other, job_id]
        assert await self.list_ids(store, by(paid="true", note="1", order="17")) == [job_id]
        for missed in (by(customer="C-17"), by(rate="0.5"), by(lines="1"), by(customer=""), by(order="17", paid="1")):
            assert await self.list_ids(store, missed) == []
        record = await store.reads.get_record(job_id)
        assert by(order="17", paid="true").matches(record)
        assert not by(rate="0.5").matches(record)

    async def test_metadata_is_looked_for_with_everything_else(self, store: JobStore) -> None:
        parent = await self.submit(store)
        about, statuses = {"a": 1, "b": 2}, frozenset([JobStatus.PENDING])
        best = await self.submit_child(store, parent, name="train", tags=["gpu"], metadata=about)
        await self.submit_child(store, parent, name="test", tags=["gpu"], metadata=about)
        await self.submit_child(store, parent, name="train", tags=["cpu"], metadata=about)
        await self.submit_child(store, parent, name="train", tags=["gpu"], metadata={"a": 1, "b": 3})
        await self.submit_child(store, best, name="train", tags=["gpu"], metadata=about)
        words = {"a": "1", "b": "2"}
        wanted = JobFilter(statuses=statuses, name="train", tag="gpu", parent=parent, metadata=words, search="train")
        assert await self.list_ids(store, wanted) == [best]
        for fewer in (replace(wanted, name=None), replace(wanted, tag=None), replace(wanted, metadata={"b": "2"})):
            assert best in await self.list_ids(store, fewer)

    async def test_a_search_by_metadata_goes_on_with_the_next_page(self, store: JobStore) -> None:
        oldest = await self.submit(store, metadata={"a": "x", "b": "y"})
        for _ in range(SCAN_LIMIT + 1):
            await self.submit(store, metadata={"a": "x"})
        assert await self.list_ids(store, by(a="x", b="y")) == [oldest]
        assert len(await self.list_ids(store, by(a="x"), limit=7)) == SCAN_LIMIT + 2

    async def test_what_is_gone_is_not_found_by_its_metadata(self, store: JobStore) -> None:
        running = await self.start(store, metadata={"a": "x"})
        pending = await self.submit(store, metadata={"a": "x"})
        await store.submissions.delete(pending)
        await store.submissions.delete(running.submission.id)
        assert await self.list_ids(store, by(a="x")) == []
        assert not await store.attempts.end_attempt(running, completion(None))
        assert sum((await store.reads.count_by_status(by(a="x"))).values()) == 0

    async def test_children_are_found_by_their_parent(self, store: JobStore) -> None:
        parent = await self.submit(store)
        first, second = [await self.submit_child(store, parent) for _ in range(2)]
        await self.submit_child(store, first)
        assert await self.list_ids(store, JobFilter(parent=parent)) == [second, first]
        assert await self.list_ids(store, JobFilter(parent=parent), limit=1) == [second, first]
        assert await self.list_ids(store, JobFilter(parent=second)) == []
        record = await store.reads.get_record(first)
        assert (record.parent, (await store.reads.get_record(parent)).parent) == (parent, None)
        assert JobFilter(parent=parent).matches(record)
        assert not JobFilter(parent=first).matches(record)
        claims = {claim.submission.id: claim for claim in await store.attempts.claim(10, ())}
        assert (claims[first].submission.parent, claims[parent].submission.parent) == (parent, None)

    async def test_children_outlive_their_parent(self, store: JobStore) -> None:
        parent = await self.submit(store)
        child = await self.submit_child(store, parent)
        await store.submissions.delete(parent)
        assert await self.list_ids(store, JobFilter(parent=parent)) == [child]

    async def test_what_is_found_is_counted(self, store: JobStore) -> None:
        parent = await self.submit(store)
        for _ in range(3):
            await self.submit_child(store, parent, metadata={"a": "x"})
        await store.attempts.end_attempt((await store.attempts.claim(2, ()))[1], BAD)
        counts = await store.reads.count_by_status(JobFilter(parent=parent))
        assert (counts[JobStatus.FAILED], counts[JobStatus.PENDING], sum(counts.values())) == (1, 2, 3)
        assert await store.reads.count_by_status(by(a="x")) == counts
        assert sum((await store.reads.count_by_status(by(a="y"))).values()) == 0
        failed = await store.reads.count_by_status(with_status(JobStatus.FAILED))
        assert (failed[JobStatus.FAILED], sum(failed.values())) == (1, 1)
        assert sum((await store.reads.count_by_status(ALL_JOBS)).values()) == 4

    async def test_a_repeated_job_has_the_same_parent_and_metadata(self, store: JobStore) -> None:
        parent = await self.submit(store)
        child = await self.submit_child(store, parent, metadata=ABOUT)
        for claim in await store.attempts.claim(2, ()):
            await store.attempts.end_attempt(claim, BAD)
        again = await store.submissions.resubmit(child, self.ids.next_id())
        record = await store.reads.get_record(again)
        assert (record.parent, record.metadata, record.retry_of) == (parent, ABOUT, child)
        assert await self.list_ids(store, by(customer="c-17")) == [again, child]

    async def test_jobs_of_a_schedule_have_its_metadata(self, store: JobStore, clock: ManualClock) -> None:
        tick = clock.now()
        await store.schedules.put_schedule(schedule(options=JobOptions(metadata=ABOUT)), tick)
        job_id = self.ids.next_id()
        await store.schedules.fire_schedule("nightly", tick, None, job_id)
        assert (await store.reads.get_record(job_id)).metadata == ABOUT
        assert await self.list_ids(store, by(customer="c-17")) == [job_id]

    async def test_the_record_names_the_process_that_runs_the_job(self, store: JobStore, clock: ManualClock) -> None:
        here = name_of_process()
        job_id = await self.submit(store)
        assert (await store.reads.get_record(job_id)).process is None
        claim = await self.claim(store)
        assert (await store.reads.get_record(job_id)).process == here
        await store.attempts.end_attempt(claim, BAD.to_be_retried(clock.now()))
        record = await store.reads.get_record(job_id)
        assert (record.process, record.attempts[0].process) == (None, here)
        await store.attempts.end_attempt(await self.claim(store), completion(None))
        assert (await store.reads.get_record(job_id)).process == here
        life = await store.reads.list_transitions(job_id, 0)
        assert [record.process for record in life] == [None, here, None, here, here]

    async def test_a_job_that_was_never_started_names_no_process(self, store: JobStore) -> None:
        job_id = self.ids.next_id()
        await store.submissions.insert(submission(job_id, COROUTINE))
        await store.submissions.request_cancel(job_id)
        assert (await store.reads.get_record(job_id)).process is None
        assert [record.process for record in await store.reads.list_transitions(job_id, 0)] == [None, None]
