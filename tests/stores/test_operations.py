"""What writes say of themselves: their places in a transaction, and whom an error concerns."""

import pytest

from servicekit.errors import JobNotFound
from servicekit.stores.durable.operations import Rank, for_all, for_each
from servicekit.stores.sqlite import claims, inserts, log_lines, times, writes


@for_each(Rank.WISH)
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
