"""Whether a process counts as alive, and whether the file is still the one that it has opened."""

import asyncio
import gc
import os
import sqlite3
import stat
import subprocess
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import pytest

from servicekit import Scheduler, create_scheduler
from servicekit.errors import StoreUnavailable
from servicekit.jobs.options import RunnerKind
from servicekit.jobs.query import ALL_JOBS
from servicekit.jobs.retention import Retention
from servicekit.jobs.status import JobStatus
from servicekit.jobs.submission import Submission
from servicekit.jobs.workers import Readiness
from servicekit.stores.durable.operations import Operation
from servicekit.stores.durable.readiness import ReadinessRow
from servicekit.stores.sqlite import membership, writer
from servicekit.stores.sqlite.processes import ProcessLock, is_alive
from servicekit.stores.sqlite.store import SqliteStore
from servicekit.testing.stores.fakes import ManualClock, RecordingPublisher, RecordingSignals, wait_healthy
from servicekit.testing.stores.workers import HINDERED, readiness_of
from tests.fakes import Gate, Stubborn, noop
from tests.stores.test_sqlite import OpenStore, claim_one, die, ids, insert, open_store, path

__all__ = ["open_store", "path"]
OpenScheduler = Callable[..., AbstractAsyncContextManager[Scheduler]]


@pytest.fixture
def open_scheduler(path: Path) -> OpenScheduler:
    @asynccontextmanager
    async def open_it(place: Path = path, max_concurrency: int | None = None) -> AsyncIterator[Scheduler]:
        url = f"sqlite:///{place}"
        async with create_scheduler(url, max_concurrency=max_concurrency, shutdown_grace=0) as scheduler:
            yield scheduler

    return open_it


def locks_of(path: Path) -> list[Path]:
    return list(path.parent.glob("*-process-*"))


def store_of(scheduler: Scheduler) -> SqliteStore:
    store = scheduler._engine._store
    assert isinstance(store, SqliteStore)
    return store


async def test_a_file_that_is_reached_by_two_paths_is_one(
    open_scheduler: OpenScheduler, path: Path, tmp_path: Path
) -> None:
    (tmp_path / "releases").mkdir()
    link = tmp_path / "releases" / "jobs.db"
    link.symlink_to(path)
    gate = Gate()
    async with open_scheduler() as first, open_scheduler(link) as second:
        job_id = await first.add_job(gate.enter)
        await gate.wait_entered(1)
        await store_of(second).liveness.rescue()
        assert await second.get_status(job_id) is JobStatus.RUNNING
        gate.open()
        assert (await second.wait(job_id, 30)).attempt == 1


async def test_a_lock_that_somebody_has_removed_is_made_again(open_store: OpenStore, path: Path) -> None:
    async with open_store() as first, open_store() as second:
        job_id = await insert(first)
        claim = await claim_one(first)
        for lock in locks_of(path):
            lock.unlink()
        await first.liveness.rescue()
        await second.liveness.rescue()
        assert len(locks_of(path)) == 2
        await first.liveness.rescue()
        assert (await second.reads.get_record(job_id)).status is JobStatus.RUNNING
        die(first)
        await second.liveness.rescue()
        assert (await second.reads.get_record(job_id)).status is JobStatus.PENDING
        assert claim.attempt == 1


async def test_users_that_may_use_the_file_can_see_who_is_alive(open_store: OpenStore, path: Path) -> None:
    async with open_store():
        pass
    path.chmod(0o640)
    async with open_store():
        (lock,) = path.parent.glob("*-process-*")
        assert stat.S_IMODE(lock.stat().st_mode) == 0o640


async def test_a_process_that_was_taken_for_dead_joins_again(open_store: OpenStore, path: Path) -> None:
    async with open_store() as store:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("DELETE FROM processes")
        job_id = await insert(store)
        assert (await claim_one(store)).submission.id == job_id
        die(store)
        async with open_store() as heir:
            assert (await heir.reads.get_record(job_id)).status is JobStatus.PENDING


async def open_told(path: Path, readiness: Readiness) -> tuple[SqliteStore, RecordingSignals]:
    """A store whose engine says that it can run this."""
    signals = RecordingSignals()
    signals.readiness = readiness
    store = SqliteStore(path, RecordingPublisher(), ManualClock(), Retention())
    await store.liveness.open(signals)
    return store, signals


async def test_a_process_that_joins_again_tells_again_what_it_can_run(path: Path) -> None:
    store, _ = await open_told(path, HINDERED)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("DELETE FROM processes")
    await store.attempts.claim(1, ())
    await store.liveness.rescue()
    assert [readiness_of(each) for each in await store.queues.list_workers()] == [HINDERED]
    for lock in locks_of(path):
        lock.unlink()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("DELETE FROM processes")
    await store.liveness.rescue()
    assert [readiness_of(each) for each in await store.queues.list_workers()] == [HINDERED]
    await store.liveness.close()


async def lose_claim(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lose the answer to a claim: then it is in doubt what the others know of this process."""

    def lose(*_: object) -> None:
        raise StoreUnavailable("the file", "the answer is lost")

    with monkeypatch.context() as patch:
        patch.setattr(store.file, "write", lose)
        with pytest.raises(StoreUnavailable, match="the answer is lost"):
            await store.attempts.claim(1, ())


async def test_what_a_process_can_run_is_written_again_if_the_newest_changes_may_be_lost(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = await open_told(path, HINDERED)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("UPDATE processes SET problems = '{}'")  # as a standby has it that has taken over
    await lose_claim(store, monkeypatch)
    await store.liveness.rescue()
    assert [readiness_of(each) for each in await store.queues.list_workers()] == [HINDERED]
    await store.liveness.close()


async def test_what_a_process_can_run_is_written_again_if_it_becomes_doubtful_while_it_is_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put_slowly(connection: sqlite3.Connection, rows: list[ReadinessRow]) -> Sequence[Exception | None]:
        loop.call_soon_threadsafe(is_written.set)
        assert goes_on.wait(60)
        return put.write(connection, rows)

    loop, is_written, goes_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    put = membership.put_readiness
    store, signals = await open_told(path, Readiness())
    signals.readiness = HINDERED
    monkeypatch.setattr(membership, "put_readiness", Operation(put.rank, put_slowly))
    rescue = asyncio.create_task(store.liveness.rescue())
    await is_written.wait()
    await lose_claim(store, monkeypatch)
    goes_on.set()
    await rescue
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("UPDATE processes SET problems = '{}'")
    await store.liveness.rescue()
    assert [readiness_of(each) for each in await store.queues.list_workers()] == [HINDERED]
    await store.liveness.close()


async def test_what_a_process_can_run_is_written_when_it_changes_and_not_before_that_is_possible(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_PATIENCE_SECONDS", 0.05)
    store, signals = await open_told(path, Readiness())
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await store.liveness.rescue()  # it has nothing to write
        signals.readiness = HINDERED
        with pytest.raises(StoreUnavailable, match="SQLITE_BUSY"):
            await store.liveness.rescue()
        other.execute("ROLLBACK")
        assert [readiness_of(each) for each in await store.queues.list_workers()] == [Readiness()]
        await store.liveness.rescue()
        assert [readiness_of(each) for each in await store.queues.list_workers()] == [HINDERED]
        other.execute("BEGIN IMMEDIATE")
        await store.liveness.rescue()
        other.execute("ROLLBACK")
    await store.liveness.close()


async def test_the_jobs_of_a_process_that_nobody_knows_are_taken_over(open_store: OpenStore, path: Path) -> None:
    async with open_store() as store:
        job_id = await insert(store)
        local = ids.next_id()
        await store.submissions.insert(Submission(local, "closure", lambda: None, (), {}, RunnerKind.THREAD))
        await claim_one(store)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("UPDATE jobs SET owner = 1000")
        await store.liveness.rescue()
        assert (await store.reads.get_record(job_id)).status is JobStatus.PENDING
        assert (await store.reads.get_record(local)).status is JobStatus.FAILED


async def test_a_copy_beside_the_file_does_not_take_its_processes_for_its_own(
    open_store: OpenStore, open_scheduler: OpenScheduler, path: Path, tmp_path: Path
) -> None:
    async with open_store() as store:
        job_id = await insert(store)
        await claim_one(store)
        copy = tmp_path / "copy.db"
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        async with open_scheduler(copy, max_concurrency=1) as other:
            assert (await other.wait(job_id, 30)).status is JobStatus.COMPLETED
        assert (await store.reads.get_record(job_id)).status is JobStatus.RUNNING


async def test_many_jobs_are_taken_over_in_steps(open_store: OpenStore) -> None:
    async with open_store() as heir, open_store() as dead:
        await asyncio.gather(*(insert(dead) for _ in range(1_200)))
        for _ in range(600):
            await dead.submissions.insert(Submission(ids.next_id(), "closure", lambda: None, (), {}, RunnerKind.THREAD))
        assert len(await dead.attempts.claim(1_200, (RunnerKind.THREAD,))) == 1_200
        die(dead)
        await heir.liveness.rescue()
        counts = await heir.reads.count_by_status()
        assert (counts[JobStatus.PENDING], counts[JobStatus.FAILED], counts[JobStatus.RUNNING]) == (1_200, 600, 0)


def wait_child(target: Callable[[], Coroutine[Any, Any, str]]) -> str:
    """What the target returns in a forked child, which has an event loop of its own and ends at once."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        asyncio.events._set_running_loop(None)
        try:
            os.write(write, asyncio.new_event_loop().run_until_complete(target()).encode())
        finally:
            os._exit(1)
    os.close(write)
    with os.fdopen(read) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return text


@pytest.mark.parametrize("is_same", [True, False])
async def test_a_child_that_was_forked_while_the_file_was_open_is_refused(path: Path, *, is_same: bool) -> None:
    url = f"sqlite:///{path}"
    scheduler = create_scheduler(url, shutdown_grace=0)

    async def submit_in_child() -> str:
        try:
            return await (scheduler if is_same else create_scheduler(url)).add_job(noop)
        except StoreUnavailable as error:
            return error.reason

    async with scheduler:
        job_id = await scheduler.add_job(noop)
        reason = await asyncio.to_thread(wait_child, submit_in_child)
        assert reason.endswith("Close the scheduler before the fork, or start it in the child alone.")
        await scheduler.wait(job_id)
        assert [record.id for record in await scheduler.get_all_records()] == [job_id]


@pytest.mark.parametrize("was_open", [True, False])
def test_a_child_that_was_forked_while_the_file_was_closed_works_on_it(path: Path, *, was_open: bool) -> None:
    scheduler = create_scheduler(f"sqlite:///{path}", shutdown_grace=0)

    async def run() -> str:
        await scheduler.start()
        record = await scheduler.wait(await scheduler.add_job(noop), 30)
        await scheduler.close()
        return record.status

    if was_open:
        asyncio.run(run())
        gc.collect()
    assert wait_child(run) == "completed"
    assert asyncio.run(run()) == "completed"


def test_a_forked_child_is_a_process_of_its_own(path: Path) -> None:
    scheduler = create_scheduler(f"sqlite:///{path}", shutdown_grace=0)
    began, begins = os.pipe()

    async def block_there() -> None:
        os.write(begins, b"!")
        await asyncio.sleep(3_600)

    async def in_child() -> None:
        await scheduler.start()
        await scheduler.add_job(noop)
        await scheduler.add_job(block_there)
        await asyncio.sleep(3_600)

    async def in_parent() -> None:
        assert (await scheduler.wait(await scheduler.add_job(noop), 30)).status is JobStatus.COMPLETED
        await scheduler.close()
        child = os.fork()
        if child == 0:
            asyncio.events._set_running_loop(None)
            try:
                asyncio.new_event_loop().run_until_complete(in_child())
            finally:
                os._exit(1)
        os.close(begins)  # so that the end of a child that fails is seen
        await scheduler.start()
        assert await asyncio.to_thread(os.read, began, 1)
        (running,) = await scheduler.list_records(status=JobStatus.RUNNING, name="block_there")
        os.kill(child, 9)
        await asyncio.to_thread(os.waitpid, child, 0)
        assert (await scheduler.wait(running.id, 30)).error is not None  # nobody else could run it
        assert scheduler.running_count == 0
        await scheduler.close()

    asyncio.run(in_parent())


def test_a_claim_that_was_under_way_when_its_event_loop_ended_is_not_lost(path: Path) -> None:
    scheduler = create_scheduler(f"sqlite:///{path}", shutdown_grace=0)

    async def submit() -> None:
        await asyncio.gather(*(scheduler.add_job(noop) for _ in range(20)))

    async def drain() -> None:
        async with asyncio.timeout(30):
            for record in await scheduler.get_all_records():
                await scheduler.wait(record.id)
        await scheduler.close()

    for _ in range(5):
        asyncio.run(submit())
    asyncio.run(drain())


@pytest.mark.usefixtures("_brief_waits")
async def test_a_cancel_that_came_while_its_scheduler_was_closed_reaches_the_work(
    open_scheduler: OpenScheduler, path: Path
) -> None:
    scheduler, stubborn = create_scheduler(f"sqlite:///{path}", shutdown_grace=0), Stubborn()
    job_id = await scheduler.add_job(stubborn.run)
    await stubborn.began.wait()
    await scheduler.close()
    async with open_scheduler() as other:
        await other.cancel(job_id)
        await scheduler.start()
        stubborn.released.set()
        record = await scheduler.wait(job_id, 30)
        assert record.cancel_requested_at is not None
    await scheduler.close()


async def test_the_slot_of_a_deleted_job_is_free_for_another_process(open_scheduler: OpenScheduler) -> None:
    gate, other_gate = Gate(), Gate()
    async with open_scheduler(max_concurrency=1) as first, open_scheduler(max_concurrency=1) as second:
        job_id = await first.add_job(gate.enter)
        await gate.wait_entered(1)
        waiting = await second.add_job(other_gate.enter)
        await second.delete(job_id)
        await asyncio.wait_for(other_gate.wait_entered(1), 30)
        other_gate.open()
        assert (await second.wait(waiting, 30)).status is JobStatus.COMPLETED
        gate.open()


@pytest.fixture(params=[True, False], ids=["seen while idle", "met by a call"])
def see(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Callable[[], Awaitable[None]]:
    """Wait until an idle writer has seen that the file has gone; or go on at once, when a call may meet that first."""

    async def see_it() -> None:
        while request.param and "was removed or replaced while in use" not in caplog.text:
            await asyncio.sleep(0.01)

    return see_it


async def test_a_file_that_is_removed_is_not_written_to_any_more(
    open_store: OpenStore, path: Path, see: Callable[[], Awaitable[None]]
) -> None:
    async with open_store() as store:
        await insert(store)
        path.unlink()
        await see()
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="was removed"):
                await insert(store)
        with pytest.raises(StoreUnavailable, match=r"was removed\. Put it back"):
            await insert(store)
        assert "was removed" in (await store.liveness.find_problem() or "")
        assert not path.exists()
    async with open_store() as store:  # an empty one, without what is left of the old one's log
        assert (await store.reads.list_records(ALL_JOBS, 10, None)).records == []


async def test_a_file_that_is_put_back_is_well_at_once(open_store: OpenStore, path: Path) -> None:
    async with open_store() as store:
        job_id = await insert(store)
        path.rename(path.with_name("away.db"))
        for _ in range(3):  # the first of them may meet what has become of the file
            with pytest.raises(StoreUnavailable, match="was removed"):
                await insert(store)
        assert "was removed" in (await store.liveness.find_problem() or "")
        path.with_name("away.db").rename(path)
        assert [await store.liveness.find_problem() for _ in range(3)][-1] is None  # the first may still be refused
        await insert(store)
        assert (await store.reads.get_record(job_id)).id == job_id


async def insert_after_all(store: SqliteStore) -> str:
    """Insert a job; a call that meets what has become of the file is refused."""
    with suppress(StoreUnavailable):
        return await insert(store)
    return await insert(store)


async def test_a_file_that_is_replaced_is_opened_anew(
    open_store: OpenStore, path: Path, tmp_path: Path, see: Callable[[], Awaitable[None]]
) -> None:
    async with open_store() as store:
        job_id = await insert(store)
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
            source.backup(copy)
        await insert(store)
        for file in (path, path.with_name("jobs.db-wal"), path.with_name("jobs.db-shm")):
            file.unlink()
        (tmp_path / "copy.db").rename(path)
        await see()
        kept = await insert_after_all(store)
        with pytest.raises(StoreUnavailable, match="was removed or replaced while in use"):
            await store.reads.get_record(kept)
        assert [record.id for record in (await store.reads.list_records(ALL_JOBS, 10, None)).records] == [kept, job_id]
        await wait_healthy(store.liveness)


async def test_a_file_that_was_read_in_another_way_loses_nothing(open_store: OpenStore, path: Path) -> None:
    """To open and close the file drops this process's locks on it, as POSIX has it; then another may remove the log."""
    async with open_store() as first:
        accepted = [await insert(first)]
        path.read_bytes()
        async with open_store():
            pass
        for _ in range(3):
            try:
                accepted.append(await insert(first))
            except StoreUnavailable:
                continue
        assert len(accepted) >= 3
    async with open_store() as second:
        kept = [record.id for record in (await second.reads.list_records(ALL_JOBS, 10, None)).records]
        assert set(accepted) <= set(kept)


def test_a_process_counts_as_alive_while_its_work_outside_goes_on(path: Path) -> None:
    lock = ProcessLock(path)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[lock.descriptor]):
        lock.close()
        assert is_alive(lock.path)
    assert not is_alive(lock.path)
