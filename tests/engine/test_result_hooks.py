"""Hooks that see how an attempt has ended before that is written, with every store and every runner."""

import asyncio
import sqlite3
import sys
import threading
from collections.abc import Callable
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest

from servicekit import (
    Command,
    ConfigurationError,
    EndedAttempt,
    EndedBy,
    JobOptions,
    JobStatus,
    ResultHook,
    Retry,
    Scheduler,
    create_scheduler,
    current_job,
)
from servicekit.api import Service, ServiceBuilder, ServiceInfo
from servicekit.testing import TestScheduler, running
from tests.fakes import noop

ULID = "01JQRS7XK5N8Z3VQ2M4T6W8Y0A"
OTHER_ULID = "01JQRS7XK5N8Z3VQ2M4T6W8Y0B"


class Recorder(ResultHook):
    """Notes what it sees. Results become what `replace` makes of them; of failures it keeps `kept`."""

    def __init__(self, replace: Callable[[Any], Any] = lambda result: result, kept: str | None = None) -> None:
        self.replace = replace
        self.kept = kept
        self.results: list[tuple[EndedAttempt, Any]] = []
        self.failures: list[EndedAttempt] = []

    async def keep_result(self, attempt: EndedAttempt, result: Any) -> Any:
        self.results.append((attempt, result))
        await asyncio.sleep(0)
        return self.replace(result)

    async def keep_failure(self, attempt: EndedAttempt) -> str | None:
        self.failures.append(attempt)
        return self.kept


async def give(number: int) -> dict[str, int]:
    return {"number": number}


def give_plainly(number: int) -> dict[str, int]:
    return {"number": number}


def fail() -> None:
    raise ValueError("Invalid input")


def raise_os_error(result: object) -> object:
    raise OSError("No space left on device")


def hooked(url: str, *hooks: ResultHook, **more: Any) -> Scheduler:
    return create_scheduler(url, result_hooks=hooks, shutdown_grace=0, **more)


@pytest.mark.parametrize("runner", ["coroutine", "thread", "process"])
async def test_a_hook_sees_what_a_target_returned_and_replaces_it(url: str, runner: str) -> None:
    hook = Recorder(lambda result: {**result, "is_kept": True})
    async with hooked(url, hook) as scheduler:
        target = give if runner == "coroutine" else give_plainly
        kind: Any = None if runner == "coroutine" else runner
        job_id = await scheduler.with_options(runner=kind, tags=["x"], name="giver").add_job(target, 3)
        record = await scheduler.wait(job_id)
        assert (record.status, await scheduler.get_result(job_id)) == (
            JobStatus.COMPLETED,
            {"number": 3, "is_kept": True},
        )
        ((attempt, result),) = hook.results
        assert result == {"number": 3}
        assert (attempt.job_id, attempt.attempt, attempt.name, attempt.tags) == (job_id, 1, "giver", ("x",))
        assert (attempt.status, attempt.error, attempt.parent) == (JobStatus.COMPLETED, None, None)


async def test_the_output_of_a_command_is_a_result_too(url: str) -> None:
    hook = Recorder(lambda result: result["output"].upper())
    async with hooked(url, hook) as scheduler:
        job_id = await scheduler.add_job(Command([sys.executable, "-c", "print('loaf')"]))
        await scheduler.wait(job_id)
        assert (await scheduler.get_result(job_id)).strip() == "LOAF"


async def test_an_id_instead_of_the_result_is_the_artifact_of_the_record(url: str) -> None:
    async with hooked(url, Recorder(lambda _: ULID)) as scheduler:
        job_id = await scheduler.add_job(give, 3)
        assert (await scheduler.wait(job_id)).artifact_id == ULID
        assert await scheduler.get_result(job_id) == ULID


async def test_each_hook_sees_what_the_one_before_has_made(url: str) -> None:
    first, second = Recorder(lambda result: result["number"]), Recorder(lambda number: number + 1)
    async with hooked(url, first, second) as scheduler:
        job_id = await scheduler.add_job(give, 3)
        await scheduler.wait(job_id)
        assert (second.results[0][1], await scheduler.get_result(job_id)) == (3, 4)


async def test_a_result_that_a_hook_leaves_alone_is_kept_as_it_was(url: str) -> None:
    async with hooked(url, Recorder()) as scheduler:
        job_id = await scheduler.with_options(runner="process").add_job(give_plainly, 2**60)
        await scheduler.wait(job_id)
        assert await scheduler.get_result(job_id) == {"number": 2**60}


@pytest.mark.parametrize("runner", ["thread", "process"])
async def test_what_is_kept_of_a_failed_job_is_the_artifact_of_its_record(url: str, runner: Any) -> None:
    hooks = Recorder(), Recorder(kept=ULID), Recorder(kept=OTHER_ULID)
    async with hooked(url, *hooks) as scheduler:
        record = await scheduler.wait(await scheduler.with_options(runner=runner).add_job(fail))
        assert (record.status, record.error, record.artifact_id) == (
            JobStatus.FAILED,
            "ValueError: Invalid input",
            ULID,
        )
        for hook in hooks:
            ((status, error),) = [(each.status, each.error) for each in hook.failures]
            assert (status, error) == (JobStatus.FAILED, "ValueError: Invalid input")
            assert hook.results == []


async def test_something_may_be_kept_of_a_canceled_job(url: str) -> None:
    hook = Recorder(kept=ULID)
    async with hooked(url, hook) as scheduler:
        job_id = await scheduler.add_job(asyncio.sleep, 3_600)
        async for record in scheduler.stream(job_id):
            if record.status is JobStatus.RUNNING:
                await scheduler.cancel(job_id)
        record = await scheduler.get_record(job_id)
        assert (record.status, record.artifact_id) == (JobStatus.CANCELED, ULID)
        assert [attempt.status for attempt in hook.failures] == [JobStatus.CANCELED]


async def test_what_a_time_limit_has_ended_is_told_as_such(url: str) -> None:
    hook = Recorder(kept=ULID)
    async with TestScheduler(url=url, result_hooks=[hook]) as scheduler:
        await scheduler.with_options(run_timeout=60).add_job(scheduler.clock.sleep, 3_600)
        (record,) = await scheduler.drain()
        assert (record.status, record.ended_by, record.artifact_id) == (JobStatus.FAILED, EndedBy.TIME_LIMIT, ULID)
        ((attempt),) = hook.failures
        assert attempt.error == record.error
        assert str(attempt.error).startswith("RunTimeout")


async def test_a_hook_that_fails_makes_the_attempt_fail_and_says_so(url: str) -> None:
    hook = Recorder(raise_os_error, kept=ULID)
    async with hooked(url, hook) as scheduler:
        record = await scheduler.wait(await scheduler.add_job(give, 3))
        assert record.status is JobStatus.FAILED
        assert record.error == (
            "ResultNotKept: The target has returned, but its result could not be kept by Recorder: "
            "OSError: No space left on device"
        )
        assert record.error_traceback is not None
        assert "raise_os_error" in record.error_traceback
        assert (record.artifact_id, hook.failures) == (None, [])


@pytest.mark.parametrize("retry_on", [OSError, RuntimeError])
async def test_an_attempt_whose_result_could_not_be_kept_is_retried(url: str, retry_on: type[Exception]) -> None:
    class Full(ResultHook):
        async def keep_result(self, attempt: EndedAttempt, result: Any) -> Any:
            if attempt.attempt < 3:
                raise OSError("No space left on device")
            return attempt.attempt

    async with TestScheduler(url=url, result_hooks=[Full()]) as scheduler:
        retry = Retry(attempts=3, only=[retry_on])
        job_id = await scheduler.with_options(retry=retry).add_job(give, 3)
        (record,) = await scheduler.drain()
        assert (record.status, record.attempt, await scheduler.get_result(job_id)) == (JobStatus.COMPLETED, 3, 3)
        assert "ResultNotKept" in str(record.attempts[0].error)


async def test_a_failure_of_which_nothing_could_be_kept_stays_what_it_is(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Full(ResultHook):
        async def keep_failure(self, attempt: EndedAttempt) -> str | None:
            raise OSError("No space left on device")

    async with hooked(url, Full(), Recorder(kept=ULID)) as scheduler:
        record = await scheduler.wait(await scheduler.add_job(fail))
        assert (record.error, record.artifact_id) == ("ValueError: Invalid input", ULID)
        assert f"could keep nothing of job {record.id}" in caplog.text


@pytest.mark.parametrize("error", [asyncio.CancelledError, asyncio.TimeoutError])
async def test_whatever_a_hook_raises_its_slot_is_free_again(url: str, error: type[BaseException]) -> None:
    class Odd(ResultHook):
        async def keep_result(self, attempt: EndedAttempt, result: Any) -> Any:
            raise error

        async def keep_failure(self, attempt: EndedAttempt) -> str | None:
            raise error

    async with hooked(url, Odd(), max_concurrency=1) as scheduler:
        for target in (noop, fail):
            record = await scheduler.wait(await scheduler.add_job(target), timeout=60)
            assert record.status is JobStatus.FAILED


async def test_a_hook_is_the_job_that_it_works_for(url: str) -> None:
    class Saying(ResultHook):
        async def keep_result(self, attempt: EndedAttempt, result: Any) -> Any:
            current_job().log("it is kept")
            return current_job().id

    async with hooked(url, Saying()) as scheduler:
        for kind in ("thread", "process"):
            job_id = await scheduler.with_options(runner=JobOptions(runner=kind).runner).add_job(give_plainly, 3)  # type: ignore[arg-type] # a text is taken
            await scheduler.wait(job_id)
            assert "it is kept" in [line.text for line in (await scheduler.get_log(job_id)).lines]
            assert await scheduler.get_result(job_id) == job_id


async def test_a_hook_is_asked_once_however_often_the_store_does_not_take_the_end(tmp_path: Path) -> None:
    hook = Recorder(lambda _: ULID)
    path = tmp_path / "jobs.db"
    async with hooked(f"sqlite:///{path}", hook) as scheduler:
        begun, goes_on = threading.Event(), threading.Event()

        def wait() -> str:
            begun.set()
            goes_on.wait(60)
            return "done"

        job_id = await scheduler.add_job(wait)
        await asyncio.to_thread(begun.wait, 60)
        refuse = "CREATE TRIGGER full BEFORE UPDATE ON jobs BEGIN SELECT raise(ABORT, 'no'); END"
        with closing(sqlite3.connect(path)) as other:
            other.execute(refuse)
            goes_on.set()
            while not hook.results:
                await asyncio.sleep(0.01)
            with pytest.raises(TimeoutError):
                await scheduler.wait(job_id, timeout=0.5)
            other.execute("DROP TRIGGER full")
        assert (await scheduler.wait(job_id, timeout=60)).artifact_id == ULID
        assert len(hook.results) == 1


def test_a_thread_that_ends_after_its_event_loop_is_shown_to_the_hooks_of_the_next(url: str) -> None:
    hook = Recorder(lambda _: ULID)
    begun, goes_on = threading.Event(), threading.Event()

    def wait() -> str:
        begun.set()
        goes_on.wait(60)
        return "done"

    scheduler = hooked(url, hook)

    async def begin() -> str:
        job_id = await scheduler.add_job(wait)
        await asyncio.to_thread(begun.wait, 60)
        return job_id

    async def look(job_id: str) -> bool:
        with suppress(TimeoutError):
            await scheduler.wait(job_id, timeout=0.1)
        return (await scheduler.get_status(job_id)).is_terminal

    job_id = asyncio.run(begin())
    goes_on.set()
    while not asyncio.run(look(job_id)):
        pass  # each time the engine starts anew, and looks at what was cut off
    record = asyncio.run(scheduler.get_record(job_id))
    assert (record.status, record.artifact_id) == (JobStatus.COMPLETED, ULID)
    asyncio.run(scheduler.close())
    assert [result for _, result in hook.results] == ["done"]


def test_what_is_no_hook_is_refused() -> None:
    for hooks in (3, [print], [Recorder], {Recorder()}):
        with pytest.raises(ConfigurationError, match="derived from ResultHook"):
            create_scheduler("memory://", result_hooks=hooks)  # type: ignore[arg-type] # that is what is wrong with it
        with pytest.raises(ConfigurationError, match="derived from ResultHook"):
            ServiceBuilder(info=ServiceInfo(display_name="x")).with_jobs(result_hooks=hooks).build()  # type: ignore[arg-type] # the same


async def test_the_hooks_of_features_and_those_of_the_jobs_are_all_asked_in_any_order() -> None:
    first, own, last = Recorder(), Recorder(), Recorder()

    class Keeping:
        def __init__(self, hook: ResultHook) -> None:
            self.hook = hook

        def install(self, app: Any) -> None:
            Service.of(app).add_result_hook(self.hook)

        def lifespan(self, app: Any) -> Any:
            return nullcontext()

    builder = ServiceBuilder(info=ServiceInfo(display_name="x")).with_feature(Keeping(first))
    app = builder.with_jobs(url="memory://", result_hooks=[own]).with_feature(Keeping(last)).build()
    async with running(app) as jobs:
        await jobs.add_job(give, 3)
        await jobs.drain()
    assert [len(hook.results) for hook in (first, own, last)] == [1, 1, 1]
