"""Jobs in PostgreSQL: the contract of every store, at the newest version and at the oldest that are here."""

from collections.abc import Iterator
from functools import cached_property
from typing import ClassVar, LiteralString

import psycopg
import pytest
from psycopg import sql

from servicekit.ports import JobStore
from servicekit.stores.postgres.address import Address, read_address
from servicekit.stores.postgres.server_time import ClockTime
from servicekit.stores.postgres.store import PostgresStore
from servicekit.testing.stores import BoundedContract, BoundsByStatus, SharedStoreContract, StoreSetting
from tests.needs import needs
from tests.postgres import NEWEST, OLDEST, Extent, shared_server
from tests.stores.durable_contract import DurableStoreContract

pytestmark = needs("postgresql")


class Tables:
    """The tables of a database. They are made once, and emptied after each test: both take longer than most tests."""

    def __init__(self, address: Address, connection: psycopg.Connection) -> None:
        self.address = address
        self._connection = connection

    def empty(self) -> None:
        """Make the tables as new."""
        self._connection.execute(self._emptying)

    @cached_property
    def _emptying(self) -> sql.Composed:
        """A transaction of statements in one text: most of their time would be the way there and back."""
        tables = "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename <> 'migrations'"
        sequences = "SELECT sequencename FROM pg_sequences WHERE schemaname = %s"
        statements = [
            *self._compose("DELETE FROM {}", tables),
            *self._compose("ALTER SEQUENCE {} RESTART", sequences),
            # These have one row from the beginning.
            *[sql.SQL("INSERT INTO {} VALUES (0)").format(self._name(name)) for name in ("clock", "forgotten")],
        ]
        return sql.SQL("; ").join(statements)

    def _compose(self, statement: LiteralString, query: LiteralString) -> list[sql.Composed]:
        rows = self._connection.execute(query, [self.address.schema]).fetchall()
        return [sql.SQL(statement).format(self._name(name)) for (name,) in rows]

    def _name(self, name: str) -> sql.Identifier:
        return sql.Identifier(self.address.schema, name)


@pytest.fixture(scope="class")
def tables_of_class(request: pytest.FixtureRequest) -> Iterator[Tables]:
    with shared_server(request.cls.extent).new_database() as url, psycopg.connect(url, autocommit=True) as connection:
        yield Tables(read_address("url", url + request.cls.parameters), connection)


class InPostgres:
    """How the suite makes a store: those of one test share a database."""

    extent: ClassVar[Extent] = NEWEST
    parameters: ClassVar[str] = ""

    @pytest.fixture(autouse=True)
    def _place(self, tables_of_class: Tables) -> Iterator[None]:
        self.address = tables_of_class.address
        yield
        tables_of_class.empty()

    def create_store(self, setting: StoreSetting) -> JobStore:
        return PostgresStore(
            self.address,
            setting.publisher,
            setting.clock,
            setting.retention,
            max_pending=setting.max_pending,
            scan_limit=setting.scan_limit,
            time=ClockTime(setting.clock),
        )


class InAnOldPostgres(InPostgres):
    """The oldest version; and another schema than the default."""

    extent = OLDEST
    parameters = "?schema=Jobs-of-Ada"


class TestPostgresStore(InPostgres, DurableStoreContract):
    """What every database promises."""


class TestBoundsInPostgres(InPostgres, BoundedContract):
    """Its bounds."""


class TestBoundsByStatusInPostgres(InPostgres, BoundsByStatus):
    """Its bounds by status."""


class TestASharedDatabase(InPostgres, SharedStoreContract):
    """What holds for several processes."""


class TestAnOldPostgresStore(InAnOldPostgres, DurableStoreContract):
    """What every database promises, at the oldest version."""


class TestAnOldSharedDatabase(InAnOldPostgres, SharedStoreContract):
    """What holds for several processes, at the oldest version."""
