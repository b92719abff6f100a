"""What is accepted while the server fails in every way that it can is there, once, and runs."""

import asyncio
import os
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from servicekit import Scheduler, create_scheduler
from servicekit.errors import StoreUnavailable
from tests.many_machines import targets
from tests.many_machines.conftest import ReadRuns, Start
from tests.many_machines.figures import tell
from tests.many_machines.members import KEEP_ALL, Member
from tests.many_machines.pooler import run_pooler
from tests.many_machines.proxy import run_proxy
from tests.needs import needs
from tests.postgres import SERVER_USER, PostgresServer, run_postgres
from tests.stores.event_log import check_database

pytestmark = needs("postgresql")


_TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ~ 'servicekit'"


class Submitter:
    """Submits jobs, so many a second, and knows which were accepted."""

    def __init__(self, scheduler: Scheduler, journal: Path, rate: float) -> None:
        self.accepted: list[str] = []
        self.refused = 0
        self._scheduler = scheduler
        self._journal = str(journal)
        self._pause = 20 / rate

    async def submit_for(self, seconds: float) -> None:
        async with asyncio.TaskGroup() as tasks:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                for _ in range(20):
                    tasks.create_task(self._submit())
                await asyncio.sleep(self._pause)

    async def _submit(self) -> None:
        try:
            self.accepted.append(await self._scheduler.add_job(targets.note, self._journal))
        except StoreUnavailable:
            self.refused += 1


@contextmanager
def troubled(*troubles: Callable[[], object], pause: float) -> Iterator[None]:
    """One trouble after the other meanwhile, in a thread."""
    is_over = threading.Event()

    def make() -> None:
        for number in range(1_000):
            if is_over.wait(pause):
                return
            troubles[number % len(troubles)]()

    thread = threading.Thread(target=make, name="trouble")
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


async def drain(url: str, submitter: Submitter, runs: ReadRuns) -> None:
    """Everything that was accepted runs, and is counted."""
    async with create_scheduler(url, run_jobs=False, retention=KEEP_ALL) as scheduler:
        async with asyncio.timeout(300):
            ended = [await scheduler.wait(job_id) for job_id in submitter.accepted]
    assert Counter(record.status.value for record in ended) == {"completed": len(submitter.accepted)}
    assert {run.job_id for run in runs() if run.end == "returned"} >= set(submitter.accepted)
    check_database(url)
    tell(f"{len(submitter.accepted):,} accepted, {submitter.refused:,} refused, none lost")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seconds", [3.0, pytest.param(60.0, marks=pytest.mark.soak)])
async def test_nothing_accepted_is_lost_while_the_server_restarts_and_backends_are_killed(
    start: Start, journal: Path, runs: ReadRuns, seconds: float
) -> None:
    with run_postgres() as server, server.new_database() as url:
        await asyncio.to_thread(start(url, max_concurrency_per_process=50).wait_ready)
        troubles = (
            server.kill_backend, lambda: server.restart("fast"), server.kill_backend,
            lambda: server.restart("immediate"),
        )  # fmt: skip
        async with create_scheduler(url, run_jobs=False, retention=KEEP_ALL) as scheduler:
            submitter = Submitter(scheduler, journal, rate=1_000 if seconds > 10 else 200)
            with troubled(*troubles, pause=0.5 if seconds < 10 else 5.0):
                await submitter.submit_for(seconds)
        await drain(url, submitter, runs)


async def test_what_is_acknowledged_by_a_commit_whose_answer_was_lost_is_there_once(
    start: Start, journal: Path, runs: ReadRuns, postgres: PostgresServer, postgres_url: str
) -> None:
    with run_proxy(postgres.port) as proxy:
        url = postgres_url.replace(str(postgres.port), str(proxy.port))
        await asyncio.to_thread(start(url, max_concurrency_per_process=20).wait_ready)
        async with create_scheduler(url, run_jobs=False, retention=KEEP_ALL) as scheduler:
            submitter = Submitter(scheduler, journal, rate=300)
            with troubled(proxy.lose_answer, proxy.lose_answer, proxy.lose_answer, proxy.cut, pause=0.15):
                await submitter.submit_for(3)
            proxy.wait_lost()
        await drain(postgres_url, submitter, runs)


@pytest.mark.soak
@pytest.mark.timeout(300)
async def test_a_server_that_is_away_for_a_minute_loses_nothing(journal: Path, runs: ReadRuns) -> None:
    """Attempts run on as long as the lease does; who submits waits up to 5 s, then is told; all goes on by itself."""
    with run_postgres() as server, server.new_database() as url:
        async with create_scheduler(url) as scheduler:
            submitter = Submitter(scheduler, journal, rate=100)
            await submitter.submit_for(2)
            before = len(submitter.accepted)
            await asyncio.to_thread(server.stop, "immediate")
            began = time.monotonic()
            with pytest.raises(StoreUnavailable):
                await scheduler.add_job(targets.note, str(journal))
            assert 3 < time.monotonic() - began < 30
            assert await scheduler.find_problem() is not None
            await asyncio.sleep(55)
            await asyncio.to_thread(server.start)
            begun = time.monotonic()
            job_id = await scheduler.add_job(targets.note, str(journal))
            await scheduler.wait(job_id)
            tell(f"a job has run {time.monotonic() - begun:.1f} s after the server was there again")
            assert len(submitter.accepted) == before
        await drain(url, submitter, runs)


async def test_jobs_and_streams_of_two_processes_go_through_a_pooler(
    start: Start, journal: Path, runs: ReadRuns, postgres: PostgresServer, postgres_url: str
) -> None:
    with run_pooler(postgres) as port:
        url = postgres_url.replace(str(postgres.port), str(port))
        worker, service = start(url), start(url, run_jobs=False)
        worker.wait_ready()
        job_ids = await asyncio.to_thread(service.call, targets.submit, journal, times=50)
        streams = [service.begin(targets.read_stream, job_id) for job_id in job_ids[:5]]
        assert set((await asyncio.to_thread(service.call, targets.wait_all, job_ids)).values()) == {"completed"}
        for stream in streams:
            assert (await asyncio.to_thread(stream.result, 60))[-1] == (3, "completed", 1)
        assert "pooler" in await asyncio.to_thread(wait_told, service)
        check_database(postgres_url)


def wait_told(member: Member) -> str:
    """What the health of the process says, when it says something."""
    end = time.monotonic() + 60
    while (told := member.call(targets.problem)) is None:
        assert time.monotonic() < end
    return str(told)


async def test_used_up_connections_and_terminated_backends_stop_nobody(journal: Path, runs: ReadRuns) -> None:
    with run_postgres(settings=["max_connections=12", "superuser_reserved_connections=3"]) as server:
        server.execute("CREATE ROLE service LOGIN")
        server.execute("CREATE DATABASE jobs OWNER service")
        url = server.url("jobs").replace("postgres@", "service@")
        async with create_scheduler(url) as scheduler:
            submitter = Submitter(scheduler, journal, rate=200)
            with taken_connections(url) as taken:
                assert taken
                terminate = (
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ~ 'servicekit'"
                )
                with troubled(lambda: server.execute(terminate) and None, pause=1.0):
                    await submitter.submit_for(3)
            await submitter.submit_for(0.5)
        async with create_scheduler(url):
            await drain(url, submitter, runs)


@contextmanager
def taken_connections(url: str) -> Iterator[int]:
    """Take all connections that are left, but for those that are reserved."""
    taken: list[psycopg.Connection] = []
    try:
        while True:
            taken.append(psycopg.connect(url))
    except psycopg.OperationalError:
        yield len(taken)
    finally:
        for connection in taken:
            connection.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
async def test_a_full_disk_is_told_and_all_goes_on_when_there_is_room(journal: Path, runs: ReadRuns) -> None:
    with run_postgres() as server, small_disk(server.folder / "small") as disk:
        server.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
        server.execute("CREATE DATABASE jobs TABLESPACE small")
        url = server.url("jobs")
        async with create_scheduler(url) as scheduler:
            submitter = Submitter(scheduler, journal, rate=200)
            await submitter.submit_for(0.5)
            filler = disk / "filler"
            fill(filler)
            with pytest.raises(StoreUnavailable, match="disk"):
                await submit_until_refused(scheduler, submitter, journal)
            await scheduler.get_all_records()  # reading works
            filler.unlink()
            await submitter.submit_for(0.5)
            await asyncio.gather(*map(scheduler.wait, submitter.accepted))
        await drain(url, submitter, runs)


async def submit_until_refused(scheduler: Scheduler, submitter: Submitter, journal: Path) -> None:
    while True:
        submitter.accepted.append(await scheduler.add_job(targets.note, str(journal)))


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0" * 4096)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of 24 megabytes, which is the server's."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    done = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted on this machine: {done.stderr.strip()}")
    try:
        if SERVER_USER is not None:
            shutil.chown(folder, SERVER_USER)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)
