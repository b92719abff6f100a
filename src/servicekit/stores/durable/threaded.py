"""What is the same of every database whose calls are answered by two threads."""

import asyncio
from typing import Any, NoReturn, Protocol, TypeVar

from servicekit.errors import StoreUnavailable
from servicekit.stores.durable.database import Query
from servicekit.stores.durable.database_thread import DatabaseThread
from servicekit.stores.durable.operations import Operation
from servicekit.stores.durable.trouble import LastTrouble

A = TypeVar("A")
R = TypeVar("R")


class _Writer(Protocol):
    trouble: LastTrouble

    def ask(self, operation: object, argument: object) -> "asyncio.Future[Any]": ...

    def hurry(self) -> None: ...


class ThreadedDatabase:
    """The calls of a `Database`: one thread writes, for all callers at once; the other one reads."""

    location: str
    writer: _Writer | None = None
    reader: DatabaseThread | None = None

    def write(self, operation: Operation[A, R], argument: A) -> "asyncio.Future[R]":
        return (self.writer or self._refuse()).ask(operation, argument)

    def read(self, query: Query[A, R], argument: A) -> "asyncio.Future[R]":
        return (self.reader or self._refuse()).ask(query, argument)

    def _refuse(self) -> NoReturn:
        raise StoreUnavailable(self.location, "it is closed.")

    def hurry(self) -> None:
        if self.writer is not None:
            self.writer.hurry()

    def find_trouble(self) -> str | None:
        return None if self.writer is None else self.writer.trouble.find_reason()
