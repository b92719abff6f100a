"""When it is told what has been written: not before it is committed, and to everybody who watches by then."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from servicekit.errors import StoreUnavailable
from servicekit.events.hub import EventHub
from servicekit.events.mailbox import Mailbox
from servicekit.jobs.ids import JobIds
from servicekit.jobs.outcome import completion
from servicekit.jobs.retention import Retention
from servicekit.jobs.status import JobStatus
from servicekit.jobs.submission import Claim
from servicekit.stores.sqlite import rows
from servicekit.stores.sqlite.store import SqliteStore
from servicekit.testing.stores.fakes import ManualClock, RecordingSignals, submission
from tests.stores.test_faults import hook_connections

ids = JobIds()


class Before:
    """Does something before the next statement that begins so, once."""

    def __init__(self) -> None:
        self._awaited: tuple[str, Callable[[], object]] | None = None
        self.connection: sqlite3.Connection | None = None
        """The one that the statement is for."""

    def do(self, beginning: str, act: Callable[[], object]) -> None:
        self._awaited = beginning, act

    def hear(self, connection: sqlite3.Connection | None, statement: str) -> None:
        self.connection = connection
        if self._awaited is not None and statement.startswith(self._awaited[0]):
            act, self._awaited = self._awaited[1], None
            act()


@pytest.fixture
def before(monkeypatch: pytest.MonkeyPatch) -> Before:
    before = Before()
    hook_connections(monkeypatch, before.hear)
    return before


@asynccontextmanager
async def running(path: Path, hub: EventHub) -> AsyncIterator[tuple[SqliteStore, Claim]]:
    """A store with a job that runs."""
    store = SqliteStore(path / "jobs.db", hub, ManualClock(), Retention())
    await store.liveness.open(RecordingSignals())
    await store.submissions.insert(submission(ids.next_id()))
    (claim,) = await store.attempts.claim(1, ())
    yield store, claim
    await store.liveness.close()


def watch(hub: EventHub, claim: Claim) -> Mailbox:
    mailbox = Mailbox()
    hub.subscribe(claim.submission.id, mailbox)
    return mailbox


def take_statuses(mailbox: Mailbox) -> list[JobStatus | None]:
    events = iter(mailbox.take, None)
    return [event.record.status if event.record else None for event in events]


def fail() -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorname = "SQLITE_IOERR"  # else it might be about what stands in a row
    raise error


async def test_nothing_is_told_of_what_could_not_be_committed(tmp_path: Path, before: Before) -> None:
    hub = EventHub()
    async with running(tmp_path, hub) as (store, claim):
        mailbox = watch(hub, claim)
        before.do("COMMIT", fail)
        with pytest.raises(StoreUnavailable):
            await store.attempts.end_attempt(claim, completion(None))
        assert take_statuses(mailbox) == []
        assert await store.attempts.end_attempt(claim, completion(None))
        assert take_statuses(mailbox) == [JobStatus.COMPLETED]


async def test_who_begins_to_watch_right_before_the_commit_is_told(tmp_path: Path, before: Before) -> None:
    hub, mailboxes = EventHub(), list[Mailbox]()
    async with running(tmp_path, hub) as (store, claim):
        before.do("COMMIT", lambda: mailboxes.append(watch(hub, claim)))
        assert await store.attempts.end_attempt(claim, completion(None))
        (mailbox,) = mailboxes
        assert take_statuses(mailbox) == [JobStatus.COMPLETED]


async def test_an_end_is_written_and_told_whose_event_cannot_be_read_at_first(tmp_path: Path, before: Before) -> None:
    hub = EventHub()
    async with running(tmp_path, hub) as (store, claim):
        mailbox = watch(hub, claim)
        before.do(f"SELECT json_group_array({rows.EVENT_ARRAY})", fail)
        assert await store.attempts.end_attempt(claim, completion(None))
        assert take_statuses(mailbox) == [JobStatus.COMPLETED]


async def test_an_error_that_ends_the_transaction_is_the_one_that_is_told(tmp_path: Path, before: Before) -> None:
    hub = EventHub()

    def end_transaction() -> None:
        assert before.connection is not None
        before.connection.execute("ROLLBACK")
        fail()

    async with running(tmp_path, hub) as (store, claim):
        mailbox = watch(hub, claim)
        before.do(f"SELECT json_group_array({rows.EVENT_ARRAY})", end_transaction)
        with pytest.raises(StoreUnavailable, match="SQLITE_IOERR"):
            await store.attempts.end_attempt(claim, completion(None))
        assert take_statuses(mailbox) == []
        assert await store.attempts.end_attempt(claim, completion(None))
        assert take_statuses(mailbox) == [JobStatus.COMPLETED]


async def test_all_of_many_changes_at_once_are_told(tmp_path: Path) -> None:
    hub = EventHub()
    async with running(tmp_path, hub) as (store, claim):
        others = [submission(ids.next_id()) for _ in range(50)]
        mailboxes = [Mailbox() for _ in others]
        for other, mailbox in zip(others, mailboxes, strict=True):
            hub.subscribe(other.id, mailbox)
        await asyncio.gather(
            *(store.submissions.insert(other) for other in others), store.attempts.end_attempt(claim, completion(None))
        )
        assert [take_statuses(mailbox) for mailbox in mailboxes] == [[JobStatus.PENDING]] * 50
