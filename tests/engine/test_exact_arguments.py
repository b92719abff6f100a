"""A target gets exactly what was accepted, whatever has kept it and whatever runs it; or its record says why not."""

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from servicekit import Every, Retry, Scheduler, create_scheduler
from servicekit.errors import InvalidArguments, InvalidTarget, RetryUnavailable
from servicekit.jobs.status import JobStatus
from tests.jobs import kinds
from tests.jobs.drawn import DRAWN
from tests.jobs.same import look_at
from tests.jobs.test_values import VALUES


def tell(*values: object, **more: object) -> str:
    """What has arrived, as text."""
    return repr(look_at([list(values), more]))


async def spoil(values: list[Any]) -> str:
    """Change what was given, after having told it."""
    told = tell(values)
    values[0].x = "spoiled"
    values.append("more")
    return told


def spoil_and_fail(values: list[Any]) -> str:
    told = tell(values)
    values.clear()
    if "spoiled once" not in FAILED:
        FAILED.append("spoiled once")
        raise ConnectionError(told)
    return told


FAILED: list[str] = []


def begin(appointment: kinds.Appointment) -> str:
    return str(appointment.at)


@pytest.fixture(params=["memory", "sqlite"])
async def scheduler(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scheduler]:
    async with open_scheduler(request.param, tmp_path) as scheduler:
        yield scheduler


@asynccontextmanager
async def open_scheduler(kind: str, folder: Path) -> AsyncIterator[Scheduler]:
    url = "memory://" if kind == "memory" else f"sqlite:///{folder}/jobs.db"
    async with create_scheduler(url) as scheduler:
        yield scheduler


async def get_told(scheduler: Scheduler, job_id: str) -> object:
    record = await scheduler.wait(job_id)
    assert record.status is JobStatus.COMPLETED, record.error
    return await scheduler.get_result(job_id)


@pytest.mark.parametrize("runner", ["thread", "process"])
async def test_every_kind_of_value_arrives_as_it_is_and_once_more(scheduler: Scheduler, runner: Any) -> None:
    job_id = await scheduler.with_options(runner=runner).add_job(tell, *VALUES, more=VALUES)
    assert await get_told(scheduler, job_id) == tell(*VALUES, more=VALUES)
    assert (await scheduler.get_record(job_id)).restart_problem is None
    assert await get_told(scheduler, await scheduler.retry(job_id)) == tell(*VALUES, more=VALUES)


async def test_what_becomes_of_the_arguments_later_reaches_no_job(scheduler: Scheduler) -> None:
    values = [kinds.Point(1)]
    told = tell(values)
    job_id = await scheduler.with_options(delay=0.05).add_job(spoil, values)
    values[0].x = 2
    assert await get_told(scheduler, job_id) == told
    assert await get_told(scheduler, await scheduler.retry(job_id)) == told


async def test_a_second_attempt_gets_what_the_first_one_got(scheduler: Scheduler) -> None:
    FAILED.clear()
    values = [(1, 2)]
    retrying = scheduler.with_options(retry=Retry(attempts=2, delay=0.01))
    assert await get_told(scheduler, await retrying.add_job(spoil_and_fail, values)) == tell([(1, 2)])


async def test_the_jobs_of_a_schedule_get_what_it_was_given(scheduler: Scheduler) -> None:
    values = [kinds.Point((1, 2))]
    told = tell(values)
    await scheduler.schedules.add("it", Every(1), spoil, values)
    values.clear()
    results: list[object] = []
    while len(results) < 2:
        records = [each for each in await scheduler.get_all_records() if each.status.is_terminal]
        results = [await scheduler.get_result(each.id) for each in records]
        await asyncio.sleep(0.01)  # a tick of its own clock
    assert set(results) == {told}


async def test_what_was_valid_when_it_was_made_is_not_asked_again(scheduler: Scheduler, tmp_path: Path) -> None:
    at = datetime(2026, 1, 31, 12, tzinfo=UTC)
    appointment = kinds.Appointment.model_construct(at=at, file=tmp_path / "gone by now")
    assert await get_told(scheduler, await scheduler.add_job(begin, appointment)) == str(at)


async def test_what_only_this_process_can_run_says_why(scheduler: Scheduler) -> None:
    calls: list[tuple[Any, tuple[Any, ...], str]] = [
        (lambda: None, (), "the target is a lambda, which no other process can import."),
        (tell, (1, {"a": kinds.Plain(Path())}), "argument 'values.1.a': a Plain cannot be kept in a file"),
    ]
    for target, args, problem in calls:
        job_id = await scheduler.add_job(target, *args)
        for record in (await scheduler.get_record(job_id), await scheduler.wait(job_id)):
            assert record.restart_problem is not None
            assert record.restart_problem.startswith(problem.removesuffix("."))
        with pytest.raises(RetryUnavailable, match=problem.removesuffix(".")):
            await scheduler.retry(job_id)


async def test_of_what_a_restart_would_lose_a_warning_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_scheduler("sqlite", tmp_path) as scheduler:
        with caplog.at_level(logging.WARNING, "servicekit.stores"):
            for number in range(3):
                await scheduler.wait(await scheduler.add_job(lambda _: None, number))
    (message,) = caplog.messages
    assert message.startswith("<lambda>: its jobs are lost if this process ends before they do")


async def test_what_another_process_has_to_run_is_refused_with_the_reason(tmp_path: Path) -> None:
    async with create_scheduler(f"sqlite:///{tmp_path}/jobs.db", run_jobs=False) as scheduler:
        with pytest.raises(InvalidTarget, match="the target is a lambda"):
            await scheduler.add_job(lambda: None)
        with pytest.raises(InvalidArguments, match="argument 'more' of tell: it has to be read by another process"):
            await scheduler.add_job(tell, more=kinds.Plain(Path()))
        job_id = await scheduler.add_job(tell, float("nan"), float("inf"), kinds.Order(itemId=7))
        assert (await scheduler.get_record(job_id)).restart_problem is None


async def test_what_a_process_of_its_own_cannot_be_sent_is_refused_at_once(scheduler: Scheduler) -> None:
    with pytest.raises(
        InvalidArguments, match=r"argument 'values\.1' of tell: it cannot be sent to a process of its own"
    ):
        await scheduler.with_options(runner="process").add_job(tell, 1, lambda: None)
    assert await scheduler.get_all_records() == []


async def test_what_belongs_to_somebody_else_is_refused_with_what_to_pass_instead(scheduler: Scheduler) -> None:
    from fastapi import Request, UploadFile

    with tempfile.TemporaryFile() as file, tempfile.NamedTemporaryFile() as named:
        for value, told in [
            (UploadFile(file), "this UploadFile: it is closed when the request has been answered. Read it before"),
            ([{"a": UploadFile(file)}], "this UploadFile"),
            (kinds.Point(UploadFile(file)), "this UploadFile"),
            (Request({"type": "http"}), "this Request: it ends with the request"),
            (session(), "this AppSession: it is closed with the request, and no two threads may use it"),
            (file, "open file"),
            (named, "open file"),
            (Lock(), "this lock: it works in this process alone"),
            ((number for number in (1, 2)), "this generator: it can be read only once"),
        ]:
            with pytest.raises(InvalidArguments, match=rf"argument 'values\.1[.\w]*' of tell: .*{told}"):
                await scheduler.add_job(tell, 1, value)
    assert await scheduler.get_all_records() == []


def session() -> object:
    """One of SQLAlchemy's, as far as its name goes."""
    base: Any = type("Session", (), {"__module__": "sqlalchemy.orm.session"})
    return type("AppSession", (base,), {})()


@settings(max_examples=3, suppress_health_check=list(HealthCheck))
@given(values=st.lists(DRAWN, min_size=10, max_size=20))
def test_whatever_is_nested_arrives_as_it_is_everywhere(values: list[Any]) -> None:
    async def check(kind: str, folder: Path) -> None:
        async with open_scheduler(kind, folder) as scheduler:
            for runner in ("thread", "process"):
                options: Any = {"runner": runner}
                job_id = await scheduler.with_options(**options).add_job(tell, *values)
                assert await get_told(scheduler, job_id) == tell(*values)
                assert (await scheduler.get_record(job_id)).restart_problem is None
                assert await get_told(scheduler, await scheduler.retry(job_id)) == tell(*values)

    for kind in ("memory", "sqlite"):
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(check(kind, Path(folder)))
