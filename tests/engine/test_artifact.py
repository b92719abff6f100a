"""A running job names what it leaves, in every store and every runner: the record leads to it however the job ends."""

import os
import signal
import time
from contextlib import suppress
from typing import Any

import pytest
from ulid import ULID

from servicekit import (
    EndedAttempt,
    EndedBy,
    JobStatus,
    ResultHook,
    Retry,
    Scheduler,
    create_scheduler,
    current_job,
)
from servicekit.errors import InvalidArtifactId
from servicekit.runners.coroutine import CoroutineRunner
from servicekit.runners.reports import dump_artifact, take_report
from servicekit.testing import TestScheduler
from servicekit.testing.runners import Trial

NAMED = "01JQRS7XK5N8Z3VQ2M4T6W8Y0A"
OTHER = "01JQRS7XK5N8Z3VQ2M4T6W8Y0B"


def name_and_return(result: object = None) -> object:
    current_job().artifact(OTHER)
    current_job().artifact(NAMED)
    return result


async def name_and_return_async(result: object = None) -> object:
    return name_and_return(result)


def name_and_fail() -> None:
    current_job().artifact(NAMED)
    raise ValueError("no")


def name_and_wait() -> None:
    current_job().artifact(NAMED)
    current_job().log("named")
    current_job().wait_cancel_requested()
    current_job().raise_if_canceled()


def name_and_ignore() -> None:
    while True:
        with suppress(BaseException):
            current_job().artifact(NAMED)
            current_job().log("named")
            time.sleep(1_000)


def name_and_crash() -> None:
    current_job().artifact(NAMED)
    os.kill(os.getpid(), signal.SIGKILL)


def name_at_first_and_fail_once() -> None:
    if current_job().attempt == 1:
        name_and_fail()


def name_nothing(text: object) -> str:
    with pytest.raises(InvalidArtifactId, match="a ULID of 26 characters"):
        current_job().artifact(text)  # type: ignore[arg-type] # that is what is wrong with it
    return "refused"


def name_from_a_child() -> None:
    if os.fork() == 0:
        current_job().artifact(NAMED)
        os._exit(0)
    os.wait()


def name_by_object() -> None:
    current_job().artifact(ULID.from_str(NAMED))


def with_runner(scheduler: Scheduler, runner: str, **options: Any) -> Any:
    kind: Any = None if runner == "coroutine" else runner
    return scheduler.with_options(runner=kind, **options)


async def start(scheduler: Scheduler, target: Any, **options: Any) -> str:
    """A job that has named its artifact."""
    job_id = str(await scheduler.with_options(**options).add_job(target))
    async for line in scheduler.stream_log(job_id):
        if line.text == "named":
            break
    return job_id


@pytest.mark.parametrize("runner", ["coroutine", "thread", "process"])
@pytest.mark.parametrize("result", [None, 17, OTHER])
async def test_what_a_job_names_last_is_in_its_record(scheduler: Scheduler, runner: str, result: object) -> None:
    target = name_and_return_async if runner == "coroutine" else name_and_return
    job_id = await with_runner(scheduler, runner).add_job(target, result)
    record = await scheduler.wait(job_id)
    assert (record.status, record.artifact_id) == (JobStatus.COMPLETED, NAMED)
    assert await scheduler.get_result(job_id) == result


@pytest.mark.parametrize("runner", ["thread", "process"])
async def test_a_failed_job_leads_to_what_it_has_left(scheduler: Scheduler, runner: str) -> None:
    record = await scheduler.wait(await with_runner(scheduler, runner).add_job(name_and_fail))
    assert (record.status, record.error, record.artifact_id) == (JobStatus.FAILED, "ValueError: no", NAMED)


@pytest.mark.parametrize("runner", ["thread", "process"])
async def test_a_canceled_job_leads_to_what_it_has_left(scheduler: Scheduler, runner: str) -> None:
    job_id = await start(scheduler, name_and_wait, runner=runner)
    assert (await scheduler.get_record(job_id)).artifact_id is None
    await scheduler.cancel(job_id)
    record = await scheduler.wait(job_id)
    assert (record.status, record.artifact_id) == (JobStatus.CANCELED, NAMED)


async def test_a_job_that_exceeds_a_limit_leads_to_what_it_has_left(url: str) -> None:
    async def name_and_sleep() -> None:
        current_job().artifact(NAMED)
        await scheduler.clock.sleep(3_600)

    async with TestScheduler(url=url) as scheduler:
        await scheduler.with_options(run_timeout=60).add_job(name_and_sleep)
        (record,) = await scheduler.drain()
        assert (record.ended_by, record.artifact_id) == (EndedBy.TIME_LIMIT, NAMED)


async def test_a_job_whose_process_is_killed_leads_to_what_it_has_left(scheduler: Scheduler) -> None:
    job_id = await start(scheduler, name_and_ignore, runner="process", kill_grace=0.01)
    await scheduler.cancel(job_id)
    record = await scheduler.wait(job_id)
    assert (record.ended_by, record.artifact_id) == (EndedBy.KILL, NAMED)


async def test_a_job_whose_process_crashes_leads_to_what_it_has_left(scheduler: Scheduler) -> None:
    record = await scheduler.wait(await scheduler.with_options(runner="process").add_job(name_and_crash))
    assert (record.ended_by, record.artifact_id) == (EndedBy.CRASH, NAMED)


@pytest.mark.parametrize("runner", ["thread", "process"])
async def test_another_attempt_and_a_repetition_start_without(scheduler: Scheduler, runner: str) -> None:
    retrying = with_runner(scheduler, runner, retry=Retry(attempts=2, delay=0))
    job_id = await retrying.add_job(name_at_first_and_fail_once)
    record = await scheduler.wait(job_id)
    assert (record.status, record.attempt, record.artifact_id) == (JobStatus.COMPLETED, 2, None)
    named = await scheduler.wait(await scheduler.add_job(name_and_return))
    assert named.artifact_id == NAMED
    again = await scheduler.retry(named.id)
    assert (await scheduler.get_record(again)).artifact_id is None
    assert (await scheduler.wait(again)).artifact_id == NAMED


async def test_a_job_that_is_stopped_with_its_service_leads_to_what_it_has_left(url: str) -> None:
    scheduler = create_scheduler(url, shutdown_grace=0)
    async with scheduler:
        job_id = await start(scheduler, name_and_wait, max_restarts=0)
    async with scheduler:
        assert (await scheduler.wait(job_id)).artifact_id == NAMED


class Keeper(ResultHook):
    """Keeps something of each attempt; and names another artifact, if it is to."""

    def __init__(self, name: str | None = None) -> None:
        self.name = name

    async def keep_result(self, attempt: EndedAttempt, result: Any) -> Any:
        self._name()
        return OTHER

    async def keep_failure(self, attempt: EndedAttempt) -> str | None:
        self._name()
        return OTHER

    def _name(self) -> None:
        if self.name is not None:
            current_job().artifact(self.name)


@pytest.mark.parametrize("target", [name_and_return, name_and_fail])
async def test_what_is_named_counts_before_what_a_hook_keeps(url: str, target: Any) -> None:
    async with create_scheduler(url, result_hooks=[Keeper()]) as scheduler:
        assert (await scheduler.wait(await scheduler.add_job(target))).artifact_id == NAMED


@pytest.mark.parametrize("runner", ["thread", "process"])
@pytest.mark.parametrize("target", [name_and_return, name_and_fail])
async def test_a_hook_may_name_it_too(url: str, target: Any, runner: str) -> None:
    name = "01JQRS7XK5N8Z3VQ2M4T6W8Y0C"
    async with create_scheduler(url, result_hooks=[Keeper(name)]) as scheduler:
        assert (await scheduler.wait(await with_runner(scheduler, runner).add_job(target))).artifact_id == name


@pytest.mark.parametrize("text", ["", "no id", f"{NAMED}0", "8" + NAMED[1:], None, 7, "٣" * 26])
@pytest.mark.parametrize("runner", ["thread", "process"])
async def test_only_a_ulid_is_an_id(scheduler: Scheduler, runner: str, text: object) -> None:
    job_id = await with_runner(scheduler, runner).add_job(name_nothing, text)
    record = await scheduler.wait(job_id)
    assert (record.status, record.error, record.artifact_id) == (JobStatus.COMPLETED, None, None)


async def test_an_id_may_be_an_object_and_a_child_may_name_it(scheduler: Scheduler) -> None:
    for target in (name_by_object, name_from_a_child):
        record = await scheduler.wait(await scheduler.with_options(runner="process").add_job(target))
        assert (record.status, record.artifact_id) == (JobStatus.COMPLETED, NAMED)


@pytest.mark.parametrize(
    "message", ['["artifact"]', '["artifact", "no id"]', '["artifact", [1]]', '["artifact", 1, 2]']
)
async def test_what_makes_no_sense_in_the_channel_of_reports_names_nothing(message: str) -> None:
    job = Trial(CoroutineRunner(), name_and_return).job
    take_report(job, message.encode())
    assert job.artifact_id is None
    take_report(job, dump_artifact(NAMED))
    assert job.artifact_id == NAMED
