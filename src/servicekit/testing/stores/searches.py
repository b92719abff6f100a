"""What every store promises of how jobs are found and counted by their queue and their error."""

from dataclasses import replace
from typing import Final

from servicekit.jobs.outcome import completion, failure
from servicekit.jobs.query import ALL_JOBS, JobFilter
from servicekit.jobs.status import JobStatus
from servicekit.jobs.suggestions import MOST_COUNTED, SuggestedField, Suggestion, SuggestionRequest
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

    async def test_values_that_jobs_have_are_suggested_in_order(self, store: JobStore) -> None:
        await self.submit(store, name="train", tags=["gpu", "nightly"], queue="slow", owner="ana")
        await self.submit(store, name="train", tags=["gpu"], owner="ben", outcome=None)
        await self.submit(store, name="trace", tags=["Gpu"], queue="slower", owner="ana")
        for name in ("tra", "tr\U0001f600", "tr\uffee", "Train", "test", "z%_"):
            await self.submit(store, name=name)
        assert await self.suggested(store, "name", "tr") == [
            ("tra", 1), ("trace", 1), ("train", 2), ("tr\uffee", 1), ("tr\U0001f600", 1),
        ]  # fmt: skip
        assert await self.suggested(store, "name", "tr", limit=2) == [("tra", 1), ("trace", 1)]
        assert [value for value, _ in await self.suggested(store, "name")][:2] == ["Train", "test"]
        assert await self.suggested(store, "tag") == [("Gpu", 1), ("gpu", 2), ("nightly", 1)]
        assert await self.suggested(store, "queue") == [("default", 7), ("slow", 1), ("slower", 1)]
        assert await self.suggested(store, "owner") == [("ana", 2), ("ben", 1)]
        assert await self.suggested(store, "owner", "b") == [("ben", 1)]

    async def suggested(
        self, store: JobStore, field: str, prefix: str = "", owner: str | None = None, limit: int = 20
    ) -> list[Suggestion]:
        return await store.reads.suggest(SuggestionRequest(SuggestedField(field), prefix, owner, limit))

    async def test_values_of_an_owners_jobs_are_suggested(self, store: JobStore) -> None:
        await self.submit(store, name="mine", tags=["a", "b"], queue="x", owner="ana", outcome=BAD)
        await self.submit(store, name="mine too", tags=["b"], owner="ana")
        await self.submit(store, name="mine not", tags=["c"], queue="y", owner="ben")
        await self.submit(store, name="of nobody", tags=["d"], queue="z")
        assert await self.suggested(store, "name", owner="ana") == [("mine", 1), ("mine too", 1)]
        assert await self.suggested(store, "tag", owner="ana") == [("a", 1), ("b", 2)]
        assert await self.suggested(store, "queue", owner="ana") == [("default", 1), ("x", 1)]
        assert await self.suggested(store, "owner", owner="ana") == [("ana", 2)]
        assert await self.suggested(store, "owner", "b", owner="ana") == []
        for field in SuggestedField:
            assert await self.suggested(store, field, owner="nobody") == []
            assert await self.suggested(store, field, "zz", owner="ana") == []

    async def test_nothing_is_suggested_of_jobs_that_are_gone(self, store: JobStore) -> None:
        running = await self.start(store, name="one", tags=["one"], queue="one", owner="one")
        ended = await self.submit(store, name="two", tags=["two"], queue="two", owner="two", outcome=BAD)
        await self.submit(store, name="three", tags=["three"], queue="three", owner="three")
        for job_id in (running.submission.id, ended):
            await store.submissions.delete(job_id)
        for field in SuggestedField:
            assert await self.suggested(store, field) == [("three", 1)]
            assert await self.suggested(store, field, owner="one") == []

    async def test_odd_beginnings_suggest_nothing_and_break_nothing(self, store: JobStore) -> None:
        odd = ["%", "_", "\0", "a\0b", "\ud800", "\ufdd0", "'", "\\", "\U0010ffff", "x" * 10_000]
        await self.submit(store, name="plain", tags=["plain"], queue="plain", owner="ana")
        for prefix in odd:
            for field in SuggestedField:
                for owner in (None, "ana"):
                    assert await self.suggested(store, field, prefix, owner) == []
        await self.submit(store, name="'", tags=["%"], queue="_x", owner="\U0010ffff")
        assert await self.suggested(store, "name", "'") == [("'", 1)]
        assert await self.suggested(store, "tag", "%") == [("%", 1)]
        assert await self.suggested(store, "queue", "_") == [("_x", 1)]
        assert await self.suggested(store, "owner", "\U0010ffff") == [("\U0010ffff", 1)]

    async def test_a_count_that_is_suggested_is_exact_or_none(self, store: JobStore) -> None:
        many = max(SCAN_LIMIT, MOST_COUNTED) + 5
        for _ in range(many):
            await self.submit(store, name="often", tags=["often"], queue="often", owner="often")
        for field in SuggestedField:
            for owner in (None, "often"):
                ((value, count),) = await self.suggested(store, field, "o", owner)
                assert value == "often"
                assert count in (many, None)
