"""The seam between a store and its database: what a database offers besides its statements."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol, TypeVar

from servicekit.errors import StoreUnavailable
from servicekit.jobs.workers import Readiness, WorkerRecord
from servicekit.ports import ClockSetting
from servicekit.stores.durable.news import News
from servicekit.stores.durable.operations import Operation
from servicekit.stores.durable.requests import Member, NextMoment

A = TypeVar("A")
R = TypeVar("R")

Query = Callable[[Any, A], R]
"""A read of committed data. It gets the connection and the argument."""


class Database(Protocol):
    """A database of jobs. From `start` to `stop` it belongs to the event loop on which it was started."""

    @property
    def location(self) -> str:
        """The place of the jobs, for people."""
        ...

    @property
    def registration(self) -> "Registration": ...

    def now(self) -> datetime:
        """The time of all that is written: see `StoreLiveness.now`. May be asked from any thread."""
        ...

    def setting(self) -> ClockSetting:
        """How the clock of this time is set now: see `Clock.setting`."""
        ...

    def start(self, report: Callable[[News], None]) -> None:
        """Start to take calls. The database is opened at the first one. `report` gets all news, from any thread."""
        ...

    def stop(self) -> None:
        """Finish all calls that were made so far, and close the database. Do not wait long for a server."""
        ...

    def forget_parent(self) -> None:
        """In a forked child: do not touch what the parent has opened, and become a process of its own."""
        ...

    def write(self, operation: Operation[A, R], argument: A) -> "asyncio.Future[R]":
        """Write in one transaction with all calls that wait. The answer is reported when it is committed.

        `StoreUnavailable` if the write failed, or if that is not known.
        """
        ...

    def read(self, query: Query[A, R], argument: A) -> "asyncio.Future[R]": ...

    def hurry(self) -> None:
        """The process is about to end: from now on, wait only a moment for a lock."""
        ...

    def find_trouble(self) -> str | None:
        """Why the last write failed, if that was not long ago; or `None`."""
        ...

    async def find_notice(self) -> str | None:
        """What is wrong there, in words, while all calls are answered; or `None`. `StoreUnavailable`."""
        ...

    def patience_for(self, error: StoreUnavailable) -> float:
        """For how many seconds a process that starts waits until this has passed; infinite for others' locks."""
        ...


class Registration(Protocol):
    """The entry of this process in the list of processes, and the means to see which of the others live."""

    runs_jobs: bool
    """Whether other processes may leave jobs to this one: from its first claim on."""
    told_readiness: Readiness | None
    """What the others know of this process; `None` if they may know nothing. Whoever tells them notes it here."""

    @property
    def number(self) -> int:
        """The number of this process in the list; 0 if it is not on it."""
        ...

    @property
    def guard(self) -> int | None:
        """See `AttemptStore.guard`."""
        ...

    @property
    def held_seconds(self) -> float:
        """For how long it is certain that no other process takes the jobs of this one over, if all goes wrong from now.

        Infinite if that is so for as long as this process lives; 0 if others may do it.
        """
        ...

    @property
    def is_lost(self) -> bool:
        """Whether it is known that others took this process for dead: what it writes as this number does not count."""
        ...

    def find_next(self) -> NextMoment | None:
        """What `TimeStatements.find_next` would find, if that is known without asking."""
        ...

    def prepare(self) -> bool:
        """Get ready to be registered. Return whether this was not done before. `StoreUnavailable` if it fails."""
        ...

    async def take(self, database: Database, now: str) -> None:
        """Register this process, unless it is registered already."""
        ...

    async def take_another(self, database: Database, now: str) -> None:
        """Register this process anew: others took it for dead, and have taken its jobs over."""
        ...

    async def renew(self, database: Database, now: str) -> None:
        """Restore the sign of life of this process, if somebody has removed it."""
        ...

    async def list_dead(self, database: Database) -> list[Member]:
        """The processes that have died and whose jobs must be taken over: nothing that they write counts any more."""
        ...

    async def list_living(self, database: Database) -> list[WorkerRecord]:
        """The processes that are alive, this one included, in any order."""
        ...

    def forget(self, member: Member) -> None:
        """Remove what a dead process has left. Its jobs have been taken over."""
        ...

    def remove_leftovers(self) -> None:
        """Remove what is left of processes that are not on the list."""
        ...

    async def leave(self, database: Database) -> None:
        """Leave the list, unless attempts still run: no other process may start those again while this one lives."""
        ...

    def abandon(self) -> None:
        """Take the sign of life away: this process works no more."""
        ...
