"""What can go wrong with a file does: the sentence says what it is, nothing accepted is lost, nothing runs twice."""

import asyncio
import json
import logging
import os
import re
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TypeVar, Unpack, cast

import httpx
import pytest

from servicekit import JobStatus, Retention, Scheduler, create_scheduler, current_job
from servicekit.engine import sweeper
from servicekit.engine.clock import SystemClock
from servicekit.engine.options import SchedulerOptions
from servicekit.engine.parts import SchedulerParts
from servicekit.errors import JobNotFound, StoreUnavailable
from servicekit.events.hub import EventHub
from servicekit.jobs import backoff
from servicekit.jobs.ids import JobIds
from servicekit.jobs.log_lines import NewLine
from servicekit.jobs.options import DEFAULT_OPTIONS, OptionChanges, RunnerKind, changed
from servicekit.jobs.outcome import completion, failure
from servicekit.jobs.schedules import FiredSchedule
from servicekit.jobs.submission import Claim
from servicekit.ports import Runner
from servicekit.runners.coroutine import CoroutineRunner
from servicekit.runners.thread import ThreadRunner
from servicekit.stores.durable.attempts import DurableAttempts
from servicekit.stores.durable.liveness import DurableLiveness
from servicekit.stores.durable.schedules import DurableSchedules
from servicekit.stores.sqlite import database, database_thread
from servicekit.stores.sqlite import writer as writer_module
from servicekit.stores.sqlite.store import SqliteStore
from servicekit.testing.stores.fakes import ManualClock, RecordingPublisher, RecordingSignals, submission
from servicekit.testing.stores.schedules import NEXT, TICK, schedule
from tests.disks import fill, finally_run, remount, small_disk
from tests.fakes import Gate
from tests.service import ROOT, run_service
from tests.stores.event_log import check_events

T = TypeVar("T")
PATIENCE_SECONDS: Final = 60
starts: Counter[str] = Counter()
ids = JobIds()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is tried again soon."""
    monkeypatch.setattr(backoff, "_FIRST_SECONDS", 0.01)
    monkeypatch.setattr(sweeper, "_RESCUE_SECONDS", 0.01)
    monkeypatch.setattr(database, "_BUSY_MILLISECONDS", 50)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    starts.clear()
    return tmp_path / "jobs.db"


def open_scheduler(path: Path, *, run_jobs: bool = True) -> Scheduler:
    return create_scheduler(f"sqlite:///{path}", shutdown_grace=0, run_jobs=run_jobs)


def make_scheduler(path: Path) -> tuple[Scheduler, SqliteStore]:
    """The same with its store, for tests that go behind it."""
    hub, retention, coroutines = EventHub(), Retention(), CoroutineRunner()
    store = SqliteStore(path, hub, SystemClock(), retention)
    runners: dict[RunnerKind, Runner] = {
        RunnerKind.COROUTINE: coroutines,
        RunnerKind.THREAD: ThreadRunner(coroutines),
    }
    clock = SystemClock()
    options = SchedulerOptions(retention=retention, shutdown_grace=0)
    parts = SchedulerParts(store=store, hub=hub, runners=runners, clock=clock, options=options)
    return Scheduler(parts), store


def count_start() -> None:
    job = current_job()
    starts[f"{job.id} {job.attempt}"] += 1


async def answer(text: str) -> str:
    count_start()
    return text


def answer_in_thread(text: str) -> str:
    count_start()
    current_job().progress(1, 2, text)
    return text


async def fail() -> None:
    count_start()
    raise ValueError("planned")


async def wait_until_stopped() -> str:
    """Waits for ever at its first attempt."""
    count_start()
    current_job().progress(1)
    if current_job().attempt == 1:
        await asyncio.Event().wait()
    return "not the first time"


def check_started_once(path: Path, *twice: str) -> None:
    """Each attempt was made once, and no job had more than one; but those had one more."""
    assert set(starts.values()) <= {1}
    jobs = Counter(key.split()[0] for key in starts)
    assert {job_id for job_id, count in jobs.items() if count > 1} <= set(twice)
    with closing(sqlite3.connect(path)) as connection:
        check_events(connection)


async def wait_for(condition: Callable[[], Awaitable[bool]]) -> None:
    """Until something is so of which nobody tells."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await condition():
            await asyncio.sleep(0.01)


async def wait_healthy(scheduler: Scheduler) -> None:
    async def is_healthy() -> bool:
        return await scheduler.find_problem() is None

    await wait_for(is_healthy)


# Every statement fails once


class Faults:
    """Lets one statement fail, at one of the times when it is executed."""

    def __init__(self, statement: str, occurrence: int, name: str) -> None:
        self.counts: Counter[str] = Counter()
        self.has_failed = False
        self.name = name
        self._statement = statement
        self._occurrence = occurrence

    def check(self, statement: str) -> None:
        self.counts[statement] += 1
        if statement == self._statement and self.counts[statement] == self._occurrence:
            self.has_failed = True
            raise sqlite_error(self.name)


def sqlite_error(name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("it fails for once")
    error.sqlite_errorname = name
    return error


class HookedConnection:
    """A connection that calls `hook(connection, statement)` before each statement, in the thread that executes it."""

    def __init__(self, connection: sqlite3.Connection, hook: "Hook") -> None:
        self._connection = connection
        self._hook = hook
        self.close = connection.close

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def execute(self, statement: str, values: Any = ()) -> sqlite3.Cursor:
        self._hook(self._connection, statement)
        return self._connection.execute(statement, values)


Hook = Callable[[sqlite3.Connection | None, str], None]


def hook_connections(monkeypatch: pytest.MonkeyPatch, hook: Hook) -> None:
    def connect(path: Path) -> sqlite3.Connection:
        with database.translated_errors(path):
            hook(None, "connect")
        return cast(sqlite3.Connection, HookedConnection(database.connect(path), hook))

    monkeypatch.setattr(database_thread, "connect", connect)


async def insist(call: Callable[[], Awaitable[T]]) -> T:
    """What a client does: try again when it is told that jobs cannot be read or written now."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                return await call()
            except StoreUnavailable:
                await asyncio.sleep(0)


async def live_through(path: Path) -> None:
    """Two lives of a scheduler, and all that can happen to jobs, whatever fails."""
    statuses: dict[str, JobStatus] = {}
    first, store = make_scheduler(path)
    await insist(first.start)
    try:
        keyed = first.with_options(idempotency_key="a key", tags=["tagged"])
        job_ids = [await insist(lambda: keyed.add_job(answer, "keyed")) for _ in range(2)]
        assert len(set(job_ids)) == 1
        statuses[job_ids[0]] = JobStatus.COMPLETED
        statuses[await insist(lambda: first.add_job(answer, "one"))] = JobStatus.COMPLETED
        statuses[await insist(lambda: first.add_job(answer_in_thread, "two"))] = JobStatus.COMPLETED
        statuses[await insist(lambda: first.add_job(fail))] = JobStatus.FAILED
        canceled, deleted, stopped = [await insist(lambda: first.add_job(wait_until_stopped)) for _ in range(3)]
        gate = Gate()
        local = await insist(lambda: first.add_job(gate.enter))
        await gate.wait_entered(1)
        for job_id, status in statuses.items():
            assert (await insist(lambda: first.wait(job_id))).status is status  # noqa: B023
        assert await insist(lambda: first.get_result(job_ids[0])) == "keyed"
        await insist(lambda: first.cancel(canceled))
        assert (await insist(lambda: first.wait(canceled))).status is JobStatus.CANCELED
        with suppress(JobNotFound):  # it was deleted already, if what failed was to say so
            await insist(lambda: first.delete(deleted))
        await insist(lambda: store.liveness.prune(10))
        await wait_running(first, stopped)
    finally:
        await asyncio.wait_for(first.close(), PATIENCE_SECONDS)
        die(store)
    second, store = make_scheduler(path)
    await insist(second.start)
    try:
        assert (await insist(lambda: second.wait(stopped))).status is JobStatus.COMPLETED
        assert (await insist(lambda: second.wait(local))).status is JobStatus.FAILED
        with pytest.raises(JobNotFound):
            await insist(lambda: second.get_record(deleted))
        for job_id, status in statuses.items():
            assert (await insist(lambda: second.get_record(job_id))).status is status  # noqa: B023
    finally:
        await asyncio.wait_for(second.close(), PATIENCE_SECONDS)
        die(store)
    check_started_once(path, stopped)


async def wait_running(scheduler: Scheduler, job_id: str) -> None:
    async def is_running() -> bool:
        return (await insist(lambda: scheduler.get_record(job_id))).status is JobStatus.RUNNING

    await wait_for(is_running)


def die(store: SqliteStore) -> None:
    """What the end of its process does to a store that could not say farewell."""
    if store.file.registration.lock is not None:
        store.file.registration.lock.close()


async def use_everything(path: Path) -> None:
    """What a store can be asked beside that, whatever fails."""
    clock = ManualClock()
    store = SqliteStore(path, RecordingPublisher(), clock, Retention(max_log_bytes=200), max_pending=20)
    await insist(lambda: store.liveness.open(RecordingSignals()))
    try:
        await use_queues(store, clock)
        assert await insist(store.attempts.make_due) is None
        counts = await insist(store.reads.count_by_status)
        assert (counts[JobStatus.COMPLETED], counts[JobStatus.FAILED], sum(counts.values())) == (6, 1, 7)
        clock.advance(3_600)
        await insist(lambda: store.liveness.prune(10))
    finally:
        await store.liveness.retire()
        await store.liveness.close()
        die(store)
    with closing(sqlite3.connect(path)) as connection:
        check_events(connection)


async def use_queues(store: SqliteStore, clock: ManualClock) -> None:
    async def add(**options: Unpack[OptionChanges]) -> str:
        new = submission(ids.next_id(), options=changed(DEFAULT_OPTIONS, options))
        return await insist(lambda: store.submissions.insert(new))

    async def claim(*expected: str) -> list[Claim]:
        claims = await insist(lambda: store.attempts.claim(10, ()))
        assert {claim.submission.id for claim in claims} == set(expected)
        return claims

    held, blocked = await add(concurrency_key="k"), await add(concurrency_key="k", queue="other")
    delayed, plain = await add(concurrency_key="k", delay=60), await add(queue="other")
    expired = await add(concurrency_key="k", queue_timeout=60, tags=["late"])
    await insist(lambda: store.queues.set_queue_paused("other", is_paused=True))
    (first,) = await claim(held)
    lines = [NewLine(clock.now(), "info", "log", f"line {number}") for number in range(5)]
    await insist(lambda: store.attempts.append_log(first, lines))
    assert (await insist(lambda: store.reads.list_log(held, 0, 10))).dropped > 0
    clock.advance(60)
    assert await insist(store.attempts.make_due) is None
    assert (await insist(lambda: store.reads.get_record(expired))).status is JobStatus.FAILED
    retry = failure(ValueError()).to_be_retried(clock.now() + timedelta(seconds=60))
    assert await insist(lambda: store.attempts.end_attempt(first, retry))
    await insist(lambda: store.queues.set_queue_paused("other", is_paused=False))
    for each in await claim(blocked, plain):
        await insist(lambda: store.attempts.end_attempt(each, completion(None)))  # noqa: B023
    await use_schedule(store)
    repeated = await insist(lambda: store.submissions.resubmit(plain, ids.next_id()))
    (state,) = await insist(store.schedules.list_schedules)
    assert state.last_job_id is not None
    await insist(lambda: store.schedules.remove_schedule("nightly"))
    for each in await claim(delayed, repeated, state.last_job_id):
        await insist(lambda: store.attempts.end_attempt(each, completion(None)))  # noqa: B023
    assert len(await insist(store.queues.list_queues)) == 1
    clock.advance(60)
    assert await insist(store.attempts.make_due) is None
    (again,) = await claim(held)
    await insist(lambda: store.attempts.end_attempt(again, completion(None)))


async def use_schedule(store: SqliteStore) -> None:
    await insist(lambda: store.schedules.put_schedule(schedule(), TICK))
    await insist(lambda: store.schedules.set_schedule_paused("nightly", None, is_paused=True))
    await insist(lambda: store.schedules.set_schedule_paused("nightly", TICK, is_paused=False))
    fired = await insist(lambda: store.schedules.fire_schedule("nightly", TICK, NEXT, ids.next_id()))
    assert fired is FiredSchedule.SUBMITTED


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("use", "least"), [(live_through, 60), (use_everything, 50)])
async def test_every_statement_can_fail_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: Callable[[Path], Awaitable[None]], least: int
) -> None:
    """Each one at the first and the second time that it is executed, and each commit."""
    names = ["SQLITE_IOERR_WRITE", "SQLITE_FULL", "SQLITE_BUSY"]
    undisturbed = Faults("", 0, "")
    hook_connections(monkeypatch, lambda _, statement: undisturbed.check(statement))
    await use(tmp_path / "jobs.db")
    cases = [
        (statement, occurrence)
        for statement, count in undisturbed.counts.items()
        for occurrence in range(1, 1 + (count if statement == "COMMIT" else min(count, 2)))
    ]
    assert len(cases) > least
    failures = 0
    for number, (statement, occurrence) in enumerate(cases):
        starts.clear()
        faults = Faults(statement, occurrence, names[number % len(names)])
        hook_connections(monkeypatch, lambda _, statement: faults.check(statement))  # noqa: B023
        try:
            await asyncio.wait_for(use(tmp_path / f"{number}.db"), PATIENCE_SECONDS)
        except BaseException:
            print(f"{faults.name} when this was executed for the {occurrence}. time: {statement}")
            raise
        failures += faults.has_failed
    assert failures > len(cases) * 0.8  # how calls meet in one transaction is not the same each time


# What fails for ever


class Broken:
    """Lets a call of the store fail until it is mended, and notes when it is tried."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.name = name
        self.mended = asyncio.Event()
        part = DurableSchedules if name == "list_schedules" else DurableAttempts
        self._call = getattr(part, name)
        self._tried_at: list[float] = []
        monkeypatch.setattr(part, name, lambda *args: self._try(*args))

    async def _try(self, *args: object) -> object:
        if self.mended.is_set():
            return await self._call(*args)
        self._tried_at.append(time.monotonic())
        raise StoreUnavailable("the file", "a mistake of ours")

    async def wait_tried(self, times: int) -> list[float]:
        """The pauses between so many tries."""

        async def was_tried() -> bool:
            return len(self._tried_at) >= times

        await wait_for(was_tried)
        return [later - earlier for earlier, later in pairwise(self._tried_at[:times])]


async def say_something(broken: Broken) -> None:
    current_job().log("This is hard to keep.")
    if broken.name == "append_log":
        await broken.mended.wait()


@pytest.mark.parametrize(
    ("name", "first_pause"),
    [("append_log", 0.05), ("end_attempt", 0.01), ("claim", 0.01), ("make_due", 0.01), ("list_schedules", 0.01)],
)
async def test_what_can_never_be_done_is_tried_more_and_more_rarely_and_told_once(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, first_pause: float
) -> None:
    broken = Broken(monkeypatch, name)
    async with open_scheduler(path) as scheduler:
        job_id = await scheduler.add_job(say_something, broken)
        pauses = await broken.wait_tried(6)
        broken.mended.set()
        assert (await scheduler.wait(job_id, PATIENCE_SECONDS)).status is JobStatus.COMPLETED
    assert [pause for number, pause in enumerate(pauses) if pause < first_pause * 2**number * 0.9] == []
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len([message for message in told if "a mistake of ours" in message]) <= 1


async def test_a_mistake_of_ours_is_logged_once_however_often_it_is_met(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    is_broken = False

    def fail(_: sqlite3.Connection | None, statement: str) -> None:
        if is_broken and "INSERT INTO jobs" in statement:
            raise ZeroDivisionError("a mistake of ours")

    hook_connections(monkeypatch, fail)
    async with open_scheduler(path) as scheduler:
        await scheduler.add_job(answer, "before")
        is_broken = True
        for _ in range(5):
            with pytest.raises(StoreUnavailable, match="a mistake of ours"):
                await scheduler.add_job(answer, "lost")
        assert [record.getMessage() for record in caplog.records if record.exc_info] == ["Jobs could not be written"]
        is_broken = False
        assert (await scheduler.wait(await scheduler.add_job(answer, "after"))).status is JobStatus.COMPLETED


# Faults that are real


@asynccontextmanager
async def busy(path: Path) -> AsyncIterator[tuple[Scheduler, Gate, str, str]]:
    """A scheduler with one job that has ended, and one that waits at a gate."""
    async with open_scheduler(path) as scheduler:
        ended = await scheduler.add_job(answer, "before")
        await scheduler.wait(ended)
        gate = Gate()
        running = await scheduler.add_job(gate.enter, "meanwhile")
        await gate.wait_entered(1)
        yield scheduler, gate, ended, running


async def check_refused(scheduler: Scheduler, reason: str) -> None:
    """Nothing is accepted, and both the caller and `/health` are told why."""
    with pytest.raises(StoreUnavailable, match=reason) as caught:
        await scheduler.add_job(answer, "x" * 100_000)
    assert "jobs.db" in caught.value.place
    problem = await scheduler.find_problem()
    assert problem is not None
    assert reason in problem


async def check_recovered(scheduler: Scheduler, path: Path, ended: str, running: str) -> None:
    """What was accepted is there, what ended meanwhile is written, and more is accepted."""
    await wait_healthy(scheduler)
    assert (await scheduler.wait(running, PATIENCE_SECONDS)).status is JobStatus.COMPLETED
    assert await scheduler.get_result(running) == "meanwhile"
    assert await scheduler.get_result(ended) == "before"
    after = await scheduler.add_job(answer, "after")
    assert (await scheduler.wait(after, PATIENCE_SECONDS)).status is JobStatus.COMPLETED
    assert len(await scheduler.get_all_records()) == 3
    check_started_once(path)


async def test_another_program_holds_the_file(path: Path) -> None:
    async with busy(path) as (scheduler, gate, ended, running):
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            await check_refused(scheduler, "another program holds its lock")
            gate.open()
            assert await scheduler.get_result(ended) == "before"  # reading goes on
            assert (await scheduler.get_record(running)).status is JobStatus.RUNNING
        await check_recovered(scheduler, path, ended, running)


async def test_the_database_may_not_grow(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    most_pages = 1 << 30

    def limit(connection: sqlite3.Connection | None, statement: str) -> None:
        if connection is not None and statement == "BEGIN IMMEDIATE":
            connection.execute(f"PRAGMA max_page_count = {most_pages}")

    hook_connections(monkeypatch, limit)
    async with busy(path) as (scheduler, gate, ended, running):
        most_pages = 1
        with pytest.raises(StoreUnavailable, match="disk is full"):
            await scheduler.add_job(answer, "x" * 100_000)
        assert "disk is full" in (await scheduler.find_problem() or "")  # though a few bytes can still be written
        gate.open()
        most_pages = 1 << 30
        await check_recovered(scheduler, path, ended, running)


async def test_the_disk_is_full(tmp_path: Path) -> None:
    starts.clear()
    with small_disk(tmp_path / "disk", "4m") as disk:
        path = disk / "jobs.db"
        async with busy(path) as (scheduler, gate, ended, running):
            ballast = fill(disk)
            await check_refused_when_full(scheduler)
            gate.open()
            ballast.unlink()
            await check_recovered_but(scheduler, ended, running)
        check_started_once(path)


async def check_refused_when_full(scheduler: Scheduler) -> None:
    """What the log still has room for is accepted; then nothing is."""
    with pytest.raises(StoreUnavailable, match="disk is full"):
        await scheduler.add_job(answer, "x" * 100_000)

    async def is_degraded() -> bool:
        problem = await scheduler.find_problem()
        return problem is not None and "disk is full" in problem

    await wait_for(is_degraded)


async def check_recovered_but(scheduler: Scheduler, ended: str, running: str) -> None:
    await wait_healthy(scheduler)
    assert (await scheduler.wait(running, PATIENCE_SECONDS)).status is JobStatus.COMPLETED
    assert await scheduler.get_result(running) == "meanwhile"
    assert await scheduler.get_result(ended) == "before"
    for record in await scheduler.get_all_records():
        assert (await scheduler.wait(record.id, PATIENCE_SECONDS)).status is JobStatus.COMPLETED


async def test_files_may_not_grow(path: Path) -> None:
    """A quota of another kind: the system refuses to write, and says why with a number that SQLite does not know."""
    async with busy(path) as (scheduler, gate, ended, running):
        with limited(resource.RLIMIT_FSIZE, path.with_name("jobs.db-wal").stat().st_size):
            await check_refused(scheduler, "the disk reports an error")
            gate.open()
        await check_recovered(scheduler, path, ended, running)


@contextmanager
def limited(kind: int, soft: int) -> Iterator[None]:
    before, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (before, hard))


class Rescues:
    """Counts the rescues that came to their end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        rescue = DurableLiveness.rescue

        async def rescue_and_count(store: DurableLiveness) -> None:
            await rescue(store)
            self.count += 1

        monkeypatch.setattr(DurableLiveness, "rescue", rescue_and_count)

    async def wait_next(self) -> None:
        """Until one has begun since, and has come to its end: the first may have begun before."""
        count = self.count

        async def has_come() -> bool:
            return self.count > count + 1

        await wait_for(has_come)


async def test_what_is_read_beside_the_database_may_fail_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with busy(path) as (scheduler, gate, ended, running):
        gate.open()
        await scheduler.wait(running)

    def fail() -> list[str]:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(database, "find_migrations", fail)
        with pytest.raises(StoreUnavailable, match="Too many open files"):
            await asyncio.wait_for(open_scheduler(path).start(), PATIENCE_SECONDS)
    async with open_scheduler(path) as scheduler:
        await check_recovered(scheduler, path, ended, running)


async def test_no_more_files_can_be_opened(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither to look at the locks of others nor to open the database anew; the engine lives on."""
    fails = False

    def fail_when_told(connection: sqlite3.Connection | None, statement: str) -> None:
        if fails and statement == "BEGIN IMMEDIATE":
            raise sqlite_error("SQLITE_IOERR")

    hook_connections(monkeypatch, fail_when_told)
    rescues = Rescues(monkeypatch)
    async with (
        busy(path) as (scheduler, gate, ended, running),
        open_scheduler(path, run_jobs=False) as other,  # so that there is a lock to look at
    ):
        fails = True
        await check_refused(scheduler, "the disk reports an error")
        with limited(resource.RLIMIT_NOFILE, 0):
            await check_refused(scheduler, "it cannot be opened")
            await rescues.wait_next()
            gate.open()
        fails = False
        await wait_healthy(other)
        # Nobody asks the first for anything: what claims there has outlived this.
        more = await other.add_job(answer, "more")
        assert (await other.wait(more, PATIENCE_SECONDS)).status is JobStatus.COMPLETED
        await other.delete(more)
        await check_recovered(scheduler, path, ended, running)


async def test_the_file_is_damaged_and_then_restored(path: Path) -> None:
    async with busy(path) as (scheduler, gate, ended, running):
        gate.open()
        await scheduler.wait(running)
    copy = path.read_bytes()
    path.write_bytes(copy[:4096] + b"\x55" * (len(copy) - 4096))
    with pytest.raises(StoreUnavailable, match="damaged"):
        await open_scheduler(path).start()
    path.write_bytes(copy)
    async with open_scheduler(path) as scheduler:
        await check_recovered(scheduler, path, ended, running)
    assert list(path.parent.glob("*-process-*")) == []


async def test_a_file_damaged_while_it_is_used_is_told_of(path: Path) -> None:
    async with busy(path) as (scheduler, gate, ended, running):
        with closing(sqlite3.connect(path)) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        copy = path.read_bytes()
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\x55" * (len(copy) - 4096))
        touch_change_counter(path)

        async def is_degraded() -> bool:
            problem = await scheduler.find_problem()
            return problem is not None and "damaged" in problem

        with suppress(StoreUnavailable):
            await scheduler.get_record(ended)
        await wait_for(is_degraded)
        gate.open()
        with path.open("r+b") as file:
            file.write(copy)
        await check_recovered(scheduler, path, ended, running)


def touch_change_counter(path: Path) -> None:
    """Make connections that are open read the pages anew."""
    path.with_name(f"{path.name}-wal").write_bytes(b"")


async def test_a_file_of_a_newer_version_is_left_alone(path: Path) -> None:
    async with open_scheduler(path) as scheduler:
        job_id = await scheduler.add_job(answer, "before")
        await scheduler.wait(job_id)
    with closing(sqlite3.connect(path)) as other:
        version = other.execute("PRAGMA user_version").fetchone()[0]
        other.execute(f"PRAGMA user_version = {version + 1}")
    before = path.read_bytes()
    with pytest.raises(StoreUnavailable, match=f"written by a newer servicekit \\(schema {version + 1}; "):
        await open_scheduler(path).start()
    assert path.read_bytes() == before
    with closing(sqlite3.connect(path)) as other:
        other.execute(f"PRAGMA user_version = {version}")
    async with open_scheduler(path) as scheduler:
        assert await scheduler.get_result(job_id) == "before"


async def test_the_file_of_another_program_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE recipes (name TEXT)")
    before = path.read_bytes()
    with pytest.raises(StoreUnavailable, match="the database of another program"):
        await open_scheduler(path).start()
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == ["jobs.db"]


@pytest.mark.parametrize(
    ("what", "reason"),
    [("text", "not an SQLite database"), ("folder", "it is a folder"), ("no folder", "cannot be written")],
)
async def test_what_is_no_database_is_refused(path: Path, what: str, reason: str) -> None:
    if what == "text":
        path.write_text("Dear diary, " * 100)
    elif what == "folder":
        path.mkdir()
    else:
        path = path.parent / "missing" / "jobs.db"
    scheduler = open_scheduler(path)
    with pytest.raises(StoreUnavailable, match=reason):
        await scheduler.start()
    with pytest.raises(StoreUnavailable, match=reason):
        await scheduler.add_job(answer, "lost")
    assert not starts


_AS_NOBODY: Final = """
import asyncio, json, os, sys, tempfile
import servicekit.stores.sqlite.database as database
from servicekit import create_scheduler
from servicekit.errors import StoreUnavailable

async def main(url):
    try:
        async with create_scheduler(url):
            return None
    except StoreUnavailable as error:
        return str(error)

with tempfile.TemporaryDirectory() as folder:  # what is imported late may not be readable for nobody
    asyncio.run(main(f"sqlite:///{folder}/jobs.db"))
texts = database.find_migrations()
database.find_migrations = lambda: texts
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
print(json.dumps(asyncio.run(main(sys.argv[1]))))
"""


def open_as_nobody(path: Path) -> str | None:
    """What a user without special rights is told when it opens the file."""
    command = [sys.executable, "-c", _AS_NOBODY, f"sqlite:///{path}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    told: str | None = json.loads(done.stdout)
    return told


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach, as `tmp_path` is not; it goes with this process, however that ends."""
    folder = Path(tempfile.mkdtemp(prefix="servicekit-"))
    folder.chmod(0o755)
    with finally_run('chmod u+rwx "$0" && rm -rf "$0"', folder):
        yield folder


async def test_a_file_that_may_not_be_written_is_told_of(open_folder: Path) -> None:
    path = open_folder / "jobs.db"
    async with open_scheduler(path) as scheduler:
        await scheduler.wait(await scheduler.add_job(answer, "before"))
    open_folder.chmod(0o555)
    told = open_as_nobody(path)
    assert told is not None
    assert "its folder cannot be written (Permission denied)" in told
    open_folder.chmod(0o1777)
    path.chmod(0o444)
    told = open_as_nobody(path)
    assert told is not None
    assert "it cannot be written. Look at the permissions" in told
    path.chmod(0o666)
    assert "every user of the machine can write to jobs.db" in str(open_as_nobody(path))
    path.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
    assert open_as_nobody(path) is None
    assert list(open_folder.glob("*-process-*")) == []


@pytest.mark.parametrize("ending", ["", "-wal", "-shm", "-journal"])
async def test_a_file_that_everybody_can_write_to_is_refused(path: Path, ending: str) -> None:
    file = path.with_name(f"jobs.db{ending}")
    file.touch()
    file.chmod(0o666)
    with pytest.raises(StoreUnavailable, match=f"can write to {file.name}, .* forbid that \\(chmod o-w {file}\\)"):
        await open_scheduler(path).start()
    assert [each.name for each in path.parent.iterdir()] == [file.name]
    file.unlink()
    file.symlink_to("/etc/hostname")
    with pytest.raises(StoreUnavailable):
        await open_scheduler(path).start()


async def test_a_folder_in_which_everybody_can_replace_the_file_is_refused(path: Path) -> None:
    path.parent.chmod(0o777)
    with pytest.raises(StoreUnavailable, match="every user of the machine can replace it") as refused:
        await open_scheduler(path).start()
    assert not list(path.parent.iterdir())
    command, address = re.findall(r"(mkdir [^,]+),.* (sqlite:[^)]+)\)", str(refused.value))[0]
    subprocess.run(command.split(), check=True)  # noqa: ASYNC221 # it takes a moment
    async with create_scheduler(address) as scheduler:
        assert await scheduler.find_problem() is None
    path.parent.chmod(0o1777)
    async with open_scheduler(path) as scheduler:
        assert await scheduler.find_problem() is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
async def test_a_file_of_another_user_is_refused_and_root_is_warned(
    open_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = open_folder / "jobs.db"
    open_folder.chmod(0o1777)
    path.touch(0o600)
    os.chown(path, 12345, -1)
    told = str(open_as_nobody(path))
    assert f"{path} belongs to user 12345, who can so have the service call any function" in told
    assert f"(chown nobody {path})" in told
    async with open_scheduler(path):
        assert any("belongs to user 12345" in record.getMessage() for record in caplog.records)
    path.unlink()
    os.chown(open_folder, 12345, -1)
    assert f"{open_folder} belongs to user 12345" in str(open_as_nobody(path))


async def test_a_start_waits_for_a_file_that_is_locked_and_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer_module, "_PATIENCE_SECONDS", 0.05)
    async with open_scheduler(path):
        pass
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with asyncio.TaskGroup() as tasks:
            scheduler = open_scheduler(path)
            start = tasks.create_task(scheduler.start())
            while not any("The start waits for" in record.getMessage() for record in caplog.records):
                await asyncio.sleep(0.01)
            assert not start.done()
            other.execute("ROLLBACK")
        assert await scheduler.find_problem() is None
        await scheduler.close()


async def test_a_start_that_waits_ends_when_the_process_is_told_to_stop(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "_PATIENCE_SECONDS", 0.05)
    async with open_scheduler(path):
        pass
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        scheduler = open_scheduler(path)
        scheduler.pause()
        with pytest.raises(StoreUnavailable, match="another program holds its lock"):
            await scheduler.start()


async def test_a_mount_that_is_read_only_is_told_of(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "4m") as disk:
        path = disk / "jobs.db"
        async with open_scheduler(path) as scheduler:
            job_id = await scheduler.add_job(answer, "before")
            await scheduler.wait(job_id)
        remount(disk, "ro")
        with pytest.raises(StoreUnavailable, match=r"its folder cannot be written \(Read-only"):
            await open_scheduler(path).start()
        remount(disk, "rw")
        async with open_scheduler(path) as scheduler:
            assert await scheduler.get_result(job_id) == "before"


async def test_a_service_says_that_it_is_degraded_and_recovers(path: Path) -> None:
    with run_service("tests.api.apps:app", environment={"SERVICEKIT_JOBS_URL": f"sqlite:///{path}"}) as service:
        async with httpx.AsyncClient(base_url=service.url, timeout=30) as client:
            job_id = (await client.post("/hold/gate")).json()["job_id"]
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN EXCLUSIVE")
                health, refused = await asyncio.gather(client.get("/health"), client.post("/hold/other"))
                assert (health.status_code, health.json()["status"]) == (503, "degraded")
                assert health.json()["checks"]["jobs"]["state"] == "degraded"
                assert "Jobs cannot be kept at the moment" in health.json()["checks"]["jobs"]["message"]
                assert str(path.parent) not in health.text
                assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
                assert (await client.get(f"/api/v1/jobs/{job_id}")).json()["status"] == "running"
                await client.post("/open/gate")
            async with client.stream("GET", f"/api/v1/jobs/{job_id}/$stream") as stream:
                lines = [line async for line in stream.aiter_lines() if line.startswith("data:")]
            assert json.loads(lines[-1].removeprefix("data:"))["status"] == "completed"
            assert (await client.get("/health")).status_code == 200
            assert len((await client.get("/api/v1/jobs")).json()) == 1


def test_who_makes_the_file_leaves_alone_what_another_process_has_put_beside_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, memory = path.with_name("jobs.db-wal"), path.with_name("jobs.db-shm")
    log.write_text("of a file that was removed without it")
    make = os.open

    def make_slowly(*args: Any) -> int:
        made = make(*args)
        memory.write_text("of the process that has opened it in the meantime")
        return made

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", make_slowly)
        database.create_file(path)
    assert path.exists()
    assert not log.exists()
    assert memory.exists()
