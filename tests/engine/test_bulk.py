"""Many jobs at once: counted, canceled, repeated and deleted step by step."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from servicekit import (
    ALL_JOBS,
    BulkAction,
    BulkStep,
    ConfigurationError,
    JobFilter,
    JobNotFound,
    JobSelection,
    JobStatus,
    Scheduler,
    SchedulerClosed,
    StoreUnavailable,
    create_scheduler,
)
from tests.fakes import Gate, Stubborn, noop

NOWHERE = "01JQRS7XK5N8Z3VQ2M4T6W8Y0A"
Act = Callable[[JobSelection], Awaitable[BulkStep]]


async def fail() -> None:
    raise ValueError("no")


async def run_all(scheduler: Scheduler, count: int, target: Callable[[], Awaitable[None]] = noop) -> list[str]:
    """Jobs that have ended, the newest first."""
    job_ids = [await scheduler.add_job(target) for _ in range(count)]
    for job_id in job_ids:
        await scheduler.wait(job_id)
    return job_ids[::-1]


async def act_on_all(act: Act, wanted: JobFilter, limit: int, up_to: str | None = None) -> list[BulkStep]:
    steps, before = list[BulkStep](), None
    while not steps or before is not None:
        steps.append(await act(JobSelection(wanted, limit=limit, before=before, up_to=up_to)))
        before = steps[-1].next_before
    return steps


def statuses(*wanted: JobStatus) -> JobFilter:
    return JobFilter(statuses=frozenset(wanted))


async def test_everything_that_matches_is_deleted_step_by_step(scheduler: Scheduler) -> None:
    kept = await run_all(scheduler, 2)
    failed = await run_all(scheduler, 5, fail)
    wanted = statuses(JobStatus.FAILED)
    count = await scheduler.bulk.count(BulkAction.DELETE, JobSelection(wanted))
    assert count == (5, True, failed[0])
    first = await scheduler.bulk.delete(JobSelection(wanted, limit=2))
    assert first == BulkStep(2, 0, [], failed[1])
    # The same step again, as after a lost answer: it does what follows.
    again = await scheduler.bulk.delete(JobSelection(wanted, limit=2))
    assert again == BulkStep(2, 0, [], failed[3])
    last = await scheduler.bulk.delete(JobSelection(wanted, limit=2, before=again.next_before))
    assert last == BulkStep(1, 0, [], None)
    assert [record.id for record in await scheduler.get_all_records()] == kept


async def test_jobs_that_came_after_somebody_has_looked_are_left_alone(scheduler: Scheduler) -> None:
    old = await run_all(scheduler, 3)
    count = await scheduler.bulk.count(BulkAction.DELETE, JobSelection(ALL_JOBS))
    assert (count.matching, count.is_exact, count.up_to) == (3, True, old[0])
    new = await run_all(scheduler, 2)
    steps = await act_on_all(scheduler.bulk.delete, ALL_JOBS, 2, count.up_to)
    assert [step.done for step in steps] == [2, 1]
    assert [record.id for record in await scheduler.get_all_records()] == new


async def test_what_runs_and_what_waits_is_canceled_together(scheduler: Scheduler, gate: Gate) -> None:
    ended = await run_all(scheduler, 1)
    running = [await scheduler.add_job(gate.enter) for _ in range(60)]
    await gate.wait_entered(60)
    waiting = [await scheduler.with_options(delay=3_600).add_job(noop) for _ in range(3)]
    assert (await scheduler.bulk.count(BulkAction.CANCEL, JobSelection(ALL_JOBS))).matching == 63
    assert await scheduler.bulk.cancel(JobSelection(ALL_JOBS)) == BulkStep(63, 0, [], None)
    for job_id in (*running, *waiting):
        assert await scheduler.get_status(job_id) is JobStatus.CANCELED
    assert await scheduler.get_status(ended[0]) is JobStatus.COMPLETED
    assert (await scheduler.bulk.count(BulkAction.CANCEL, JobSelection(ALL_JOBS))).matching == 0


@pytest.mark.usefixtures("_brief_waits")
async def test_what_does_not_stop_is_waited_for_once_for_all(scheduler: Scheduler) -> None:
    targets = [Stubborn() for _ in range(30)]
    job_ids = [await scheduler.add_job(target.run) for target in targets]
    for target in targets:
        await target.began.wait()
    step = await scheduler.bulk.cancel(JobSelection(ALL_JOBS))
    assert step == BulkStep(30, 0, [], None)
    for target, job_id in zip(targets, job_ids, strict=True):
        record = await scheduler.get_record(job_id)
        assert record.status is JobStatus.RUNNING
        assert record.cancel_requested_at is not None
        target.released.set()


async def test_a_filter_by_status_holds_for_what_is_done(scheduler: Scheduler, gate: Gate) -> None:
    running = await scheduler.add_job(gate.enter)
    await gate.wait_entered(1)
    waiting = await scheduler.with_options(delay=3_600).add_job(noop)
    assert (await scheduler.bulk.count(BulkAction.CANCEL, JobSelection(statuses(JobStatus.FAILED)))).matching == 0
    assert (await scheduler.bulk.cancel(JobSelection(statuses(JobStatus.FAILED)))) == BulkStep(0, 0, [], None)
    assert (await scheduler.bulk.cancel(JobSelection(statuses(JobStatus.PENDING)))).done == 1
    assert await scheduler.get_status(waiting) is JobStatus.CANCELED
    assert await scheduler.get_status(running) is JobStatus.RUNNING


async def test_a_job_that_has_begun_meanwhile_is_not_one_that_waits(
    scheduler: Scheduler, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = [await scheduler.with_options(delay=3_600).add_job(noop) for _ in range(2)]
    running = await scheduler.add_job(gate.enter)
    await gate.wait_entered(1)
    reads, pending = (await scheduler._engine.open()).reads, JobSelection(statuses(JobStatus.PENDING))
    page = await reads.list_records(ALL_JOBS, 10, None)

    async def list_as_before(*_: object) -> object:
        return page

    monkeypatch.setattr(reads, "list_records", list_as_before)
    assert await scheduler.bulk.cancel(pending) == BulkStep(2, 1, [], None)
    assert await scheduler.bulk.delete(pending) == BulkStep(0, 3, [], None)
    assert (await scheduler.get_record(running)).cancel_requested_at is None
    assert await scheduler.get_status(waiting[0]) is JobStatus.CANCELED


async def test_failed_jobs_are_submitted_again_and_none_twice(scheduler: Scheduler) -> None:
    completed = await run_all(scheduler, 1)
    failed = await run_all(scheduler, 3, fail)
    assert (await scheduler.bulk.count(BulkAction.RETRY, JobSelection(ALL_JOBS))).matching == 3
    steps = await act_on_all(scheduler.bulk.retry, ALL_JOBS, 2, failed[0])
    assert [(step.done, step.skipped) for step in steps] == [(2, 0), (1, 0)]
    records = await scheduler.list_records()
    assert {record.retry_of for record in records} == {*failed, None}
    for record in records:
        await scheduler.wait(record.id)
    # The same again, as after a lost answer: every job of these has its repetition.
    steps = await act_on_all(scheduler.bulk.retry, ALL_JOBS, 2, failed[0])
    assert [(step.done, step.skipped) for step in steps] == [(0, 2), (0, 1)]
    assert len(await scheduler.get_all_records()) == 7
    # The repetitions have failed as well, and can be repeated.
    assert (await scheduler.bulk.retry(JobSelection(ALL_JOBS))).done == 3
    assert await scheduler.get_status(completed[0]) is JobStatus.COMPLETED


async def test_a_job_whose_call_is_not_kept_is_a_problem(scheduler: Scheduler) -> None:
    (kept,) = await run_all(scheduler, 1, fail)
    lost = [await scheduler.add_job(fail()) for _ in range(25)]
    for job_id in lost:
        await scheduler.wait(job_id)
    step = await scheduler.bulk.retry(JobSelection(ALL_JOBS))
    assert (step.done, step.skipped) == (1, 25)
    assert [problem.job_id for problem in step.problems] == lost[:4:-1]
    assert "cannot be submitted again" in step.problems[0].reason
    assert [record.retry_of for record in await scheduler.list_records(limit=1)] == [kept]


async def test_a_queue_that_is_full_is_a_problem_and_the_rest_comes_later(url: str) -> None:
    async with create_scheduler(url, max_pending=2, shutdown_grace=0) as scheduler:
        for _ in range(3):
            await run_all(scheduler, 1, fail)
        await scheduler.queues.pause("default")
        step = await scheduler.bulk.retry(JobSelection(statuses(JobStatus.FAILED)))
        assert (step.done, step.skipped, len(step.problems)) == (2, 1, 1)
        assert "full" in step.problems[0].reason
        (first, second) = await scheduler.list_records(status=JobStatus.PENDING)
        await scheduler.cancel(first.id)
        await scheduler.cancel(second.id)
        step = await scheduler.bulk.retry(JobSelection(statuses(JobStatus.FAILED)))
        assert (step.done, step.skipped, step.problems) == (1, 2, [])


async def test_named_jobs_must_match_the_filter_as_well(scheduler: Scheduler) -> None:
    (done,) = await run_all(scheduler, 1)
    failed = await run_all(scheduler, 3, fail)
    named = frozenset([done, NOWHERE, *failed[:2]])
    selection = JobSelection(statuses(JobStatus.FAILED), named)
    assert await scheduler.bulk.count(BulkAction.DELETE, selection) == (2, True, failed[0])
    assert await scheduler.bulk.delete(selection) == BulkStep(2, 2, [], None)
    assert [record.id for record in await scheduler.get_all_records()] == [failed[2], done]
    nobody = JobSelection(JobFilter(owner="nobody"), named)
    assert await scheduler.bulk.count(BulkAction.DELETE, nobody) == (0, True, None)
    assert await scheduler.bulk.delete(nobody) == BulkStep(0, 4, [], None)
    first = await scheduler.bulk.delete(JobSelection(ALL_JOBS, named, limit=3))
    assert (first.done, first.skipped, first.next_before) == (1, 2, sorted(named)[1])
    assert (await scheduler.bulk.delete(JobSelection(ALL_JOBS, named, before=first.next_before))).skipped == 1


async def test_what_was_done_before_a_failure_is_done_and_the_same_again_does_the_rest(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run_all(scheduler, 120)
    submissions = (await scheduler._engine.open()).submissions
    delete, deleted = submissions.delete, list[str]()

    async def break_down(job_id: str, among: object = None) -> bool:
        if len(deleted) == 70:
            raise StoreUnavailable("the file", "it is away")
        deleted.append(job_id)
        return await delete(job_id)

    with monkeypatch.context() as patch:
        patch.setattr(submissions, "delete", break_down)
        with pytest.raises(StoreUnavailable):
            await scheduler.bulk.delete(JobSelection(ALL_JOBS))
    left = len(await scheduler.get_all_records())
    assert left == 50
    assert (await scheduler.bulk.delete(JobSelection(ALL_JOBS))).done == left
    assert await scheduler.get_all_records() == []


async def test_a_deleted_job_stops(scheduler: Scheduler) -> None:
    stopped = asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    job_id = await scheduler.add_job(wait)
    async for record in scheduler.stream(job_id):
        if record.status is JobStatus.RUNNING:
            break
    assert (await scheduler.bulk.delete(JobSelection(ALL_JOBS))).done == 1
    with pytest.raises(JobNotFound):
        await scheduler.get_record(job_id)
    await stopped.wait()


async def test_a_step_that_makes_no_sense_is_refused(scheduler: Scheduler) -> None:
    with pytest.raises(ConfigurationError):
        await scheduler.bulk.delete(JobSelection(ALL_JOBS, limit=0))
    await scheduler.close()
    with pytest.raises(SchedulerClosed):
        await scheduler.bulk.retry(JobSelection(ALL_JOBS))
