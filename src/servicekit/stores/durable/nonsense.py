"""What makes no sense: a newer version may have written it, or another program."""

from collections.abc import Callable
from typing import Final, TypeVar

P = TypeVar("P")
R = TypeVar("R")

# What a text or a number raises that is none of the kind: `json.loads` of a thousand brackets a `RecursionError`.
NONSENSE: Final = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)


def lenient(read: Callable[[P], R], otherwise: R) -> Callable[[P], R]:
    """Read a part of a record; something else if that makes no sense."""

    def try_to_read(part: P) -> R:
        try:
            return read(part)
        except NONSENSE:
            return otherwise

    return try_to_read
