"""A store that is written by the ports alone passes the suite, and a scheduler runs on it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from servicekit import Every, JobStatus, Progress, Retry, Scheduler, current_job
from servicekit.engine.factory import make_parts
from servicekit.engine.options import SchedulerOptions
from servicekit.jobs.retention import Retention
from servicekit.ports import JobStore
from servicekit.testing.stores import BoundedContract, BoundsByStatus, JobStoreContract, StoreSetting
from tests.fakes import Gate, noop
from tests.stores.sketch import SketchStore


class AsASketch:
    """How the suite makes a store. It is not durable, so that no other process can share it."""

    def create_store(self, setting: StoreSetting) -> JobStore:
        return SketchStore(
            setting.publisher,
            setting.clock,
            setting.retention,
            max_pending=setting.max_pending,
            scan_limit=setting.scan_limit,
        )


class TestSketchStore(AsASketch, JobStoreContract):
    """What every store promises."""


class TestBoundedSketchStore(AsASketch, BoundedContract):
    """What it promises where few jobs may wait, and where logs are short."""


class TestSketchStoreByStatus(AsASketch, BoundsByStatus):
    """What it promises where failed jobs are kept for longer."""


class TestSchedulerOnASketch:
    @pytest.fixture
    async def scheduler(self) -> AsyncIterator[Scheduler]:
        parts = make_parts("memory://", SchedulerOptions(shutdown_grace=0.0, max_concurrency=1))
        store = SketchStore(parts.hub, parts.clock, Retention())
        async with Scheduler(replace(parts, store=store)) as scheduler:
            yield scheduler

    async def test_a_job_is_followed_from_its_submission_to_its_result(self, scheduler: Scheduler) -> None:
        begin = asyncio.Event()

        async def train(epochs: int) -> int:
            await begin.wait()
            current_job().progress(epochs, epochs)
            print("trained")
            return epochs

        job_id = await scheduler.add_job(train, 3)
        seen = []
        async for record in scheduler.stream(job_id):
            seen.append(record.status)
            begin.set()
        assert seen[-1] is JobStatus.COMPLETED
        assert await scheduler.get_result(job_id) == 3
        progress = (await scheduler.get_record(job_id)).progress
        assert progress is not None
        assert replace(progress, reported_at=None) == Progress(3, 3)
        assert [line.text for line in (await scheduler.get_log(job_id)).lines] == ["trained"]

    async def test_what_runs_and_what_waits_is_canceled(self, scheduler: Scheduler) -> None:
        gate = Gate()
        running, waiting = await scheduler.add_job(gate.enter), await scheduler.add_job(gate.enter)
        await gate.wait_entered(1)
        for job_id in (running, waiting):
            assert await scheduler.cancel(job_id)
            assert (await scheduler.wait(job_id)).status is JobStatus.CANCELED
        assert len(gate.entered) == 1

    async def test_a_failed_attempt_is_followed_by_another_one(self, scheduler: Scheduler) -> None:
        async def fail_once() -> str:
            if current_job().attempt == 1:
                raise ConnectionError("no route")
            return "there"

        job_id = await scheduler.with_options(retry=Retry(attempts=2, delay=0.01)).add_job(fail_once)
        record = await scheduler.wait(job_id)
        assert (record.status, record.attempt) == (JobStatus.COMPLETED, 2)
        assert [past.error for past in record.attempts] == ["ConnectionError: no route"]

    async def test_a_job_is_submitted_again(self, scheduler: Scheduler) -> None:
        job_id = await scheduler.add_job(noop)
        await scheduler.wait(job_id)
        again = await scheduler.wait(await scheduler.retry(job_id))
        assert (again.status, again.retry_of) == (JobStatus.COMPLETED, job_id)

    async def test_a_schedule_submits_jobs(self, scheduler: Scheduler) -> None:
        gate = Gate()
        await scheduler.schedules.add("often", Every(1), gate.enter)
        await gate.wait_entered(1)
        await scheduler.schedules.remove("often")
        gate.open()
        (record,) = await scheduler.get_all_records()
        assert (record.schedule, (await scheduler.wait(record.id)).status) == ("often", JobStatus.COMPLETED)

    async def test_what_has_not_begun_when_the_service_stops_is_canceled(self, scheduler: Scheduler) -> None:
        gate = Gate()
        running, waiting = await scheduler.add_job(gate.enter), await scheduler.add_job(gate.enter)
        await gate.wait_entered(1)
        await scheduler.close()
        assert await scheduler.get_status(running) is await scheduler.get_status(waiting) is JobStatus.CANCELED
