"""Stores behind a pooler that gives each transaction another session of the server."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from servicekit.engine.clock import SystemClock
from servicekit.jobs.ids import JobIds
from servicekit.jobs.outcome import completion
from servicekit.jobs.retention import Retention
from servicekit.jobs.status import JobStatus, Transition
from servicekit.stores.postgres.address import read_address
from servicekit.stores.postgres.connections import connect, is_pooled
from servicekit.stores.postgres.store import PostgresStore
from servicekit.testing.stores.fakes import RecordingPublisher, RecordingSignals, submission
from tests.many_machines.pooler import run_pooler
from tests.needs import needs
from tests.postgres import PostgresServer

pytestmark = needs("postgresql", "pgbouncer")

ids = JobIds()


@pytest.fixture
def pooled_url(postgres: PostgresServer, postgres_url: str) -> Iterator[str]:
    with run_pooler(postgres) as port:
        yield postgres_url.replace(f":{postgres.port}/", f":{port}/")


class Publisher(RecordingPublisher):
    @property
    def statuses(self) -> list[JobStatus]:
        return [event.record.status for event in self.events if event.record is not None]


class Process:
    def __init__(self, url: str) -> None:
        self.publisher = Publisher()
        self.store = PostgresStore(read_address("url", url), self.publisher, SystemClock(), Retention())
        self.signals = RecordingSignals()


@pytest.fixture
async def processes(pooled_url: str) -> Any:
    processes = [Process(pooled_url), Process(pooled_url)]
    for process in processes:
        await process.store.liveness.open(process.signals)
    yield processes
    for process in processes:
        await process.store.liveness.close()


def test_a_pooler_is_recognised(pooled_url: str, postgres_url: str) -> None:
    for url, is_expected in ((pooled_url, True), (postgres_url, False)):
        with connect(read_address("url", url), purpose="test") as connection:
            assert is_pooled(connection) is is_expected


async def test_jobs_run_and_what_others_do_is_seen_behind_a_pooler(processes: list[Process]) -> None:
    one, other = processes
    job_id = await one.store.submissions.insert(submission(ids.next_id()))
    await other.signals.woken.wait()
    (claim,) = await one.store.attempts.claim(1, ())
    await other.store.submissions.request_cancel(job_id)
    assert await one.signals.canceled.get() == job_id
    assert await one.store.attempts.end_attempt(claim, completion(1)) is Transition.COMPLETE
    record = await other.store.reads.get_record(job_id)
    assert record.status is JobStatus.COMPLETED
    while other.publisher.statuses[-1:] != [JobStatus.COMPLETED]:
        await asyncio.sleep(0.01)
    events = [event.record for event in other.publisher.events if event.record is not None]
    assert {each.submitted_at for each in [record, *events]} == {record.submitted_at}
    # Whatever is set for the server: see `tests.postgres`.
    assert {each.submitted_at.utcoffset() for each in [record, *events]} == {timedelta(0)}
    position = await one.store.changes.get_position()
    assert position == await other.store.changes.get_position()


async def test_it_is_known_that_a_pooler_swallows_notifications(processes: list[Process]) -> None:
    listener = processes[0].store.database.listener
    assert listener is not None
    while not listener.channel.is_deaf:
        await asyncio.sleep(0.01)
