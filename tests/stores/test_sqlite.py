from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from servicekit.jobs.retention import Retention
from servicekit.ports import JobStore
from servicekit.stores.sqlite.store import SqliteStore
from tests.fakes import FakeClock, RecordingPublisher
from tests.stores.contract import JobStoreContract


class RecordingSignals:
    """What the engine was told."""

    def __init__(self) -> None:
        self.wakes = 0
        self.canceled: list[str] = []

    def wake(self) -> None:
        self.wakes += 1

    def cancel(self, job_id: str) -> None:
        self.canceled.append(job_id)


class TestSqliteStore(JobStoreContract):
    @pytest.fixture
    async def store(self, clock: FakeClock, publisher: RecordingPublisher, tmp_path: Path) -> AsyncIterator[JobStore]:
        store = SqliteStore(tmp_path / "jobs.db", publisher, clock, Retention())
        await store.open(RecordingSignals())
        yield store
        await store.close()
