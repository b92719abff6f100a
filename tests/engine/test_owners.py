"""Whose jobs they are, from submission to the stream of all jobs."""

from collections.abc import Callable

import pytest

from servicekit import (
    ConfigurationError,
    Every,
    IdempotencyConflict,
    JobStatus,
    Scheduler,
    create_scheduler,
    current_job,
    job_options,
)
from servicekit.engine.all_jobs_reader import AllJobsReader
from servicekit.jobs.query import JobChange, JobFilter
from tests.fakes import Gate, noop

ANA, BEN = JobFilter(owner="ana"), JobFilter(owner="ben")


async def leaf() -> None: ...


def submit_leaves() -> list[str]:
    job = current_job()
    return [
        job.submit(leaf),
        job.with_options(name="other", concurrency_key="mine").submit(leaf),
        job.with_options(owner="ben").submit(leaf),
    ]


async def submit_leaves_async() -> list[str]:
    job = current_job()
    return [
        await job.submit_async(leaf),
        await job.with_options(name="other", concurrency_key="mine").submit_async(leaf),
        await job.with_options(owner="ben").submit_async(leaf),
    ]


@pytest.mark.parametrize(
    ("runner", "target"), [("coroutine", submit_leaves_async), ("thread", submit_leaves), ("process", submit_leaves)]
)
@pytest.mark.parametrize("owner", ["ana", None])
async def test_a_child_has_the_owner_of_its_parent_unless_it_is_given_another(
    scheduler: Scheduler, runner: str, target: Callable[..., object], owner: str | None
) -> None:
    options = scheduler.with_options(owner=owner, runner="process" if runner == "process" else None)
    parent = await options.add_job(target)
    assert (await scheduler.wait(parent)).status is JobStatus.COMPLETED
    children = await scheduler.get_result(parent)
    owners = [(await scheduler.wait(child)).owner for child in children]
    assert owners == [owner, owner, "ben"]


@job_options(concurrency_key="the device")
async def print_page(gate: Gate) -> None:
    await gate.enter()


async def test_a_key_of_the_decorator_is_everybodys_and_one_of_a_submission_is_the_owners(
    scheduler: Scheduler, gate: Gate
) -> None:
    for owner in ("ana", "ben"):
        await scheduler.with_options(owner=owner).add_job(print_page, gate)
    await gate.wait_entered(1)
    for owner in ("ana", "ben"):
        await scheduler.with_options(owner=owner, concurrency_key="the device").add_job(gate.enter)
        await scheduler.with_options(owner=owner, concurrency_key="guessed").add_job(gate.enter)
    await scheduler.with_options(concurrency_key="guessed").add_job(gate.enter)
    await gate.wait_entered(6)
    counts = await scheduler.count_by_status()
    assert (counts[JobStatus.RUNNING], counts[JobStatus.PENDING]) == (6, 1)
    (waiting,) = await scheduler.list_records(status=JobStatus.PENDING)
    assert (waiting.name, waiting.owner) == ("print_page", "ben")


async def test_a_child_with_a_key_of_its_own_waits_for_those_of_its_owner_alone(
    scheduler: Scheduler, gate: Gate
) -> None:
    async def parent() -> None:
        await current_job().with_options(concurrency_key="a model").submit_async(gate.enter)

    for owner in ("ana", "ben", "ana"):
        await scheduler.wait(await scheduler.with_options(owner=owner).add_job(parent))
    await gate.wait_entered(2)
    pending = await scheduler.list_records(status=JobStatus.PENDING)
    assert [record.owner for record in pending] == ["ana"]


async def test_an_idempotency_key_finds_the_job_of_its_owner(scheduler: Scheduler) -> None:
    jobs = {}
    for owner in ("ana", "ben", None):
        once = scheduler.with_options(owner=owner, idempotency_key="order 17")
        jobs[owner] = await once.add_job(noop)
        assert await once.add_job(noop) == await scheduler.find_by_key("order 17", owner) == jobs[owner]
        with pytest.raises(IdempotencyConflict, match="'order 17'"):
            await once.add_job(leaf)
    assert len(set(jobs.values())) == 3


async def test_jobs_of_an_owner_are_listed_counted_and_retried(scheduler: Scheduler) -> None:
    job_id = await scheduler.with_options(owner="ana").add_job(leaf)
    await scheduler.wait(await scheduler.with_options(owner="ben").add_job(leaf))
    await scheduler.wait(job_id)
    again = await scheduler.retry(job_id)
    assert (await scheduler.wait(again)).owner == "ana"
    assert [record.id for record in await scheduler.list_records(owner="ana")] == [again, job_id]
    assert [record.id for record in await scheduler.list_records(owner="ana", name="leaf", limit=1)] == [again]
    assert (await scheduler.count_by_status(ANA))[JobStatus.COMPLETED] == 2


async def test_jobs_of_a_schedule_have_its_owner(scheduler: Scheduler) -> None:
    async with scheduler.follow(ANA) as feed:
        await scheduler.schedules.with_options(owner="ana").add("often", Every(1), noop)
        change = await next_change(feed)
    await scheduler.schedules.remove("often")
    assert change.record is not None
    assert (change.record.owner, change.record.schedule) == ("ana", "often")


async def test_who_follows_the_jobs_of_an_owner_hears_of_no_others(scheduler: Scheduler) -> None:
    mine, other, nobodys = [
        await scheduler.with_options(owner=owner).add_job(leaf) for owner in ("ana", "ben", None)
    ]  # fmt: skip
    for job_id in (mine, other, nobodys):
        await scheduler.wait(job_id)
    async with scheduler.follow(ANA) as feed, scheduler.follow() as all_jobs:
        assert (await next_change(feed)).job_id == mine
        for job_id in (other, nobodys, mine):
            await scheduler.delete(job_id)
        deletion = await next_change(feed)
        assert (deletion.job_id, deletion.record, deletion.owner) == (mine, None, "ana")
        told = [await next_change(all_jobs) for _ in range(6)]
        assert [change.job_id for change in told if change.record is None] == [other, nobodys, mine]
    async with scheduler.follow(BEN, after=told[2].position) as feed:
        assert (await next_change(feed)).job_id == other


async def test_a_job_of_another_owner_is_told_like_one_that_does_not_exist(scheduler: Scheduler, gate: Gate) -> None:
    other = await scheduler.with_options(owner="ben").add_job(gate.enter)
    mine = await scheduler.with_options(owner="ana").add_job(gate.enter)
    await gate.wait_entered(2)
    unknown = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"
    async with scheduler.follow(ANA, job_ids=[other, mine, unknown]) as feed:
        first = [await next_change(feed) for _ in range(3)]
        assert [(change.job_id, change.record is None) for change in first] == [
            (other, True), (mine, False), (unknown, True),
        ]  # fmt: skip
        assert [change.owner for change in first] == [None] * 3
        await scheduler.delete(other)
        await scheduler.delete(mine)
        assert (await next_change(feed)).job_id == mine


async def test_what_is_no_owner_is_refused() -> None:
    async with create_scheduler("memory://") as scheduler:
        for wrong in ("", "two\nlines", "a" * 201, 17):
            with pytest.raises(ConfigurationError, match="owner"):
                scheduler.with_options(owner=wrong)  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="no option 'is_key_submitted'"):
            scheduler.with_options(is_key_submitted=True)  # type: ignore[call-arg]


async def next_change(feed: AllJobsReader) -> JobChange:
    while (change := await feed.next_event()) is None:
        pass
    return change
