"""The log of events in PostgreSQL: whoever reads it misses nothing, whenever writers commit."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from typing import Final

import psycopg
import pytest

from servicekit.engine.clock import SystemClock
from servicekit.errors import StoreUnavailable
from servicekit.events.hub import EventHub
from servicekit.events.mailbox import Mailbox
from servicekit.jobs.ids import JobIds
from servicekit.jobs.outcome import completion
from servicekit.jobs.retention import Retention
from servicekit.jobs.status import JobStatus
from servicekit.stores.postgres import feed
from servicekit.stores.postgres.address import Address, read_address
from servicekit.stores.postgres.connections import connect
from servicekit.stores.postgres.feed import PURPOSE, Mark, read_others, settle
from servicekit.stores.postgres.pace import Pace
from servicekit.stores.postgres.schema import migrate
from servicekit.stores.postgres.session import Session
from servicekit.stores.postgres.store import PostgresStore
from servicekit.testing.stores.fakes import RecordingSignals, submission
from tests.needs import needs

pytestmark = needs("postgresql")

ids = JobIds()

_EVENT: Final = """
    INSERT INTO servicekit.events (writer, job_id, is_transition, status, version, attempt, at)
    VALUES (1, %s, true, 'pending', 1, 0, now()) RETURNING position
"""


class Writer:
    """Another process. It takes positions as the store does."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def begin(self) -> None:
        self._session.run("BEGIN")
        self._session.run("SELECT pg_advisory_xact_lock_shared(%s)", [self._session.lock_number(PURPOSE)])

    def write(self, name: str) -> int:
        [(position,)] = self._session.run(_EVENT, [name])
        return int(position)

    def end(self, how: str) -> None:
        self._session.run(how)


@pytest.fixture
def address(postgres_url: str) -> Address:
    address = read_address("url", f"{postgres_url}?schema=other")
    migrate(address)
    return address


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def session(address: Address, stack: ExitStack) -> Session:
    return open_session(address, stack)


@pytest.fixture
def slow(address: Address, stack: ExitStack) -> Writer:
    return Writer(open_session(address, stack))


@pytest.fixture
def quick(address: Address, stack: ExitStack) -> Writer:
    return Writer(open_session(address, stack))


def open_session(address: Address, stack: ExitStack) -> Session:
    return Session(stack.enter_context(connect(address, purpose="test")), address.schema)


def read(session: Session, after: int, up_to: int) -> list[str]:
    return [event.job_id for event in read_others(session, after, None) if event.position <= up_to]


@pytest.mark.parametrize(("how", "seen"), [("COMMIT", ["first", "second"]), ("ROLLBACK", ["second"])])
def test_what_a_slow_writer_has_begun_first_is_not_missed(
    session: Session, slow: Writer, quick: Writer, how: str, seen: list[str]
) -> None:
    mark = Mark()
    slow.begin()
    first = slow.write("first")
    quick.begin()
    second = quick.write("second")
    quick.end("COMMIT")
    assert first < second
    assert mark.advance(session) < first  # the second is there, and the first may come
    assert mark.is_behind
    assert mark.advance(session) < first
    slow.end(how)
    assert mark.advance(session) == second
    assert not mark.is_behind
    assert read(session, 0, second) == seen


def test_a_reader_does_not_wait_for_writers_that_have_come_later(session: Session, slow: Writer, quick: Writer) -> None:
    """Somebody always writes: a reader that waited for a moment without writers would never get on."""
    mark = Mark()
    slow.begin()
    first = slow.write("first")
    mark.advance(session)
    quick.begin()
    quick.write("second")
    slow.end("COMMIT")
    assert mark.advance(session) == first
    assert mark.is_behind
    assert read(session, 0, mark.settled) == ["first"]


def test_nothing_is_settled_that_was_written_after_the_writers_were_listed(
    session: Session, slow: Writer, quick: Writer
) -> None:
    mark = Mark()
    slow.begin()
    first = slow.write("first")
    mark.advance(session)
    quick.begin()
    quick.write("second")
    later = slow.write("third")
    slow.end("COMMIT")
    assert mark.advance(session) == first  # the third is there, and the second, which comes before it, is not
    quick.end("COMMIT")
    assert mark.advance(session) == later
    assert read(session, first, later) == ["second", "third"]


def test_who_asks_for_all_changes_waits_for_those_that_are_being_written(
    session: Session, slow: Writer, quick: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "_PATIENCE_SECONDS", 0.0)
    slow.begin()
    slow.write("first")
    quick.begin()
    second = quick.write("second")
    quick.end("COMMIT")
    with pytest.raises(StoreUnavailable, match="stands still"):
        settle(session)
    slow.end("COMMIT")
    assert settle(session) == second


def test_what_other_programs_do_delays_nobody(session: Session, quick: Writer, postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as other, other.cursor() as cursor:
        cursor.execute("CREATE TABLE notes (text text)")
        cursor.execute("SELECT pg_advisory_xact_lock_shared(1)")
        quick.begin()
        position = quick.write("only")
        quick.end("COMMIT")
        assert settle(session) == position


def test_an_empty_log_is_settled_at_its_beginning(session: Session) -> None:
    assert settle(session) == 0
    assert Mark().advance(session) == 0


def test_a_log_that_has_lost_its_end_goes_on_from_there(session: Session, quick: Writer) -> None:
    """A standby that lagged behind has taken over."""
    mark = Mark()
    quick.begin()
    last = max(quick.write(name) for name in ("first", "second", "third"))
    quick.end("COMMIT")
    assert mark.advance(session) == last
    session.run("DELETE FROM servicekit.events WHERE position > 1")
    session.run("SELECT setval('servicekit.positions', 1)")
    assert mark.advance(session) == 1
    quick.begin()
    again = quick.write("again")
    quick.end("COMMIT")
    assert mark.advance(session) == again
    assert read(session, 1, again) == ["again"]


@asynccontextmanager
async def opened(url: str, hub: EventHub) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(read_address("url", url), hub, SystemClock(), Retention())
    await store.liveness.open(RecordingSignals())
    try:
        yield store
    finally:
        await store.liveness.close()


async def take_statuses(mailbox: Mailbox, count: int) -> list[JobStatus | None]:
    """The next so many."""
    statuses: list[JobStatus | None] = []
    async with asyncio.timeout(30):
        while len(statuses) < count:
            if (event := mailbox.take()) is None:
                await mailbox.wait()
            else:
                statuses.append(event.record.status if event.record else None)
    return statuses


async def test_who_follows_a_job_is_told_of_it_once_and_does_not_wait_for_writers_of_others(
    address: Address, slow: Writer, postgres_url: str
) -> None:
    url, hub, mailbox, job_id, last_id = f"{postgres_url}?schema=other", EventHub(), Mailbox(), *ids_of(2)
    async with opened(url, EventHub()) as one, opened(url, hub):
        for each in (job_id, last_id):
            hub.subscribe(each, mailbox)
        slow.begin()
        slow.write("first")
        await one.submissions.insert(submission(job_id))
        assert await take_statuses(mailbox, 1) == [JobStatus.PENDING]
        (claim,) = await one.attempts.claim(1, ())
        await one.attempts.end_attempt(claim, completion(None))
        assert await take_statuses(mailbox, 2) == [JobStatus.RUNNING, JobStatus.COMPLETED]
        slow.end("COMMIT")
        await one.submissions.insert(submission(last_id))
        assert await take_statuses(mailbox, 1) == [JobStatus.PENDING]  # and nothing that was told before


def ids_of(count: int) -> list[str]:
    return [ids.next_id() for _ in range(count)]


def test_what_is_rare_is_done_at_once_and_what_is_frequent_only_so_often() -> None:
    pace = Pace(1.0, at_once=3)
    for _ in range(3):
        assert pace.due_at <= 100.0
        pace.note(100.0)
    assert pace.due_at == 101.0
    pace.note(101.0)
    assert pace.due_at == 102.0
    assert pace.due_at <= 110.0  # after a while as at first
    for _ in range(3):
        assert pace.due_at <= 110.0
        pace.note(110.0)
    assert pace.due_at == 111.0
    for _ in range(20):  # for other reasons, before it is due
        pace.note(110.0)
    assert pace.due_at == 111.0
