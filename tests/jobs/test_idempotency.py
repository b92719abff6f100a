"""What is decided about a key that was used before, and about a job that repeats another one."""

from datetime import UTC, datetime

from servicekit.errors import IdempotencyConflict
from servicekit.jobs.idempotency import FirstUse
from servicekit.jobs.options import DEFAULT_OPTIONS, changed, options_of_repetition

FIRST = FirstUse("the first job", "the call")


def test_the_same_call_is_a_repetition() -> None:
    assert FIRST.find_conflict("key", "the call") is None


def test_another_call_is_a_conflict_that_names_key_and_job() -> None:
    conflict = FIRST.find_conflict("key", "another call")
    assert isinstance(conflict, IdempotencyConflict)
    assert (conflict.key, conflict.job_id) == ("key", "the first job")


def test_a_repetition_starts_at_once_without_a_key_and_keeps_the_rest() -> None:
    options = changed(DEFAULT_OPTIONS, {"idempotency_key": "key", "delay": 60, "priority": 3, "tags": ("red",)})
    assert options_of_repetition(options) == changed(DEFAULT_OPTIONS, {"priority": 3, "tags": ("red",)})
    options = changed(DEFAULT_OPTIONS, {"start_at": datetime(2031, 5, 1, tzinfo=UTC)})
    assert options_of_repetition(options) == DEFAULT_OPTIONS
    assert options_of_repetition(DEFAULT_OPTIONS) is DEFAULT_OPTIONS
