"""What every store promises of whose jobs they are."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final, Unpack

import pytest

from servicekit.errors import IdempotencyConflict, JobNotFound
from servicekit.jobs.endings import GIVEN_BACK, NOT_BEGUN
from servicekit.jobs.options import DEFAULT_OPTIONS, JobOptions, OptionChanges, changed
from servicekit.jobs.outcome import CANCELED, completion, failure
from servicekit.jobs.query import ALL_JOBS, JobFilter
from servicekit.jobs.schedules import Overlap
from servicekit.jobs.status import JobStatus
from servicekit.jobs.submission import Claim
from servicekit.ports import JobStore
from servicekit.testing.stores.base import COROUTINE, SCAN_LIMIT, StoreTests
from servicekit.testing.stores.fakes import ManualClock, noop, submission
from servicekit.testing.stores.schedules import NEXT, TICK, schedule

ANA: Final = JobFilter(owner="ana")
BEN: Final = JobFilter(owner="ben")
DONE: Final = completion(None)
BAD: Final = failure(ValueError("no"))
_STEPS: Final = 40


async def check_counts(store: JobStore, *owners: str) -> None:
    """The counts of each owner are those of its list."""
    for owner in owners:
        page = await store.reads.list_records(JobFilter(owner=owner), 1_000, None)
        recount = Counter(record.status for record in page.records)
        assert await store.reads.count_by_status(JobFilter(owner=owner)) == {each: recount[each] for each in JobStatus}


class OwnerContract(StoreTests):
    """What every store promises of whose jobs they are."""

    async def submit_ended(self, store: JobStore, **options: Unpack[OptionChanges]) -> str:
        return await self.submit(store, outcome=DONE, **options)

    async def test_the_record_says_whose_job_it_is(self, store: JobStore, clock: ManualClock) -> None:
        position = await store.changes.get_position()
        for owner in ("ana", None):
            job_id = await self.submit(store, owner=owner)
            claim = await self.claim(store)
            assert claim.submission.options.owner == owner
            await store.attempts.end_attempt(claim, BAD.to_be_retried(clock.now()))
            await store.attempts.end_attempt(await self.claim(store), DONE)
            assert (await store.reads.get_record(job_id)).owner == owner
            assert [record.owner for record in await store.reads.list_transitions(job_id, 0)] == [owner] * 5
            (change,) = [each for each in await self.changes_since(store, position) if each.job_id == job_id]
            assert change.record is not None
            assert (change.record.owner, change.owner) == (owner, None)
        assert [record.owner for record in await self.list_all(store)] == [None, "ana"]

    async def test_jobs_are_found_by_their_owner(self, store: JobStore) -> None:
        first, _, second = [await self.submit(store, owner=owner) for owner in ("ana", "ben", "ana")]
        await self.submit(store)
        assert await self.list_ids(store, ANA) == [second, first]
        assert await self.list_ids(store, ANA, limit=1) == [second, first]
        for nobody in ("Ana", "an", "", "ana "):
            assert await self.list_ids(store, JobFilter(owner=nobody)) == []
            assert sum((await store.reads.count_by_status(JobFilter(owner=nobody))).values()) == 0
        assert len(await self.list_ids(store)) == 4

    async def test_an_owner_is_looked_for_with_everything_else(self, store: JobStore, clock: ManualClock) -> None:
        parent = await self.submit(store, owner="ana", name="parent")
        options: OptionChanges = {"owner": "ana", "name": "train", "tags": ["gpu"], "metadata": {"a": 1, "b": 2}}
        others: list[OptionChanges] = [
            {}, {"owner": "ben"}, {"owner": None}, {"name": "test"}, {"tags": ["cpu"]}, {"metadata": {"a": 1, "b": 3}},
        ]  # fmt: skip
        for changes in others:
            child = submission(self.ids.next_id(), options=changed(changed(DEFAULT_OPTIONS, options), changes))
            await store.submissions.insert(replace(child, parent=parent))
        best = (await self.list_ids(store, JobFilter(parent=parent)))[-1]
        wanted = JobFilter(
            owner="ana", statuses=frozenset([JobStatus.PENDING]), name="train", tag="gpu", parent=parent,
            metadata={"a": "1", "b": "2"}, search="train", submitted_after=clock.now() - timedelta(days=1),
        )  # fmt: skip
        assert await self.list_ids(store, wanted) == [best]
        assert sum((await store.reads.count_by_status(wanted)).values()) == 1
        for fewer in (
            replace(wanted, owner=None), replace(wanted, name=None), replace(wanted, tag=None),
            replace(wanted, parent=None), replace(wanted, metadata={}), replace(wanted, search=None),
        ):  # fmt: skip
            assert best in await self.list_ids(store, fewer)
        for one_more in (
            replace(ANA, name="train"), replace(ANA, tag="gpu"), replace(ANA, parent=parent),
            replace(ANA, metadata={"a": "1"}), replace(ANA, search="train"),
        ):  # fmt: skip
            found = await self.list_all(store, one_more)
            assert {record.owner for record in found} == {"ana"}
            assert best in {record.id for record in found}
        assert await self.list_ids(store, replace(wanted, statuses=frozenset([JobStatus.FAILED]))) == []

    async def test_the_jobs_of_an_owner_are_found_page_by_page_among_those_of_others(self, store: JobStore) -> None:
        mine = [await self.submit(store, owner="ana", tags=["first"])]
        for _ in range(SCAN_LIMIT + 1):
            await self.submit(store, owner="ben", tags=["first"])
        mine += [await self.submit(store, owner="ana") for _ in range(4)]
        for claim in await store.attempts.claim(SCAN_LIMIT + 4, ()):
            if claim.submission.id in mine:
                await store.attempts.end_attempt(claim, DONE)
        mine.reverse()
        page = await store.reads.list_records(ANA, 5, None)
        assert [record.id for record in page.records] == mine
        assert await self.list_ids(store, ANA, limit=2) == mine
        page = await store.reads.list_records(replace(ANA, tag="first"), 10, None)
        assert [record.id for record in page.records] == mine[-1:]
        for statuses in ({JobStatus.COMPLETED}, {JobStatus.PENDING}, {JobStatus.COMPLETED, JobStatus.PENDING}):
            wanted = replace(ANA, statuses=frozenset(statuses))
            found = await self.list_all(store, wanted, limit=2)
            assert [record.id for record in found] == [
                job_id for job_id in mine if (await self.status_of(store, job_id)) in statuses
            ]

    async def test_children_of_an_owner_are_found_among_those_of_others(self, store: JobStore) -> None:
        parent = await self.submit(store, owner="ana")

        async def submit_children(owner: str, count: int) -> list[str]:
            options = changed(DEFAULT_OPTIONS, {"owner": owner})
            children = [replace(submission(self.ids.next_id(), options=options), parent=parent) for _ in range(count)]
            return [await store.submissions.insert(child) for child in children]

        mine = await submit_children("ana", 2)
        await submit_children("ben", SCAN_LIMIT + 1)
        mine += await submit_children("ana", 1)
        wanted = replace(ANA, parent=parent)
        page = await store.reads.list_records(wanted, 10, None)
        assert ([record.id for record in page.records], page.next_before) == (mine[::-1], None)
        assert sum((await store.reads.count_by_status(wanted)).values()) == 3
        assert await self.list_ids(store, wanted, limit=2) == mine[::-1]
        names = replace(wanted, name="nothing")  # a search that is cut off goes on at a job of the owner
        await submit_children("ana", SCAN_LIMIT)
        page = await store.reads.list_records(names, 10, None)
        assert page.next_before is not None
        assert (await store.reads.get_record(page.next_before)).owner == "ana"

    async def test_all_jobs_of_an_owner_are_counted(self, store: JobStore) -> None:
        for _ in range(SCAN_LIMIT + 2):
            await self.submit(store, owner="ana")
        await self.submit(store, owner="ben")
        await self.submit(store)
        (first, *_) = await store.attempts.claim(2, ())
        await store.attempts.end_attempt(first, DONE)
        expected = {**dict.fromkeys(JobStatus, 0), JobStatus.RUNNING: 1, JobStatus.COMPLETED: 1}
        pending = {JobStatus.PENDING: SCAN_LIMIT}
        assert await store.reads.count_by_status(ANA) == expected | pending
        some = replace(ANA, statuses=frozenset([JobStatus.PENDING, JobStatus.FAILED]))
        assert await store.reads.count_by_status(some) == dict.fromkeys(JobStatus, 0) | pending
        assert sum((await store.reads.count_by_status(BEN)).values()) == 1
        assert sum((await store.reads.count_by_status(ALL_JOBS)).values()) == SCAN_LIMIT + 4

    async def test_the_counts_of_owners_are_right_whatever_happens(self, store: JobStore, clock: ManualClock) -> None:
        chance, owners = random.Random(17), ["ana", "ben", "eva"]
        claims: list[Claim] = []
        for step in range(_STEPS):
            await self._submit_some(store, chance, [*owners, None])
            claims += await store.attempts.claim(chance.randrange(3), ())
            for ending in chance.choices([DONE, BAD, CANCELED, GIVEN_BACK, NOT_BEGUN, None], k=2 if claims else 0):
                await store.attempts.end_attempt(chance.choice(claims), ending or BAD.to_be_retried(clock.now()))
            listed = await self.list_ids(store)
            if listed and chance.random() < 0.5:
                act = chance.choice([store.submissions.request_cancel, store.submissions.delete])
                await act(chance.choice(listed))
            clock.advance(chance.random())
            await store.attempts.make_due()
            if step % 10 == 9:
                await check_counts(store, *owners)
        for job_id in await self.list_ids(store):
            await store.submissions.delete(job_id)
        for claim in claims:
            await store.attempts.end_attempt(claim, DONE)
        await check_counts(store, *owners)
        assert sum((await store.reads.count_by_status(ANA)).values()) == 0

    async def _submit_some(self, store: JobStore, chance: random.Random, owners: Sequence[str | None]) -> None:
        for _ in range(chance.randrange(4)):
            await self.submit(
                store,
                owner=chance.choice(owners),
                delay=chance.choice([0, 0, 1]),
                queue_timeout=chance.choice([None, 2]),
                concurrency_key=chance.choice([None, "x"]),
                max_restarts=chance.randrange(2),
            )

    @pytest.mark.parametrize("owner", ["ana", None])
    @pytest.mark.parametrize("status", [JobStatus.PENDING, JobStatus.RUNNING, JobStatus.COMPLETED])
    async def test_a_deletion_has_the_owner_of_its_job(
        self, store: JobStore, owner: str | None, status: JobStatus
    ) -> None:
        job_id = await self.submit(store, owner=owner)
        position = await store.changes.get_position()
        claims = await store.attempts.claim(1, ()) if status is not JobStatus.PENDING else []
        if status is JobStatus.COMPLETED:
            await store.attempts.end_attempt(claims[0], DONE)
        await store.submissions.delete(job_id)
        if status is JobStatus.RUNNING:
            assert not await store.attempts.end_attempt(claims[0], DONE)
        (change,) = await self.changes_since(store, position)
        assert (change.job_id, change.record, change.owner) == (job_id, None, owner)
        assert await self.list_ids(store, ANA) == []
        with pytest.raises(JobNotFound):
            await store.reads.get_record(job_id)

    async def test_an_idempotency_key_belongs_to_the_owner(self, store: JobStore) -> None:
        owners = ("ana", "ben", None)
        jobs = {owner: await self.submit(store, owner=owner, idempotency_key="order 17") for owner in owners}
        assert len(set(jobs.values())) == len(owners)
        for owner, job_id in jobs.items():
            again = changed(DEFAULT_OPTIONS, {"owner": owner, "idempotency_key": "order 17"})
            assert await store.submissions.insert(submission(self.ids.next_id(), options=again)) == job_id
            assert await store.submissions.find_by_key("order 17", owner) == job_id
            with pytest.raises(IdempotencyConflict) as caught:
                await store.submissions.insert(submission(self.ids.next_id(), args=(1,), options=again))
            assert (caught.value.key, caught.value.job_id) == ("order 17", job_id)
            assert "\n" not in str(caught.value)
        await store.submissions.delete(jobs["ana"])
        assert await store.submissions.find_by_key("order 17", "ana") is None
        assert await store.submissions.find_by_key("order 17", "ben") == jobs["ben"]
        assert await store.submissions.find_by_key("order 17") == jobs[None]

    async def test_no_key_of_one_owner_is_that_of_another(self, store: JobStore) -> None:
        pairs = [("a", "b c"), ("a b", "c"), ("a:b", "c"), ("a", "b:c"), ("a/b", "c"), (None, "a:b"), (None, "a b c")]
        jobs = [await self.submit(store, owner=owner, idempotency_key=key) for owner, key in pairs]
        assert [await store.submissions.find_by_key(key, owner) for owner, key in pairs] == jobs
        assert len(set(jobs)) == len(pairs)

    async def test_a_concurrency_key_of_a_submission_belongs_to_the_owner(self, store: JobStore) -> None:
        owners = ("ana", "ana", "ben", None, None)
        jobs = [await self.submit(store, owner=owner, concurrency_key="a model") for owner in owners]
        claims = await store.attempts.claim(10, ())
        assert [claim.submission.id for claim in claims] == [jobs[0], jobs[2], jobs[3]]
        await store.attempts.end_attempt(claims[0], DONE)
        assert await self.claim_ids(store) == [jobs[1]]
        await store.attempts.end_attempt(claims[2], DONE)
        assert await self.claim_ids(store) == [jobs[4]]

    async def test_a_concurrency_key_of_a_target_is_everybodys(self, store: JobStore, clock: ManualClock) -> None:
        protected = JobOptions(concurrency_key="the device")
        jobs = []
        for owner in ("ana", "ben", None):
            job = submission(self.ids.next_id(), options=changed(protected, {"owner": owner}))
            jobs.append(await store.submissions.insert(job))
        await self.submit(store, owner="ana", concurrency_key="the device", priority=-1)
        claim, of_ana = await store.attempts.claim(10, ())
        assert (claim.submission.id, of_ana.submission.options.concurrency_key) == (jobs[0], "the device")
        await store.attempts.end_attempt(claim, BAD.to_be_retried(clock.now()))
        assert await self.claim_ids(store) == [jobs[1]]

    async def test_a_repeated_job_has_the_same_owner_and_key(self, store: JobStore) -> None:
        old = await self.submit_ended(store, owner="ana", concurrency_key="a model", idempotency_key="once")
        holder = await self.start(store, owner="ana", concurrency_key="a model")
        await self.start(store, concurrency_key="a model")
        again = await store.submissions.resubmit(old, self.ids.next_id())
        assert (await store.reads.get_record(again)).owner == "ana"
        assert await self.list_ids(store, ANA) == [again, holder.submission.id, old]
        assert await store.submissions.find_by_key("once", "ana") == old
        assert await self.claim_ids(store) == []
        await store.attempts.end_attempt(holder, DONE)
        assert await self.claim_ids(store) == [again]
        await check_counts(store, "ana")

    @pytest.mark.parametrize("overlap", [Overlap.ALLOW, Overlap.WAIT])
    async def test_jobs_of_a_schedule_have_its_owner(self, store: JobStore, overlap: Overlap) -> None:
        options = changed(DEFAULT_OPTIONS, {"owner": "ana"})
        await store.schedules.put_schedule(schedule(options=options, overlap=overlap), TICK)
        job_id = self.ids.next_id()
        await store.schedules.fire_schedule("nightly", TICK, NEXT, job_id)
        assert (await store.reads.get_record(job_id)).owner == "ana"
        assert await self.list_ids(store, ANA) == [job_id]
        assert (await store.reads.count_by_status(ANA))[JobStatus.PENDING] == 1

    @pytest.mark.parametrize("owner", ["\ufdd0\ufdd1\ufdd2", "ana@örtlich.example", "'; --", "%s", "👩‍🔬", "a" * 200])
    async def test_any_short_text_is_an_owner(self, store: JobStore, owner: str) -> None:
        position = await store.changes.get_position()
        job_id = await self.submit_ended(
            store, owner=owner, idempotency_key=owner[:200], concurrency_key=owner, queue="other"
        )
        other = submission(self.ids.next_id(), COROUTINE, target=noop, options=JobOptions(owner=f"{owner[1:]}x"))
        await store.submissions.insert(other)
        wanted = JobFilter(owner=owner)
        assert await self.list_ids(store, wanted) == [job_id]
        assert await store.submissions.find_by_key(owner, owner) == job_id
        assert (await store.reads.count_by_status(wanted))[JobStatus.COMPLETED] == 1
        await store.submissions.delete(job_id)
        assert [each.owner for each in await self.changes_since(store, position)] == [None, owner]
        assert sum((await store.reads.count_by_status(wanted)).values()) == 0
