"""What becomes of jobs when processes come and go at bad moments."""

import asyncio
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

from servicekit import JobStatus, create_scheduler
from servicekit.engine.clock import SystemClock
from servicekit.errors import StoreUnavailable
from servicekit.jobs import backoff
from servicekit.jobs.endings import NOT_BEGUN
from servicekit.jobs.ids import JobIds
from servicekit.jobs.options import RunnerKind
from servicekit.jobs.outcome import completion
from servicekit.jobs.query import ALL_JOBS
from servicekit.jobs.record import JobRecord
from servicekit.jobs.retention import Retention
from servicekit.jobs.status import Transition
from servicekit.jobs.submission import Submission
from servicekit.jobs.workers import Readiness
from servicekit.stores.durable import dead_processes
from servicekit.stores.durable.news import News
from servicekit.stores.durable.notifier import CommitNotifier
from servicekit.stores.durable.requests import AttemptEnd, JobRequest
from servicekit.stores.durable.times import time_text
from servicekit.stores.sqlite import claims, database_thread, writes
from servicekit.stores.sqlite.processes import ProcessLock, is_alive, remove_leftovers
from servicekit.stores.sqlite.store import SqliteStore
from servicekit.testing.stores.fakes import RecordingPublisher, submission, wait_healthy
from tests.fakes import Gate, Stubborn, noop
from tests.stores.event_log import check_events

NOW: Final = time_text(SystemClock().now())
ids = JobIds()


class Signals:
    """What the engine was told, in order."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self._has_woken = asyncio.Event()

    def wake(self) -> None:
        self.told.append("wake")
        self._has_woken.set()

    is_stopping = False
    readiness = Readiness()

    def is_running(self, job_id: str, attempt: int) -> bool:
        return True

    def hear_of_failure(self, record: JobRecord) -> None:
        self.told.append(f"failed {record.id}")

    def cancel(self, job_id: str) -> None:
        self.told.append(f"cancel {job_id}")

    def keep_only(self, held: Collection[tuple[str, int]]) -> None:
        pass

    def stop_attempts(self, *, are_lost: bool) -> None:
        self.told.append(f"stop {are_lost}")

    async def wait_woken(self) -> None:
        self._has_woken.clear()
        async with asyncio.timeout(60):
            await self._has_woken.wait()


class Process:
    """A store that plays a process of its own."""

    def __init__(self, path: Path) -> None:
        self.publisher = RecordingPublisher()
        self.signals = Signals()
        self.store = SqliteStore(path, self.publisher, SystemClock(), Retention())

    async def open(self) -> SqliteStore:
        await self.store.liveness.open(self.signals)
        return self.store

    def die(self) -> None:
        assert self.store.file.registration.lock is not None
        self.store.file.registration.lock.close()
        self.store.file.stop()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
async def one(path: Path) -> AsyncIterator[Process]:
    process = Process(path)
    await process.open()
    yield process
    await process.store.liveness.close()


@pytest.fixture
async def other(path: Path) -> AsyncIterator[Process]:
    process = Process(path)
    await process.open()
    yield process
    await process.store.liveness.close()


def new(*, is_local: bool = False) -> Submission:
    async def local() -> None:
        """Nobody else can import this."""

    return submission(ids.next_id(), target=local if is_local else noop)


async def test_who_rescues_jobs_looks_for_work(one: Process, other: Process) -> None:
    """The events of a rescue are the rescuer's own, of which nobody else tells it."""
    job_id = await one.store.submissions.insert(new())
    await one.store.attempts.claim(1, ())
    while not any(event.record and event.record.version == 2 for event in other.publisher.events):
        await other.signals.wait_woken()
    one.die()
    other.signals.told.clear()
    await other.store.liveness.rescue()
    assert "wake" in other.signals.told
    assert [claim.submission.id for claim in await other.store.attempts.claim(1, ())] == [job_id]


async def test_what_a_process_ran_on_a_cluster_is_taken_over_when_nothing_can_be_left_of_it(
    one: Process, other: Process, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def find_attempts() -> list[int]:
        await other.store.liveness.rescue()
        return [claim.attempt for claim in await other.store.attempts.claim(2, ())]

    third = Process(path)
    await third.open()
    for process, runner in ((one, RunnerKind.RAY), (third, RunnerKind.PROCESS)):
        await process.store.submissions.insert(submission(ids.next_id(), runner))
        assert len(await process.store.attempts.claim(1, ())) == 1
        process.die()
    monkeypatch.setattr(dead_processes, "GONE_SECONDS", 60)
    assert await find_attempts() == [2]  # of the one that ended with its process
    assert await find_attempts() == []
    monkeypatch.setattr(dead_processes, "GONE_SECONDS", 0)
    assert await find_attempts() == [2]


async def test_what_only_a_process_could_run_ends_with_it_even_if_that_could_not_be_written_before(
    one: Process, other: Process
) -> None:
    job_id = await one.store.submissions.insert(new(is_local=True))
    await one.store.liveness.close()  # without `retire`
    assert (await other.store.reads.get_record(job_id)).status is JobStatus.FAILED


async def test_a_claim_that_nobody_took_is_given_back_also_if_that_cannot_be_written_at_once(
    one: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, loop = one.store.file.writer, asyncio.get_running_loop()
    assert writer is not None
    ask, claimed, refused, given_back = writer.ask, asyncio.Event(), loop.create_future(), asyncio.Event()

    def refuse_once(function: Any, argument: Any) -> "asyncio.Future[Any]":
        if function is writes.end_attempts and not refused.done():
            refused.set_exception(StoreUnavailable("jobs.db", "another program holds its lock on it"))
            return refused
        asked = ask(function, argument)
        if function is claims.claim:
            claimed.set()
        elif function is writes.end_attempts:
            asked.add_done_callback(lambda _: given_back.set())
        return asked

    monkeypatch.setattr(writer, "ask", refuse_once)
    monkeypatch.setattr(backoff, "_FIRST_SECONDS", 0.01)
    job_id = await one.store.submissions.insert(new())
    claiming = asyncio.create_task(one.store.attempts.claim(1, ()))
    async with asyncio.timeout(60):
        await claimed.wait()
        claiming.cancel()
        await given_back.wait()
    assert [claim.submission.id for claim in await one.store.attempts.claim(1, ())] == [job_id]


@pytest.mark.parametrize("what", ["cancel", "delete"])
async def test_a_claim_that_nobody_took_is_given_back_unless_the_job_was_stopped(
    one: Process, other: Process, what: str, path: Path
) -> None:
    job_id = await one.store.submissions.insert(new())
    (claim,) = await one.store.attempts.claim(1, ())
    await (
        other.store.submissions.request_cancel(job_id) if what == "cancel" else other.store.submissions.delete(job_id)
    )
    assert one.store.file.writer is not None
    await one.store.file.writer.ask(writes.end_attempts, AttemptEnd(job_id, claim.attempt, NOT_BEGUN, NOW))
    if what == "cancel":
        assert (await other.store.reads.get_record(job_id)).status is JobStatus.CANCELED
    assert await other.store.attempts.claim(1, ()) == []
    with closing(sqlite3.connect(path)) as connection:
        check_events(connection)
        held = connection.execute("SELECT total(jobs) FROM counts WHERE status IN ('deleted', 'running')").fetchone()
        assert held == (0,)  # a count of none need not be there


async def test_a_store_that_cannot_be_opened_again_does_not_give_up_what_its_process_runs(
    one: Process, other: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await one.store.submissions.insert(new())
    (claim,) = await one.store.attempts.claim(1, ())
    await one.store.liveness.close()

    def refuse(path: Path) -> sqlite3.Connection:
        raise StoreUnavailable(str(path), "it is not the day for it.")

    with monkeypatch.context() as patch:
        patch.setattr(database_thread, "connect", refuse)
        with pytest.raises(StoreUnavailable):
            await one.open()
    await other.store.liveness.rescue()
    assert (await other.store.reads.get_record(job_id)).status is JobStatus.RUNNING
    await one.open()
    assert await one.store.attempts.end_attempt(claim, completion(None))


async def test_a_cancel_from_elsewhere_does_not_overtake_the_claim(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop is busy while the claim is answered and the cancel arrives: it gets both in one turn."""
    has_arrived = threading.Event()
    report = CommitNotifier.report

    def report_and_tell(notifier: CommitNotifier, news: News) -> None:
        report(notifier, news)
        if any(row.cancel_requested_at is not None for row in news.others):
            has_arrived.set()

    monkeypatch.setattr(CommitNotifier, "report", report_and_tell)
    process = Process(path)
    store = await process.open()
    job_id = await store.submissions.insert(new())

    async def claim() -> None:
        await store.attempts.claim(1, ())
        process.signals.told.append("claimed")

    claiming = asyncio.ensure_future(claim())
    for _ in range(2):  # it is asked in one turn, and handed over in the next
        await asyncio.sleep(0)
    with closing(sqlite3.connect(path, isolation_level=None)) as stranger:  # the loop gets no turn in here
        wait_until(lambda: stranger.execute("SELECT status FROM jobs").fetchone() == ("running",))
        writes.request_cancel.write(stranger, [JobRequest(job_id, NOW)])
        assert has_arrived.wait(60)
    await claiming
    await asyncio.sleep(0)
    told = [each for each in process.signals.told if each != "wake"]
    assert told == ["claimed", f"cancel {job_id}"]
    await store.liveness.close()


def wait_until(condition: Callable[[], bool]) -> None:
    """Where nobody tells, and the event loop must not go on."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


async def test_readers_are_told_of_others_first_and_then_of_what_followed(one: Process, other: Process) -> None:
    """What another process did is found in the same moment as what this one did after it."""
    for _ in range(20):
        job_id = await one.store.submissions.insert(new())
        await one.store.attempts.claim(1, ())
        await other.store.submissions.request_cancel(job_id)
        versions = [event.record.version for event in other.publisher.events if event.record]
        assert versions == [1, 2, 3]
        other.publisher.events.clear()


async def test_a_target_whose_module_misbehaves_fails_alone(one: Process, path: Path) -> None:
    class Explosive(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise RuntimeError("boom")

    sys.modules["explosive"] = Explosive("explosive")
    try:
        bad, good = [await one.store.submissions.insert(new()) for _ in range(2)]
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE jobs SET target = 'explosive:target' WHERE id = ?", [bad])
        claims = await one.store.attempts.claim(2, ())
        assert [claim.submission.id for claim in claims] == [bad, good]
        with pytest.raises(RuntimeError, match="boom"):
            await claims[0].submission.call()
    finally:
        del sys.modules["explosive"]


async def test_locks_that_were_left_behind_are_removed(path: Path) -> None:
    """A process may be killed after it has made its lock and before it is on the list, or after it has left that."""
    stray = path.with_name("jobs.db-process-stray")
    stray.touch()
    unrelated = path.with_name("jobs.db.backup-process-1")
    unrelated.touch()
    beginning = ProcessLock(path)
    process = Process(path)
    await process.open()
    assert not stray.exists()
    assert unrelated.exists()
    assert beginning.path.exists()
    await process.store.liveness.close()
    beginning.release()


def test_many_that_begin_at_once_keep_their_locks(path: Path) -> None:
    """Whoever cleans up must not take a lock that is just being made."""
    is_over = threading.Event()

    def clean_up() -> None:
        while not is_over.is_set():
            remove_leftovers(path)

    cleaner = threading.Thread(target=clean_up)
    cleaner.start()
    try:
        for _ in range(300):
            lock = ProcessLock(path)
            assert is_alive(lock.path)
            lock.release()
    finally:
        is_over.set()
        cleaner.join()


async def test_ends_that_come_together_are_one(one: Process, path: Path) -> None:
    await one.store.submissions.insert(new())
    (claim,) = await one.store.attempts.claim(1, ())
    ends = await asyncio.gather(*(one.store.attempts.end_attempt(claim, completion(number)) for number in range(3)))
    assert Counter(ends) == {None: 2, Transition.COMPLETE: 1}
    (record,) = (await one.store.reads.list_records(ALL_JOBS, 10, None)).records
    assert await one.store.reads.get_result(record.id) == ends.index(Transition.COMPLETE)
    with closing(sqlite3.connect(path)) as connection:
        check_events(connection)


async def test_a_slot_of_all_processes_is_free_when_a_deleted_job_has_ended_elsewhere(path: Path) -> None:
    """Nobody is told of that end, as the job is gone for everyone; but who waits for the slot must notice."""
    url = f"sqlite:///{path}"
    stubborn = Stubborn()
    async with (
        create_scheduler(url, max_concurrency=1, shutdown_grace=0) as one,
        create_scheduler(url, max_concurrency=1, shutdown_grace=0) as other,
    ):
        first = await one.add_job(stubborn.run)
        await stubborn.began.wait()
        gate = Gate()
        gate.open()
        second = await other.add_job(gate.enter)  # which only the other can run
        async with other.watch(first) as watch:
            await one.delete(first)
            while (event := await watch.next_event()) is None or event.record is not None:
                pass
        for _ in range(3):  # by then it has looked for a free slot because of that, and found none
            await wait_healthy(other)
        stubborn.released.set()
        assert (await other.wait(second, timeout=60)).status is JobStatus.COMPLETED
