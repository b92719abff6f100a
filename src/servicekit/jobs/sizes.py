"""How much memory a value holds, estimated."""

import gc
import sys
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from types import FunctionType, ModuleType
from typing import Any, Final

_MOST_VALUES: Final = 500
_SAMPLE: Final = 50
_UNKNOWN_BYTES: Final = 1_024

# How to go through them. By these, since a subclass may have other ideas of it.
_CONTAINERS: Final[dict[Any, tuple[Callable[[Any], Iterable[object]], ...]]] = {
    dict: (dict.keys, dict.values),
    list: (list.__iter__,),
    tuple: (tuple.__iter__,),
    set: (set.__iter__,),
    frozenset: (frozenset.__iter__,),
    deque: (deque.__iter__,),
}


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
        waiting.extend((inner, weight * share) for inner, share in _list_parts(part))
    return int(total)


def _list_parts(value: object) -> list[tuple[object, float]]:
    """Some of what the value refers to, each with how many of its like it stands for."""
    if isinstance(value, str | bytes | type | ModuleType | FunctionType):
        return []
    container = next((base for base in _CONTAINERS if issubclass(type(value), base)), None)
    if container is None:
        return _weigh([part for part in gc.get_referents(value) if not isinstance(part, type)])
    # Never all of its referents: to list them costs as much as the value is long.
    count = container.__len__(value)
    parts = [part for iterate in _CONTAINERS[container] for part in _sample(iterate(value), count)]
    return [*parts, *_weigh([vars(value)] if hasattr(value, "__dict__") else [])]


def _weigh(parts: list[object]) -> list[tuple[object, float]]:
    return [(part, len(parts) / min(len(parts), _SAMPLE)) for part in parts[:_SAMPLE]]


def _sample(values: Iterable[object], count: int) -> list[tuple[object, float]]:
    """Up to fifty of so many values, from all over them rather than from their beginning."""
    step = max(1, min(count, 100 * _SAMPLE) // _SAMPLE)
    sample = list(islice(values, 0, step * _SAMPLE, step))
    return [(value, count / len(sample)) for value in sample]
