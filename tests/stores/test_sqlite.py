"""Jobs in a file: the contract of every store, and what only a file can promise."""

import asyncio
import inspect
import logging
import os
import re
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from servicekit.errors import (
    ArgumentsUnfit,
    JobNotFound,
    QueueFull,
    ResultDropped,
    StoreUnavailable,
)
from servicekit.jobs.command import Command
from servicekit.jobs.endings import GIVEN_BACK, NOT_BEGUN
from servicekit.jobs.ids import JobIds
from servicekit.jobs.log_lines import NewLine
from servicekit.jobs.options import DEFAULT_OPTIONS, JobOptions, RunnerKind, changed
from servicekit.jobs.outcome import CANCELED, completion, failure
from servicekit.jobs.query import ALL_JOBS, JobFilter
from servicekit.jobs.record import MAX_TRANSITIONS
from servicekit.jobs.resources import Resources
from servicekit.jobs.retention import Retention
from servicekit.jobs.retry import Retry
from servicekit.jobs.status import EndedBy, JobStatus
from servicekit.jobs.submission import Claim, Submission
from servicekit.ports import JobStore
from servicekit.stores.durable.operations import Operation
from servicekit.stores.process_name import name_of_process
from servicekit.stores.sqlite.database import find_migrations
from servicekit.stores.sqlite.jobs_file import JobsFile
from servicekit.stores.sqlite.processes import is_alive
from servicekit.stores.sqlite.store import SqliteStore
from servicekit.testing.stores import (
    MAX_PENDING,
    BoundedContract,
    BoundsByStatus,
    SharedStoreContract,
    StoreSetting,
    StoreTests,
)
from servicekit.testing.stores.fakes import ManualClock, RecordingPublisher, RecordingSignals, submission
from tests.fakes import noop
from tests.stores.durable_contract import DurableStoreContract

OpenStore = Callable[..., AbstractAsyncContextManager[SqliteStore]]
ids = JobIds()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def open_store(path: Path) -> OpenStore:
    @asynccontextmanager
    async def open_it(
        signals: RecordingSignals | None = None,
        publisher: RecordingPublisher | None = None,
        retention: Retention | None = None,
        clock: ManualClock | None = None,
    ) -> AsyncIterator[SqliteStore]:
        store = SqliteStore(path, publisher or RecordingPublisher(), clock or ManualClock(), retention or Retention())
        await store.liveness.open(signals or RecordingSignals())
        yield store
        await store.liveness.retire()
        await store.liveness.close()

    return open_it


async def insert(store: JobStore, options: JobOptions | None = None) -> str:
    job_id = ids.next_id()
    return await store.submissions.insert(submission(job_id, target=noop, options=options or JobOptions()))


async def claim_one(store: JobStore) -> Claim:
    (claim,) = await store.attempts.claim(1, ())
    return claim


def die(store: SqliteStore) -> None:
    """Let the store look to others as if its process had ended without a word."""
    assert store.file.registration.lock is not None
    store.file.registration.lock.close()


class InAFile:
    """How the suite makes a store."""

    def create_store(self, setting: StoreSetting) -> JobStore:
        return SqliteStore(
            setting.folder / "jobs.db",
            setting.publisher,
            setting.clock,
            setting.retention,
            max_pending=setting.max_pending,
            scan_limit=setting.scan_limit,
        )


class TestBoundsByStatusInAFile(InAFile, BoundsByStatus):
    """Its bounds by status."""


class TestASharedFile(InAFile, SharedStoreContract):
    """What holds for two processes."""


class Child:
    """A forked child that runs, and does nothing, until the end of the block."""

    def __enter__(self) -> None:
        (began, begins), (self._ended, self._end) = os.pipe(), os.pipe()
        self._process = os.fork()
        if self._process == 0:
            os.close(self._end)
            os.write(begins, b"!")
            os.read(self._ended, 1)
            os._exit(0)
        os.read(began, 1)
        os.close(began)
        os.close(begins)

    def __exit__(self, *_: object) -> None:
        os.close(self._end)
        os.close(self._ended)
        os.waitpid(self._process, 0)


class TestSqliteStore(InAFile, DurableStoreContract):
    async def test_a_result_that_is_too_large_is_told_of(
        self, clock: ManualClock, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        store = SqliteStore(path, RecordingPublisher(), clock, Retention(max_result_bytes=1_000))
        await store.liveness.open(RecordingSignals())
        kept = await self.end(store, completion("x" * 998))
        assert caplog.messages == []
        dropped = await self.end(store, completion("x" * 999))
        (line,) = caplog.messages
        assert f"({dropped}) is not kept: it has more than 1,000 bytes" in line
        assert kept not in line
        await store.liveness.close()

    async def test_claims_keep_to_the_limit_of_all_processes(self, store: JobStore, open_store: OpenStore) -> None:
        await self.insert(store, 10)
        async with open_store() as other:
            assert len(await store.attempts.claim(10, (), 3)) == 3
            assert await other.attempts.claim(10, (), 3) == []
            assert len(await other.attempts.claim(10, (), 4)) == 1


class TestBoundsInAFile(InAFile, BoundedContract):
    async def test_the_bound_holds_for_all_processes_together(
        self, store: JobStore, path: Path, clock: ManualClock
    ) -> None:
        other = SqliteStore(path, RecordingPublisher(), clock, Retention(), max_pending=MAX_PENDING)
        await other.liveness.open(RecordingSignals())
        attempts = [self.submit(each) for each in (store, other) * (2 * MAX_PENDING)]
        answers = await asyncio.gather(*attempts, return_exceptions=True)
        assert [type(answer) for answer in answers].count(QueueFull) == 3 * MAX_PENDING
        assert len(await self.list_ids(store)) == MAX_PENDING
        await other.liveness.close()


class TestRetentionInAFile(InAFile, StoreTests):
    retention = Retention(max_count=4)

    async def test_a_store_at_rest_is_asked_what_to_drop_once_a_minute(
        self, store: JobStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[object] = []
        write = JobsFile.write

        def note(file: JobsFile, operation: Operation[Any, Any], argument: object) -> "asyncio.Future[Any]":
            asked.append(operation)
            return write(file, operation, argument)

        await self.end(store, completion(None))
        monkeypatch.setattr(JobsFile, "write", note)

        async def count_in(seconds: int) -> int:
            asked.clear()
            for _ in range(seconds // 2):
                clock.advance(2)
                await store.liveness.prune(4)
            return len(asked)

        assert await count_in(10) == 5  # what has ended just now may have to go once it is old enough
        await count_in(10)
        assert 1 <= await count_in(120) <= 2
        await self.end(store, completion(None))
        assert await count_in(10) == 5

    async def test_the_oldest_finished_go_first_with_all_that_is_theirs(
        self, store: JobStore, clock: ManualClock, path: Path
    ) -> None:
        (pending,) = await self.insert(store)
        await self.claim(store)
        finished = []
        for index in range(10):
            claim = await self.start(store, queue=f"queue {index}")
            await store.attempts.append_log(claim, [NewLine(clock.now(), "info", "log", "a line")])
            await store.attempts.end_attempt(claim, completion(index))
            finished.append(claim.submission.id)
        assert not await store.liveness.prune(4)  # what is so young may not have been seen by other processes yet
        clock.advance(11)
        assert [await store.liveness.prune(4), await store.liveness.prune(4)] == [True, False]
        kept = [record.id for record in (await store.reads.list_records(ALL_JOBS, 100, None)).records]
        assert kept == [*finished[:-5:-1], pending]
        with sqlite3.connect(path) as connection:
            for table in ("events", "results", "logs"):
                (left,) = connection.execute(f"SELECT count(DISTINCT job_id) FROM {table}").fetchone()
                assert left <= 5, table
            (queues,) = connection.execute("SELECT count(DISTINCT queue) FROM counts").fetchone()
            assert queues == 5
        connection.close()


async def test_a_local_target_is_retried_in_its_process(open_store: OpenStore, clock: ManualClock) -> None:
    async def local() -> None:
        """Nobody else can import this."""

    async with open_store(clock=clock) as store, open_store(clock=clock) as other:
        job_id = await store.submissions.insert(submission(ids.next_id(), target=local))
        for attempt in range(1, 4):
            claim = await claim_one(store)
            assert (claim.submission.target, claim.attempt) == (local, attempt)
            retry = failure(ValueError()).to_be_retried(clock.now() + timedelta(seconds=60))
            assert await store.attempts.end_attempt(claim, retry)
            clock.advance(60)
            await other.attempts.make_due()
            assert await other.attempts.claim(1, ()) == []
        assert await store.attempts.end_attempt(await claim_one(store), completion("done"))
        assert await store.reads.get_result(job_id) == "done"


async def test_a_local_target_is_there_also_if_nobody_waits_to_hear_of_its_retry(
    open_store: OpenStore, clock: ManualClock
) -> None:
    async def local() -> None:
        """Nobody else can import this."""

    async with open_store(clock=clock) as store:
        await store.submissions.insert(submission(ids.next_id(), target=local))
        retrying = asyncio.ensure_future(
            store.attempts.end_attempt(await claim_one(store), failure(ValueError()).to_be_retried(clock.now()))
        )
        await asyncio.sleep(0)
        retrying.cancel()
        await asyncio.wait([retrying])
        claims: list[Claim] = []
        while not claims:
            claims = await store.attempts.claim(1, ())
        assert claims[0].submission.target is local


async def test_a_local_target_that_waits_for_its_retry_ends_with_its_process(
    open_store: OpenStore, clock: ManualClock
) -> None:
    async with open_store(clock=clock) as heir:
        async with open_store(clock=clock) as store:
            job_id = await store.submissions.insert(submission(ids.next_id(), target=lambda: None))
            retry = failure(ValueError()).to_be_retried(clock.now() + timedelta(seconds=60))
            await store.attempts.end_attempt(await claim_one(store), retry)
        record = await heir.reads.get_record(job_id)
        assert (record.status, record.ended_by, len(record.attempts)) == (JobStatus.FAILED, EndedBy.STOP, 1)
        assert await heir.attempts.make_due() is None


@pytest.mark.parametrize("is_elsewhere", [False, True])
async def test_a_coroutine_that_has_waited_too_long_is_closed(
    open_store: OpenStore, clock: ManualClock, is_elsewhere: bool
) -> None:
    signals = RecordingSignals()
    async with open_store(signals, clock=clock) as store, open_store(clock=clock) as other:
        coroutine = noop()
        await store.submissions.insert(submission(ids.next_id(), target=coroutine, options=JobOptions(queue_timeout=1)))
        clock.advance(1)
        signals.woken.clear()
        assert await (other if is_elsewhere else store).attempts.make_due() is None
        while is_elsewhere and inspect.getcoroutinestate(coroutine) != inspect.CORO_CLOSED:
            await asyncio.wait_for(signals.woken.wait(), 60)  # by the start of the other process as well
            signals.woken.clear()
        assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


async def test_options_outlive_the_process(open_store: OpenStore) -> None:
    options = JobOptions(
        name="train", tags=("a",), max_restarts=3, retry=Retry(attempts=5, delay=2, only=[ValueError], jitter=0.0),
        run_timeout=60, queue_timeout=timedelta(days=1), silence_timeout=5, kill_grace=1, max_memory_bytes=10_000,
        start_at=datetime(2026, 1, 1, tzinfo=UTC), priority=5, queue="gpu", concurrency_key="k", concurrency_limit=2,
        runner=RunnerKind.RAY, resources=Resources(cpus=0.5, gpus=2, memory_bytes=2**30), idempotency_key="once",
    )  # fmt: skip
    async with open_store() as store:
        await store.submissions.insert(Submission(ids.next_id(), "train", call_me, (), {}, RunnerKind.RAY, options))
    async with open_store() as store:
        claim = await claim_one(store)
        assert (claim.submission.options, claim.submission.runner) == (options, RunnerKind.RAY)


def call_me() -> None:
    """A plain function, which can have a process of its own."""


async def test_a_command_outlives_the_process(open_store: OpenStore) -> None:
    command = Command(["tr", "a-z", "A-Z"], cwd="/", env={"LC_ALL": "C"}, stdin="hello")
    async with open_store() as store:
        await store.submissions.insert(submission(ids.next_id(), RunnerKind.COMMAND, target=command))
    async with open_store() as store:
        claim = await claim_one(store)
        assert (claim.submission.target, claim.submission.runner) == (command, RunnerKind.COMMAND)


async def test_jobs_are_there_after_a_restart(open_store: OpenStore) -> None:
    async with open_store() as store:
        done, waiting = await insert(store), await insert(store)
        await store.attempts.end_attempt(await claim_one(store), completion({"loss": 0.1}))
    async with open_store() as store:
        assert await store.reads.get_result(done) == {"loss": 0.1}
        claim = await claim_one(store)
        assert (claim.submission.id, claim.submission.target) == (waiting, noop)


async def test_the_jobs_of_a_process_that_died_are_taken_over_once(open_store: OpenStore) -> None:
    async with open_store() as heir, open_store() as dead:
        job_id, once = await insert(dead), await insert(dead, JobOptions(max_restarts=0))
        stale = (await dead.attempts.claim(2, ()))[0]
        await heir.liveness.rescue()
        assert (await heir.reads.get_record(job_id)).status is JobStatus.RUNNING  # it is not dead yet
        die(dead)
        await heir.liveness.rescue()
        assert (await heir.reads.get_record(job_id)).status is JobStatus.PENDING
        assert (await heir.reads.get_record(once)).status is JobStatus.FAILED
        claim = await claim_one(heir)
        assert (claim.submission.id, claim.attempt) == (job_id, 2)
        (past,) = (await heir.reads.get_record(job_id)).attempts
        assert (past.attempt, past.error, past.ended_by) == (1, None, EndedBy.CRASH)
        assert (await heir.reads.get_record(once)).ended_by is EndedBy.CRASH
        assert not await dead.attempts.end_attempt(stale, completion("too late"))
        assert await heir.attempts.end_attempt(claim, completion("in time"))
        assert await dead.reads.get_result(job_id) == "in time"


async def test_a_job_that_kills_its_process_every_time_stops_after_its_restarts(open_store: OpenStore) -> None:
    async with open_store() as heir:
        job_id = await insert(heir, JobOptions(max_restarts=2))
        for _ in range(3):
            async with open_store() as dead:
                await claim_one(dead)
                die(dead)
                await heir.liveness.rescue()
        record = await heir.reads.get_record(job_id)
        assert (record.status, record.attempt) == (JobStatus.FAILED, 3)
        assert record.error is not None
        assert "ended before it did (3 times)" in record.error


async def test_failures_do_not_count_as_restarts(open_store: OpenStore, clock: ManualClock) -> None:
    async with open_store(clock=clock) as heir, open_store(clock=clock) as dead:
        job_id = await insert(dead, JobOptions(max_restarts=1, retry=Retry(attempts=9)))
        for failures in range(4):
            claim = await claim_one(dead)
            assert (claim.attempt, claim.failures) == (failures + 1, failures)
            assert await dead.attempts.end_attempt(claim, failure(ValueError()).to_be_retried(clock.now()))
        await claim_one(dead)
        die(dead)
        await heir.liveness.rescue()
        claim = await claim_one(heir)
        assert (claim.submission.id, claim.attempt, claim.failures) == (job_id, 6, 4)


async def test_a_job_that_was_asked_to_stop_when_its_process_died_is_canceled(
    open_store: OpenStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "servicekit.stores")
    async with open_store() as heir, open_store() as dead:
        canceled, deleted = await insert(dead), await insert(dead)
        await dead.attempts.claim(2, ())
        await heir.submissions.request_cancel(canceled)
        await heir.submissions.delete(deleted)
        die(dead)
        await heir.liveness.rescue()
        assert "is gone: 2 of its jobs taken over, of which 0 failed" in caplog.text
        assert (await heir.reads.get_record(canceled)).status is JobStatus.CANCELED
        assert [record.id for record in (await heir.reads.list_records(ALL_JOBS, 10, None)).records] == [canceled]


async def test_what_only_a_dead_process_could_run_has_failed(open_store: OpenStore) -> None:
    async with open_store() as heir, open_store() as dead:
        job_id = ids.next_id()
        await dead.submissions.insert(Submission(job_id, "closure", lambda: None, (), {}, RunnerKind.THREAD))
        assert await heir.attempts.claim(1, ()) == []
        die(dead)
        await heir.liveness.rescue()
        record = await heir.reads.get_record(job_id)
        assert (record.status, record.started_at) == (JobStatus.FAILED, None)
        assert [each.status for each in await heir.reads.list_transitions(job_id, 0)] == [
            JobStatus.PENDING,
            JobStatus.FAILED,
        ]


async def test_a_lock_does_not_outlive_its_process_in_a_forked_child(open_store: OpenStore) -> None:
    async with open_store() as store:
        assert store.file.registration.lock is not None
        path = store.file.registration.lock.path
        with Child():
            assert is_alive(path)
            die(store)
            assert not is_alive(path)


async def test_one_process_hears_what_another_has_done(open_store: OpenStore) -> None:
    signals, publisher = RecordingSignals(), RecordingPublisher()
    async with open_store(signals, publisher) as here, open_store() as there:
        job_id = await insert(there)
        await asyncio.wait_for(signals.woken.wait(), 60)
        claim = await claim_one(here)
        await there.submissions.request_cancel(job_id)
        assert await asyncio.wait_for(signals.canceled.get(), 10) == job_id
        await there.submissions.delete(job_id)
        assert await asyncio.wait_for(signals.canceled.get(), 10) == job_id
        assert not await here.attempts.end_attempt(claim, CANCELED)
        told = [(event.record and event.record.status, event.is_transition) for event in publisher.events]
        assert told == [
            (JobStatus.PENDING, True),
            (JobStatus.RUNNING, True),
            (JobStatus.RUNNING, False),
            (None, True),
        ]


async def test_a_key_is_used_once_however_many_ask_at_the_same_instant(open_store: OpenStore) -> None:
    options = JobOptions(idempotency_key="order 66")
    async with open_store() as first, open_store() as second:
        answers = await asyncio.gather(*(insert(store, options) for store in (first, second) * 20))
        assert len(set(answers)) == 1


async def test_a_job_whose_target_is_gone_fails_with_the_reason(open_store: OpenStore, path: Path) -> None:
    async with open_store() as store:
        await insert(store)
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE jobs SET target = 'tests.fakes:renamed'")
        connection.close()
        target = (await claim_one(store)).submission.call()
        with pytest.raises(RuntimeError, match=r"tests\.fakes:renamed cannot be imported: there is no such name"):
            await target


async def test_a_claim_that_nobody_waits_for_is_given_back(open_store: OpenStore) -> None:
    async with open_store() as store:
        job_id = await insert(store, JobOptions(max_restarts=0))
        claiming = asyncio.ensure_future(store.attempts.claim(1, ()))
        await asyncio.sleep(0)
        claiming.cancel()
        await asyncio.wait([claiming])
        claims: list[Claim] = []
        while not claims:
            claims = await store.attempts.claim(1, ())
        assert claims[0].submission.id == job_id


async def test_a_newer_file_is_refused(open_store: OpenStore, path: Path) -> None:
    async with open_store():
        pass
    newer = len(find_migrations()) + 1
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {newer}")
    connection.close()
    with pytest.raises(StoreUnavailable, match=f"written by a newer servicekit \\(schema {newer}"):
        async with open_store():
            pass


async def test_a_file_of_the_first_version_is_brought_up_to_date(open_store: OpenStore, path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.executescript(find_migrations()[0])
        connection.execute("PRAGMA user_version = 1")
        connection.execute(f"PRAGMA application_id = {0x53764B6A}")
        attempts = '[[1, "2026-01-01T12:00:00.000000Z", "2026-01-01T12:00:01.000000Z", null, "crash"]]'
        connection.execute(
            "INSERT INTO jobs "
            "(id, name, turn, attempts, attempt, max_restarts, runner, target, arguments, submitted_at) "
            "VALUES (?, 'old', 1, ?, 1, 1, 'coroutine', 'tests.fakes:noop', ?, '2026-01-01T12:00:00.000000Z')",
            [old := ids.next_id(), attempts, '{"args": [], "kwargs": {}}'],
        )
    connection.close()
    async with open_store() as store:
        record = await store.reads.get_record(old)
        assert (record.parent, record.metadata, record.process) == (None, {}, None)
        assert [past.process for past in record.attempts] == [None]
        new = await insert(store, JobOptions(metadata={"a": "x"}))
        for claim in await store.attempts.claim(2, ()):
            assert await store.attempts.end_attempt(claim, completion(None))
        assert (await store.reads.get_record(old)).process == name_of_process()
        found = await store.reads.list_records(JobFilter(metadata={"a": "x"}), 10, None)
        assert [record.id for record in found.records] == [new]


async def test_the_database_of_another_program_is_left_alone(open_store: OpenStore, path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreUnavailable, match="database of another program"):
        async with open_store():
            pass
    assert path.read_bytes() == before


async def test_a_running_file_can_be_copied_and_read_by_people(
    open_store: OpenStore, path: Path, tmp_path: Path
) -> None:
    async with open_store() as store:
        job_id = await insert(store)
        await store.attempts.end_attempt(await claim_one(store), completion("kept"))
        with sqlite3.connect(path) as source, sqlite3.connect(tmp_path / "copy.db") as copy:
            source.backup(copy)
            row = copy.execute("SELECT id, status, submitted_at, target, arguments FROM jobs").fetchone()
        source.close()
        copy.close()
    assert row == (job_id, "completed", "2026-01-01T12:00:00.000000Z", "tests.fakes:noop", '{"args": [], "kwargs": {}}')


async def test_a_closed_store_says_so(open_store: OpenStore) -> None:
    async with open_store() as store:
        pass
    with pytest.raises(StoreUnavailable, match="it is closed"):
        await store.reads.get_record(ids.next_id())


async def test_nothing_is_left_beside_the_file(open_store: OpenStore, path: Path) -> None:
    async with open_store() as store:
        with pytest.raises(JobNotFound):
            await store.reads.get_record(ids.next_id())
    assert [each.name for each in path.parent.iterdir()] == [path.name]


class Body(BaseModel):
    day: date


async def read(body: Body) -> date:
    return body.day


async def test_arguments_come_back_as_the_types_that_the_target_names(open_store: OpenStore, path: Path) -> None:
    body = Body(day=date(2026, 1, 31))
    async with open_store() as store:
        for _ in range(2):
            await store.submissions.insert(Submission(ids.next_id(), "read", read, (body,), {}, RunnerKind.COROUTINE))
    async with open_store() as store:
        assert await (await claim_one(store)).submission.call() == body.day
        with sqlite3.connect(path) as connection:
            connection.execute("""UPDATE jobs SET arguments = '{"args": [{}], "kwargs": {}, "typed": [0]}'""")
        connection.close()
        with pytest.raises(ArgumentsUnfit, match=r"do not fit .*test_sqlite:read any more: Field required"):
            await (await claim_one(store)).submission.call()


async def test_deletions_are_forgotten_after_a_day(open_store: OpenStore, path: Path) -> None:
    clock = ManualClock()
    async with open_store(clock=clock) as store:
        begin = await store.changes.get_position()
        job_id = await insert(store)
        await store.submissions.delete(job_id)
        clock.advance(23 * 3_600)
        await store.liveness.prune(100)
        page = await store.changes.list_changes(begin, 10)
        assert page is not None
        assert [(change.job_id, change.record) for change in page.changes] == [(job_id, None)]
        clock.advance(2 * 3_600)
        await store.liveness.prune(100)
        assert await store.changes.list_changes(begin, 10) is None  # who comes so late begins again
        assert await store.changes.list_changes(page.position, 10) is not None
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (0,)


def test_no_statement_has_numbered_placeholders() -> None:
    """With a sequence of values they are deprecated since Python 3.12; names do the same."""
    folder = Path(inspect.getfile(SqliteStore)).parent
    texts = {path.name: path.read_text() for path in folder.glob("*.py")}
    assert [name for name, text in texts.items() if re.search(r"\?[0-9]", text)] == []


async def test_a_result_is_as_large_as_its_bytes(path: Path) -> None:
    store = SqliteStore(path, RecordingPublisher(), ManualClock(), Retention(max_result_bytes=1_000))
    await store.liveness.open(RecordingSignals())
    ids = JobIds()
    for result, is_kept in (("x" * 900, True), ("\u00e9" * 499, True), ("\u00e9" * 500, False)):
        await store.submissions.insert(submission(job_id := ids.next_id()))
        (claim,) = await store.attempts.claim(1, ())
        await store.attempts.end_attempt(claim, completion(result))
        if is_kept:
            assert await store.reads.get_result(job_id) == result
        else:
            with pytest.raises(ResultDropped):
                await store.reads.get_result(job_id)
    await store.liveness.close()


@pytest.mark.parametrize("way", ["release", "rescue"])
async def test_a_job_that_is_given_back_after_the_clock_was_set_waits_as_long_as_it_may(path: Path, way: str) -> None:
    clock = ManualClock()
    stores = [SqliteStore(path, RecordingPublisher(), clock, Retention()) for _ in range(2)]
    for store in stores:
        await store.liveness.open(RecordingSignals())
    await stores[0].submissions.insert(
        submission(JobIds().next_id(), options=changed(DEFAULT_OPTIONS, {"queue_timeout": 60}))
    )
    (claim,) = await stores[0].attempts.claim(1, ())
    clock.set_by(3_600)
    if way == "release":
        await stores[0].attempts.end_attempt(claim, GIVEN_BACK)
    else:
        assert stores[0].file.registration.lock is not None
        stores[0].file.registration.lock.close()  # as at the end of its process
        await stores[1].liveness.rescue()
    assert await stores[1].attempts.make_due() == clock.now() + timedelta(seconds=60)
    for store in stores:
        await store.liveness.close()


async def test_the_events_of_a_job_that_can_never_begin_are_bounded(path: Path) -> None:
    store = SqliteStore(path, RecordingPublisher(), ManualClock(), Retention())
    await store.liveness.open(RecordingSignals())
    await store.submissions.insert(submission(JobIds().next_id()))
    for _ in range(2 * MAX_TRANSITIONS):
        (claim,) = await store.attempts.claim(1, ())
        await store.attempts.end_attempt(claim, NOT_BEGUN)
    await store.liveness.close()
    with closing(sqlite3.connect(path)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM events").fetchone()
        assert count <= MAX_TRANSITIONS + 2
