"""Jobs that start later: after a delay, or at a time."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from servicekit import ConfigurationError, JobStatus, Scheduler
from servicekit.testing import TestScheduler
from tests.fakes import noop


async def test_a_job_starts_no_earlier_than_it_shall(scheduler: Scheduler) -> None:
    record = await scheduler.wait(await scheduler.with_options(delay=0.1).add_job(noop))
    assert record.status is JobStatus.COMPLETED
    assert record.started_at is not None
    assert record.scheduled_at is not None
    assert record.started_at >= record.scheduled_at
    assert record.scheduled_at - record.submitted_at >= timedelta(seconds=0.09)


async def test_a_job_that_shall_start_later_is_pending_until_then(scheduler: Scheduler) -> None:
    tomorrow = datetime.now(timezone(timedelta(hours=2))) + timedelta(days=1)
    job_id = await scheduler.with_options(start_at=tomorrow).add_job(noop)
    await scheduler.wait(await scheduler.add_job(noop))
    record = await scheduler.get_record(job_id)
    assert (record.status, record.scheduled_at) == (JobStatus.PENDING, tomorrow.astimezone(UTC))
    assert await scheduler.cancel(job_id)
    assert (await scheduler.get_record(job_id)).status is JobStatus.CANCELED


async def test_a_time_that_has_passed_is_now(scheduler: Scheduler) -> None:
    options = scheduler.with_options(start_at=datetime(2020, 1, 1, tzinfo=UTC))
    record = await scheduler.wait(await options.add_job(noop))
    assert (record.status, record.scheduled_at) == (JobStatus.COMPLETED, None)


async def test_what_is_due_earlier_is_started_earlier_whatever_was_submitted_first(url: str) -> None:
    started: list[str] = []

    async def note(name: str) -> None:
        started.append(name)

    async with TestScheduler(url=url) as scheduler:
        await scheduler.with_options(delay=300).add_job(note, "late")
        await scheduler.with_options(delay=100).add_job(note, "early")
        await scheduler.drain()
    assert started == ["early", "late"]


async def test_a_job_that_waits_for_its_time_holds_no_slot(single: Scheduler) -> None:
    await single.with_options(delay=3_600).add_job(noop)
    assert (await single.wait(await single.add_job(noop))).status is JobStatus.COMPLETED


async def test_a_time_needs_a_zone(scheduler: Scheduler) -> None:
    with pytest.raises(ConfigurationError, match="start_at"):
        scheduler.with_options(start_at=datetime(2030, 1, 1))  # noqa: DTZ001
    far_east = timezone(timedelta(hours=14))
    for moment in (datetime.min.replace(tzinfo=far_east), datetime.max.replace(tzinfo=UTC)):
        with pytest.raises(ConfigurationError, match="start_at must be a time from the year 2 to the end of 2999"):
            scheduler.with_options(start_at=moment)


async def test_a_delay_and_a_time_together_are_refused(scheduler: Scheduler) -> None:
    with pytest.raises(ConfigurationError, match="delay"):
        scheduler.with_options(delay=1, start_at=datetime(2030, 1, 1, tzinfo=UTC))
