"""What becomes of calls when the server, or the way to it, fails."""

import asyncio
import math
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self, TypeVar

import psycopg
import pytest

from servicekit.engine.clock import SystemClock
from servicekit.errors import JobNotFound, QueueFull, StoreUnavailable
from servicekit.jobs.ids import JobIds
from servicekit.jobs.log_lines import NewLine
from servicekit.jobs.outcome import completion
from servicekit.jobs.query import ALL_JOBS
from servicekit.jobs.retention import Retention
from servicekit.jobs.schedules import FiredSchedule
from servicekit.jobs.status import JobStatus, Transition
from servicekit.stores.durable import session
from servicekit.stores.durable.operations import Operation, Rank, for_each
from servicekit.stores.postgres import channel, listener, reader, server_thread, start, writer
from servicekit.stores.postgres.address import read_address
from servicekit.stores.postgres.channel import name_channel
from servicekit.stores.postgres.connections import connect
from servicekit.stores.postgres.leases import TERMS
from servicekit.stores.postgres.notices import Notice
from servicekit.stores.postgres.session import Connection, Session
from servicekit.stores.postgres.store import PostgresStore
from servicekit.testing.stores.fakes import ManualClock, RecordingPublisher, RecordingSignals, submission, wait_healthy
from servicekit.testing.stores.schedules import schedule
from tests.needs import needs
from tests.ports import find_free_port
from tests.postgres import PostgresServer, run_postgres

pytestmark = needs("postgresql")

T = TypeVar("T")
ids = JobIds()
Hook = Callable[[Connection, str], None]


class Faults:
    """What happens to the connections of stores, beside their statements."""

    def __init__(self) -> None:
        self.before: Hook | None = None
        self.after: Hook | None = None

    def connect(self, *args: Any, **options: Any) -> Connection:
        connection, faults = connect(*args, **options), self

        class Cursor(psycopg.Cursor[Any]):
            def execute(self, *args: Any, **options: Any) -> Self:
                if faults.before is not None:
                    faults.before(connection, str(args[0]))
                super().execute(*args, **options)
                if faults.after is not None:
                    faults.after(connection, str(args[0]))
                return self

        connection.cursor_factory = Cursor
        return connection


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    faults = Faults()
    monkeypatch.setattr(server_thread, "connect", faults.connect)
    return faults


def make_store(
    url: str, publisher: RecordingPublisher | None = None, *, max_pending: int | None = None
) -> PostgresStore:
    publisher = publisher or RecordingPublisher()
    return PostgresStore(read_address("url", url), publisher, SystemClock(), Retention(), max_pending=max_pending)


@pytest.fixture
async def store(postgres_url: str, faults: Faults) -> Any:
    store = make_store(postgres_url)
    await store.liveness.open(RecordingSignals())
    yield store
    faults.before = faults.after = None
    await store.liveness.close()


async def insert(store: PostgresStore) -> str:
    return await store.submissions.insert(submission(ids.next_id()))


async def list_statuses(store: PostgresStore) -> list[JobStatus]:
    return [record.status for record in (await store.reads.list_records(ALL_JOBS, 1_000, None)).records]


async def list_versions(store: PostgresStore, job_id: str) -> list[int]:
    return [record.version for record in await store.reads.list_transitions(job_id, 0)]


def once(hook: Hook, statement: str) -> Hook:
    """The hook, for the first such statement."""
    is_done = False

    def call(connection: Connection, text: str) -> None:
        nonlocal is_done
        if not is_done and text.strip().startswith(statement):
            is_done = True
            hook(connection, text)

    return call


def lose(connection: Connection, _: str) -> None:
    """The connection breaks before its answer has come."""
    connection.close()
    raise psycopg.OperationalError("server closed the connection unexpectedly")


async def test_a_submission_whose_commit_was_not_answered_is_kept_once(store: PostgresStore, faults: Faults) -> None:
    faults.after = once(lose, "COMMIT")
    job_ids = await asyncio.gather(*(insert(store) for _ in range(5)))
    assert len(set(job_ids)) == 5
    assert await list_statuses(store) == [JobStatus.PENDING] * 5
    assert [await list_versions(store, job_id) for job_id in job_ids] == [[1]] * 5
    assert (await store.reads.count_by_status())[JobStatus.PENDING] == 5


async def test_an_end_whose_commit_was_not_answered_is_written_once(store: PostgresStore, faults: Faults) -> None:
    job_id = await insert(store)
    (claim,) = await store.attempts.claim(1, ())
    faults.after = once(lose, "COMMIT")
    assert await store.attempts.end_attempt(claim, completion(7)) is Transition.COMPLETE
    assert await store.reads.get_result(job_id) == 7
    assert await list_versions(store, job_id) == [1, 2, 3]
    assert (await store.reads.count_by_status())[JobStatus.COMPLETED] == 1


async def test_readers_are_told_once_of_what_a_commit_did_that_was_not_answered(
    postgres_url: str, faults: Faults
) -> None:
    publisher = RecordingPublisher()
    store = make_store(postgres_url, publisher)
    await store.liveness.open(RecordingSignals())
    try:
        await insert(store)
        (claim,) = await store.attempts.claim(1, ())
        faults.after = once(lose, "COMMIT")
        await store.attempts.end_attempt(claim, completion(7))
        await insert(store)
    finally:
        await store.liveness.close()
    states = [event.record.status.value for event in publisher.events if event.record is not None]
    assert states == ["pending", "running", "completed", "pending"]


async def test_jobs_of_a_claim_whose_commit_was_not_answered_are_given_back(
    store: PostgresStore, faults: Faults
) -> None:
    job_id = await insert(store)
    faults.after = once(lose, "COMMIT")
    with pytest.raises(StoreUnavailable, match="answer was lost"):
        await store.attempts.claim(1, ())
    assert await list_statuses(store) == [JobStatus.RUNNING]
    await store.liveness.rescue()
    assert await list_statuses(store) == [JobStatus.PENDING]
    assert [claim.submission.id for claim in await store.attempts.claim(1, ())] == [job_id]


async def test_jobs_of_a_claim_are_given_back_however_long_the_server_is_away(
    store: PostgresStore, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(connection: Connection, statement: str) -> None:
        if "cancel_requested_at IS NOT NULL FROM" in statement:
            raise psycopg.errors.DiskFull("could not write a temporary file")

    clock = ManualClock()
    monkeypatch.setattr(session, "time", clock)
    await insert(store)
    faults.after = once(lose, "COMMIT")
    with pytest.raises(StoreUnavailable, match="answer was lost"):
        await store.attempts.claim(1, ())
    faults.before = refuse
    for _ in range(6):
        with pytest.raises(StoreUnavailable, match="disk"):
            await store.liveness.rescue()
        clock.advance(20)
    faults.before = None
    await store.liveness.rescue()
    assert await list_statuses(store) == [JobStatus.PENDING]


def line(text: str) -> NewLine:
    return NewLine(datetime.now(UTC), "info", "log", text)


async def read_log(store: PostgresStore, job_id: str) -> list[str]:
    return [line.text for line in (await store.reads.list_log(job_id, 0, 100)).lines]


async def test_lines_whose_commit_was_not_answered_are_kept_once(store: PostgresStore, faults: Faults) -> None:
    job_id = await insert(store)
    (claim,) = await store.attempts.claim(1, ())
    await store.attempts.append_log(claim, [line("a"), line("b")])
    faults.after = once(lose, "COMMIT")
    await store.attempts.append_log(claim, [line("c"), line("d")])
    await store.attempts.append_log(claim, [line("e")])
    assert await read_log(store, job_id) == list("abcde")


async def test_lines_are_kept_once_if_their_writer_was_told_that_the_server_is_away(
    store: PostgresStore, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose_and_stay_away(connection: Connection, statement: str) -> None:
        faults.before = refuse
        lose(connection, statement)

    def refuse(connection: Connection, _: str) -> None:
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    job_id = await insert(store)
    (claim,) = await store.attempts.claim(1, ())
    lines = [line(text) for text in "ab"]
    faults.after = once(lose_and_stay_away, "COMMIT")
    store.database.hurry()
    with pytest.raises(StoreUnavailable):
        await store.attempts.append_log(claim, lines)
    faults.before = None
    await store.attempts.append_log(claim, [*lines, line("c")])
    assert await read_log(store, job_id) == list("abc")


async def test_a_deletion_whose_commit_was_not_answered_is_done(store: PostgresStore, faults: Faults) -> None:
    job_id = await insert(store)
    position = await store.changes.get_position()
    faults.after = once(lose, "COMMIT")
    await store.submissions.delete(job_id)
    assert await store.changes.get_position() == position + 1  # it is told once
    faults.after = once(lose, "COMMIT")
    with pytest.raises(JobNotFound):
        await store.submissions.delete(ids.next_id())


async def test_what_is_done_to_schedules_is_done_though_its_commit_was_not_answered(
    store: PostgresStore, faults: Faults
) -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    await store.schedules.put_schedule(schedule("tick"), noon)
    faults.after = once(lose, "COMMIT")
    tick_id = ids.next_id()
    fired = await store.schedules.fire_schedule("tick", noon, noon + timedelta(hours=1), tick_id)
    assert (fired, await list_statuses(store)) == (FiredSchedule.SUBMITTED, [JobStatus.PENDING])
    faults.after = once(lose, "COMMIT")
    await store.schedules.remove_schedule("tick")
    assert await store.schedules.list_schedules() == []


async def test_a_queue_is_not_full_for_a_job_that_is_kept(postgres_url: str, faults: Faults) -> None:
    store = make_store(postgres_url, max_pending=1)
    await store.liveness.open(RecordingSignals())
    try:
        faults.after = once(lose, "COMMIT")
        job_id = await insert(store)
        assert (await store.reads.get_record(job_id)).status is JobStatus.PENDING
        with pytest.raises(QueueFull):
            await insert(store)
        (claim,) = await store.attempts.claim(1, ())
        await store.attempts.end_attempt(claim, completion(1))
        faults.after = once(lose, "COMMIT")
        again = await store.submissions.resubmit(job_id, ids.next_id())
        assert (await store.reads.get_record(again)).retry_of == job_id
    finally:
        faults.after = None
        await store.liveness.close()


async def test_a_job_that_others_have_deleted_is_not_written_again(
    store: PostgresStore, faults: Faults, postgres_url: str
) -> None:
    def lose_and_let_others_delete(connection: Connection, statement: str) -> None:
        with psycopg.connect(postgres_url, autocommit=True) as program:
            program.execute("UPDATE servicekit.events SET version = NULL")
            program.execute("DELETE FROM servicekit.jobs")
        lose(connection, statement)

    faults.after = once(lose_and_let_others_delete, "COMMIT")
    await insert(store)
    assert await list_statuses(store) == []


async def test_what_was_not_committed_when_the_backend_was_killed_is_written_again(
    store: PostgresStore, faults: Faults, postgres: PostgresServer
) -> None:
    def kill(connection: Connection, _: str) -> None:
        postgres.execute("SELECT pg_terminate_backend(%s, 10000)", [connection.info.backend_pid])

    faults.before = once(kill, "COMMIT")
    job_ids = await asyncio.gather(*(insert(store) for _ in range(20)))
    assert len(set(job_ids)) == 20
    assert await list_statuses(store) == [JobStatus.PENDING] * 20
    faults.before = once(kill, "SELECT id")
    assert (await store.reads.get_record(job_ids[0])).status is JobStatus.PENDING


@pytest.mark.parametrize("error", [psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure])
async def test_what_others_were_in_the_way_of_is_tried_again(
    store: PostgresStore, faults: Faults, error: type[psycopg.Error]
) -> None:
    def refuse(connection: Connection, _: str) -> None:
        raise error("others were first")

    faults.before = once(refuse, "COMMIT")
    await insert(store)
    assert await list_statuses(store) == [JobStatus.PENDING]


async def test_a_table_can_be_altered_under_a_running_process(store: PostgresStore, postgres_url: str) -> None:
    async def use() -> None:
        await store.submissions.insert(submission(ids.next_id()))
        for claim in await store.attempts.claim(1, ()):
            await store.attempts.end_attempt(claim, completion(1))
        await store.reads.list_records(ALL_JOBS, 10, None)

    for _ in range(10):  # now the server has prepared what they ask
        await use()
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE servicekit.jobs ADD COLUMN shade text, ALTER COLUMN priority TYPE integer")
    await use()


async def test_a_full_disk_is_told_and_what_is_kept_can_be_read(store: PostgresStore, faults: Faults) -> None:
    def refuse(connection: Connection, statement: str) -> None:
        if "INSERT INTO servicekit.jobs" in statement:
            raise psycopg.errors.DiskFull("could not extend file")

    await insert(store)
    faults.before = refuse
    with pytest.raises(StoreUnavailable, match="disk of the server is full"):
        await insert(store)
    assert await list_statuses(store) == [JobStatus.PENDING]
    faults.before = None
    await insert(store)
    assert await store.liveness.find_problem() is None


async def test_one_call_that_fails_does_not_fail_the_others(store: PostgresStore, faults: Faults) -> None:
    async def fail() -> None:
        with pytest.raises(StoreUnavailable, match="division by zero"):
            await store.database.write(_DIVIDE, 0)

    await asyncio.gather(insert(store), fail(), insert(store))
    assert await list_statuses(store) == [JobStatus.PENDING] * 2


@for_each(Rank.SUBMIT)
def _divide(session: Session, divisor: int) -> None:
    session.run("SELECT 1 / %s", [divisor])


_DIVIDE: Final[Operation[int, None]] = _divide


@for_each(Rank.SUBMIT)
def _stumble(session: Session, _: None) -> None:
    raise ZeroDivisionError


async def test_a_bug_in_a_statement_leaves_nobody_waiting(
    store: PostgresStore, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(StoreUnavailable, match="ZeroDivisionError"):
        await store.database.write(_stumble, None)
    await insert(store)
    assert "Jobs could not be written" in caplog.text


async def test_a_server_that_stands_still_is_left(
    store: PostgresStore, faults: Faults, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connections stay open, and nothing comes."""
    stopped: list[int] = []

    def stop(connection: Connection, _: str) -> None:
        connection.answer_seconds = 0.2  # type: ignore[attr-defined]
        stopped.append(connection.info.backend_pid)
        os.kill(stopped[0], signal.SIGSTOP)

    faults.before = once(stop, "BEGIN")
    try:
        await insert(store)
        assert await list_statuses(store) == [JobStatus.PENDING]
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server that may be stopped."""
    with run_postgres() as server:
        yield server


@pytest.fixture
async def stoppable(server: PostgresServer) -> Any:
    with server.new_database() as url:
        store = make_store(url)
        await store.liveness.open(RecordingSignals())
        yield store
        await store.liveness.close()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_calls_wait_for_a_server_that_is_started_again(
    stoppable: PostgresStore, server: PostgresServer, mode: Any
) -> None:
    job_id = await insert(stoppable)
    (claim,) = await stoppable.attempts.claim(1, ())
    await asyncio.to_thread(server.stop, mode)
    calls = [asyncio.create_task(insert(stoppable)) for _ in range(10)]
    end = asyncio.create_task(stoppable.attempts.end_attempt(claim, completion(None)))
    read = asyncio.create_task(stoppable.reads.get_record(job_id))
    await asyncio.to_thread(server.start)
    assert len(set(await asyncio.gather(*calls))) == 10
    assert await end is Transition.COMPLETE
    assert (await read).id == job_id
    assert sorted(await list_statuses(stoppable)) == [JobStatus.COMPLETED] + [JobStatus.PENDING] * 10


async def test_callers_are_told_when_the_server_stays_away(
    stoppable: PostgresStore, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await insert(stoppable)
    await asyncio.to_thread(server.stop)
    stoppable.database.hurry()
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await insert(stoppable)
    assert "cannot be reached" in (await stoppable.liveness.find_problem() or "")
    await asyncio.to_thread(server.start)
    await wait_healthy(stoppable.liveness)
    await insert(stoppable)
    assert await list_statuses(stoppable) == [JobStatus.PENDING] * 2


async def test_a_start_waits_for_a_server_that_is_started_at_the_same_time(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(start, "_START_SECONDS", 1_000.0)
    with server.new_database() as url:
        store = make_store(url)
        await asyncio.to_thread(server.stop)
        opening = asyncio.create_task(store.liveness.open(RecordingSignals()))
        while not any("The start waits for" in record.getMessage() for record in caplog.records):
            await asyncio.sleep(0.01)
        assert "the server cannot be reached" in caplog.text
        await asyncio.to_thread(server.start)
        await opening
        await insert(store)
        await store.liveness.close()


async def test_what_others_do_is_seen_without_notifications(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pooler that gives each transaction another session swallows them."""
    monkeypatch.setattr(channel, "_NOTIFY", "SELECT %s::text, %s::text")
    one, other = make_store(postgres_url), make_store(postgres_url)
    signals = RecordingSignals()
    await one.liveness.open(signals)
    await other.liveness.open(RecordingSignals())
    try:
        job_id = await insert(one)
        await one.attempts.claim(1, ())
        await other.submissions.request_cancel(job_id)
        assert await signals.canceled.get() == job_id
    finally:
        await other.liveness.close()
        await one.liveness.close()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda url: url.replace(url.rpartition(":")[2].partition("/")[0], str(find_free_port())), "cannot be reached"),
        (lambda url: url + "x", "no such database"),
        (lambda url: url.replace("postgres@", "nobody:dragon@"), "does not let this role in"),
        (lambda url: url + "?sslmode=require", "do not agree on TLS"),
        (lambda url: url + "?target_session_attrs=standby", "can only be read|is no standby"),
        (lambda url: url + "?connect_timeout=unicorn", "a wrong value for connect_timeout"),
        (lambda url: url + "?keepalives_idle=unicorn", "a wrong value for keepalives_idle"),
        (lambda url: url + "?sslmode=unicorn", "a wrong value for sslmode"),
        (lambda url: url + "?ssl_min_protocol_version=unicorn", "a wrong value for ssl_min_protocol_version"),
        (lambda url: url + "?client_encoding=unicorn", "a wrong value for client_encoding"),
        (lambda url: url + "?service=unicorn", "a wrong value for service"),
    ],
)
async def test_an_error_says_in_words_what_is_wrong(
    postgres_url: str, change: Callable[[str], str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(start, "_START_SECONDS", 0.0)
    store = make_store(change(postgres_url))
    with pytest.raises(StoreUnavailable, match=words) as caught:
        await store.liveness.open(RecordingSignals())
    assert "dragon" not in str(caught.value) + str(caught.value.__cause__)


async def test_used_up_connections_are_told(postgres: PostgresServer, postgres_url: str) -> None:
    postgres.execute("CREATE ROLE few LOGIN CONNECTION LIMIT 0")
    try:
        with pytest.raises(StoreUnavailable, match="all connections of the server are in use"):
            connect(read_address("url", postgres_url.replace("postgres@", "few@")), purpose="test")
    finally:
        postgres.execute("DROP ROLE few")


async def test_what_is_told_during_a_statement_of_the_listener_is_heard_at_once(
    postgres: PostgresServer, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes with the answer to the statement: nothing more can be read from the connection then."""
    monkeypatch.setattr(listener, "_SELDOM_SECONDS", 1_000.0)
    faults, database = Faults(), postgres_url.rpartition("/")[2]
    monkeypatch.setattr(listener, "connect", faults.connect)
    store, signals = make_store(postgres_url), RecordingSignals()
    store.database.registration.lease.terms = TERMS._replace(renewal=1_000.0)
    await store.liveness.open(signals)
    with connect(read_address("url", postgres_url), purpose="test") as connection:
        name = name_channel(Session(connection))
    try:
        said = Notice(is_change=True, unwanted=("01",)).write(1)

        def tell(connection: Connection, _: str) -> None:
            postgres.execute("SELECT pg_notify(%s, %s)", [name, said], database=database)

        faults.before = once(tell, "SELECT newest")
        first = Notice(is_change=True, unwanted=("00",)).write(1)
        postgres.execute("SELECT pg_notify(%s, %s)", [name, first], database=database)
        assert {await signals.canceled.get(), await signals.canceled.get()} == {"00", "01"}
    finally:
        await store.liveness.close()


async def test_a_reader_gets_what_others_did_before_what_this_process_does(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process claims the job; nobody here has been told when this one asks it to stop."""
    monkeypatch.setattr(channel, "_NOTIFY", "SELECT %s::text, %s::text")
    monkeypatch.setattr(listener, "_POLL_SECONDS", 1_000.0)
    publisher = RecordingPublisher()
    one, other = make_store(postgres_url, publisher), make_store(postgres_url)
    await other.liveness.open(RecordingSignals())
    await one.liveness.open(RecordingSignals())
    try:
        job_id = await insert(one)
        await other.attempts.claim(1, ())
        await one.submissions.request_cancel(job_id)
        versions = [event.record.version for event in publisher.events if event.record is not None]
        assert list(dict.fromkeys(versions)) == [1, 2, 3]  # the same one may be told twice
    finally:
        await one.liveness.close()
        await other.liveness.close()


async def test_what_others_do_is_seen_after_the_connection_of_the_listener_was_lost(
    postgres: PostgresServer, postgres_url: str
) -> None:
    store, other = make_store(postgres_url), make_store(postgres_url)
    signals = RecordingSignals()
    await store.liveness.open(signals)
    try:
        postgres.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE application_name = 'servicekit listener' AND datname = %s",
            [postgres_url.rpartition("/")[2]],
        )
        await other.liveness.open(RecordingSignals())
        job_id = await insert(store)
        await store.attempts.claim(1, ())
        await other.submissions.request_cancel(job_id)
        assert await signals.canceled.get() == job_id
    finally:
        await other.liveness.close()
        await store.liveness.close()


async def test_a_lock_of_another_program_is_told(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer.Writer, "limits", {"lock_timeout": "100ms"})
    store = make_store(postgres_url)
    await store.liveness.open(RecordingSignals())
    try:
        with psycopg.connect(postgres_url) as program:
            program.execute("LOCK TABLE servicekit.jobs")
            with pytest.raises(StoreUnavailable, match="another program holds its lock") as caught:
                await insert(store)
            assert store.database.patience_for(caught.value) == math.inf
        await insert(store)
    finally:
        await store.liveness.close()


async def test_all_who_wait_for_a_lock_are_told_together(
    faults: Faults, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one after the other, each after the patience for one."""
    for kind in (writer.Writer, reader.Reader):
        monkeypatch.setattr(kind, "limits", {"lock_timeout": "100ms"})
    store, tries = make_store(postgres_url), list[str]()
    await store.liveness.open(RecordingSignals())
    try:
        job_id = await insert(store)
        with psycopg.connect(postgres_url) as program:
            program.execute("LOCK TABLE servicekit.jobs")
            faults.before = lambda _, text: tries.append(text)
            calls = [*(insert(store) for _ in range(10)), *(store.reads.get_record(job_id) for _ in range(10))]
            answers = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(answer, StoreUnavailable) for answer in answers)
        assert sum("INSERT INTO servicekit.jobs" in text for text in tries) == 2  # both times with all of them
        assert sum("FROM servicekit.jobs" in text and "INSERT" not in text for text in tries) == 1
        await insert(store)
    finally:
        faults.before = None
        await store.liveness.close()


async def test_a_writer_that_stands_still_in_a_transaction_delays_others_for_a_while_only(
    store: PostgresStore, faults: Faults, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a process that is stopped with SIGSTOP: the server ends its session, and it writes again when it goes on."""
    monkeypatch.setattr(writer.Writer, "limits", {"idle_in_transaction_session_timeout": "100ms"})
    slow, is_begun, may_go_on = make_store(postgres_url), threading.Event(), threading.Event()

    def stand_still(connection: Connection, _: str) -> None:
        is_begun.set()
        may_go_on.wait()

    await slow.liveness.open(RecordingSignals())
    try:
        faults.before = once(stand_still, "COMMIT")
        standing = asyncio.create_task(insert(slow))
        await asyncio.to_thread(is_begun.wait)
        position = await store.changes.get_position()  # it waits for the server to end that session
        may_go_on.set()
        await standing
        assert await store.changes.get_position() > position
        assert await list_statuses(store) == [JobStatus.PENDING]
    finally:
        may_go_on.set()
        await slow.liveness.close()


async def test_a_queue_has_no_more_jobs_than_it_may_though_several_processes_add_some_at_once(
    faults: Faults, postgres: PostgresServer, postgres_url: str
) -> None:
    one, other = (make_store(postgres_url, max_pending=2) for _ in range(2))
    is_begun, may_go_on = threading.Event(), threading.Event()

    def stand_still(connection: Connection, _: str) -> None:
        is_begun.set()
        may_go_on.wait()

    for store in (one, other):
        await store.liveness.open(RecordingSignals())
    try:
        await insert(one)
        faults.before = once(stand_still, "COMMIT")
        first = asyncio.create_task(insert(one))
        await asyncio.to_thread(is_begun.wait)
        second = asyncio.create_task(insert(other))
        waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while not (second.done() or postgres.execute(waiting)):
            await asyncio.sleep(0.01)
        may_go_on.set()
        await first
        with pytest.raises(QueueFull):
            await second
    finally:
        may_go_on.set()
        for store in (one, other):
            await store.liveness.close()


async def test_who_closes_does_not_wait_for_a_server_that_stands_still(store: PostgresStore, faults: Faults) -> None:
    stopped: list[int] = []
    is_stopped = threading.Event()

    def stop(connection: Connection, _: str) -> None:
        stopped.append(connection.info.backend_pid)
        os.kill(stopped[0], signal.SIGSTOP)
        is_stopped.set()

    faults.before = once(stop, "BEGIN")
    inserted = asyncio.create_task(insert(store))
    try:
        await asyncio.to_thread(is_stopped.wait)
        assert store.database.writer is not None
        thread = store.database.writer._thread
        store.database.stop()
        assert thread.is_alive()
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    await asyncio.to_thread(thread.join)  # what was asked before is done all the same
    await inserted


@for_each(Rank.SETTING)
def ask_to_write(session: Session, query: str) -> list[tuple[Any, ...]]:
    return session.run(query)


def ask_to_read(session: Session, query: str) -> list[tuple[Any, ...]]:
    return session.run(query)


@pytest.mark.parametrize("kind", [writer.Writer, reader.Reader])
async def test_the_server_gives_up_what_takes_too_long(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, kind: type[writer.Writer | reader.Reader]
) -> None:
    async def ask(store: PostgresStore, query: str) -> list[tuple[Any, ...]]:
        is_writer = kind is writer.Writer
        asked = store.database.write(ask_to_write, query) if is_writer else store.database.read(ask_to_read, query)
        return await asked

    for limits in (kind.limits, {**kind.limits, "statement_timeout": "50ms"}):
        monkeypatch.setattr(kind, "limits", limits)
        opened = make_store(postgres_url)
        await opened.liveness.open(RecordingSignals())
        try:
            for name, value in limits.items():
                assert await ask(opened, f"SHOW {name}") == [(value,)]
            if limits["statement_timeout"] == "50ms":
                with pytest.raises(StoreUnavailable, match="needed too long"):
                    await ask(opened, "SELECT pg_sleep(600)")
                assert await ask(opened, "SELECT 1") == [(1,)]
        finally:
            await opened.liveness.close()


@pytest.mark.parametrize(("parameters", "idle"), [("", 3), ("?keepalives_idle=60", 60)])
def test_a_connection_whose_other_end_has_gone_is_found_by_the_system(
    postgres_url: str, parameters: str, idle: int
) -> None:
    with (
        connect(read_address("url", postgres_url + parameters), purpose="test") as connection,
        closing(socket.socket(fileno=os.dup(connection.fileno()))) as copy,
    ):
        assert copy.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
        assert [copy.getsockopt(socket.IPPROTO_TCP, option) for option in options] == [idle, 1, 3, 5_000]


async def test_only_a_claim_that_finds_no_job_does_not_wait_for_the_disk(store: PostgresStore, faults: Faults) -> None:
    commits: list[str] = []
    faults.before = lambda _, text: commits.append(text) if text.endswith("COMMIT") else None
    await store.attempts.claim(1, ())  # it also tells that this process runs jobs
    assert await store.attempts.claim(1, ()) == []
    await insert(store)
    assert len(await store.attempts.claim(1, ())) == 1
    assert commits == ["COMMIT", "SET LOCAL synchronous_commit = off; COMMIT", "COMMIT", "COMMIT"]
