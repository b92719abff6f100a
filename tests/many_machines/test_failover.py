"""A server is lost, and its standby takes over, while services and workers go on."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from servicekit import Scheduler, create_scheduler
from servicekit.errors import JobNotFound, StoreUnavailable
from servicekit.stores.postgres import server_thread, writer
from tests.many_machines import targets
from tests.many_machines.conftest import ReadRuns, Start
from tests.many_machines.figures import tell
from tests.many_machines.members import KEEP_ALL
from tests.many_machines.test_outages import Submitter
from tests.needs import needs
from tests.postgres import PostgresServer, run_postgres
from tests.stores.event_log import check_database

pytestmark = needs("postgresql")


class Pair(NamedTuple):
    """A server and its standby."""

    primary: PostgresServer
    standby: PostgresServer
    url: str
    """Of a database, wherever it can be written."""

    def wait_for_standby(self) -> None:
        """Have each commit wait for the standby, if it does not say otherwise."""
        self.primary.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
        self.primary.execute("SELECT pg_reload_conf()")
        while self.primary.execute("SELECT sync_state FROM pg_stat_replication") != [("sync",)]:
            time.sleep(0.01)

    def wait_for_renewal(self) -> None:
        """Wait until a process has renewed its lease after this."""
        [(now,)] = self.primary.execute("SELECT clock_timestamp()")
        query = "SELECT FROM servicekit.processes WHERE renewed_at > %s"
        while not self.primary.execute(query, [now], database="jobs"):
            time.sleep(0.05)

    @contextmanager
    def parted(self) -> Iterator[None]:
        """Meanwhile, what is written is at the primary alone. What was written before is at both."""
        query = "SELECT pid FROM pg_stat_replication WHERE pg_current_wal_lsn() <= flush_lsn"
        while not (found := self.primary.execute(query)):
            time.sleep(0.01)
        os.kill(found[0][0], signal.SIGSTOP)
        yield
        with suppress(ProcessLookupError):
            os.kill(found[0][0], signal.SIGCONT)

    def fail_over(self) -> float:
        """End the primary, and let the standby take over at once; return when the first was gone."""
        self.primary.vanish()
        gone_at = time.monotonic()
        self.standby.promote()
        return gone_at


@contextmanager
def run_pair(*settings: str) -> Iterator[Pair]:
    with (
        run_postgres(settings=["max_wal_senders=4", *settings]) as primary,
        run_postgres(settings=["max_wal_senders=4"], primary=primary) as standby,
    ):
        primary.execute("CREATE DATABASE jobs")
        hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
        yield Pair(primary, standby, f"postgresql://postgres@{hosts}/jobs?target_session_attrs=read-write")


@pytest.mark.timeout(300)
async def test_nothing_is_accepted_while_no_standby_has_it_if_the_server_is_to_wait_for_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither when somebody cancels the wait, which then ends with a warning, nor when the server forgets it."""
    monkeypatch.setattr(server_thread, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(writer, "PATIENCE_SECONDS", 0.5)
    with run_pair() as pair:
        pair.wait_for_standby()
        async with create_scheduler(pair.url, run_jobs=False) as scheduler:
            key = scheduler.with_options(idempotency_key="once")
            with pair.parted():
                await asyncio.to_thread(pair.wait_for_renewal)
                for adder in (scheduler, key, key):  # the last one finds the job, and that is not enough
                    with pytest.raises(StoreUnavailable):
                        await adder.add_job(targets.quick)
                assert len(await scheduler.get_all_records()) == 2
                query = "SELECT pid FROM pg_stat_activity WHERE application_name ~ 'writer'"
                while await asyncio.to_thread(pair.primary.execute, query):  # no connection is left behind
                    await asyncio.sleep(0.02)
            job_id = await key.add_job(targets.quick)
            await asyncio.to_thread(pair.fail_over)
            assert (await scheduler.get_record(job_id)).status.value == "pending"


_LIFE = [(1, "pending", 0), (2, "running", 1), (3, "completed", 1)]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seconds", [2.0, pytest.param(10.0, marks=pytest.mark.soak)])
async def test_nothing_that_was_accepted_is_lost_when_a_synchronous_standby_takes_over(
    start: Start, journal: Path, runs: ReadRuns, seconds: float
) -> None:
    with run_pair() as pair:
        pair.wait_for_standby()
        workers = [start(pair.url, max_concurrency_per_process=20) for _ in range(2)]
        for worker in workers:
            await asyncio.to_thread(worker.wait_ready)
        async with create_scheduler(pair.url, run_jobs=False, retention=KEEP_ALL) as scheduler:
            held = [await scheduler.add_job(targets.hold, str(journal)) for _ in range(5)]
            lives = [asyncio.create_task(targets.read_stream(scheduler, job_id)) for job_id in held]
            submitter = Submitter(scheduler, journal, rate=200)
            submitting = asyncio.create_task(submitter.submit_for(seconds))
            await asyncio.sleep(seconds / 3)
            gone_at = await asyncio.to_thread(pair.fail_over)
            promoted = time.monotonic() - gone_at
            await scheduler.wait(await scheduler.add_job(targets.quick))
            passed = time.monotonic() - gone_at
            tell(f"promoted {promoted:.2f} s after the loss, the next job has run after {passed:.2f} s")
            await submitting
            Path(f"{journal}.open").touch()
            async with asyncio.timeout(60):
                ended = [await scheduler.wait(job_id) for job_id in (*submitter.accepted, *held)]
                seen = await asyncio.gather(*lives)
        tell(f"{len(submitter.accepted)} accepted, {submitter.refused} refused, none lost")
        assert {record.status.value for record in ended} == {"completed"}
        assert {record.attempt for record in ended[-5:]} == {1}
        assert {run.job_id for run in runs() if run.end == "returned"} >= set(submitter.accepted)
        for life in seen:  # the first is what there was when the reader came
            assert life in (_LIFE, _LIFE[1:])
        await asyncio.to_thread(workers[0].stop)
        check_database(pair.standby.url("jobs"))


@pytest.mark.timeout(300)
async def test_nothing_gets_stuck_or_confused_when_a_standby_that_lagged_takes_over(
    start: Start, journal: Path
) -> None:
    """Of each kind of change that can be lost there is one."""
    with run_pair() as pair:
        worker = await asyncio.to_thread(start(pair.url, max_concurrency_per_process=20).wait_ready)
        async with create_scheduler(pair.url, run_jobs=False, retention=KEEP_ALL) as scheduler:
            running = await scheduler.add_job(targets.hold, str(journal))
            ended = await scheduler.add_job(targets.hold, f"{journal}-early")
            later = scheduler.with_options(delay=2)
            claimed = await later.add_job(targets.hold, str(journal))
            for job_id in (running, ended):
                await wait_status(scheduler, job_id, "running")
            with pair.parted():
                Path(f"{journal}-early.open").touch()
                assert (await scheduler.wait(ended)).attempt == 1
                new = await scheduler.add_job(targets.hold, str(journal))
                gone = await scheduler.wait(await scheduler.add_job(targets.note, str(journal)))
                for job_id in (new, claimed):
                    await wait_status(scheduler, job_id, "running")
                lives = {
                    job_id: asyncio.create_task(targets.read_stream(scheduler, job_id))
                    for job_id in (running, claimed, new)
                }
                await asyncio.sleep(0.1)
                gone_at = await asyncio.to_thread(pair.fail_over)
            with pytest.raises(JobNotFound):
                await scheduler.get_record(gone.id)
            async with asyncio.timeout(30):
                with pytest.raises(JobNotFound):
                    await lives[new]
                await wait_status(scheduler, claimed, "running")
                await wait_status(scheduler, ended, "completed")
                tell(f"a job whose end was lost has ended again {time.monotonic() - gone_at:.1f} s after the loss")
                while ends_of(journal, new) != ["start", "raised"]:  # nobody wants it any more
                    await asyncio.sleep(0.02)
                Path(f"{journal}.open").touch()
                for job_id in (running, claimed):
                    assert (await scheduler.wait(job_id)).attempt == 1
                    assert (await lives[job_id])[-1] == (3, "completed", 1)
                    # It goes on, or is stopped before it begins again under the same number.
                    ends = ends_of(journal, job_id)
                    assert ends in (["start", "returned"], ["start", "raised", "start", "returned"])
        await asyncio.to_thread(worker.stop)
        check_database(pair.standby.url("jobs"))


def ends_of(journal: Path, job_id: str) -> list[str]:
    """What attempts of the job have noted, in order."""
    lines = [line.split() for line in journal.read_text().splitlines()]
    return [what for job, _, _, what, _ in lines if job == job_id]


async def wait_status(scheduler: Scheduler, job_id: str, status: str) -> None:
    while (await scheduler.get_record(job_id)).status.value != status:
        await asyncio.sleep(0.02)
