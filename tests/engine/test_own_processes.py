"""Jobs in processes of their own, through the front door: what they say is not trusted, and the same in every store."""

from collections.abc import Callable
from datetime import date

import pytest

from servicekit import JobStatus, ResultDropped, Scheduler
from tests.hindering import without_threads
from tests.runners import odd_targets, targets


async def test_a_result_is_what_json_makes_of_it(scheduler: Scheduler) -> None:
    job_id = await scheduler.with_options(runner="process").add_job(
        targets.give, {"day": date(2026, 1, 31), "pair": (1, 2)}
    )
    await scheduler.wait(job_id)
    assert await scheduler.get_result(job_id) == {"day": "2026-01-31", "pair": [1, 2]}


async def test_a_large_result_is_read_as_well(scheduler: Scheduler) -> None:
    job_id = await scheduler.with_options(runner="process").add_job(odd_targets.give_many, 300_000)
    await scheduler.wait(job_id)
    assert await scheduler.get_result(job_id) == list(range(300_000))


async def test_a_large_result_is_read_where_no_more_threads_can_be_had(scheduler: Scheduler) -> None:
    await scheduler.get_all_records()  # what needs threads has them
    with without_threads():
        job_id = await scheduler.with_options(runner="process").add_job(odd_targets.give_many, 300_000)
        await scheduler.wait(job_id)
        assert len(str(await scheduler.get_result(job_id))) > 300_000


@pytest.mark.parametrize("target", [targets.give_lock, odd_targets.give_leaving, odd_targets.give_leaving_when_read])
async def test_a_result_that_cannot_be_written_is_not_kept_and_its_log_says_so(
    scheduler: Scheduler, target: Callable[[], object]
) -> None:
    job_id = await scheduler.with_options(runner="process").add_job(target)
    assert (await scheduler.wait(job_id)).status is JobStatus.COMPLETED
    with pytest.raises(ResultDropped):
        await scheduler.get_result(job_id)
    (line,) = (await scheduler.get_log(job_id)).lines
    assert line.text.startswith("The result is not kept")


async def test_what_is_no_json_is_not_given(scheduler: Scheduler) -> None:
    header = '{"transition": "complete", "result_bytes": 3}\n[[['
    job_id = await scheduler.with_options(runner="process").add_job(odd_targets.pretend, header)
    assert (await scheduler.wait(job_id)).status is JobStatus.COMPLETED
    with pytest.raises(ResultDropped):
        await scheduler.get_result(job_id)
