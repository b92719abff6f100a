"""How much memory a value holds, estimated."""

import gc
import sys
from collections import deque
from collections.abc import Collection
from itertools import islice
from types import FunctionType, ModuleType
from typing import Final, TypeVar

T = TypeVar("T")

_MOST_VALUES: Final = 500
_SAMPLE: Final = 50
_UNKNOWN_BYTES: Final = 1_024


def estimate_bytes(value: object) -> int:
    """The memory of a value in bytes: by what its parts say of themselves, a sample standing for the rest.

    An estimate whose cost is bounded whatever the value is, and which never raises.
    """
    if value is None or type(value) in (bool, int, float):
        return 32
    try:
        return _estimate(value)
    except BaseException:  # __sizeof__ and the like can be the user's code, and another thread may change the value
        return _UNKNOWN_BYTES


def _estimate(value: object) -> int:
    total = 0.0
    waiting: deque[tuple[object, float]] = deque([(value, 1.0)])
    for _ in range(_MOST_VALUES):
        if not waiting:
            break
        part, weight = waiting.popleft()
        total += weight * sys.getsizeof(part, 64)
        sample, count = _sample_parts(part)
        waiting.extend((inner, weight * count / len(sample)) for inner in sample)
    return int(total)


def _sample_parts(value: object) -> tuple[list[object], int]:
    """Some of what the value refers to, and of how much that is a sample."""
    if isinstance(value, str | bytes | type | ModuleType | FunctionType):
        return [], 0
    if type(value) is dict:
        items = [part for item in _spread(value.items()) for part in item]
        return items, 2 * len(value)
    if type(value) in (list, tuple, set, frozenset):
        assert isinstance(value, Collection)
        return list(_spread(value)), len(value)
    parts = [part for part in gc.get_referents(value) if not isinstance(part, type)]
    return parts[:_SAMPLE], len(parts)


def _spread(values: Collection[T]) -> list[T]:
    """Up to fifty of the values, from all over the collection rather than from its beginning."""
    step = max(1, min(len(values), 100 * _SAMPLE) // _SAMPLE)
    return list(islice(values, 0, step * _SAMPLE, step))
