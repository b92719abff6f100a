"""What a process is told that has not looked for a while."""

from pathlib import Path

import pytest

from servicekit.events.hub import EventHub
from servicekit.events.mailbox import Mailbox
from servicekit.jobs.retention import Retention
from servicekit.stores.sqlite import writer
from servicekit.stores.sqlite.store import SqliteStore
from servicekit.testing.stores.fakes import ManualClock, RecordingSignals
from tests.stores.test_sqlite import ids, insert


async def test_readers_are_told_of_deletions_that_nobody_saw_and_not_of_what_is_told_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record of now would be ahead of the events that are still to come, and a reader would miss these."""
    hub, mailbox = EventHub(), Mailbox()
    store = SqliteStore(tmp_path / "jobs.db", hub, ManualClock(), Retention())
    await store.liveness.open(RecordingSignals())
    try:
        kept, gone = await insert(store), ids.next_id()
        for job_id in (kept, gone):
            hub.subscribe(job_id, mailbox)
        monkeypatch.setattr(writer, "LATE_SECONDS", -1.0)  # each look is a late one
        while (event := mailbox.take()) is None:
            await mailbox.wait()
        assert (event.job_id, event.record) == (gone, None)
    finally:
        await store.liveness.close()
