"""Buckets of durations, and what is told of them."""

from datetime import UTC, datetime, timedelta
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.jobs.activity import (
    MAX_GROUPS,
    REST,
    ActivityMinute,
    Counts,
    Group,
    add_up,
    bucket_of,
    minute_of,
    percentile,
    seconds_of_bucket,
    summarize,
)

NOW = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)
durations = st.floats(0, 600_000) | st.floats(0, 0.01) | st.floats(0.5, 90)


def counted(seconds: list[float]) -> Counts:
    counts = Counts(completed=len(seconds))
    for each in seconds:
        counts.add(Counts(waits={bucket_of(each): 1}, runs={bucket_of(each): 1}))
    return counts


@given(st.lists(st.lists(durations, max_size=30), min_size=1, max_size=5), st.sampled_from([0.5, 0.95, 0.01, 1.0]))
def test_percentiles_of_what_was_added_up_are_at_most_a_tenth_off(parts: list[list[float]], share: float) -> None:
    total = Counts()
    for part in parts:
        total.add(counted(part))
    ordered = sorted(each for part in parts for each in part)
    found = percentile(total.runs, share)
    if not ordered:
        assert found is None
    else:
        exact = ordered[max(0, ceil(len(ordered) * share) - 1)]
        assert found == pytest.approx(exact, rel=0.1, abs=0.0001)
        assert found is not None
        assert found >= 0


def test_every_duration_has_a_bucket() -> None:
    assert bucket_of(-5.0) == bucket_of(0.0) == 0
    assert seconds_of_bucket(0) < 0.0001
    assert seconds_of_bucket(bucket_of(10.0**12)) == pytest.approx(600_000, rel=0.2)
    middles = [seconds_of_bucket(bucket) for bucket in range(bucket_of(10.0**12) + 1)]
    assert middles == sorted(set(middles))
    # Those of a row that makes no sense.
    assert seconds_of_bucket(-7) == seconds_of_bucket(0)
    assert seconds_of_bucket(10**9) == middles[-1]


def test_adding_up_changes_nothing_that_was_added() -> None:
    part = Counts(submitted=1, runs={3: 1})
    sums = add_up([(Group("a", "q"), part), (Group("a", "q"), part)])
    assert sums == {Group("a", "q"): Counts(submitted=2, runs={3: 2})}
    assert part == Counts(submitted=1, runs={3: 1})


@given(st.lists(st.tuples(st.integers(0, 3 * MAX_GROUPS), st.integers(0, 9)), max_size=400))
def test_groups_beyond_the_most_active_are_one(jobs: list[tuple[int, int]]) -> None:
    sums = add_up((Group(f"job {number}", "q"), Counts(completed=count)) for number, count in jobs)
    assert len(sums) <= MAX_GROUPS
    assert sum(each.completed for each in sums.values()) == sum(count for _, count in jobs)
    if REST in sums:
        assert len(sums) == MAX_GROUPS
        rest = sums.pop(REST)
        assert rest.completed >= 0
        twice = add_up([*sums.items(), (REST, rest), (Group("one more", "q"), Counts(completed=1_000))])
        assert len(twice) == MAX_GROUPS
        assert twice[Group("one more", "q")].completed == 1_000


def test_only_the_minutes_that_are_asked_for_are_told() -> None:
    present = minute_of(NOW)
    rows = [
        ActivityMinute(present + offset, "a", None, {Group("x", "q"): Counts(completed=1, failed=offset == 0)})
        for offset in (-60, -2, -1, 0, 1, 10**9)
    ]
    activity = summarize(rows, 3, NOW)
    assert [point.completed for point in activity.points] == [1, 1, 1]
    assert (activity.since, activity.until) == (NOW.replace(second=0) - timedelta(minutes=2), NOW)
    assert (activity.total.per_minute, activity.total.failure_share) == (1.6, 0.25)
    assert [point.at for point in activity.points] == [activity.since + timedelta(minutes=each) for each in range(3)]
    nothing = summarize(rows, 3, NOW, name="y")
    assert (nothing.total.completed, nothing.total.failure_share, nothing.groups, nothing.queues) == (0, None, [], [])


def test_the_rest_is_the_last_of_all_groups() -> None:
    groups = {REST: Counts(completed=100), Group("b", "q"): Counts(failed=2), Group("a", "p"): Counts(submitted=2)}
    activity = summarize([ActivityMinute(minute_of(NOW), "a", None, groups)], 1, NOW)
    assert [(each.name, each.queue) for each in activity.groups] == [("a", "p"), ("b", "q"), (None, None)]
    assert [each.queue for each in activity.queues] == ["p", "q", None]
    assert activity.total.completed == 100


def test_at_the_very_beginning_of_a_minute_nothing_is_divided_by_nothing() -> None:
    now = NOW.replace(second=0)
    rows = [ActivityMinute(minute_of(now), "a", None, {Group("x", "q"): Counts(completed=3)})]
    assert summarize(rows, 1, now).total.per_minute == 3
