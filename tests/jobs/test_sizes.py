import functools
from collections import deque
from dataclasses import dataclass
from typing import Any

import pytest

from servicekit.jobs.sizes import estimate_bytes

MEGABYTE = 1_000_000


@dataclass(slots=True)
class Slotted:
    data: object


@dataclass
class Plain:
    data: object


@pytest.mark.parametrize(
    "value",
    [
        b"x" * MEGABYTE,
        "x" * MEGABYTE,
        [b"x" * 100_000 for _ in range(10)],
        [b""] * 64 + [bytes(10_000) for _ in range(100)],
        {number: bytes(10_000 + number) for number in range(100)},
        {"a": {"b": {"c": {"d": {"e": b"x" * MEGABYTE}}}}},
        Slotted(b"x" * MEGABYTE),
        Plain(b"x" * MEGABYTE),
        deque([b"x" * MEGABYTE]),
        functools.partial(print, b"x" * MEGABYTE),
    ],
    ids=["bytes", "text", "list", "late in a list", "dict", "nested", "slots", "plain", "deque", "partial"],
)
def test_a_megabyte_is_found_wherever_it_is(value: Any) -> None:
    assert MEGABYTE / 2 < estimate_bytes(value) < 2 * MEGABYTE


def test_what_contains_itself_is_estimated_too() -> None:
    itself: list[object] = []
    itself.append(itself)
    assert estimate_bytes(itself) > 0
