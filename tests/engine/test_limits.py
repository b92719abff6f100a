"""Time limits: to run, to wait, to be silent."""

import asyncio
import threading
from contextlib import suppress
from datetime import timedelta

import pytest

from servicekit import ConfigurationError, EndedBy, JobStatus, Retry, Scheduler, current_job
from servicekit.engine.limits import TimeLimits
from servicekit.errors import SilenceTimeout
from servicekit.jobs.current import RunningJob
from servicekit.jobs.options import DEFAULT_OPTIONS, changed
from servicekit.testing import FakeClock, TestScheduler
from servicekit.testing.stores.fakes import submission
from tests.fakes import Gate, QuietHost, noop


async def wait_for_ever() -> None:
    await asyncio.Event().wait()


async def test_a_job_that_runs_too_long_fails(scheduler: Scheduler) -> None:
    record = await scheduler.wait(await scheduler.with_options(run_timeout=0.05).add_job(wait_for_ever))
    assert (record.status, record.ended_by) == (JobStatus.FAILED, EndedBy.TIME_LIMIT)
    assert record.error == "RunTimeout: the job ran for longer than it may (run_timeout=0.05 s)"
    assert record.cancel_requested_at is None


async def test_a_job_that_is_quick_enough_does_not(scheduler: Scheduler) -> None:
    options = scheduler.with_options(run_timeout=timedelta(hours=1), silence_timeout=3_600, queue_timeout=3_600)
    record = await scheduler.wait(await options.add_job(noop))
    assert (record.status, record.ended_by, record.error) == (JobStatus.COMPLETED, EndedBy.TARGET, None)


async def test_a_job_that_says_nothing_fails(url: str) -> None:
    async with TestScheduler(url=url) as scheduler:

        async def falls_silent() -> None:
            for step in range(5):
                current_job().progress(step)
                await scheduler.clock.sleep(40)
            await scheduler.clock.sleep(3_600)

        await scheduler.with_options(silence_timeout=60).add_job(falls_silent)
        (record,) = await scheduler.drain()
    assert (record.status, record.ended_by) == (JobStatus.FAILED, EndedBy.TIME_LIMIT)
    assert record.error == "SilenceTimeout: the job reported no progress for longer than it may (silence_timeout=60 s)"
    assert record.progress is not None
    assert (record.progress.done, record.elapsed_seconds) == (4, 4 * 40 + 60)


async def test_progress_that_cannot_be_written_down_is_no_silence() -> None:
    clock = FakeClock()
    job = RunningJob(submission("a job"), 1, QuietHost())
    limits = TimeLimits(job, changed(DEFAULT_OPTIONS, {"silence_timeout": 60}), clock)
    watching = asyncio.create_task(limits.wait_exceeded())
    for step in range(5):
        await clock.advance(40)
        job.progress(step)  # and nobody takes it
    assert not watching.done()
    await clock.advance(120)  # since the limit has been reached, and since it was last heard of
    assert isinstance(await watching, SilenceTimeout)


async def test_a_job_that_waits_too_long_fails_and_never_runs(single: Scheduler, gate: Gate) -> None:
    await single.add_job(gate.enter, "first")
    await gate.wait_entered(1)
    late = await single.with_options(queue_timeout=0.05).add_job(gate.enter, "late")
    record = await single.wait(late)
    assert (record.status, record.ended_by, record.attempt) == (JobStatus.FAILED, EndedBy.TIME_LIMIT, 0)
    assert record.error == "QueueTimeout: the job waited for longer than it may (queue_timeout=0.05 s)"
    gate.open()
    await single.wait(await single.add_job(noop))
    assert gate.entered == ["first"]


async def test_whatever_a_target_makes_of_its_limit_the_job_fails(scheduler: Scheduler) -> None:
    async def swallows() -> str:
        with suppress(asyncio.CancelledError):
            await wait_for_ever()
        return "finished anyway"

    record = await scheduler.wait(await scheduler.with_options(run_timeout=0.05).add_job(swallows))
    assert (record.status, record.ended_by) == (JobStatus.FAILED, EndedBy.TIME_LIMIT)


async def test_a_thread_that_does_not_listen_holds_its_slot_after_its_limit(single: Scheduler) -> None:
    asked, release = threading.Event(), threading.Event()

    def ignores() -> str:
        job = current_job()
        job.wait_cancel_requested(30)
        asked.set()
        release.wait(30)
        return "late"

    job_id = await single.with_options(run_timeout=0.05).add_job(ignores)
    waiting = await single.add_job(noop)
    await asyncio.to_thread(asked.wait, 30)
    assert (await single.get_record(job_id)).status is JobStatus.RUNNING
    assert (await single.get_record(waiting)).status is JobStatus.PENDING
    release.set()
    record = await single.wait(job_id)
    assert (record.status, record.ended_by) == (JobStatus.FAILED, EndedBy.TIME_LIMIT)
    assert (await single.wait(waiting)).status is JobStatus.COMPLETED


async def test_what_took_too_long_is_tried_again_if_its_policy_says_so(scheduler: Scheduler) -> None:
    async def hangs_once() -> int:
        if current_job().attempt == 1:
            await wait_for_ever()
        return current_job().attempt

    policy = Retry(attempts=2, delay=0, only=[TimeoutError])
    job_id = await scheduler.with_options(run_timeout=0.05, retry=policy).add_job(hangs_once)
    record = await scheduler.wait(job_id)
    assert (record.status, record.attempt) == (JobStatus.COMPLETED, 2)
    assert record.attempts[0].ended_by is EndedBy.TIME_LIMIT
    assert await scheduler.get_result(job_id) == 2


async def test_a_cancellation_before_the_limit_is_a_cancellation(scheduler: Scheduler, gate: Gate) -> None:
    job_id = await scheduler.with_options(run_timeout=3_600).add_job(gate.enter)
    await gate.wait_entered(1)
    assert await scheduler.cancel(job_id)
    record = await scheduler.get_record(job_id)
    assert (record.status, record.ended_by) == (JobStatus.CANCELED, EndedBy.CANCEL)


@pytest.mark.parametrize("option", ["run_timeout", "queue_timeout", "silence_timeout", "kill_grace", "delay"])
@pytest.mark.parametrize("value", [-1, float("inf"), "5", timedelta(seconds=-1), timedelta(days=9_999)], ids=str)
def test_what_is_no_duration_is_refused(option: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=option):
        changed(DEFAULT_OPTIONS, {option: value})  # type: ignore[misc]
