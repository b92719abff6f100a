"""Data that makes no sense here: a newer version or another program has written it."""

from collections.abc import Callable
from typing import Final, TypeVar

P = TypeVar("P")
R = TypeVar("R")

# What a text or a number raises that is none of the kind: `json.loads` of a thousand brackets a `RecursionError`.
NONSENSE: Final = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)


def lenient(read: Callable[[P], R], otherwise: R) -> Callable[[P], R]:
    """A function that reads as `read` does, and returns `otherwise` for data that makes no sense."""

    def try_to_read(part: P) -> R:
        try:
            return read(part)
        except NONSENSE:
            return otherwise

    return try_to_read
