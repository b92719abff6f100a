"""The kinds of writes of a store. Each is declared once, beside its statement.

What waits at the same time is written in one transaction, operation by operation, in the order of their ranks. An
operation says as well what is to be done when that is committed.
"""

from collections.abc import Callable, Sequence
from enum import IntEnum, auto
from typing import Any, Generic, TypeVar

from servicekit.errors import ServicekitError
from servicekit.stores.durable.aftermath import Aftermath

A = TypeVar("A")
R = TypeVar("R")
W = TypeVar("W")


class Rank(IntEnum):
    """The place of an operation in its transaction.

    Calls that wait at the same time may be answered in any order. What frees slots and what fills the queue comes
    first, so that a claim finds it; and what an attempt has said comes before its end, after which it counts no more.
    """

    PROCESS = auto()
    """The list of processes, and the setting of the clock."""
    SETTING = auto()
    """Schedules and queues."""
    SUBMIT = auto()
    REPORT = auto()
    """Progress and log lines of attempts."""
    END = auto()
    """The ends of attempts."""
    CANCEL = auto()
    DELETE = auto()
    """Comes after the requests to cancel, which do not find a deleted job."""
    TAKE_OVER = auto()
    """What becomes of the jobs of a process that has died ..."""
    RETIRE = auto()
    """... and of one that stops, before it is removed from the list of processes."""
    LEAVE = auto()
    TIME = auto()
    PRUNE = auto()
    COUNT = auto()
    """What was counted of jobs."""
    CLAIM = auto()


class Operation(Generic[A, R]):
    """One kind of write. `write` performs it in a transaction, for all callers at once."""

    __slots__ = ("if_abandoned", "rank", "then", "write")

    def __init__(self, rank: Rank, write: Callable[[Any, list[A]], Sequence[R | Exception]]) -> None:
        self.rank = rank
        self.write = write
        """For each argument the answer to its caller. An exception is raised there."""
        self.then: Callable[[Aftermath, A, R], None] | None = None
        """Called with each answer, also if its caller does not wait any more."""
        self.if_abandoned: Callable[[Aftermath, A, R], None] | None = None
        """Called with an answer whose caller does not wait any more."""

    def afterwards(self, then: Callable[[Aftermath, A, R], None]) -> Callable[[Aftermath, A, R], None]:
        """A decorator for the function that is called with each answer."""
        self.then = then
        return then

    def abandoned(self, then: Callable[[Aftermath, A, R], None]) -> Callable[[Aftermath, A, R], None]:
        """A decorator for the function that is called if the caller does not wait any more."""
        self.if_abandoned = then
        return then


def for_all(rank: Rank) -> Callable[[Callable[[W, list[A]], Sequence[R | Exception]]], Operation[A, R]]:
    """Declare a write that handles many callers in one call."""

    def declare(write: Callable[[W, list[A]], Sequence[R | Exception]]) -> Operation[A, R]:
        return Operation(rank, write)

    return declare


def for_each(rank: Rank) -> Callable[[Callable[[W, A], R]], Operation[A, R]]:
    """Declare a write that handles one caller after the other. One of our own errors concerns that caller alone."""

    def declare(write: Callable[[W, A], R]) -> Operation[A, R]:
        def write_each(connection: W, arguments: list[A]) -> list[R | Exception]:
            return [_try(write, connection, argument) for argument in arguments]

        return Operation(rank, write_each)

    return declare


def _try(write: Callable[[W, A], R], connection: W, argument: A) -> R | Exception:
    try:
        return write(connection, argument)
    except ServicekitError as error:  # it has changed nothing, and only its caller need know
        return error
