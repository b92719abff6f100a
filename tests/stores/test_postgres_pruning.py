"""What pruning a database does beside the contract of all stores: counts, queues, and several processes."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from servicekit.engine.clock import SystemClock
from servicekit.jobs.ids import JobIds
from servicekit.jobs.outcome import completion
from servicekit.jobs.retention import Retention
from servicekit.jobs.status import JobStatus
from servicekit.stores.durable.requests import Prune
from servicekit.stores.durable.times import time_text
from servicekit.stores.postgres.address import read_address
from servicekit.stores.postgres.connections import connect
from servicekit.stores.postgres.pruning import prune
from servicekit.stores.postgres.session import Session
from servicekit.stores.postgres.store import PostgresStore
from servicekit.testing.stores.fakes import RecordingPublisher, RecordingSignals, submission
from tests.needs import needs

pytestmark = needs("postgresql")

ids = JobIds()
NOTHING = Prune([], 100, *[time_text(datetime.now(UTC) - timedelta(days=1))] * 3)


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(read_address("url", postgres_url), RecordingPublisher(), SystemClock(), Retention())
    await store.liveness.open(RecordingSignals())
    yield store
    await store.liveness.close()


@contextmanager
def open_session(url: str, shard: int) -> Iterator[Session]:
    with connect(read_address("url", url), purpose="test") as connection:
        session = Session(connection)
        session.shard = shard
        yield session


async def test_counts_of_processes_that_are_gone_are_put_together(store: PostgresStore, postgres_url: str) -> None:
    with open_session(postgres_url, 0) as session:
        session.run("INSERT INTO servicekit.counts VALUES ('a', 'pending', 7, 5), ('a', 'pending', 9, -2)")
        session.run("INSERT INTO servicekit.counts VALUES ('b', 'failed', 7, 4), ('b', 'failed', 0, -4)")
        prune.write(session, [NOTHING])
        assert session.run("SELECT * FROM servicekit.counts") == [("a", "pending", 0, 3)]
        prune.write(session, [NOTHING])
        assert session.run("SELECT * FROM servicekit.counts") == [("a", "pending", 0, 3)]


async def test_counts_of_owners_are_put_together_step_by_step(store: PostgresStore, postgres_url: str) -> None:
    of_each = (("pending", 7, 5), ("pending", 9, -2), ("failed", 0, 0), ("running", 0, 1))
    rows = [(f"owner {number:04}", *row) for number in range(1_100) for row in of_each]
    with open_session(postgres_url, 0) as session:
        session.run(
            "INSERT INTO servicekit.owner_counts SELECT * FROM unnest(%s::text[], %s::text[], %s::int[], %s::bigint[])",
            list(map(list, zip(*rows, strict=True))),
        )
        left = []
        for _ in range(3):
            prune.write(session, [NOTHING])
            left += session.run("SELECT count(*) FROM servicekit.owner_counts")
        assert left == [(3_400,), (2_400,), (2_200,)]
        query = "SELECT status, shard, jobs, count(*) FROM servicekit.owner_counts GROUP BY 1, 2, 3 ORDER BY 1"
        assert session.run(query) == [("pending", 0, 3, 1_100), ("running", 0, 1, 1_100)]
        session.run("UPDATE servicekit.owner_counts SET jobs = 0")
        for _ in range(3):
            prune.write(session, [NOTHING])
        assert session.run("SELECT count(*) FROM servicekit.owner_counts") == [(0,)]


async def test_counts_stay_right_whoever_writes_meanwhile(store: PostgresStore, postgres_url: str) -> None:
    """Rows that others write, in transactions that are open or have just ended, lose nothing."""
    count = "INSERT INTO servicekit.counts AS known VALUES ('a', 'failed', %s, %s) "
    add = count + "ON CONFLICT (queue, status, shard) DO UPDATE SET jobs = known.jobs + EXCLUDED.jobs"
    with open_session(postgres_url, 0) as pruner, open_session(postgres_url, 8) as writer:
        pruner.run("INSERT INTO servicekit.counts VALUES ('a', 'failed', 7, 1), ('a', 'failed', 8, -1)")
        with writer.connection.transaction():
            writer.run(add, [8, 5])
            prune.write(pruner, [NOTHING])  # it does not wait for the writer
        assert pruner.run("SELECT sum(jobs) FROM servicekit.counts") == [(5,)]
        with pruner.connection.transaction():
            prune.write(pruner, [NOTHING])
            asked = asyncio.get_running_loop().run_in_executor(None, writer.run, add, [8, 2])
            while not pruner.run("SELECT 1 FROM pg_locks WHERE NOT granted"):
                await asyncio.sleep(0.005)
        await asked
        prune.write(pruner, [NOTHING])
        assert pruner.run("SELECT shard, jobs FROM servicekit.counts") == [(0, 7)]


async def test_a_queue_stays_while_somebody_may_add_a_job_to_it(store: PostgresStore, postgres_url: str) -> None:
    await store.queues.set_queue_paused("kept", is_paused=True)
    await store.queues.set_queue_paused("default", is_paused=False)
    with open_session(postgres_url, 0) as session:
        names = "SELECT name FROM servicekit.queues ORDER BY name"
        with psycopg.connect(postgres_url) as writer:
            writer.execute("SELECT pg_advisory_xact_lock_shared(%s)", [session.lock_number("events")])
            prune.write(session, [NOTHING])
            assert session.run(names) == [("default",), ("kept",)]
        prune.write(session, [NOTHING])
        assert session.run(names) == [("kept",)]
    job_id = await store.submissions.insert(submission(ids.next_id()))
    assert [claim.submission.id for claim in await store.attempts.claim(1, ())] == [job_id]


async def test_only_one_process_prunes_at_a_time(postgres_url: str) -> None:
    retention = Retention(max_count=1)
    store = PostgresStore(read_address("url", postgres_url), RecordingPublisher(), SystemClock(), retention)
    await store.liveness.open(RecordingSignals())
    for _ in range(3):
        await store.submissions.insert(submission(ids.next_id()))
    for claim in await store.attempts.claim(3, ()):
        await store.attempts.end_attempt(claim, completion(None))
    with open_session(postgres_url, 0) as session:
        session.run("UPDATE servicekit.jobs SET finished_at = finished_at - interval '1 minute'")
        with session.connection.transaction():
            prune.write(session, [NOTHING])
            assert not await store.liveness.prune(10)
            assert (await store.reads.count_by_status())[JobStatus.COMPLETED] == 3
    await store.liveness.prune(10)
    assert (await store.reads.count_by_status())[JobStatus.COMPLETED] == 1
    await store.liveness.close()
