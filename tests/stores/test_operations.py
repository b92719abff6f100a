"""What writes say of themselves: their places in a transaction, and whom an error concerns."""

import asyncio
from datetime import UTC, datetime
from typing import Final

import pytest

from servicekit.errors import IdempotencyConflict, JobNotFound, QueueFull
from servicekit.jobs.options import JobOptions
from servicekit.stores.durable.new_jobs import NewJob, accept, new_job
from servicekit.stores.durable.news import Call
from servicekit.stores.durable.operations import Rank, for_all, for_each
from servicekit.stores.durable.transactions import perform
from servicekit.stores.sqlite import claims, inserts, log_lines, times, writes

NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)


@for_each(Rank.DELETE)
def halve(connection: str, number: int) -> float:
    if number % 2:
        raise JobNotFound(f"{connection} {number}")
    return number / 2


@for_all(Rank.SUBMIT)
def double(_: str, numbers: list[int]) -> list[int | Exception]:
    return [2 * number for number in numbers]


def test_an_error_of_ours_is_for_its_caller_alone() -> None:
    one, none, two = halve.write("job", [2, 3, 4])
    assert (one, two) == (1.0, 2.0)
    assert isinstance(none, JobNotFound)


def test_what_is_done_for_all_is_one_call() -> None:
    assert double.write("", [1, 2]) == [2, 4]
    assert double.rank < halve.rank


def test_any_other_error_is_everybody_s() -> None:
    with pytest.raises(TypeError):
        halve.write("job", ["x"])  # type: ignore[list-item]


def test_what_frees_slots_and_fills_the_queue_comes_before_a_claim_and_reports_before_the_end() -> None:
    submissions, ends = (inserts.insert.rank, inserts.resubmit.rank), (writes.end_attempts.rank, writes.delete.rank)
    assert max(*submissions, *ends, times.make_due.rank) < claims.claim.rank
    assert max(log_lines.append.rank, writes.report_progress.rank) < writes.end_attempts.rank
    assert writes.request_cancel.rank < writes.delete.rank


async def test_what_waits_is_done_in_the_order_of_the_ranks_and_everyone_gets_the_own_answer() -> None:
    loop, done = asyncio.get_running_loop(), []

    @for_all(Rank.CLAIM)
    def last(_: str, arguments: list[int]) -> list[int | Exception]:
        done.append("last")
        return [-each for each in arguments]

    @for_all(Rank.SUBMIT)
    def first(_: str, arguments: list[int]) -> list[int | Exception]:
        done.append("first")
        return [each * each for each in arguments]

    calls = [Call(last, 1, loop.create_future()), Call(first, 2, loop.create_future())]
    calls += [Call(last, 3, loop.create_future()), Call(first, 4, loop.create_future())]
    answers = {answer.call.argument: answer.result for answer in perform("connection", calls)}
    assert done == ["first", "last"]
    assert answers == {1: -1, 2: 4, 3: -3, 4: 16}


def test_what_is_submitted_at_once_counts_as_if_it_came_one_by_one() -> None:
    def new(job_id: str, key: str | None = None, max_pending: int | None = None, fingerprint: str = "a") -> NewJob:
        options = JobOptions(idempotency_key=key)
        return new_job(
            job_id, "noop", "coroutine", None, options, NOW, fingerprint=fingerprint, max_pending=max_pending
        )  # fmt: skip

    jobs = [
        new("1", "k"),
        new("2", "k"),
        new("3", "k", fingerprint="b"),
        new("4", max_pending=3),
        new("5", max_pending=3),
    ]
    accepted, answers = accept(jobs, {}, {"default": 1})
    assert [job.id for job in accepted] == ["1", "4"]
    assert (answers[:2], answers[3]) == (["1", "1"], "4")
    assert isinstance(answers[2], IdempotencyConflict)
    assert isinstance(answers[4], QueueFull)
