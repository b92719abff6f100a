"""Jobs that submit jobs."""

import asyncio
import os
import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from servicekit import (
    Command,
    ConfigurationError,
    IdempotencyConflict,
    InMemoryScheduler,
    InvalidArguments,
    InvalidTarget,
    JobStatus,
    QueueFull,
    Retry,
    Scheduler,
    SchedulerClosed,
    WouldBlock,
    create_scheduler,
    current_job,
    job_options,
)

EVERY_RUNNER = pytest.mark.parametrize("runner", ["coroutine", "thread", "process"])


@job_options(tags=["leaf"], queue="leaves")
def leaf(number: int, day: date | None = None) -> str:
    return f"{number} {day}"


def submit_leaf(number: int) -> str:
    return current_job().submit(leaf, number, day=date(2026, 1, 31))


async def submit_leaf_async(number: int) -> str:
    return await current_job().submit_async(leaf, number, day=date(2026, 1, 31))


async def submit_and_turn_away() -> str:
    asked = asyncio.create_task(current_job().submit_async(leaf, 1))
    await asyncio.sleep(0)  # it is on its way now
    asked.cancel()
    return await current_job().submit_async(leaf, 2)


def submit_often() -> list[str]:
    job = current_job().with_options(
        queue="many", priority=3, metadata={"a": 1}, retry=Retry(only=[ConnectionError]), tags=["b", "a"]
    )
    return [job.submit(leaf, number) for number in range(3)]


async def submit_often_async() -> list[str]:
    job = current_job().with_options(
        queue="many", priority=3, metadata={"a": 1}, retry=Retry(only=[ConnectionError]), tags=["b", "a"]
    )
    return [await job.submit_async(leaf, number) for number in range(3)]


def target_of(runner: str, plain: Callable[..., object], coroutine: Callable[..., object]) -> Callable[..., object]:
    return coroutine if runner == "coroutine" else plain


async def run(scheduler: Scheduler, runner: str, target: Callable[..., object], *args: object) -> object:
    options = scheduler.with_options(runner="process") if runner == "process" else scheduler
    job_id = await options.add_job(target, *args)
    record = await scheduler.wait(job_id)
    assert record.status is JobStatus.COMPLETED, record.error_traceback
    result: object = await scheduler.get_result(job_id)
    return result


@EVERY_RUNNER
async def test_a_job_submits_another_and_has_its_id(scheduler: Scheduler, runner: str) -> None:
    child = await run(scheduler, runner, target_of(runner, submit_leaf, submit_leaf_async), 7)
    record = await scheduler.wait(str(child))
    assert (record.status, record.name, record.tags, record.queue) == (JobStatus.COMPLETED, "leaf", ("leaf",), "leaves")
    assert await scheduler.get_result(record.id) == "7 2026-01-31"
    (parent,) = await scheduler.list_records(name=target_of(runner, submit_leaf, submit_leaf_async).__name__)
    assert (record.parent, parent.parent) == (parent.id, None)
    assert [child.id for child in await scheduler.list_records(parent=parent.id)] == [record.id]


@EVERY_RUNNER
async def test_jobs_are_submitted_with_options(scheduler: Scheduler, runner: str) -> None:
    children = await run(scheduler, runner, target_of(runner, submit_often, submit_often_async))
    assert isinstance(children, list)
    assert len(set(children)) == 3
    for child in children:
        record = await scheduler.wait(child)
        assert (record.queue, record.priority, record.metadata, record.tags) == ("many", 3, {"a": 1}, ("a", "b"))


async def submit_async_in_a_process() -> list[str]:
    job = current_job()
    ids = await asyncio.gather(*(job.submit_async(leaf, number) for number in range(5)))
    with pytest.raises(WouldBlock, match="use `await"):
        job.submit(leaf, 1)
    return ids


async def test_a_coroutine_in_a_process_submits(scheduler: Scheduler) -> None:
    children = await run(scheduler, "process", submit_async_in_a_process)
    assert isinstance(children, list)
    assert sorted([str(await result_of(scheduler, child)) for child in children]) == [f"{n} None" for n in range(5)]


async def result_of(scheduler: Scheduler, job_id: str) -> object:
    await scheduler.wait(job_id)
    result: object = await scheduler.get_result(job_id)
    return result


async def submit_on_the_event_loop() -> None:
    current_job().submit(leaf, 1)


async def test_an_answer_that_nobody_waits_for_any_more_is_not_told_of(scheduler: Scheduler) -> None:
    job_id = await scheduler.with_options(runner="process").add_job(submit_and_turn_away)
    await scheduler.wait(job_id)
    assert (await scheduler.get_record(str(await scheduler.get_result(job_id)))).parent == job_id
    assert (await scheduler.get_log(job_id)).lines == []


async def test_to_block_the_event_loop_is_refused_at_once(scheduler: Scheduler) -> None:
    record = await scheduler.wait(await scheduler.add_job(submit_on_the_event_loop))
    assert (record.error or "").startswith("WouldBlock: submit() would block the event loop")


def run_a_loop_in_a_thread() -> str:
    return asyncio.run(submit_leaf_async(1))


def submit_in_a_thread_of_its_own() -> str:
    job, ids = current_job(), list[str]()
    thread = threading.Thread(target=lambda: ids.append(job.submit(leaf, 2)))
    thread.start()
    thread.join()
    return ids[0]


@pytest.mark.parametrize("target", [run_a_loop_in_a_thread, submit_in_a_thread_of_its_own])
@pytest.mark.parametrize("runner", ["thread", "process"])
async def test_other_loops_and_threads_of_a_job_submit(
    scheduler: Scheduler, runner: str, target: Callable[[], str]
) -> None:
    child = str(await run(scheduler, runner, target))
    assert (await scheduler.wait(child)).status is JobStatus.COMPLETED


async def test_a_job_submits_what_only_its_service_can_run(scheduler: Scheduler) -> None:
    done = asyncio.Event()

    async def local() -> None:
        done.set()

    async def parent() -> list[str]:
        job = current_job()
        return [
            await job.submit_async(local),
            await job.submit_async(local()),
            await job.submit_async(Command(["true"])),
        ]

    job_id = await scheduler.add_job(parent)
    await scheduler.wait(job_id)
    for child in await scheduler.get_result(job_id):
        assert (await scheduler.wait(child)).status is JobStatus.COMPLETED


def submit_a_command() -> str:
    return current_job().with_options(name="greeting").submit(Command(["echo", "hello"]))


async def test_a_process_submits_a_command(scheduler: Scheduler) -> None:
    child = str(await run(scheduler, "process", submit_a_command))
    await scheduler.wait(child)
    assert (await scheduler.get_result(child))["output"] == "hello\n"


def meet_every_error() -> list[str]:
    job, errors = current_job(), list[str]()
    calls: list[Callable[[], object]] = [
        lambda: job.submit(leaf, "seven"),  # type: ignore[call-overload]
        lambda: job.submit(leaf),  # type: ignore[call-overload]
        lambda: job.submit(7),  # type: ignore[call-overload]
        lambda: job.with_options(queue=""),
        lambda: job.with_options(metadata={"a": float("nan")}),
        lambda: job.with_options(queue="full").submit(leaf, 1),
        lambda: job.with_options(idempotency_key="a key", queue="x").submit(leaf, 2),
    ]
    job.with_options(queue="full", delay=60).submit(leaf, 1)
    job.with_options(idempotency_key="a key", delay=60).submit(leaf, 1)
    for call in calls:
        try:
            call()
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
    return errors


@pytest.mark.parametrize("runner", ["thread", "process"])
async def test_what_is_wrong_is_raised_inside_the_target(url: str, runner: str) -> None:
    async with create_scheduler(url, shutdown_grace=0, max_pending=1) as scheduler:
        errors = await run(scheduler, runner, meet_every_error)
    assert isinstance(errors, list)
    expected = [
        InvalidArguments, InvalidArguments, InvalidTarget, ConfigurationError, ConfigurationError, QueueFull,
        IdempotencyConflict,
    ]  # fmt: skip
    if runner == "process":
        expected[0] = InvalidTarget if errors[0].startswith("InvalidTarget") else InvalidArguments
    assert [error.partition(":")[0] for error in errors] == [kind.__name__ for kind in expected]
    assert "the queue 'full' is full: 1 jobs wait in it" in errors[5].lower()
    assert "'a key' was used for job" in errors[6]


def submit_what_cannot_be_said() -> list[str]:
    job, errors = current_job(), list[str]()

    def local() -> None: ...

    for target, args in ((local, ()), (leaf, (threading.Lock(),)), (echo, ("x" * 1_048_576,))):
        try:
            job.submit(target, *args)
        except (InvalidTarget, InvalidArguments) as error:
            errors.append(f"{type(error).__name__}: {error}")
    return [*errors, job.submit(echo, "x" * 1_000_000)]


def echo(text: object) -> object:
    return text


async def test_a_process_submits_only_what_it_can_say_and_not_too_much(scheduler: Scheduler) -> None:
    answers = await run(scheduler, "process", submit_what_cannot_be_said)
    assert isinstance(answers, list)
    assert [answer.partition(":")[0] for answer in answers[:3]] == [
        "InvalidTarget", "InvalidArguments", "InvalidArguments",
    ]  # fmt: skip
    assert "they have more than 1,048,576 bytes" in answers[2]
    await scheduler.wait(answers[3])
    assert await scheduler.get_result(answers[3]) == "x" * 1_000_000


def try_twice(key: str) -> str:
    job = current_job()
    child = job.with_options(idempotency_key=f"{job.id}:{key}").submit(leaf, 1)
    if job.attempt == 1:
        raise ConnectionError
    return child


@pytest.mark.parametrize("runner", ["thread", "process"])
async def test_a_key_with_the_parents_id_submits_once_in_all_attempts(scheduler: Scheduler, runner: str) -> None:
    retried = scheduler.with_options(retry=Retry(delay=0), runner="process" if runner == "process" else None)
    job_id = await retried.add_job(try_twice, "leaf")
    record = await scheduler.wait(job_id)
    assert (record.status, record.attempt) == (JobStatus.COMPLETED, 2)
    children = await scheduler.list_records(parent=job_id)
    assert [child.id for child in children] == [await scheduler.get_result(job_id)]


def submit_in_a_forked_child() -> str:
    job = current_job()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            job.submit(leaf, 1)
        except Exception as error:
            os.write(writer, type(error).__name__.encode())
        os._exit(0)
    os.waitpid(pid, 0)
    return os.read(reader, 100).decode()


@pytest.mark.parametrize("runner", ["thread", "process"])
async def test_a_forked_child_of_a_job_submits_nothing(scheduler: Scheduler, runner: str) -> None:
    assert await run(scheduler, runner, submit_in_a_forked_child) == "NoCurrentJob"


async def test_what_a_job_has_left_behind_submits_to_a_scheduler_that_was_started_again() -> None:
    """At once, on whichever event loop that is: here the same."""
    released = threading.Event()
    answers: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def leave_thread() -> None:
        job = current_job()

        def stray() -> None:
            released.wait()
            child = job.submit(leaf, 1)
            loop.call_soon_threadsafe(answers.put_nowait, child)

        threading.Thread(target=stray).start()

    async with InMemoryScheduler() as scheduler:
        await scheduler.wait(await scheduler.add_job(leave_thread))
        await scheduler.close()
        await scheduler.start()
        released.set()
        assert (await scheduler.wait(await answers.get())).status is JobStatus.COMPLETED


def tell_about_itself() -> list[object]:
    job = current_job()
    return [job.name, list(job.tags), job.metadata, job.parent, job.attempt, job.owner]


@EVERY_RUNNER
async def test_a_job_knows_what_it_was_submitted_with(scheduler: Scheduler, runner: str) -> None:
    async def tell_async() -> list[object]:
        return tell_about_itself()

    options = scheduler.with_options(name="me", tags=["a"], metadata={"order": 17}, owner="ana")
    if runner == "process":
        options = scheduler.with_options(name="me", tags=["a"], metadata={"order": 17}, owner="ana", runner="process")
    job_id = await options.add_job(target_of(runner, tell_about_itself, tell_async))
    await scheduler.wait(job_id)
    assert await scheduler.get_result(job_id) == ["me", ["a"], {"order": 17}, None, 1, "ana"]


async def test_a_job_knows_its_parent(scheduler: Scheduler) -> None:
    async def parent() -> str:
        return await current_job().submit_async(tell_about_itself)

    job_id = await scheduler.add_job(parent)
    await scheduler.wait(job_id)
    child = await scheduler.get_result(job_id)
    await scheduler.wait(child)
    assert (await scheduler.get_result(child))[3] == job_id


async def test_what_a_user_sees_of_a_job_is_what_is_documented() -> None:
    seen: list[str] = []

    async def target() -> None:
        seen.extend(name for name in dir(current_job()) if not name.startswith("_"))

    async with InMemoryScheduler() as scheduler:
        await scheduler.wait(await scheduler.add_job(target))
    assert seen == [
        "artifact", "attempt", "id", "is_cancel_requested", "log", "metadata", "name", "owner", "parent",
        "progress", "raise_if_canceled", "submit", "submit_async", "tags", "wait_cancel_requested", "with_options",
    ]  # fmt: skip


def submit_when_told(folder: str) -> None:
    Path(folder, "began").write_text("")  # both are pipes
    Path(folder, "told").read_text()
    current_job().submit(leaf, 1)


@pytest.mark.parametrize("runner", ["thread", "process"])
async def test_a_job_that_can_submit_nothing_at_a_stop_is_given_back(tmp_path: Path, runner: str) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    for name in ("began", "told"):
        os.mkfifo(tmp_path / name)
    async with create_scheduler(url, shutdown_grace=30) as scheduler:
        options = scheduler.with_options(runner="process") if runner == "process" else scheduler
        job_id = await options.add_job(submit_when_told, str(tmp_path))
        await asyncio.to_thread((tmp_path / "began").read_text)
        closing = asyncio.create_task(scheduler.close())
        await asyncio.sleep(0)
        assert scheduler.is_closed
        await asyncio.to_thread((tmp_path / "told").write_text, "")
        await closing
    async with create_scheduler(url, run_jobs=False) as scheduler:
        record = await scheduler.get_record(job_id)
        assert (record.status, [past.attempt for past in record.attempts]) == (JobStatus.PENDING, [1])


async def test_after_the_end_of_the_loop_nothing_is_submitted() -> None:
    jobs = []

    async def target() -> None:
        jobs.append(current_job())

    scheduler = InMemoryScheduler()
    await scheduler.wait(await scheduler.add_job(target))
    await scheduler.close()
    with pytest.raises(SchedulerClosed):
        await asyncio.to_thread(jobs[0].submit, leaf, 1)
