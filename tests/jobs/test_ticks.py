"""What becomes of a schedule's tick."""

import pytest

from servicekit.jobs.options import DEFAULT_OPTIONS, changed
from servicekit.jobs.schedules import FiredSchedule, Overlap, judge_tick, options_of_tick


@pytest.mark.parametrize("overlap", Overlap)
@pytest.mark.parametrize("is_last_there", [True, False])
@pytest.mark.parametrize("is_wanted", [True, False])
def test_a_tick_that_is_not_the_next_one_or_of_a_paused_schedule_is_lost(
    overlap: Overlap, *, is_last_there: bool, is_wanted: bool
) -> None:
    for is_next, is_paused in ((False, False), (False, True), (True, True)):
        what = judge_tick(
            overlap, is_next=is_next, is_paused=is_paused, is_wanted=is_wanted, is_last_there=is_last_there
        )
        assert what is FiredSchedule.LOST


@pytest.mark.parametrize(
    ("overlap", "is_wanted", "is_last_there", "expected"),
    [
        (Overlap.SKIP, True, False, FiredSchedule.SUBMITTED),
        (Overlap.SKIP, True, True, FiredSchedule.SKIPPED),
        (Overlap.WAIT, True, True, FiredSchedule.SUBMITTED),
        (Overlap.ALLOW, True, True, FiredSchedule.SUBMITTED),
        (Overlap.ALLOW, False, False, FiredSchedule.SKIPPED),
    ],
)
def test_the_next_tick_is_submitted_unless_it_is_not_wanted_or_must_not_overlap(
    overlap: Overlap, expected: FiredSchedule, *, is_wanted: bool, is_last_there: bool
) -> None:
    what = judge_tick(overlap, is_next=True, is_paused=False, is_wanted=is_wanted, is_last_there=is_last_there)
    assert what is expected


def test_jobs_of_a_schedule_that_waits_run_one_by_one() -> None:
    options = options_of_tick("nightly", Overlap.WAIT, DEFAULT_OPTIONS)
    assert (options.concurrency_key, options.concurrency_limit) == ("schedule:nightly", 1)


def test_a_key_of_their_own_goes_before_and_others_have_none() -> None:
    own = changed(DEFAULT_OPTIONS, {"concurrency_key": "own", "concurrency_limit": 3})
    assert options_of_tick("nightly", Overlap.WAIT, own) is own
    assert options_of_tick("nightly", Overlap.SKIP, DEFAULT_OPTIONS) is DEFAULT_OPTIONS
