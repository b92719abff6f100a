"""The writes that a store can be asked for. Each is declared once, beside its statement.

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
    """Who works on the jobs, and how the clock is set."""
    SETTING = auto()
    """Schedules and queues."""
    SUBMIT = auto()
    REPORT = auto()
    """What an attempt says."""
    END = auto()
    """What an attempt has come to."""
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
    CLAIM = auto()


class Operation(Generic[A, R]):
    """One kind of write: `write` does it in a transaction, for all who ask for it."""

    __slots__ = ("if_abandoned", "rank", "then", "write")

    def __init__(self, rank: Rank, write: Callable[[Any, list[A]], Sequence[R | Exception]]) -> None:
        self.rank = rank
        self.write = write
        """For each argument the answer to its caller. An exception is raised there."""
        self.then: Callable[[Aftermath, A, R], None] | None = None
        """Done with each answer, also if nobody waits for that any more."""
        self.if_abandoned: Callable[[Aftermath, A, R], None] | None = None
        """Done if nobody waits any more."""

    def afterwards(self, then: Callable[[Aftermath, A, R], None]) -> Callable[[Aftermath, A, R], None]:
        """A decorator: what is done with each answer."""
        self.then = then
        return then

    def abandoned(self, then: Callable[[Aftermath, A, R], None]) -> Callable[[Aftermath, A, R], None]:
        """A decorator: what is done with an answer for which nobody waits any more."""
        self.if_abandoned = then
        return then


def for_all(rank: Rank) -> Callable[[Callable[[W, list[A]], Sequence[R | Exception]]], Operation[A, R]]:
    """Declare a write that is done for many callers at once."""

    def declare(write: Callable[[W, list[A]], Sequence[R | Exception]]) -> Operation[A, R]:
        return Operation(rank, write)

    return declare


def for_each(rank: Rank) -> Callable[[Callable[[W, A], R]], Operation[A, R]]:
    """Declare a write that is done for one caller after the other. Our own errors are for that caller alone."""

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
