"""What is written together, so that as little as possible has to be synced."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from servicekit.engine.clock import SystemClock
from servicekit.engine.factory import create_scheduler
from servicekit.jobs.ids import JobIds
from servicekit.jobs.retention import Retention
from servicekit.jobs.status import JobStatus
from servicekit.stores.sqlite import claims, inserts, writes
from servicekit.stores.sqlite.store import SqliteStore
from servicekit.testing.stores.fakes import RecordingPublisher, RecordingSignals, submission
from tests.fakes import noop
from tests.stores.test_faults import hook_connections

COUNTED = (inserts._INSERT_PLAIN, claims._CLAIM, writes._END, writes._END_ALONE)
ids = JobIds()


class Transactions:
    """Notes which of the counted statements were committed together."""

    def __init__(self) -> None:
        self.committed: list[list[str]] = []
        self._open: list[str] = []

    def hear(self, _: sqlite3.Connection | None, statement: str) -> None:
        if statement in COUNTED:
            self._open.append(statement)
        elif statement == "COMMIT" and self._open:
            self.committed.append(self._open)
            self._open = []


@pytest.fixture
def transactions(monkeypatch: pytest.MonkeyPatch) -> Transactions:
    transactions = Transactions()
    hook_connections(monkeypatch, transactions.hear)
    return transactions


async def open_store(path: Path) -> SqliteStore:
    store = SqliteStore(path, RecordingPublisher(), SystemClock(), Retention())
    await store.liveness.open(RecordingSignals())
    return store


async def test_what_is_asked_in_one_turn_of_the_event_loop_is_written_at_once(
    tmp_path: Path, transactions: Transactions
) -> None:
    store = await open_store(tmp_path / "jobs.db")
    inserting = asyncio.gather(*[store.submissions.insert(submission(ids.next_id())) for _ in range(50)])
    claimed = await store.attempts.claim(100, ())
    assert [claim.submission.id for claim in claimed] == await inserting
    assert transactions.committed == [[inserts._INSERT_PLAIN, claims._CLAIM]]
    await store.liveness.close()


async def test_a_job_that_is_waited_for_takes_two_transactions(tmp_path: Path, transactions: Transactions) -> None:
    async with create_scheduler(f"sqlite:///{tmp_path / 'jobs.db'}") as scheduler:
        await scheduler.wait(await scheduler.add_job(noop))  # the worker begins with a claim of its own
        transactions.committed.clear()
        for _ in range(10):
            job_id = await scheduler.add_job(noop)
            assert (await scheduler.wait(job_id)).status is JobStatus.COMPLETED
    assert transactions.committed == 10 * [[inserts._INSERT_PLAIN, claims._CLAIM], [writes._END_ALONE]]


async def test_what_was_asked_just_before_the_end_is_written(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "jobs.db")
    job_id = ids.next_id()
    inserting = asyncio.ensure_future(store.submissions.insert(submission(job_id)))
    await asyncio.sleep(0)
    store.file.stop()
    assert await inserting == job_id
    store = await open_store(tmp_path / "jobs.db")
    assert (await store.reads.get_record(job_id)).status is JobStatus.PENDING
    await store.liveness.close()
