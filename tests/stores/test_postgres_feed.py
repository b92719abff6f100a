"""The log of events in PostgreSQL: whoever reads it misses nothing, whenever writers commit."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

import psycopg
import pytest

from servicekit.errors import StoreUnavailable
from servicekit.stores.postgres import feed
from servicekit.stores.postgres.address import Address, read_address
from servicekit.stores.postgres.connections import connect
from servicekit.stores.postgres.feed import PURPOSE, Mark, read_others, settle
from servicekit.stores.postgres.schema import migrate
from servicekit.stores.postgres.session import Session
from tests.needs import needs

pytestmark = needs("postgresql")

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
    return [event.job_id for event in read_others(session, after, up_to, None)]


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
