"""Events reach every process, in order and without gaps, whatever writers and the server do."""

import asyncio
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import psycopg
import pytest

from servicekit import create_scheduler
from servicekit.stores.postgres.session import Session
from tests.many_machines import targets
from tests.many_machines.conftest import Start
from tests.many_machines.figures import tell
from tests.many_machines.test_outages import troubled
from tests.needs import needs
from tests.postgres import run_postgres
from tests.stores.event_log import check_database

pytestmark = needs("postgresql")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seconds", [2.0, pytest.param(60.0, marks=pytest.mark.soak)])
def test_a_follower_misses_nothing_while_writers_are_slow_and_rolled_back(
    start: Start, postgres_url: str, seconds: float
) -> None:
    """Another writer is always slow, and rolled back: the positions that it took are never filled."""
    reader, *writers = [start(run_jobs=False), start(), start()]
    reader.wait_ready()
    following = reader.begin(targets.follow_until, "the end")
    with psycopg.connect(postgres_url) as slow, troubled(lambda: disturb(slow), pause=0.05):
        job_ids: list[str] = []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            begun: list[Future[Any]] = [each.begin(targets.submit_quick, 20) for each in writers]
            job_ids += [job_id for each in begun for job_id in each.result(60)]
    writers[0].call(targets.wait_all, job_ids)
    (last,) = writers[0].call(targets.submit_quick, 1, name="the end")
    seen: dict[str, list[int]] = following.result(60)
    assert {job_id for job_id in job_ids if job_id not in seen} == set()
    # The same record can come twice: the newest one comes with each of its events that have been settled.
    assert {job_id: versions for job_id, versions in seen.items() if versions != sorted(versions)} == {}
    assert {versions[-1] for job_id, versions in seen.items() if job_id != last} == {3}
    check_database(postgres_url)


def disturb(connection: psycopg.Connection) -> None:
    """Take positions as a slow writer does, and give them up."""
    connection.execute("SELECT pg_advisory_xact_lock_shared(%s)", [Session(connection).lock_number("events")])
    connection.execute("SELECT nextval('servicekit.positions') FROM generate_series(1, 3)")
    connection.execute("SELECT pg_sleep(0.1)")
    connection.rollback()


@pytest.mark.parametrize("seconds", [2.0, pytest.param(30.0, marks=pytest.mark.soak)])
def test_a_transaction_that_somebody_else_has_open_delays_no_event(
    start: Start, postgres_url: str, seconds: float
) -> None:
    worker, service = start().wait_ready(), start(run_jobs=False)
    with psycopg.connect(postgres_url) as foreign:
        foreign.execute("CREATE TABLE theirs (n bigint)")  # it has a transaction number now, and holds it
        end, longest = time.monotonic() + seconds, 0.0
        while time.monotonic() < end:
            began = time.monotonic()
            assert service.call(targets.submit_and_wait) == "completed"
            longest = max(longest, time.monotonic() - began)
    tell(f"the longest took {longest:.3f} s")
    assert longest < 20  # and not as long as the transaction was open, nor for ever
    worker.stop()


@pytest.mark.timeout(300)
async def test_streams_go_on_at_another_process_through_restarts_of_the_server(start: Start, tmp_path: Path) -> None:
    """A reader that knows the last version it has seen goes on elsewhere, and has the whole life in the end."""
    with run_postgres() as server, server.new_database() as url:
        await asyncio.to_thread(start(url).wait_ready)
        async with create_scheduler(url, run_jobs=False) as one, create_scheduler(url, run_jobs=False) as other:
            job_ids = [await one.add_job(targets.report, 1.0) for _ in range(5)]
            with troubled(lambda: server.restart("immediate"), server.kill_backend, pause=0.3):
                lives = await asyncio.gather(*(targets.read_in_turns(job_id, one, other) for job_id in job_ids))
            for job_id, life in zip(job_ids, lives, strict=True):
                record = await one.get_record(job_id)
                assert record.status.value == "completed"
                assert [version for version, *_ in life] == sorted({version for version, *_ in life})
                assert life[-1] == (record.version, "completed", record.attempt)
                assert [status for _, status, _ in life][:1] == ["pending"]
        check_database(url)
