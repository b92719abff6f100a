"""Cancel is honest: `canceled` is said when the work has stopped, and nothing else is."""

import asyncio
import gc
import threading
import warnings

import pytest

from servicekit import JobCanceled, JobNotFound, JobRecord, JobStatus, Scheduler, current_job
from tests.fakes import Gate, Stubborn, noop


async def test_a_pending_job_is_canceled_and_never_runs(single: Scheduler, gate: Gate) -> None:
    await single.add_job(gate.enter, "first")
    second = await single.add_job(gate.enter, "second")
    third = await single.add_job(gate.enter, "third")
    assert await single.cancel(second)
    record = await single.get_record(second)
    assert (record.status, record.started_at) == (JobStatus.CANCELED, None)
    gate.open()
    await single.wait(third)
    assert gate.entered == ["first", "third"]


async def test_a_running_coroutine_is_canceled_when_the_call_returns(scheduler: Scheduler, gate: Gate) -> None:
    job_id = await scheduler.add_job(gate.enter)
    await gate.wait_entered(1)
    assert await scheduler.cancel(job_id)
    record = await scheduler.get_record(job_id)
    assert record.status is JobStatus.CANCELED
    assert record.cancel_requested_at is not None
    assert record.error is None
    assert gate.inside == 0


async def test_a_finished_job_is_not_canceled(scheduler: Scheduler) -> None:
    job_id = await scheduler.add_job(noop)
    record = await scheduler.wait(job_id)
    assert not await scheduler.cancel(job_id)
    assert await scheduler.get_record(job_id) == record


async def test_a_canceled_job_is_not_canceled_again(scheduler: Scheduler, gate: Gate) -> None:
    job_id = await scheduler.add_job(gate.enter)
    await gate.wait_entered(1)
    assert await scheduler.cancel(job_id)
    assert not await scheduler.cancel(job_id)


async def test_an_unknown_job_is_not_found(scheduler: Scheduler) -> None:
    for act in (scheduler.cancel, scheduler.delete, scheduler.wait, scheduler.get_status, scheduler.get_result):
        with pytest.raises(JobNotFound, match="01JQRS7XK5N8Z3VQ2M4T6W8Y0A"):
            await act("01JQRS7XK5N8Z3VQ2M4T6W8Y0A")


@pytest.mark.usefixtures("_brief_waits")
async def test_a_target_that_swallows_cancellation_is_reported_as_what_it_did(scheduler: Scheduler) -> None:
    stubborn = Stubborn()
    job_id = await scheduler.add_job(stubborn.run)
    await stubborn.began.wait()
    assert await scheduler.cancel(job_id)  # after a moment of waiting
    record = await scheduler.get_record(job_id)
    assert record.status is JobStatus.RUNNING
    assert record.cancel_requested_at is not None
    stubborn.released.set()
    assert (await scheduler.wait(job_id)).status is JobStatus.COMPLETED
    assert await scheduler.get_result(job_id) == "finished anyway"


async def test_a_target_may_clean_up_before_it_is_canceled(scheduler: Scheduler, gate: Gate) -> None:
    async def target() -> None:
        try:
            await gate.enter()
        finally:
            await asyncio.sleep(0.02)
            current_job().progress(1, message="cleaned up")

    job_id = await scheduler.add_job(target)
    await gate.wait_entered(1)
    assert await scheduler.cancel(job_id)
    record = await scheduler.get_record(job_id)
    assert record.status is JobStatus.CANCELED
    assert record.progress is not None
    assert record.progress.message == "cleaned up"


async def test_an_error_while_cleaning_up_is_a_failure(scheduler: Scheduler, gate: Gate) -> None:
    async def target() -> None:
        try:
            await gate.enter()
        except asyncio.CancelledError:
            raise ValueError("while cleaning up") from None

    job_id = await scheduler.add_job(target)
    await gate.wait_entered(1)
    assert not await scheduler.cancel(job_id)  # it ended, but otherwise
    assert (await scheduler.get_record(job_id)).error == "ValueError: while cleaning up"


@pytest.mark.parametrize(
    ("raised", "status"),
    [(None, JobStatus.CANCELED), (ValueError("while cleaning up"), JobStatus.FAILED)],
    ids=["only the cancellation", "an error beside it"],
)
async def test_a_cancellation_that_a_task_group_has_wrapped_is_one_if_it_is_alone(
    scheduler: Scheduler, gate: Gate, raised: Exception | None, status: JobStatus
) -> None:
    async def child(error: Exception | None) -> None:
        try:
            await gate.enter()
        except asyncio.CancelledError:
            if error is not None:
                raise error from None
            current_job().raise_if_canceled()

    async def target() -> None:
        async with asyncio.TaskGroup() as outer:
            outer.create_task(child(None))
            async with asyncio.TaskGroup() as inner:
                inner.create_task(child(None))
                inner.create_task(child(raised))

    job_id = await scheduler.add_job(target)
    await gate.wait_entered(3)
    assert await scheduler.cancel(job_id) == (status is JobStatus.CANCELED)
    assert await scheduler.get_status(job_id) is status


async def test_a_cancellation_in_a_group_is_one_in_a_thread_too(scheduler: Scheduler) -> None:
    started = threading.Event()

    async def wait() -> None:
        current_job().raise_if_canceled()

    async def wait_for_all() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(wait())

    def target() -> None:
        started.set()
        current_job().wait_cancel_requested(30)
        asyncio.run(wait_for_all())

    job_id = await scheduler.add_job(target)
    await asyncio.to_thread(started.wait, 30)
    assert await scheduler.cancel(job_id)
    assert await scheduler.get_status(job_id) is JobStatus.CANCELED


async def test_a_cancellation_in_a_group_that_nobody_asked_for_is_a_failure(scheduler: Scheduler) -> None:
    async def target() -> None:
        raise BaseExceptionGroup("unasked", [asyncio.CancelledError()])

    record = await scheduler.wait(await scheduler.add_job(target))
    assert record.status is JobStatus.FAILED


async def test_a_job_can_cancel_itself(single: Scheduler) -> None:
    async def target() -> None:
        await single.cancel(current_job().id)

    job_id = await single.add_job(target)
    assert (await single.wait(job_id)).status is JobStatus.CANCELED
    assert (await single.wait(await single.add_job(noop))).status is JobStatus.COMPLETED


async def test_a_cancel_after_the_last_await_hits_nothing_else(single: Scheduler) -> None:
    requests: list[asyncio.Task[bool]] = []

    async def target() -> str:
        await asyncio.sleep(0)
        requests.append(asyncio.ensure_future(single.cancel(current_job().id)))
        await asyncio.sleep(0)
        return "done"

    job_id = await single.add_job(target)
    record = await single.wait(job_id)
    assert record.status.is_terminal
    await requests[0]
    assert (await single.get_record(job_id)) == record
    assert (await single.wait(await single.add_job(noop))).status is JobStatus.COMPLETED


@pytest.mark.parametrize("turns", range(8))
async def test_whenever_a_cancel_comes_the_record_is_true_and_the_slot_is_freed(single: Scheduler, turns: int) -> None:
    did: list[str] = []

    async def target() -> None:
        did.append("began")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        did.append("ended")

    job_id = await single.add_job(target)
    for _ in range(turns):
        await asyncio.sleep(0)
    was_canceled = await single.cancel(job_id)
    status = await single.get_status(job_id)
    assert status is (JobStatus.CANCELED if was_canceled else JobStatus.COMPLETED)
    assert ("ended" in did) == (status is JobStatus.COMPLETED)
    assert (await single.wait(await single.add_job(noop))).status is JobStatus.COMPLETED


async def test_a_coroutine_object_that_never_runs_leaves_no_warning(single: Scheduler, gate: Gate) -> None:
    gc.collect()  # what earlier tests have left warns now
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        await single.add_job(gate.enter)
        await single.cancel(await single.add_job(noop()))
        await single.delete(await single.add_job(noop()))
        await single.add_job(noop())
        await single.close()
        gc.collect()
    assert [str(warning.message) for warning in warned] == []


async def test_a_thread_sees_the_request_and_can_stop(scheduler: Scheduler) -> None:
    started = threading.Event()

    def target() -> None:
        started.set()
        while True:
            current_job().wait_cancel_requested(30)
            current_job().raise_if_canceled()

    job_id = await scheduler.add_job(target)
    await asyncio.to_thread(started.wait, 30)
    assert await scheduler.cancel(job_id)
    assert await scheduler.get_status(job_id) is JobStatus.CANCELED


@pytest.mark.usefixtures("_brief_waits")
async def test_a_thread_that_does_not_stop_is_said_to_be_running(scheduler: Scheduler) -> None:
    started, release = threading.Event(), threading.Event()

    def target() -> str:
        started.set()
        release.wait(30)
        return "finished anyway"

    job_id = await scheduler.add_job(target)
    await asyncio.to_thread(started.wait, 30)
    assert await scheduler.cancel(job_id)
    record = await scheduler.get_record(job_id)
    assert record.status is JobStatus.RUNNING
    assert record.cancel_requested_at is not None
    release.set()
    assert (await scheduler.wait(job_id)).status is JobStatus.COMPLETED


async def test_a_thread_is_not_canceled_unasked(scheduler: Scheduler) -> None:
    def target() -> None:
        assert not current_job().is_cancel_requested
        assert not current_job().wait_cancel_requested(0)
        current_job().raise_if_canceled()
        raise JobCanceled(current_job().id)

    record = await scheduler.wait(await scheduler.add_job(target))
    assert record.status is JobStatus.FAILED
    assert record.error is not None
    assert record.error.startswith("JobCanceled: ")


async def test_what_came_back_from_a_thread_is_canceled_like_a_coroutine(scheduler: Scheduler, gate: Gate) -> None:
    job_id = await scheduler.add_job(lambda: gate.enter())
    await gate.wait_entered(1)
    assert await scheduler.cancel(job_id)
    assert await scheduler.get_status(job_id) is JobStatus.CANCELED


async def test_a_deleted_job_is_gone_at_once_and_stops(scheduler: Scheduler, gate: Gate) -> None:
    job_id = await scheduler.add_job(gate.enter)
    await gate.wait_entered(1)
    waiting = asyncio.ensure_future(scheduler.wait(job_id))
    streamed: list[JobRecord] = []

    async def stream() -> None:
        async for record in scheduler.stream(job_id):
            streamed.append(record)

    streaming = asyncio.ensure_future(stream())
    while not streamed:
        await asyncio.sleep(0)
    await scheduler.delete(job_id)
    with pytest.raises(JobNotFound):
        await scheduler.get_record(job_id)
    for reader in (waiting, streaming):
        with pytest.raises(JobNotFound):
            await reader
    while gate.inside:
        await asyncio.sleep(0)
