"""What every store promises of how jobs are found and counted by their queue and their error."""

from dataclasses import replace
from typing import Final

from servicekit.jobs.outcome import completion, failure
from servicekit.jobs.query import ALL_JOBS, JobFilter
from servicekit.jobs.status import JobStatus
from servicekit.ports import JobStore
from servicekit.testing.stores.base import SCAN_LIMIT, StoreTests

BAD: Final = failure(ValueError("no"))
NO_SPACE: Final = failure(OSError("no space left on DISK Ä 100%"))


class SearchContract(StoreTests):
    """What every store promises of how jobs are found and counted by their queue and their error."""

    async def test_jobs_are_found_by_their_error(self, store: JobStore) -> None:
        await self.submit(store, name="disk", outcome=completion(None))
        failed = await self.submit(store, outcome=NO_SPACE)
        await self.submit(store, outcome=failure(ValueError("x")))
        for part in ("disk", "OSERROR: no", "k Ä", "0%", NO_SPACE.error):
            assert await self.list_ids(store, JobFilter(error=part)) == [failed]
        for part in ("disk ä", "_space", "%", "\0", "\ud800", "x" * 10_000):
            expected = [failed] if part == "%" else []
            assert await self.list_ids(store, JobFilter(error=part)) == expected
        wanted = JobFilter(error="no space", name="noop", statuses=frozenset([JobStatus.FAILED]))
        assert await self.list_ids(store, wanted) == [failed]
        assert wanted.matches(await store.reads.get_record(failed))
        assert sum((await store.reads.count_by_status(JobFilter(error="no"))).values()) == 1

    async def test_jobs_are_found_by_their_queue(self, store: JobStore) -> None:
        slow = [await self.submit(store, queue="slow", outcome=outcome) for outcome in (BAD, completion(None), None)]
        await self.submit(store, queue="Slow")
        plain = await self.submit(store)
        assert await self.list_ids(store, JobFilter(queue="slow")) == slow[::-1]
        assert await self.list_ids(store, JobFilter(queue="default")) == [plain]
        assert await self.list_ids(store, JobFilter(queue="slow", statuses=frozenset([JobStatus.FAILED]))) == [slow[0]]
        assert await self.list_ids(store, JobFilter(queue="")) == []
        assert JobFilter(queue="slow").matches(await store.reads.get_record(slow[0]))

    async def test_the_jobs_of_a_queue_are_counted_however_many_there_are(self, store: JobStore) -> None:
        wanted = JobFilter(queue="slow")
        for _ in range(SCAN_LIMIT + 2):
            await self.submit(store, queue="slow")
        await self.submit(store)
        for number, claim in enumerate(await store.attempts.claim(4, ())):
            if number < 3:
                await store.attempts.end_attempt(claim, BAD if number else completion(None))
        for job_id in (await self.list_ids(store, wanted))[:2]:
            await store.submissions.delete(job_id)
        records = await self.list_all(store, wanted)
        counts = await store.reads.count_by_status(wanted)
        assert counts == {each: sum(record.status is each for record in records) for each in JobStatus}
        assert counts.is_exact
        some = await store.reads.count_by_status(replace(wanted, statuses=frozenset([JobStatus.PENDING])))
        assert (some[JobStatus.PENDING], sum(some.values())) == (counts[JobStatus.PENDING],) * 2
        assert sum((await store.reads.count_by_status(JobFilter(queue="none"))).values()) == 0

    async def test_a_deleted_job_that_still_runs_is_not_counted_in_its_queue(self, store: JobStore) -> None:
        claim = await self.start(store, queue="slow")
        await store.submissions.delete(claim.submission.id)
        assert sum((await store.reads.count_by_status(JobFilter(queue="slow"))).values()) == 0
        assert await self.list_ids(store, JobFilter(queue="slow")) == []

    async def test_a_count_says_whether_it_is_exact(self, store: JobStore) -> None:
        for _ in range(SCAN_LIMIT + 1):
            await self.submit(store, owner="ana", tags=["first"])
        pending = frozenset([JobStatus.PENDING])
        for wanted in (ALL_JOBS, JobFilter(statuses=pending), JobFilter(owner="ana"), JobFilter(queue="default")):
            counts = await store.reads.count_by_status(wanted)
            assert (counts.is_exact, sum(counts.values())) == (True, SCAN_LIMIT + 1)
        for wanted in (JobFilter(search="noop"), JobFilter(owner="ana", queue="default"), JobFilter(error="x")):
            assert not (await store.reads.count_by_status(wanted)).is_exact
        for _ in range(3):
            await store.submissions.delete((await self.list_ids(store, limit=1))[0])
        counts = await store.reads.count_by_status(JobFilter(search="noop", owner="ana"))
        assert (counts.is_exact, sum(counts.values())) == (True, SCAN_LIMIT - 2)
