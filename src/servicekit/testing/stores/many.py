"""What every store promises of requests that concern many jobs: each job may have changed since it was looked at."""

import asyncio
from collections import Counter
from typing import Final

import pytest

from servicekit.errors import JobNotFound, RetryUnavailable
from servicekit.jobs.outcome import CANCELED, completion, failure
from servicekit.jobs.query import JobFilter
from servicekit.jobs.status import JobStatus
from servicekit.ports import JobStore
from servicekit.testing.stores.base import StoreTests

PENDING: Final = frozenset([JobStatus.PENDING])
RUNNING: Final = frozenset([JobStatus.RUNNING])
BAD: Final = failure(ValueError("no"))


class ManyContract(StoreTests):
    """What every store promises of requests that concern many jobs."""

    async def test_a_job_with_another_status_is_not_asked_to_stop(self, store: JobStore) -> None:
        running = (await self.start(store)).submission.id
        ended = await self.end_another(store)
        pending = await self.submit(store)
        for job_id, among in ((running, PENDING), (pending, RUNNING), (ended, RUNNING)):
            before = await store.reads.get_record(job_id)
            record = await store.submissions.request_cancel(job_id, among)
            assert record is not None
            assert (record.status, record.version) == (before.status, before.version)
            assert (await store.reads.get_record(job_id)).cancel_requested_at is None
        for job_id, among in ((running, RUNNING), (pending, PENDING | RUNNING)):
            record = await store.submissions.request_cancel(job_id, among)
            assert record is not None
            assert record.cancel_requested_at is not None
        assert await self.status_of(store, pending) is JobStatus.CANCELED

    async def end_another(self, store: JobStore) -> str:
        claim = await self.start(store)
        await store.attempts.end_attempt(claim, completion(None))
        return claim.submission.id

    async def test_a_job_with_another_status_is_not_deleted(self, store: JobStore) -> None:
        running = await self.start(store)
        ended = await self.end_another(store)
        pending = await self.submit(store)
        position = await store.changes.get_position()
        statuses = {running.submission.id: RUNNING, pending: PENDING, ended: frozenset([JobStatus.COMPLETED])}
        for job_id, status in statuses.items():
            assert await store.submissions.delete(job_id, frozenset(JobStatus) - status) is False
        assert await self.changes_since(store, position) == []
        assert len(await self.list_ids(store)) == 3
        for job_id, status in statuses.items():
            assert await store.submissions.delete(job_id, status) is True
            with pytest.raises(JobNotFound):
                await store.submissions.delete(job_id, status)
        assert await self.list_ids(store) == []
        assert not await store.attempts.end_attempt(running, completion(None))

    async def test_many_are_deleted_at_once_and_each_once(self, store: JobStore) -> None:
        running = await self.start(store, owner="ana", concurrency_key="k")
        waiting = await self.submit(store, owner="ana", concurrency_key="k")
        ended = await self.submit(store, owner="ben", concurrency_key="other", outcome=BAD)
        kept = await self.submit(store)
        position = await store.changes.get_position()
        asked = [running.submission.id, waiting, ended, waiting, self.ids.next_id(), ended]
        answers = await asyncio.gather(*(store.submissions.delete(each) for each in asked), return_exceptions=True)
        assert Counter(answer if answer is True else type(answer) for answer in answers) == {True: 3, JobNotFound: 3}
        assert await self.list_ids(store) == [kept]
        changes = await self.changes_since(store, position)
        assert {(each.job_id, each.record, each.owner) for each in changes} == {
            (running.submission.id, None, "ana"), (waiting, None, "ana"), (ended, None, "ben"),
        }  # fmt: skip
        for owner in ("ana", "ben"):
            assert sum((await store.reads.count_by_status(JobFilter(owner=owner))).values()) == 0
        after = await self.submit(store, owner="ana", concurrency_key="k")
        assert await self.claim_ids(store) == [kept]  # the deleted job still runs, and has the slot of its key
        assert not await store.attempts.end_attempt(running, completion(None))
        assert await self.claim_ids(store) == [after]

    async def test_a_job_is_repeated_once(self, store: JobStore) -> None:
        job_id = await self.submit(store, outcome=BAD)
        await self.submit(store, outcome=BAD)
        new_ids = [self.ids.next_id() for _ in range(3)]
        kept = await asyncio.gather(*(store.submissions.resubmit(job_id, new_id, is_once=True) for new_id in new_ids))
        assert set(kept) < set(new_ids)
        assert len(set(kept)) == 1
        repeated = kept[0]
        assert await self.claim_ids(store) == [repeated]
        assert await store.submissions.resubmit(job_id, self.ids.next_id(), is_once=True) == repeated

    async def test_a_repetition_is_repeated_as_well_and_a_job_again_when_its_repetitions_are_gone(
        self, store: JobStore
    ) -> None:
        first = await self.submit(store, outcome=BAD)
        second = await store.submissions.resubmit(first, self.ids.next_id(), is_once=True)
        claim = await self.claim(store)
        await store.submissions.delete(second)  # it still runs, and nobody sees it
        third = self.ids.next_id()
        assert await store.submissions.resubmit(first, third, is_once=True) == third
        assert await self.claim_ids(store) == [third]
        assert not await store.attempts.end_attempt(claim, CANCELED)
        await store.submissions.request_cancel(third)
        with pytest.raises(RetryUnavailable):
            await store.submissions.resubmit(third, self.ids.next_id(), is_once=True)
        (fourth, fifth) = [self.ids.next_id() for _ in range(2)]
        assert [await store.submissions.resubmit(first, each) for each in (fourth, fifth)] == [fourth, fifth]
        assert await store.submissions.resubmit(first, self.ids.next_id(), is_once=True) == fifth
        for each in (fifth, third):
            await store.submissions.delete(each)
        assert await store.submissions.resubmit(first, self.ids.next_id(), is_once=True) == fourth
