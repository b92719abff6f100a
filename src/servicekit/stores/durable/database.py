"""The seam between a store and its database: what a database has to offer beside its statements."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from servicekit.errors import StoreUnavailable
from servicekit.stores.durable.news import News
from servicekit.stores.durable.operations import Operation
from servicekit.stores.durable.requests import Member

A = TypeVar("A")
R = TypeVar("R")

Query = Callable[[Any, A], R]
"""What is read at once, on what is committed: it gets the connection, and the argument."""


class Database(Protocol):
    """Where jobs are kept. From `start` to `stop` it belongs to the event loop on which it was started."""

    @property
    def location(self) -> str:
        """Where that is, for people."""
        ...

    @property
    def registration(self) -> "Registration": ...

    def start(self, report: Callable[[News], None]) -> None:
        """Open it, as soon as it is asked for something. `report` gets all news, also from other threads."""
        ...

    def stop(self) -> None:
        """Do all that was asked so far, and close it."""
        ...

    def forget_parent(self) -> None:
        """In a forked child: leave what the parent has opened alone, and be a process of one's own."""
        ...

    def write(self, operation: Operation[A, R], argument: A) -> "asyncio.Future[R]":
        """Have it written with all others that wait; the answer is reported when it is committed.

        `StoreUnavailable` if it could not be, or if that is not known.
        """
        ...

    def read(self, query: Query[A, R], argument: A) -> "asyncio.Future[R]": ...

    def hurry(self) -> None:
        """The process is about to end: wait no longer than a moment for anything."""
        ...

    def find_trouble(self) -> str | None:
        """What was wrong with the last thing that was to be written, if that was not long ago."""
        ...

    def is_busy(self, error: StoreUnavailable) -> bool:
        """Whether all that is wrong is that somebody else works on it for so long."""
        ...


class Registration(Protocol):
    """This process among those that work on the jobs, and the way to see whether the others live."""

    runs_jobs: bool
    """Whether others know that jobs can be left to this process; they do from its first claim on."""

    @property
    def number(self) -> int:
        """This process's; 0: it has none."""
        ...

    @property
    def guard(self) -> int | None:
        """See `AttemptStore.guard`."""
        ...

    def prepare(self) -> bool:
        """Make ready to work on the jobs, and say whether that was not so before; `StoreUnavailable`."""
        ...

    async def take(self, database: Database, now: str) -> None:
        """Have a number, or keep the one that there is."""
        ...

    async def take_another(self, database: Database, now: str) -> None:
        """Have a new number: others took this process for dead, and its jobs are theirs."""
        ...

    async def renew(self, database: Database, now: str) -> None:
        """Mend what shows others that this process lives, if somebody has removed it."""
        ...

    async def list_dead(self, database: Database) -> list[Member]:
        """The processes whose jobs somebody has to take over."""
        ...

    def forget(self, member: Member) -> None:
        """Its jobs are taken over: remove what it has left."""
        ...

    def remove_leftovers(self) -> None:
        """Remove what processes have left that nobody knows any more."""
        ...

    async def leave(self, database: Database) -> None:
        """Give the number up, unless attempts still run: nobody may start those again while this process lives."""
        ...

    def abandon(self) -> None:
        """Let others see that this process works no more."""
        ...
