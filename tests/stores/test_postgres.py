"""Jobs in PostgreSQL: the contract of every store, at the newest version and at the oldest that are here."""

from collections.abc import Iterator
from typing import ClassVar

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


@pytest.fixture(scope="class")
def database_of_class(request: pytest.FixtureRequest) -> Iterator[str]:
    """Its tables are made once, which takes longer than most tests."""
    with shared_server(request.cls.extent).new_database() as url:
        yield url + request.cls.parameters


def empty_tables(address: Address) -> None:
    """Make the tables as new."""
    tables = "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename <> 'migrations'"
    sequences = "SELECT sequencename FROM pg_sequences WHERE schemaname = %s"
    with psycopg.connect(address.conninfo) as connection:
        for (name,) in connection.execute(tables, [address.schema]).fetchall():
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(address.schema, name)))
        for (name,) in connection.execute(sequences, [address.schema]).fetchall():
            connection.execute(sql.SQL("ALTER SEQUENCE {} RESTART").format(sql.Identifier(address.schema, name)))
        for name in ("clock", "forgotten"):  # these have one row from the beginning
            connection.execute(sql.SQL("INSERT INTO {} VALUES (0)").format(sql.Identifier(address.schema, name)))


class InPostgres:
    """How the suite makes a store: those of one test share a database."""

    extent: ClassVar[Extent] = NEWEST
    parameters: ClassVar[str] = ""

    @pytest.fixture(autouse=True)
    def _place(self, database_of_class: str) -> Iterator[None]:
        self.address = read_address("url", database_of_class)
        yield
        empty_tables(self.address)

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
