"""How often the log of a job is looked at for a reader."""

import asyncio
from datetime import UTC, datetime

import pytest

from servicekit import Retention
from servicekit.engine import log_reader
from servicekit.engine.clock import SystemClock
from servicekit.engine.log_reader import watch_log
from servicekit.events.hub import EventHub
from servicekit.jobs.ids import JobIds
from servicekit.jobs.log_lines import LogPage, NewLine
from servicekit.stores.memory import MemoryStore
from servicekit.stores.memory.reads import MemoryReads
from servicekit.testing.stores.fakes import submission


class CountingReads(MemoryReads):
    """Counts how often it is asked for lines."""

    looks = 0

    async def list_log(self, job_id: str, after: int, limit: int) -> LogPage:
        self.looks += 1
        return await super().list_log(job_id, after, limit)


async def test_however_often_a_job_speaks_its_log_is_looked_at_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_reader, "_LOOK_INTERVAL_SECONDS", 3_600)
    hub = EventHub()
    store = MemoryStore(hub, SystemClock(), Retention())
    reads = store.reads = CountingReads(store.kept)
    job_id = await store.submissions.insert(submission(JobIds().next_id()))
    (claim,) = await store.attempts.claim(1, ())
    line = NewLine(datetime.now(UTC), "info", "log", "a line")
    await store.attempts.append_log(claim, [line])

    async def open_store() -> MemoryStore:
        return store

    async with watch_log(open_store, hub, job_id) as watch:
        told: object = None
        while not isinstance(told, list):
            event = await watch.next_event()
            told = event and event.told
        for _ in range(3):
            await store.attempts.append_log(claim, [line])
            reading = asyncio.ensure_future(watch.next_event())
            for _ in range(10):
                await asyncio.sleep(0)
            watch.wake()
            assert await reading is None
    assert reads.looks == 1
