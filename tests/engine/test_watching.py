"""Waiting for jobs and watching them from Python."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import ANY

import pytest
from ulid import ULID

from servicekit import (
    ConfigurationError,
    InMemoryScheduler,
    JobNotFound,
    JobRecord,
    JobStatus,
    Progress,
    Retention,
    Scheduler,
    current_job,
)
from servicekit.engine.job_reader import JobReader
from servicekit.events.hub import EventHub
from servicekit.jobs.events import JobEvent
from servicekit.testing.stores.fakes import ManualClock
from tests.fakes import Gate, noop


async def test_an_id_is_text_and_ulids_are_taken_too(scheduler: Scheduler) -> None:
    job_id = await scheduler.add_job(noop)
    assert type(job_id) is str
    assert (await scheduler.wait(ULID.from_str(job_id))).id == job_id
    assert await scheduler.get_status(ULID.from_str(job_id)) is JobStatus.COMPLETED


async def test_a_wait_ends_with_the_job(scheduler: Scheduler, gate: Gate) -> None:
    job_id = await scheduler.add_job(gate.enter, "result")
    waiting = [asyncio.ensure_future(scheduler.wait(job_id)) for _ in range(3)]
    await gate.wait_entered(1)
    assert not any(wait.done() for wait in waiting)
    gate.open()
    assert {(await wait).status for wait in waiting} == {JobStatus.COMPLETED}


async def test_a_wait_that_takes_too_long_leaves_the_job_alone(scheduler: Scheduler, gate: Gate) -> None:
    job_id = await scheduler.add_job(gate.enter)
    await gate.wait_entered(1)
    with pytest.raises(TimeoutError):
        await scheduler.wait(job_id, timeout=0.01)
    assert await scheduler.get_status(job_id) is JobStatus.RUNNING


async def test_a_stream_begins_with_the_present_and_ends_with_the_job(single: Scheduler, gate: Gate) -> None:
    before = Gate()
    await single.add_job(before.enter)
    job_id = await single.add_job(gate.enter)
    seen = []
    async for record in single.stream(job_id):
        seen.append((record.version, record.status))
        (before if record.status is JobStatus.PENDING else gate).open()
    assert seen == [(1, JobStatus.PENDING), (2, JobStatus.RUNNING), (3, JobStatus.COMPLETED)]
    assert [record.status async for record in single.stream(job_id)] == [JobStatus.COMPLETED]


async def test_a_slow_reader_gets_every_transition_and_the_newest_progress(single: Scheduler, gate: Gate) -> None:
    async def target() -> None:
        for step in range(1, 4):
            current_job().progress(step, 3)
            while told(await single.get_record(current_job().id)) != Progress(step, 3):
                await asyncio.sleep(0.001)
        await gate.enter()

    before = Gate()
    await single.add_job(before.enter)
    job_id = await single.add_job(target)
    stream, fast = single.stream(job_id), single.stream(job_id)
    first = await anext(stream)
    await anext(fast)
    before.open()
    await gate.wait_entered(1)  # meanwhile it started, and made progress several times
    while told(await anext(fast)) != Progress(3, 3):  # what the store has is told a moment later
        pass
    rest = [await anext(stream) for _ in range(2)]
    gate.open()
    rest += [record async for record in stream]
    assert [first.status, *(record.status for record in rest)] == [
        JobStatus.PENDING,
        JobStatus.RUNNING,
        JobStatus.RUNNING,
        JobStatus.COMPLETED,
    ]
    assert told(rest[1]) == Progress(3, 3)


def told(record: JobRecord | None) -> Progress | None:
    """The progress without its time."""
    assert record is not None
    return record.progress and replace(record.progress, reported_at=None)


async def test_the_last_progress_is_in_the_final_record(scheduler: Scheduler) -> None:
    async def target() -> None:
        current_job().progress(1, 2)
        await asyncio.sleep(0)
        current_job().progress(2, 2, "done")

    record = await scheduler.wait(await scheduler.add_job(target))
    assert told(record) == Progress(2, 2, "done")


async def test_progress_from_a_thread_is_seen(scheduler: Scheduler) -> None:
    def target() -> None:
        for step in range(100_000):
            current_job().progress(step, 100_000)

    job_id = await scheduler.add_job(target)
    seen = [record.progress.done async for record in scheduler.stream(job_id) if record.progress]
    assert seen == sorted(seen)
    assert seen[-1] == 99_999
    assert len(seen) < 1_000


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((float("nan"),), ValueError),
        ((1, float("inf")), ValueError),
        (("half",), TypeError),
    ],
)
async def test_progress_that_is_no_number_is_refused(
    scheduler: Scheduler, arguments: tuple[Any, ...], error: type[Exception]
) -> None:
    async def target() -> None:
        current_job().progress(*arguments)

    record = await scheduler.wait(await scheduler.add_job(target))
    assert record.error is not None
    assert record.error.startswith(error.__name__)


async def test_a_progress_message_is_bounded_and_encodable(scheduler: Scheduler) -> None:
    async def target() -> None:
        current_job().progress(1, message="\ud800" + "x" * 100_000)

    record = await scheduler.wait(await scheduler.add_job(target))
    assert record.progress is not None
    assert record.progress.message is not None
    assert len(record.progress.message.encode()) < 2_000


async def test_pages_of_records(scheduler: Scheduler) -> None:
    ids = [await scheduler.add_job(noop) for _ in range(5)]
    await scheduler.wait(ids[-1])
    assert [record.id for record in await scheduler.list_records(limit=2)] == ids[:2:-1]
    assert [record.id for record in await scheduler.list_records(limit=2, before=ids[3])] == ids[2:0:-1]
    assert [record.id for record in await scheduler.list_records(status=JobStatus.FAILED)] == []
    assert [record.id for record in await scheduler.get_all_records()] == ids[::-1]


async def test_finished_jobs_are_bounded_by_count() -> None:
    async with InMemoryScheduler(retention=Retention(max_count=10)) as scheduler:
        ids = [await scheduler.add_job(noop) for _ in range(100)]
        assert (await scheduler.wait(ids[-1])).status is JobStatus.COMPLETED
        assert [record.id for record in await scheduler.get_all_records()] == ids[:-11:-1]


async def test_finished_jobs_are_dropped_by_age_while_nothing_happens() -> None:
    clock = ManualClock()
    retention = Retention(max_age=timedelta(seconds=0.1))
    async with InMemoryScheduler(retention=retention, clock=clock) as scheduler:
        job_id = await scheduler.add_job(noop)
        await scheduler.wait(job_id)
        clock.advance(1)
        while await scheduler.get_all_records():
            await asyncio.sleep(0.01)
        with pytest.raises(JobNotFound):
            await scheduler.get_record(job_id)


@pytest.mark.parametrize(
    "options", [{"max_count": 0}, {"max_age": 60}, {"max_age": timedelta(seconds=-1)}, {"max_result_bytes": -1}]
)
def test_a_retention_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        Retention(**options)


@pytest.mark.parametrize("retention", [timedelta(days=7), 1_000])
def test_what_is_no_retention_is_refused(retention: Any) -> None:
    with pytest.raises(ConfigurationError, match="retention must be a Retention"):
        InMemoryScheduler(retention=retention)


@pytest.mark.parametrize(
    ("seen", "there", "is_told"),
    [
        ((4, "running"), (2, "running"), True),
        ((2, "running"), (2, "canceled"), True),
        ((2, "running"), (2, "running"), False),
        ((2, "running"), (3, "completed"), True),
    ],
)
async def test_a_reader_is_told_what_there_is_when_the_store_has_lost_its_newest_changes(
    scheduler: Scheduler, gate: Gate, seen: tuple[int, str], there: tuple[int, str], is_told: bool
) -> None:
    present = await scheduler.get_record(await scheduler.add_job(gate.enter))
    hub = EventHub()

    def become(version: int, status: str) -> JobRecord:
        return replace(present, version=version, status=JobStatus(status))

    async def get_record(_: str) -> JobRecord:
        return become(*seen)

    async def open_store() -> Any:
        return SimpleNamespace(reads=SimpleNamespace(get_record=get_record))

    def relay(version: int, status: str) -> JobEvent | None:
        hub.relay(JobEvent(present.id, become(version, status)))
        return reader.take_event()

    async with JobReader(open_store, hub, present.id) as reader:
        assert reader.take_event() is not None
        assert relay(seen[0] - 1, "running") is None
        hub.begin_anew()
        assert (relay(*there) is not None) is is_told
        assert relay(*there) is None
        assert relay(there[0] + 1, "completed") is not None


async def test_a_reader_does_not_sleep_through_the_moment_in_which_an_update_becomes_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The time comes between two looks at the clock, and nothing else wakes the reader."""
    loop, steps = asyncio.get_running_loop(), asyncio.Queue[int]()
    read_time, offsets = loop.time, iter([3_600 - 60])

    async def report() -> None:
        while done := await steps.get():
            current_job().progress(done)

    async with InMemoryScheduler() as scheduler:
        job_id = await scheduler.add_job(report)
        async with scheduler.watch(job_id, interval_seconds=3_600) as reader:
            steps.put_nowait(1)
            while (await next_record(reader)).progress is None:
                pass  # the next report is due in an hour
            steps.put_nowait(2)
            while (await scheduler.get_record(job_id)).progress != Progress(2, reported_at=ANY):
                await asyncio.sleep(0)
            monkeypatch.setattr(loop, "time", lambda: read_time() + next(offsets, 7_200))
            progress = (await next_record(reader)).progress
            monkeypatch.undo()
        assert progress is not None
        assert progress.done == 2
        steps.put_nowait(0)


async def next_record(reader: JobReader) -> JobRecord:
    event = await reader.next_event()
    assert event is not None
    assert event.record is not None
    return event.record
