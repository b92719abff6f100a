"""Hooks that see how an attempt has ended before that is written, with every store and every runner."""

import asyncio
import os
import sqlite3
import sys
import threading
import warnings
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
from servicekit.engine import result_hooks, running_attempts
from servicekit.engine.attempt import Attempt
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


class Unspeakable(BaseException):
    def __str__(self) -> str:
        raise SystemExit("it has no text")


@pytest.mark.parametrize(
    "error",
    [
        asyncio.CancelledError(),
        TimeoutError(),
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        Unspeakable(),
        BaseExceptionGroup("two", [SystemExit(1), ValueError("no")]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_a_hook_raises_its_slot_is_free_again(url: str, error: BaseException) -> None:
    class Odd(ResultHook):
        async def keep_result(self, attempt: EndedAttempt, result: Any) -> Any:
            raise error

        async def keep_failure(self, attempt: EndedAttempt) -> str | None:
            raise error

    async with hooked(url, Odd(), max_concurrency=1) as scheduler:
        for target, name in ((noop, "ResultNotKept"), (fail, "ValueError")):
            record = await scheduler.wait(await scheduler.add_job(target), timeout=60)
            assert (record.status, str(record.error).partition(":")[0]) == (JobStatus.FAILED, name)


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
    assert {result for _, result in hook.results} == {"done"}  # again if its event loop ended before it was written


async def test_a_child_that_a_hook_forks_ends_when_it_leaves_the_hook(url: str) -> None:
    class Forking(ResultHook):
        async def keep_result(self, attempt: EndedAttempt, result: Any) -> Any:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # this process has threads
                pid = os.fork()
            if pid == 0:
                sys.exit(3)
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])  # noqa: ASYNC222 # the child ends at once

    async with hooked(url, Forking()) as scheduler:
        job_id = await scheduler.add_job(noop)
        await scheduler.wait(job_id)
        assert await scheduler.get_result(job_id) == 3


class Hanging(ResultHook):
    """Answers when it is told to, and counts how often it is asked."""

    def __init__(self, max_seconds: float | None = None, kept: str | None = None) -> None:
        self.max_seconds = max_seconds
        self.kept = kept
        self.calls = 0
        self.goes_on = False

    async def keep_result(self, attempt: EndedAttempt, result: Any) -> Any:
        self.calls += 1
        while not self.goes_on:
            await asyncio.sleep(0.01)
        return result

    async def keep_failure(self, attempt: EndedAttempt) -> str | None:
        await self.keep_result(attempt, None)
        return self.kept


async def begin_showing(scheduler: Scheduler, hook: Hanging) -> str:
    """A job whose hook is asked and does not answer."""
    calls = hook.calls
    job_id = await scheduler.with_options(name="shown").add_job(noop)
    while hook.calls == calls:
        await asyncio.sleep(0.01)
    return job_id


def test_other_jobs_begin_while_a_hook_is_asked_again_after_its_event_loop_has_ended(url: str) -> None:
    hook = Hanging()
    scheduler = hooked(url, hook)
    shown = asyncio.run(begin_showing(scheduler, hook))

    async def go_on() -> None:
        job_id = await scheduler.add_job(noop)
        async for record in scheduler.stream(job_id):
            if record.status is JobStatus.RUNNING:
                hook.goes_on = True
        assert (await scheduler.wait(shown)).status is JobStatus.COMPLETED
        assert (await scheduler.get_record(job_id)).parent is None  # what the hook works for is nobody else's job
        await scheduler.close()

    asyncio.run(asyncio.wait_for(go_on(), 60))
    assert hook.calls == 3  # twice for the first job, once for the second


def test_a_stop_does_not_wait_for_a_hook_and_does_not_ask_it_again(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(running_attempts, "_CANCEL_SECONDS", 0.01)
    hook = Hanging()
    scheduler = hooked(url, hook)
    asyncio.run(begin_showing(scheduler, hook))

    async def stop() -> None:
        await begin_showing(scheduler, hook)
        while hook.calls < 3:  # the first one's is asked again on this event loop
            await asyncio.sleep(0.01)
        for task in asyncio.all_tasks():
            if task.get_coro().__qualname__ == "Attempt._run":  # type: ignore[union-attr] # a coroutine has one
                task.cancel()  # somebody else's doing
        await asyncio.wait_for(scheduler.close(), 60)

    asyncio.run(stop())
    assert hook.calls <= 5  # those two once more, within the grace time
    assert caplog.text.count("its process stops before that could be written") == 2


@pytest.mark.parametrize("is_in_file", [False, True])
async def test_what_is_kept_of_a_canceled_job_counts_though_the_service_stops_meanwhile(
    tmp_path: Path, is_in_file: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_attempts, "_CANCEL_SECONDS", 60)
    url = f"sqlite:///{tmp_path}/jobs.db" if is_in_file else "memory://"
    hook = Hanging(kept=ULID)
    stop = Attempt.stop

    def stop_and_tell(attempt: Attempt) -> None:
        stop(attempt)
        hook.goes_on = True

    monkeypatch.setattr(Attempt, "stop", stop_and_tell)
    async with hooked(url, hook) as scheduler:
        job_id = await scheduler.add_job(asyncio.sleep, 3_600)
        async for record in scheduler.stream(job_id):
            if record.status is JobStatus.RUNNING:
                break
        canceling = asyncio.create_task(scheduler.cancel(job_id))
        while not hook.calls:
            await asyncio.sleep(0.01)
    with suppress(Exception):  # the store is closed
        await canceling
    async with create_scheduler(url, run_jobs=False) if is_in_file else nullcontext(scheduler) as after:
        record = await after.get_record(job_id)
    assert (record.status, record.ended_by, record.artifact_id) == (JobStatus.CANCELED, EndedBy.CANCEL, ULID)


async def test_a_hook_that_does_not_answer_is_told_of(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(result_hooks, "_SLOW_SECONDS", 0.0)
    hook = Hanging()
    async with hooked(url, hook) as scheduler:
        job_id = await begin_showing(scheduler, hook)
        while (notice := scheduler.find_notice()) is None:
            await asyncio.sleep(0.01)
        assert notice == "The end of a job cannot be written yet: the hook Hanging has not answered."
        assert await scheduler.find_problem() is None  # other jobs run
        hook.goes_on = True
        await scheduler.wait(job_id)
        assert scheduler.find_notice() is None
        assert caplog.text.count(f"The end of job {job_id} waits for the hook Hanging") == 1


async def test_an_attempt_fails_when_a_hook_takes_longer_than_it_may(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with TestScheduler(url=url, result_hooks=[Hanging(max_seconds=0.01)]) as scheduler:
        retry = Retry(attempts=2, only=[TimeoutError])
        kept = await scheduler.with_options(retry=retry).add_job(noop)
        failed = await scheduler.add_job(fail)
        await scheduler.drain()
        record = await scheduler.get_record(kept)
        assert (record.status, record.attempt) == (JobStatus.FAILED, 2)
        assert str(record.error).endswith("by Hanging: TimeoutError: It took longer than 0.01 seconds.")
        assert (await scheduler.get_record(failed)).error == "ValueError: Invalid input"
        assert f"Hanging could keep nothing of job {failed}" in caplog.text


async def test_a_job_that_was_deleted_while_it_ran_is_shown_too(url: str) -> None:
    hook = Recorder()
    async with hooked(url, hook) as scheduler:
        job_id = await scheduler.add_job(asyncio.sleep, 3_600)
        async for record in scheduler.stream(job_id):
            if record.status is JobStatus.RUNNING:
                break
        await scheduler.delete(job_id)
        while not hook.failures:
            await asyncio.sleep(0.01)
        assert [(attempt.job_id, attempt.status) for attempt in hook.failures] == [(job_id, JobStatus.CANCELED)]


def test_a_limit_that_makes_no_sense_is_refused() -> None:
    for seconds in (-1, "1", float("nan")):
        with pytest.raises(ConfigurationError, match="max_seconds"):
            create_scheduler("memory://", result_hooks=[Hanging(max_seconds=seconds)])  # type: ignore[arg-type] # that is what is wrong with it


def test_what_is_no_hook_is_refused() -> None:
    app = ServiceBuilder(info=ServiceInfo(display_name="x")).build()
    for hook in (3, print, Recorder):
        with pytest.raises(ConfigurationError, match="derived from ResultHook"):
            Service.of(app).add_result_hook(hook)  # type: ignore[arg-type] # that is what is wrong with it
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
