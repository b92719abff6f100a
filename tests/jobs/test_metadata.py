"""What can be kept with a job."""

from enum import StrEnum
from typing import Any

import pytest

from servicekit import ConfigurationError, JobOptions, job_options
from servicekit.jobs.metadata import MAX_METADATA_BYTES, MAX_METADATA_KEYS, Metadata


class Colour(StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"a": None, "b": [1, 2.5, True, {"c": "\0 \n"}], "東京\u3000支店": "é"},
        {"colour": Colour.RED},
        {"text": "x" * (MAX_METADATA_BYTES - len('{"text":""}'))},
        {"text": "é" * ((MAX_METADATA_BYTES - len('{"text":""}')) // 2)},
        {str(number): number for number in range(MAX_METADATA_KEYS)},
    ],
)
def test_a_json_object_is_kept_as_it_is(values: dict[str, object]) -> None:
    kept = JobOptions(metadata=values).metadata
    assert kept == values
    assert dict(kept) == values
    assert len(kept) == len(values)


@pytest.mark.parametrize(
    "values",
    [
        None,
        "text",
        [("a", 1)],
        {"": 1},
        {"a:b": 1},
        {"a\nb": 1},
        {1: 1},
        {"a": {1: 2}},
        {"a": (1, 2)},
        {"a": b"bytes"},
        {"a": float("nan")},
        {"a": "\ud800"},
        {"a": 10**5_000},
        {"text": "x" * MAX_METADATA_BYTES},
        {"text": "é" * (MAX_METADATA_BYTES // 2)},
        {str(number): number for number in range(MAX_METADATA_KEYS + 1)},
    ],
)
def test_what_would_not_come_back_is_refused(values: Any) -> None:
    with pytest.raises(ConfigurationError, match="metadata must be "):
        JobOptions(metadata=values)


def test_it_is_a_copy_that_nobody_can_change() -> None:
    values: dict[str, object] = {"lines": [1]}
    options = JobOptions(metadata=values)
    values["lines"] = 2
    lines = options.metadata["lines"]
    assert isinstance(lines, list)
    lines.append(3)
    assert options.metadata == {"lines": [1]}


def test_values_that_python_takes_for_equal_are_told_apart() -> None:
    assert len({Metadata({"a": value}) for value in (1, 1.0, True, "1")}) == 4
    assert JobOptions(metadata={"a": 1}) == JobOptions(metadata={"a": 1}) != JobOptions(metadata={"a": True})


def test_it_is_found_by_short_texts_whole_numbers_and_booleans() -> None:
    values = {"text": "a:b", "long": "x" * 201, "line": "a\nb", "number": -3, "yes": True, "half": 0.5, "none": None}
    assert Metadata(values).words == {"text": "a:b", "number": "-3", "yes": "true"}


def test_a_target_can_have_metadata() -> None:
    @job_options(metadata={"team": "billing"})
    def target() -> None: ...

    assert target.__job_options__.metadata == {"team": "billing"}  # type: ignore[attr-defined]
