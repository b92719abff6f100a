import functools
import gc
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

from servicekit.jobs.sizes import estimate_bytes

MEGABYTE = 1_000_000


@dataclass(slots=True)
class Slotted:
    data: object


@dataclass
class Plain:
    data: object


class Pair(NamedTuple):
    left: object
    right: object


class Attributed(list[object]):
    def __init__(self, data: object) -> None:
        self.data = data

    def __iter__(self) -> Any:
        raise AssertionError("an estimate has no business in the user's code")

    __len__ = __iter__


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
        Counter({bytes(10_000 + number): number for number in range(100)}),
        OrderedDict({number: bytes(10_000 + number) for number in range(100)}),
        defaultdict(list, {number: [bytes(10_000)] for number in range(100)}),
        Pair(None, b"x" * MEGABYTE),
        Attributed(b"x" * MEGABYTE),
    ],
    ids=[
        "bytes", "text", "list", "late in a list", "dict", "nested", "slots", "plain", "deque", "partial", "counter",
        "ordered dict", "default dict", "named tuple", "attribute of a list",
    ],
)  # fmt: skip
def test_a_megabyte_is_found_wherever_it_is(value: Any) -> None:
    assert MEGABYTE / 2 < estimate_bytes(value) < 2 * MEGABYTE


def test_what_contains_itself_is_estimated_too() -> None:
    itself: list[object] = []
    itself.append(itself)
    assert estimate_bytes(itself) > 0


LARGE = 200_000


class Words(set[int]):
    pass


@pytest.mark.parametrize(
    "value",
    [
        list(range(LARGE)),
        deque(range(LARGE)),
        Counter(range(LARGE)),
        OrderedDict.fromkeys(range(LARGE)),
        defaultdict(int, dict.fromkeys(range(LARGE), 1)),
        Words(range(LARGE)),
        [deque(range(LARGE)) for _ in range(10)],
    ],
    ids=["list", "deque", "counter", "ordered dict", "default dict", "subclass of set", "nested"],
)
def test_the_parts_that_are_visited_are_few_however_large_the_value_is(
    monkeypatch: pytest.MonkeyPatch, value: object
) -> None:
    longest = 0
    get_referents = gc.get_referents

    def watched(*values: object) -> list[object]:
        nonlocal longest
        referents = get_referents(*values)
        longest = max(longest, len(referents))
        return referents

    monkeypatch.setattr(gc, "get_referents", watched)
    assert estimate_bytes(value) > LARGE
    assert longest < 100
