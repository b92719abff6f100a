"""What can be run as a job, and what whatever it does makes of the record."""

import asyncio
import functools
import gc
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any, Literal
from unittest.mock import Mock

import pytest
from ulid import ULID

from servicekit import (
    ConfigurationError,
    Every,
    InMemoryScheduler,
    InvalidArguments,
    InvalidTarget,
    JobFailed,
    JobStatus,
    ResultDropped,
    Retention,
    Scheduler,
    create_scheduler,
    current_job,
)
from tests.fakes import Gate, noop


async def add(left: int, right: int = 0) -> int:
    return left + right


def add_in_thread(left: int, right: int = 0) -> tuple[int, str]:
    return left + right, threading.current_thread().name


def add_by_coroutine(left: int, right: int = 0) -> Coroutine[Any, Any, int]:
    return add(left, right)


class Adder:
    async def __call__(self, left: int, right: int = 0) -> int:
        return left + right

    async def method(self, left: int, right: int = 0) -> int:
        return left + right


class PlainAdder:
    def __call__(self, left: int, right: int = 0) -> int:
        assert threading.current_thread() is not threading.main_thread()
        return left + right


@pytest.mark.parametrize(
    "target",
    [
        add,
        add_by_coroutine,
        functools.partial(add),
        functools.partial(functools.partial(add)),
        functools.partial(add_by_coroutine),
        Adder(),
        functools.partial(Adder()),
        Adder().method,
        PlainAdder(),
        lambda left, right: add(left, right),
    ],
    ids=[
        "coroutine function",
        "function that returns a coroutine",
        "partial",
        "partial of a partial",
        "partial of a function that returns a coroutine",
        "async object",
        "partial of an async object",
        "async method",
        "plain object",
        "lambda",
    ],
)
async def test_every_kind_of_callable_really_runs(scheduler: Scheduler, target: Callable[..., Any]) -> None:
    job_id = await scheduler.add_job(target, 2, right=3)
    assert (await scheduler.wait(job_id)).error is None
    assert await scheduler.get_result(job_id) == 5


async def test_a_coroutine_object_runs(scheduler: Scheduler) -> None:
    job_id = await scheduler.add_job(add(2, right=3))
    await scheduler.wait(job_id)
    assert await scheduler.get_result(job_id) == 5


async def test_a_plain_function_runs_in_a_thread(scheduler: Scheduler) -> None:
    job_id = await scheduler.add_job(add_in_thread, 2, right=3)
    await scheduler.wait(job_id)
    assert list(await scheduler.get_result(job_id)) == [5, "servicekit-job"]


async def test_a_builtin_and_a_class_run(scheduler: Scheduler) -> None:
    ids = [await scheduler.add_job(target, "7") for target in (len, int)]
    for job_id in ids:
        await scheduler.wait(job_id)
    assert [await scheduler.get_result(job_id) for job_id in ids] == [1, 7]


async def test_options_of_the_scheduler_are_not_taken_from_the_targets_arguments(scheduler: Scheduler) -> None:
    def target(**kwargs: object) -> dict[str, object]:
        return kwargs

    arguments = {"self": 1, "target": 2, "name": 3, "timeout": 4}
    job_id = await scheduler.add_job(target, **arguments)
    await scheduler.wait(job_id)
    assert await scheduler.get_result(job_id) == arguments


def generate() -> Iterator[int]:
    yield 1


async def generate_async() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (None, "not callable"),
        ("servicekit", "not callable"),
        (generate, "generator function"),
        (generate_async, "generator function"),
        (functools.partial(generate), "generator function"),
    ],
)
async def test_what_could_never_run_is_refused(scheduler: Scheduler, target: Any, reason: str) -> None:
    with pytest.raises(InvalidTarget, match=reason):
        await scheduler.add_job(target)
    with pytest.raises(TypeError):
        await scheduler.add_job(target)
    assert await scheduler.get_all_records() == []


async def test_a_coroutine_object_takes_no_arguments(scheduler: Scheduler) -> None:
    coroutine = add(1)
    with pytest.raises(InvalidTarget, match="has its arguments already"):
        await scheduler.add_job(coroutine, 2)  # type: ignore[call-overload]
    coroutine.close()


async def test_wrong_arguments_are_refused_and_named(scheduler: Scheduler) -> None:
    with pytest.raises(InvalidArguments, match="add"):
        await scheduler.add_job(add, 1, 2, 3)  # type: ignore[call-overload]
    assert await scheduler.get_all_records() == []


async def test_a_used_up_coroutine_object_is_refused(scheduler: Scheduler) -> None:
    coroutine = add(1)
    await coroutine
    with pytest.raises(InvalidTarget, match="has begun already"):
        await scheduler.add_job(coroutine)


async def test_one_coroutine_object_runs_in_one_job_only(single: Scheduler, gate: Gate) -> None:
    coroutine, before = gate.enter("once"), Gate()
    await single.add_job(before.enter)
    first, second, third = [await single.add_job(coroutine) for _ in range(3)]
    before.open()
    await gate.wait_entered(1)
    assert await single.cancel(third)
    gate.open()
    assert (await single.wait(first)).status is JobStatus.COMPLETED
    assert (await single.wait(second)).error == "RuntimeError: cannot reuse already awaited coroutine"


class BareError(BaseException):
    pass


def raise_error(error: BaseException) -> None:
    raise error


async def raise_error_later(error: BaseException) -> None:
    await asyncio.sleep(0)
    raise error


async def exit_process() -> None:
    sys.exit(3)


@pytest.mark.parametrize("target", [raise_error, raise_error_later])
@pytest.mark.parametrize(
    "error",
    [
        ValueError("Invalid input"),
        SystemExit(3),
        KeyboardInterrupt(),
        BareError("bare"),
        GeneratorExit(),
        StopIteration(1),
        StopAsyncIteration(),
        asyncio.CancelledError(),
        TimeoutError(),
        BaseExceptionGroup("group", [SystemExit(1), ValueError()]),
    ],
    ids=repr,
)
async def test_whatever_a_target_raises_fails_its_own_job_only(
    single: Scheduler, target: Callable[..., Any], error: BaseException
) -> None:
    record = await single.wait(await single.add_job(target, error))
    assert record.status is JobStatus.FAILED
    assert record.error is not None
    assert type(error).__name__ in record.error
    assert (await single.wait(await single.add_job(add, 1))).status is JobStatus.COMPLETED  # the slot is free


async def test_sys_exit_ends_the_job_and_not_the_service(single: Scheduler) -> None:
    assert (await single.wait(await single.add_job(exit_process))).error == "SystemExit: 3"
    assert (await single.wait(await single.add_job(add, 1))).status is JobStatus.COMPLETED


async def test_a_traceback_begins_with_the_targets_own_code(scheduler: Scheduler) -> None:
    for target in (raise_error, raise_error_later):
        record = await scheduler.wait(await scheduler.add_job(target, ValueError("Invalid input")))
        assert record.error_traceback is not None
        first_frame = record.error_traceback.splitlines()[1]
        assert first_frame.endswith(f"in {target.__name__}")


async def test_timeouts_and_task_groups_work_inside_a_target(scheduler: Scheduler) -> None:
    async def target() -> str:
        try:
            async with asyncio.timeout(0.01), asyncio.TaskGroup() as tasks:
                tasks.create_task(asyncio.Event().wait())
        except TimeoutError:
            return "timed out"
        return "did not"

    job_id = await scheduler.add_job(target)
    assert (await scheduler.wait(job_id)).status is JobStatus.COMPLETED
    assert await scheduler.get_result(job_id) == "timed out"


def give(value: object) -> object:
    return value


async def test_results_in_memory_are_given_back_as_they_are() -> None:
    scheduler = InMemoryScheduler()
    itself: list[object] = []
    itself.append(itself)
    for result in (itself, object(), {1: {2}}, lambda: None, float("nan")):
        job_id = await scheduler.add_job(partial(give, result))
        assert (await scheduler.wait(job_id)).status is JobStatus.COMPLETED
        assert await scheduler.get_result(job_id) is result
    await scheduler.close()


async def test_a_result_that_is_a_ulid_links_the_artifact(scheduler: Scheduler) -> None:
    ulid = ULID()
    for result in (ulid, str(ulid)):
        record = await scheduler.wait(await scheduler.add_job(partial(give, result)))
        assert record.artifact_id == str(ulid)


async def test_a_job_is_named_after_its_target(scheduler: Scheduler) -> None:
    names = [
        (await scheduler.get_record(await scheduler.add_job(target, 1))).name
        for target in (add, functools.partial(add), Adder().method, Adder())
    ]
    assert names == ["add", "add", "method", "Adder"]
    assert (await scheduler.get_record(await scheduler.add_job(add(1)))).name == "add"


async def test_jobs_do_not_share_context_variables(scheduler: Scheduler) -> None:
    variable = ContextVar("variable", default="clean")

    async def target() -> str:
        found = variable.get()
        variable.set("dirty")
        return found

    variable.set("the submitter's")
    ids = [await scheduler.add_job(target) for _ in range(2)]
    for job_id in ids:
        await scheduler.wait(job_id)
    assert [await scheduler.get_result(job_id) for job_id in ids] == ["clean", "clean"]


class Large:
    pass


async def use(large: Large) -> None:
    pass


def use_in_thread(large: Large) -> None:
    pass


@pytest.mark.parametrize("target", [use, use_in_thread])
async def test_what_finished_jobs_were_called_with_is_let_go_of_when_it_is_too_much(
    url: str, target: Callable[[Large], object]
) -> None:
    scheduler = create_scheduler(url, retention=Retention(max_result_bytes=1))
    large = Large()
    reference = weakref.ref(large)
    await scheduler.wait(await scheduler.add_job(target, large))
    del large
    await scheduler.wait(await scheduler.add_job(target, Large()))
    while reference() is not None:  # until the test's timeout, if something holds it
        gc.collect()
        await asyncio.sleep(0)
    await scheduler.close()


async def test_the_current_job_is_known_inside_and_only_inside(scheduler: Scheduler) -> None:
    def in_thread() -> tuple[str, int]:
        return current_job().id, current_job().attempt

    async def in_coroutine() -> tuple[str, int]:
        return in_thread()

    async def in_thread_of_a_coroutine() -> tuple[str, int]:
        return await asyncio.to_thread(in_thread)

    for target in (in_thread, in_coroutine, in_thread_of_a_coroutine):
        job_id = await scheduler.add_job(target)
        await scheduler.wait(job_id)
        assert list(await scheduler.get_result(job_id)) == [job_id, 1]
    with pytest.raises(RuntimeError, match="inside a target"):
        current_job()


class OddText(str):
    def __format__(self, spec: str) -> str:
        raise SystemExit("format")

    def __len__(self) -> int:
        raise SystemExit("len")


class OddMeta(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise SystemExit("name")


class OddError(Exception, metaclass=OddMeta):
    def __str__(self) -> str:
        return OddText("odd")


class OddResult(dict[str, int]):
    def __sizeof__(self) -> int:
        raise SystemExit("sizeof")

    @property
    def __class__(self) -> type:
        raise SystemExit("class")

    @__class__.setter
    def __class__(self, value: type) -> None:
        pass


class OddMessage:
    def __str__(self) -> str:
        raise ValueError("no text")


async def raise_odd_error() -> None:
    raise OddError


async def return_odd_result() -> OddResult:
    return OddResult()


async def report_odd_progress() -> None:
    current_job().progress(1, 2, OddMessage())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (raise_odd_error, JobStatus.FAILED),
        (return_odd_result, JobStatus.COMPLETED),
        (lambda: OddResult(), JobStatus.COMPLETED),
        (lambda: Mock(spec=str), JobStatus.COMPLETED),
        (report_odd_progress, JobStatus.FAILED),
    ],
    ids=["error", "result", "result of a thread", "mock", "progress"],
)
async def test_odd_values_of_a_target_cannot_keep_its_record_from_being_written(
    single: Scheduler, target: Callable[[], object], status: JobStatus
) -> None:
    assert (await single.wait(await single.add_job(target), timeout=60)).status is status
    assert (await single.wait(await single.add_job(add, 1))).status is JobStatus.COMPLETED


async def test_an_odd_name_is_cleaned_and_bounded(scheduler: Scheduler) -> None:
    async def target() -> None:
        pass

    target.__name__ = "\ud800" + "x" * 10_000
    record = await scheduler.get_record(await scheduler.add_job(target))
    assert record.name.startswith("\\ud800x")
    assert len(record.name.encode()) < 500


async def test_a_failed_job_has_no_result(scheduler: Scheduler) -> None:
    job_id = await scheduler.add_job(raise_error, ValueError("Invalid input"))
    await scheduler.wait(job_id)
    with pytest.raises(JobFailed, match=r"status=failed.*ValueError: Invalid input"):
        await scheduler.get_result(job_id)


async def test_a_number_that_python_would_not_read_again_is_dropped_from_a_file(tmp_path: Path) -> None:
    async with create_scheduler(f"sqlite:///{tmp_path}/jobs.db") as scheduler:
        job_id = await scheduler.add_job(pow, 10, 5_000)
        assert (await scheduler.wait(job_id)).status is JobStatus.COMPLETED
        with pytest.raises(ResultDropped):
            await scheduler.get_result(job_id)


@pytest.mark.parametrize("target", [noop, print])
async def test_a_limit_of_memory_that_nobody_would_watch_is_refused(target: Callable[..., object]) -> None:
    async with InMemoryScheduler() as scheduler:
        with pytest.raises(InvalidTarget, match="Use runner='process'"):
            await scheduler.with_options(max_memory_bytes=2**30).add_job(target)


@pytest.mark.parametrize("runner", [None, "process"])
async def test_resources_that_nobody_would_keep_are_refused(runner: Literal["process"] | None) -> None:
    async with InMemoryScheduler() as scheduler:
        with pytest.raises(InvalidTarget, match="Use runner='ray'"):
            await scheduler.with_options(runner=runner, resources={"gpus": 1}).add_job(print)


async def test_a_job_for_a_cluster_is_refused_where_there_is_none(url: str) -> None:
    async with create_scheduler(url) as scheduler:
        with pytest.raises(ConfigurationError, match=r"cluster=.*run_jobs=False"):
            await scheduler.with_options(runner="ray").add_job(print)
        with pytest.raises(ConfigurationError, match="needs a cluster"):
            await scheduler.schedules.with_options(runner="ray").add("nightly", Every(3_600), print)


async def test_a_process_that_runs_no_jobs_accepts_those_for_a_cluster(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    async with create_scheduler(url, run_jobs=False) as accepting, create_scheduler(url) as without_cluster:
        job_id = await accepting.with_options(runner="ray", resources={"gpus": 1}).add_job(print)
        later = await accepting.add_job(print)
        assert (await without_cluster.wait(later)).status is JobStatus.COMPLETED  # it had its turn after the other
        assert await without_cluster.get_status(job_id) is JobStatus.PENDING
