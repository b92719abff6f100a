"""An estimate of the memory that a value holds."""

import gc
import sys
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from types import FunctionType, ModuleType
from typing import Any, Final

_MOST_VALUES: Final = 500  # bounds the cost, which each job with a result pays on the event loop
_SAMPLE: Final = 50  # a tenth of these, so that one large container does not use all of them up
_UNKNOWN_BYTES: Final = 1_024  # any value but 0: results of an unknown size must still count against the limit

# How to go through containers. These methods are called and not the value's own, which a subclass may have replaced.
_CONTAINERS: Final[dict[Any, tuple[Callable[[Any], Iterable[object]], ...]]] = {
    dict: (dict.keys, dict.values),
    list: (list.__iter__,),
    tuple: (tuple.__iter__,),
    set: (set.__iter__,),
    frozenset: (frozenset.__iter__,),
    deque: (deque.__iter__,),
}


def estimate_bytes(value: object) -> int:
    """An estimate of the bytes of memory that a value holds: the sum of its parts, of large containers a sample.

    Its cost is bounded whatever the value is, and it never raises.
    """
    if value is None or type(value) in (bool, int, float):
        return 32  # what CPython needs for most numbers, without a call
    try:
        return _estimate(value)
    except BaseException:  # `__sizeof__` and the like can be the user's code, and another thread can change the value
        return _UNKNOWN_BYTES


def _estimate(value: object) -> int:
    total = 0.0
    waiting: deque[tuple[object, float]] = deque([(value, 1.0)])
    for _ in range(_MOST_VALUES):
        if not waiting:
            break
        part, weight = waiting.popleft()
        total += weight * sys.getsizeof(part, 64)  # 64 bytes, a small object's, for one that does not know its size
        waiting.extend((inner, weight * share) for inner, share in _list_parts(part))
    return int(total)


def _list_parts(value: object) -> list[tuple[object, float]]:
    """A sample of the parts of a value, each with the number of parts for which it stands."""
    if isinstance(value, str | bytes | type | ModuleType | FunctionType):
        return []
    container = next((base for base in _CONTAINERS if issubclass(type(value), base)), None)
    if container is None:
        return _weigh([part for part in gc.get_referents(value) if not isinstance(part, type)])
    # Not by `gc.get_referents`, which would list all parts, and cost as much as the container is long.
    count = container.__len__(value)
    parts = [part for iterate in _CONTAINERS[container] for part in _sample(iterate(value), count)]
    return [*parts, *_weigh([vars(value)] if hasattr(value, "__dict__") else [])]


def _weigh(parts: list[object]) -> list[tuple[object, float]]:
    return [(part, len(parts) / min(len(parts), _SAMPLE)) for part in parts[:_SAMPLE]]


def _sample(values: Iterable[object], count: int) -> list[tuple[object, float]]:
    """Up to `_SAMPLE` of the values, spread over them: the first ones may not be like the rest.

    They are spread over the first five thousand only, since `islice` walks over all in between.
    """
    step = max(1, min(count, 100 * _SAMPLE) // _SAMPLE)
    sample = list(islice(values, 0, step * _SAMPLE, step))
    return [(value, count / len(sample)) for value in sample]
