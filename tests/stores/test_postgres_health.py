"""What the health of a service tells of a server on which jobs are accepted and run."""

from collections.abc import AsyncIterator

import psycopg
import pytest

from servicekit.engine.clock import SystemClock
from servicekit.jobs.retention import Retention
from servicekit.ports import Notice
from servicekit.stores.postgres import health
from servicekit.stores.postgres.address import read_address
from servicekit.stores.postgres.store import PostgresStore
from servicekit.testing.stores.fakes import RecordingPublisher, RecordingSignals, wait_healthy
from tests.needs import needs
from tests.postgres import run_postgres

pytestmark = needs("postgresql")


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(read_address("url", postgres_url), RecordingPublisher(), SystemClock(), Retention())
    await store.liveness.open(RecordingSignals())
    yield store
    await store.liveness.close()


async def test_all_is_well(store: PostgresStore) -> None:
    await wait_healthy(store.liveness)
    assert await store.database.find_notice() is None


async def test_a_forgotten_transaction_is_told_with_its_session(
    store: PostgresStore, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_LONG_SECONDS", 0.0)
    with psycopg.connect(postgres_url, application_name="a long report") as other:
        other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT 1")
        while "(a long report)" not in str(problem := await store.liveness.find_problem()):
            pass  # another one of the store itself may be open
        assert isinstance(problem, Notice)  # the service works
        assert f"session {other.info.backend_pid} (a long report) has a transaction open" in problem
    await wait_healthy(store.liveness)


async def test_a_replication_slot_that_nobody_reads_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_MANY_TRANSACTIONS", 10)
    settings = ("wal_level=logical", "max_replication_slots=1", "max_wal_senders=1", "max_prepared_transactions=1")
    with run_postgres(settings=settings) as server, server.new_database() as url:
        store = PostgresStore(read_address("url", url), RecordingPublisher(), SystemClock(), Retention())
        await store.liveness.open(RecordingSignals())
        name = url.rpartition("/")[2]
        server.execute("SELECT pg_create_logical_replication_slot('forgotten', 'pgoutput')", database=name)
        assert await store.database.find_notice() is None
        for _ in range(12):
            server.execute("SELECT pg_current_xact_id()", database=name)
        assert "replication slot forgotten" in (await store.database.find_notice() or "")
        server.execute("SELECT pg_drop_replication_slot('forgotten')", database=name)
        monkeypatch.setattr(health, "_LONG_SECONDS", 0.0)
        server.execute("BEGIN; CREATE TABLE other (n integer); PREPARE TRANSACTION 'half done'", database=name)
        assert "prepared transaction half done is open" in (await store.database.find_notice() or "")
        server.execute("ROLLBACK PREPARED 'half done'", database=name)
        await wait_healthy(store.liveness)
        await store.liveness.close()


async def test_connections_that_are_nearly_used_up_are_told(store: PostgresStore, postgres_url: str) -> None:
    name = postgres_url.rpartition("/")[2]
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 8".encode())
        assert await store.database.find_notice() is None
        more = [psycopg.connect(postgres_url) for _ in range(2)]
        told = "6 of 8 connections to the database server are in use"
        while told not in (await store.database.find_notice() or ""):
            pass  # one that was closed a moment ago may be counted yet
        for connection in more:
            connection.close()
