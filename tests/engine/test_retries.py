"""Retries: how often, when, after which errors; and what the record tells of them."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from servicekit import (
    ConfigurationError,
    EndedBy,
    InMemoryScheduler,
    InvalidTarget,
    JobCanceled,
    JobStatus,
    Retry,
    RetryAfter,
    RetryUnavailable,
    Scheduler,
    current_job,
    job_options,
)
from servicekit.jobs.references import name_in_full
from tests.fakes import Gate, noop

SOON = Retry(attempts=3, delay=0.01, jitter=0)


class Flaky:
    """A target that fails so many times, each time with the next of these errors."""

    def __init__(self, *errors: BaseException) -> None:
        self._errors = list(errors)
        self.attempts: list[int] = []

    async def run(self) -> str:
        self.attempts.append(current_job().attempt)
        if self._errors:
            raise self._errors.pop(0)
        return "done"


async def test_a_job_is_tried_until_it_succeeds(scheduler: Scheduler) -> None:
    flaky = Flaky(ValueError("one"), OSError("two"))
    job_id = await scheduler.with_options(retry=SOON).add_job(flaky.run)
    record = await scheduler.wait(job_id)
    assert (record.status, record.attempt, record.error, record.error_traceback) == (JobStatus.COMPLETED, 3, None, None)
    assert record.ended_by is EndedBy.TARGET
    assert flaky.attempts == [1, 2, 3]
    assert [(past.attempt, past.error) for past in record.attempts] == [(1, "ValueError: one"), (2, "OSError: two")]
    assert all(past.started_at <= past.finished_at for past in record.attempts)
    assert await scheduler.get_result(job_id) == "done"


async def test_the_last_failure_is_the_job_s(scheduler: Scheduler) -> None:
    flaky = Flaky(*(ValueError(number) for number in range(5)))
    record = await scheduler.wait(await scheduler.with_options(retry=SOON).add_job(flaky.run))
    assert (record.status, record.attempt, record.error) == (JobStatus.FAILED, 3, "ValueError: 2")
    assert len(record.attempts) == 2


async def test_without_a_policy_nothing_is_tried_again(scheduler: Scheduler) -> None:
    for error in (ValueError("once"), RetryAfter(0)):
        record = await scheduler.wait(await scheduler.add_job(Flaky(error).run))
        assert (record.status, record.attempt) == (JobStatus.FAILED, 1)


async def test_between_attempts_a_job_is_pending_and_says_why_and_until_when(scheduler: Scheduler) -> None:
    flaky = Flaky(ValueError("not yet"))
    job_id = await scheduler.with_options(retry=Retry(delay=3_600, jitter=0)).add_job(flaky.run)
    async for record in scheduler.stream(job_id):
        if record.status is JobStatus.PENDING and record.attempt:
            break
    assert (record.error, [past.error for past in record.attempts]) == (None, ["ValueError: not yet"])
    assert record.scheduled_at is not None
    assert (record.scheduled_at - record.attempts[0].finished_at).total_seconds() == pytest.approx(3_600, abs=30)
    assert (record.started_at, record.finished_at, record.ended_by) == (None, None, None)
    assert await scheduler.cancel(job_id)
    canceled = await scheduler.get_record(job_id)
    assert (canceled.status, canceled.ended_by, flaky.attempts) == (JobStatus.CANCELED, EndedBy.CANCEL, [1])


async def test_a_stream_tells_every_transition_of_a_retried_job(scheduler: Scheduler, gate: Gate) -> None:
    flaky = Flaky(ValueError("one"))

    async def run() -> str:
        await gate.enter()
        return await flaky.run()

    job_id = await scheduler.with_options(retry=SOON).add_job(run)
    told = []
    async for record in scheduler.stream(job_id):
        gate.open()  # not before it is listened to
        told.append((record.status, record.attempt))
    assert told[-3:] == [(JobStatus.PENDING, 1), (JobStatus.RUNNING, 2), (JobStatus.COMPLETED, 2)]
    async with scheduler.watch(job_id, after_version=1) as watch:
        missed = [event.record for _ in range(4) if (event := await watch.next_event()) is not None]
    assert [(record.status, record.attempt) for record in missed if record is not None] == [
        (JobStatus.RUNNING, 1),
        (JobStatus.PENDING, 1),
        (JobStatus.RUNNING, 2),
        (JobStatus.COMPLETED, 2),
    ]


class Unavailable(ConnectionError):
    """A user's own error."""


def group(*errors: BaseException) -> BaseExceptionGroup:
    return BaseExceptionGroup("unhandled errors in a TaskGroup", errors)


@pytest.mark.parametrize(
    ("policy", "error", "is_retried"),
    [
        (Retry(delay=0, only=[OSError]), Unavailable(), True),
        (Retry(delay=0, only=[OSError]), ValueError(), False),
        (Retry(delay=0, only=[name_in_full(Unavailable)]), Unavailable(), True),
        (Retry(delay=0, except_for=[OSError]), Unavailable(), False),
        (Retry(delay=0, except_for=[Unavailable]), OSError(), True),
        (Retry(delay=0, only=[OSError], except_for=[Unavailable]), Unavailable(), False),
        (Retry(delay=0, only=[OSError]), SystemExit(3), False),
        (Retry(delay=0), SystemExit(3), True),
        (Retry(delay=0, only=["asyncio.TimeoutError"]), TimeoutError(), True),  # its alias
        (Retry(delay=0, only=["no.such.Error"]), ValueError(), False),
        # Of a group all must be such, and none such as never.
        (Retry(delay=0, only=[OSError]), group(Unavailable(), OSError()), True),
        (Retry(delay=0, only=[OSError]), group(Unavailable(), group(ValueError())), False),
        (Retry(delay=0, only=[OSError, ValueError]), group(Unavailable(), group(ValueError())), True),
        (Retry(delay=0, only=[OSError]), group(OSError(), KeyboardInterrupt()), False),
        (Retry(delay=0, only=[OSError]), group(OSError(), JobCanceled("x")), False),
        (Retry(delay=0, except_for=[OSError]), group(ValueError(), group(Unavailable())), False),
        (Retry(delay=0, except_for=[KeyError]), group(ValueError(), Unavailable()), True),
        (Retry(delay=0, only=[ExceptionGroup]), group(ValueError()), True),
        (Retry(delay=0, except_for=[BaseExceptionGroup]), group(ValueError()), False),
        # Whoever asks to be tried again later counts neither way; the others do.
        (Retry(delay=0, only=[OSError]), group(RetryAfter(0), Unavailable()), True),
        (Retry(delay=0, only=[OSError]), group(RetryAfter(0), ValueError()), False),
    ],
)
async def test_only_some_errors_are_retried(
    scheduler: Scheduler, policy: Retry, error: BaseException, is_retried: bool
) -> None:
    record = await scheduler.wait(await scheduler.with_options(retry=policy).add_job(Flaky(error).run))
    assert (record.status is JobStatus.COMPLETED) == is_retried
    assert record.attempt == 1 + is_retried


async def work_in_tasks() -> None:
    async def fail() -> None:
        raise ConnectionError("refused")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(fail())


async def test_what_fails_in_a_task_group_is_retried_and_told_by_its_errors(scheduler: Scheduler) -> None:
    policy = Retry(attempts=2, delay=0, only=[ConnectionError])
    record = await scheduler.wait(await scheduler.with_options(retry=policy).add_job(work_in_tasks))
    assert (record.status, record.attempt) == (JobStatus.FAILED, 2)
    text = "ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception): ConnectionError: refused"
    assert [record.error, record.attempts[0].error] == [text, text]


async def test_the_longest_wait_that_is_asked_for_in_a_group_counts(scheduler: Scheduler) -> None:
    error = group(RetryAfter(1), group(RetryAfter(1_800), RetryAfter(2)))
    job_id = await scheduler.with_options(retry=Retry(delay=0)).add_job(Flaky(error).run)
    async for record in scheduler.stream(job_id):
        if record.status is JobStatus.PENDING and record.attempt:
            break
    assert record.scheduled_at is not None
    assert (record.scheduled_at - record.attempts[0].finished_at).total_seconds() == pytest.approx(1_800, abs=30)


async def test_a_time_limit_of_a_group_of_tasks_is_that_limit(scheduler: Scheduler) -> None:
    async def fail_when_stopped() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise group(ValueError("while it cleaned up"))

    policy = Retry(attempts=2, delay=0, only=[TimeoutError])
    options = scheduler.with_options(retry=policy, run_timeout=0.01)
    record = await scheduler.wait(await options.add_job(fail_when_stopped))
    assert (record.ended_by, record.attempt) == (EndedBy.TIME_LIMIT, 2)


PROGRAM = """
import asyncio
import sys

from servicekit import Retry, create_scheduler, current_job


class Transient(Exception):
    pass


class Special(Transient):
    pass


def fail(job_id: str = "") -> None:
    if current_job().attempt == 1:
        raise ExceptionGroup("in a group", [Special("not yet")])


async def main() -> None:
    async with create_scheduler(sys.argv[1]) as scheduler:
        for only in (Transient, "__main__.Transient", "app.Transient"):
            for runner in ("thread", "process"):
                scheduler_with = scheduler.with_options(retry=Retry(delay=0, only=[only]), runner=runner)
                record = await scheduler.wait(await scheduler_with.add_job(fail))
                print(runner, record.status, record.attempt)


if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.parametrize("url", ["memory://", "sqlite:///jobs.db"])
async def test_errors_of_the_program_s_own_file_are_known_in_every_runner(tmp_path: Path, url: str) -> None:
    (tmp_path / "app.py").write_text(PROGRAM)
    program = await asyncio.create_subprocess_exec(
        sys.executable, "app.py", url, cwd=tmp_path, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await program.communicate()
    assert output.decode().splitlines() == ["thread completed 2", "process completed 2"] * 3


async def test_a_target_can_ask_for_its_own_delay(scheduler: Scheduler) -> None:
    flaky = Flaky(RetryAfter(0.01, "rate limited"))
    policy = Retry(attempts=2, delay=3_600, only=[OSError])
    record = await scheduler.wait(await scheduler.with_options(retry=policy).add_job(flaky.run))
    assert (record.status, record.attempt) == (JobStatus.COMPLETED, 2)
    assert record.attempts[0].error == "RetryAfter: rate limited"


async def test_a_wait_beyond_all_bounds_is_a_year(scheduler: Scheduler) -> None:
    job_id = await scheduler.with_options(retry=SOON).add_job(Flaky(RetryAfter(1e15)).run)
    async for record in scheduler.stream(job_id):
        if record.attempts:
            break
    assert record.status is JobStatus.PENDING
    assert record.scheduled_at is not None
    assert (record.scheduled_at - record.submitted_at).days in (364, 365)
    await scheduler.cancel(job_id)


async def test_what_fails_while_its_scheduler_stops_does_not_wait_for_ever() -> None:
    scheduler, began = InMemoryScheduler(shutdown_grace=30), asyncio.Event()

    async def fail_late() -> None:
        began.set()
        while await scheduler.find_problem() is None:  # until it is stopping
            await asyncio.sleep(0)
        raise ValueError

    job_id = await scheduler.with_options(retry=Retry(delay=3_600)).add_job(fail_late)
    await began.wait()
    await scheduler.close()
    assert (await scheduler.get_record(job_id)).status is JobStatus.CANCELED


async def test_a_job_that_is_submitted_again_has_its_limits(single: Scheduler, gate: Gate) -> None:
    first = await single.with_options(queue_timeout=0.1).add_job(divmod, 7, 2)
    await single.wait(first)
    await single.add_job(gate.enter)
    await gate.wait_entered(1)
    record = await single.wait(await single.retry(first))
    assert record.error is not None
    assert record.error.startswith("QueueTimeout: ")


async def test_threads_are_retried_too(scheduler: Scheduler) -> None:
    errors = [ValueError("one")]

    def work() -> int:
        if errors:
            raise errors.pop()
        return current_job().attempt

    job_id = await scheduler.with_options(retry=SOON).add_job(work)
    await scheduler.wait(job_id)
    assert await scheduler.get_result(job_id) == 2


async def test_what_was_asked_to_stop_is_not_tried_again(scheduler: Scheduler) -> None:
    began = asyncio.Event()

    async def breaks_when_asked() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("broken off") from None

    job_id = await scheduler.with_options(retry=SOON).add_job(breaks_when_asked)
    await began.wait()
    await scheduler.cancel(job_id)
    record = await scheduler.wait(job_id)
    assert (record.status, record.error, record.ended_by) == (
        JobStatus.FAILED,
        "ValueError: broken off",
        EndedBy.TARGET,
    )
    assert record.attempt == 1


async def test_others_run_while_a_job_waits_for_its_next_attempt(single: Scheduler) -> None:
    waiting = await single.with_options(retry=Retry(delay=3_600)).add_job(Flaky(ValueError()).run)
    assert (await single.wait(await single.add_job(noop))).status is JobStatus.COMPLETED
    assert (await single.get_record(waiting)).status is JobStatus.PENDING


async def test_a_target_brings_its_policy_along(scheduler: Scheduler) -> None:
    tries: list[int] = []

    @job_options(retry=Retry(attempts=2, delay=0))
    async def fails() -> None:
        tries.append(current_job().attempt)
        raise ValueError

    await scheduler.wait(await scheduler.add_job(fails))
    await scheduler.wait(await scheduler.with_options(retry=None).add_job(fails))
    assert tries == [1, 2, 1]


def test_waits_grow_up_to_a_limit_and_differ() -> None:
    policy = Retry(attempts=9, delay=1, factor=3, max_delay=20, jitter=0)
    assert [policy.delay_after(failures) for failures in range(1, 6)] == [1, 3, 9, 20, 20]
    assert Retry(factor=1_000, jitter=0).delay_after(900) == 3_600
    waits = {Retry(delay=10, jitter=0.5).delay_after(1) for _ in range(50)}
    assert all(5 <= wait <= 15 for wait in waits)
    assert len(waits) > 40


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("attempts", 0),
        ("attempts", 2.5),
        ("delay", -1),
        ("delay", float("nan")),
        ("factor", 0.5),
        ("jitter", 1.5),
        ("only", ValueError),
        ("only", [3]),
        ("only", ["ConnectionError"]),
        ("except_for", "ValueError"),
    ],
)
def test_what_makes_no_sense_is_refused(option: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"retry.{option}"):
        Retry(**{option: value})


def test_a_policy_is_a_retry() -> None:
    with pytest.raises(ConfigurationError, match="retry"):
        job_options(retry=3)  # type: ignore[arg-type]


async def test_a_job_that_has_ended_is_submitted_again_by_hand(scheduler: Scheduler) -> None:
    tagged = scheduler.with_options(tags=["nightly"], name="adding", idempotency_key="once")
    first = await tagged.add_job(divmod, 7, 2)
    await scheduler.wait(first)
    second = await scheduler.retry(first)
    record = await scheduler.wait(second)
    assert (record.retry_of, record.name, record.tags) == (first, "adding", ("nightly",))
    assert tuple(await scheduler.get_result(second)) == (3, 1)
    assert await tagged.add_job(divmod, 7, 2) == first


async def test_what_has_not_ended_is_not_submitted_again(scheduler: Scheduler, gate: Gate) -> None:
    job_id = await scheduler.add_job(gate.enter)
    await gate.wait_entered(1)
    with pytest.raises(RetryUnavailable, match="status=running"):
        await scheduler.retry(job_id)


async def test_a_coroutine_object_cannot_be_had_again(scheduler: Scheduler) -> None:
    job_id = await scheduler.add_job(noop())
    await scheduler.wait(job_id)
    with pytest.raises(RetryUnavailable, match="status=completed"):
        await scheduler.retry(job_id)


async def test_a_coroutine_object_cannot_be_retried(scheduler: Scheduler) -> None:
    coroutine = noop()
    with pytest.raises(InvalidTarget, match="Pass the function itself"):
        await scheduler.with_options(retry=SOON).add_job(coroutine)
    coroutine.close()
