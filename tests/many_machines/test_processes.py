"""What one process does to a job of another, and what becomes of the jobs of one that dies or stands still."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest

from tests.crash.journal import Run, most_at_once
from tests.many_machines import targets
from tests.many_machines.conftest import ReadRuns, Start
from tests.many_machines.figures import tell
from tests.many_machines.machines import Network, make_machines
from tests.many_machines.members import Member, WrongClock
from tests.many_machines.pooler import run_pooler
from tests.needs import needs
from tests.postgres import PostgresServer, run_postgres
from tests.stores.event_log import check_database

pytestmark = needs("postgresql")

_PATIENCE = 60.0
_LEASE_SECONDS = 8.0


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def open_gate(journal: Path) -> None:
    Path(f"{journal}.open").touch()


def begun(runs: ReadRuns, count: int) -> Callable[[], bool]:
    return lambda: len(runs()) >= count


@pytest.mark.parametrize("is_pooled", [False, pytest.param(True, marks=needs("pgbouncer"))], ids=["direct", "pooled"])
def test_a_job_is_canceled_from_elsewhere(
    start: Start, journal: Path, runs: ReadRuns, postgres: PostgresServer, postgres_url: str, is_pooled: bool
) -> None:
    """Behind a pooler nobody is notified, and everybody looks instead: the bar is 2.5 s."""
    if is_pooled:
        with run_pooler(postgres) as port:
            url = postgres_url.replace(str(postgres.port), str(port))
            _cancel_from_elsewhere(start(url), start(url, run_jobs=False), journal, runs)
    else:
        _cancel_from_elsewhere(start(), start(run_jobs=False), journal, runs)


def _cancel_from_elsewhere(worker: Member, other: Member, journal: Path, runs: ReadRuns) -> None:
    worker.wait_ready()
    (running,) = other.call(targets.submit_hold, journal)
    (pending,) = other.call(targets.submit, journal, delay=3_600)
    wait_until(begun(runs, 1))
    began = time.monotonic()
    assert other.call(targets.cancel, running)
    tell(f"asked for after {time.monotonic() - began:.3f} s")
    assert other.call(targets.cancel, pending)
    assert set(other.call(targets.wait_all, [running, pending]).values()) == {"canceled"}
    (run,) = runs()
    assert run.end == "raised"


def test_a_running_job_is_deleted_from_elsewhere(
    start: Start, journal: Path, runs: ReadRuns, postgres_url: str
) -> None:
    worker, other = start().wait_ready(), start(run_jobs=False)
    (job_id,) = other.call(targets.submit_hold, journal)
    wait_until(begun(runs, 1))
    other.call(targets.delete, job_id)
    wait_until(lambda: runs()[0].end == "raised")
    worker.stop()
    with psycopg.connect(postgres_url) as connection:
        for table in ("jobs", "results", "logs", "job_tags"):
            assert connection.execute(f"SELECT count(*) FROM servicekit.{table}").fetchone() == (0,), table
    check_database(postgres_url)


def test_what_runs_is_given_back_at_a_stop_in_order(start: Start, journal: Path, runs: ReadRuns) -> None:
    worker, other = start().wait_ready(), start(run_jobs=False)
    job_ids = other.call(targets.submit_hold, journal, times=10, max_restarts=3)
    wait_until(begun(runs, 10))
    worker.stop()
    records = [other.call(targets.get, job_id) for job_id in job_ids]
    assert {(record.status.value, record.attempt) for record in records} == {("pending", 1)}
    open_gate(journal)
    start()
    assert set(other.call(targets.wait_all, job_ids).values()) == {"completed"}


def test_jobs_of_a_killed_process_run_on_elsewhere(
    start: Start, journal: Path, runs: ReadRuns, postgres_url: str
) -> None:
    worker, heir = start(), start(run_jobs=False)
    worker.wait_ready()
    job_ids = heir.call(targets.submit_hold, journal, times=10)
    wait_until(begun(runs, 10))
    worker.kill()
    killed = time.monotonic()
    other = start()
    wait_until(begun(runs, 20))
    tell(f"all have begun elsewhere after {time.monotonic() - killed:.1f} s")
    open_gate(journal)
    assert set(other.call(targets.wait_all, job_ids).values()) == {"completed"}
    assert {record.attempt for record in (heir.call(targets.get, job_id) for job_id in job_ids)} == {2}
    check_database(postgres_url)


@pytest.mark.soak
def test_nothing_counts_of_a_process_that_stood_still_for_long(
    start: Start, journal: Path, runs: ReadRuns, postgres_url: str
) -> None:
    frozen = start().wait_ready()
    other = start(run_jobs=False)
    job_ids = other.call(targets.submit_hold, journal, times=5)
    wait_until(begun(runs, 5))
    frozen.send(signal.SIGSTOP)
    heir = start()
    wait_until(begun(runs, 10))
    open_gate(journal)
    assert set(heir.call(targets.wait_all, job_ids).values()) == {"completed"}
    time.sleep(max(0.0, 20 - _LEASE_SECONDS))
    frozen.send(signal.SIGCONT)
    frozen.wait_ready()
    (late,) = frozen.call(targets.submit, journal)  # it joins anew, and works on
    assert frozen.call(targets.wait_all, [late]) == {late: "completed"}
    for job_id in job_ids:
        record = other.call(targets.get, job_id)
        assert (record.status.value, record.attempt, record.version) == ("completed", 2, 5)
    check_database(postgres_url)


@pytest.mark.soak
def test_a_process_whose_event_loop_is_blocked_is_not_dead(start: Start, journal: Path, runs: ReadRuns) -> None:
    blocked, other = start().wait_ready(), start(run_jobs=False)
    job_ids = other.call(targets.submit_hold, journal, times=3)
    wait_until(begun(runs, 3))
    blocking = blocked.begin(targets.block, 20)
    heir = start().wait_ready()
    open_gate(journal)
    blocking.result(_PATIENCE)
    assert set(heir.call(targets.wait_all, job_ids).values()) == {"completed"}
    assert len(runs()) == 3
    assert {record.attempt for record in (other.call(targets.get, job_id) for job_id in job_ids)} == {1}


@contextmanager
def serve_machines(count: int) -> Iterator[tuple[Network, PostgresServer, str, str]]:
    """So many machines, a server here, and the address of a database on it: for processes here, and for those there."""
    with (
        make_machines(count) as network,
        run_postgres(hosts=["127.0.0.1", network.host]) as server,
        server.new_database() as local_url,
    ):
        yield network, server, local_url, local_url.replace("127.0.0.1", network.host)


@pytest.mark.soak
def test_attempts_of_a_machine_that_is_cut_off_stop_before_others_begin(journal: Path, runs: ReadRuns) -> None:
    with serve_machines(2) as (network, _, local_url, url):
        members, other = [Member(url, network.machines[0])], Member(url, run_jobs=False)
        try:
            members[0].wait_ready()
            job_ids = other.call(targets.submit_hold, journal, times=5)
            wait_until(begun(runs, 5))
            members.append(Member(url, network.machines[1]).wait_ready())  # not before: it might begin some of them
            network.machines[0].unplug()
            cut_at = time.monotonic()
            wait_until(begun(runs, 10))
            first, second = runs()[:5], runs()[5:]
            stopped, begun_at = max(run.end_ns or 0 for run in first), min(run.start_ns for run in second)
            tell(f"stopped after {stopped / 1e9 - cut_at:.1f} s, taken over after {begun_at / 1e9 - cut_at:.1f} s")
            assert {run.end for run in first} == {"raised"}
            assert max(run.end_ns or 0 for run in first) < min(run.start_ns for run in second)
            assert most_at_once(runs()) == 5
            open_gate(journal)
            assert set(other.call(targets.wait_all, job_ids).values()) == {"completed"}
            network.machines[0].plug_in()
            late = members[0].call(targets.submit_when_possible, journal)
            assert members[0].call(targets.wait_all, [late]) == {late: "completed"}
            check_database(local_url)
        finally:
            for member in (*members, other):
                member.kill()


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_nothing_is_lost_or_doubled_when_one_machine_of_two_is_unplugged(journal: Path, runs: ReadRuns) -> None:
    """A service and a worker on each, and 200 submissions a second, half of them at each service."""
    with serve_machines(2) as (network, _, local_url, url):
        services = [Member(url, machine, run_jobs=False) for machine in network.machines]
        workers = [Member(url, network.machines[1], max_concurrency_per_process=50)]
        try:
            workers[0].wait_ready()
            held = services[0].call(targets.submit_hold, journal, times=10)
            wait_until(begun(runs, 10))
            workers.append(Member(url, network.machines[0], max_concurrency_per_process=50).wait_ready())
            submitting = [each.begin(targets.submit_for, journal, 16.0, 100) for each in services]
            time.sleep(3)
            network.machines[1].unplug()
            cut_at = time.monotonic()
            wait_until(lambda: {run.job_id for run in runs() if run.attempt == 2} >= set(held))
            open_gate(journal)
            accepted = [job_id for each in submitting for job_id in each.result(_PATIENCE)]
            network.machines[1].plug_in()
            assert set(services[0].call(targets.wait_all, [*held, *accepted]).values()) == {"completed"}
            check_attempts(runs(), held, cut_at)
            tell(f"{len(accepted):,} accepted, none lost or run twice")
            late = services[1].call(targets.submit_when_possible, journal)
            assert services[1].call(targets.wait_all, [late]) == {late: "completed"}
            check_database(local_url)
        finally:
            for member in (*services, *workers):
                member.kill()


def check_attempts(runs: list[Run], held: list[str], cut_at: float) -> None:
    """No attempt begins before the one before it has ended."""
    by_job: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.attempt):
        by_job.setdefault(run.job_id, []).append(run)
    for attempts in by_job.values():
        for earlier, later in pairwise(attempts):
            assert earlier.end_ns is not None
            assert earlier.end_ns < later.start_ns
    stopped = max(by_job[job_id][0].end_ns or 0 for job_id in held) / 1e9 - cut_at
    begun_at = [by_job[job_id][1].start_ns / 1e9 - cut_at for job_id in held]
    tell(f"stopped after {stopped:.1f} s, taken over after {min(begun_at):.1f} to {max(begun_at):.1f} s")


@pytest.mark.soak
def test_a_machine_that_a_firewall_refuses_stops_its_attempts_before_others_begin(
    journal: Path, runs: ReadRuns
) -> None:
    """It looks as if the server was down: but the server has not said that it ends."""
    with serve_machines(1) as (network, server, local_url, url):
        refused = Member(url, network.machines[0])
        other = Member(local_url, run_jobs=False)
        heir = None
        try:
            refused.wait_ready()
            job_ids = other.call(targets.submit_hold, journal, times=5)
            wait_until(begun(runs, 5))
            heir = Member(local_url).wait_ready()
            network.machines[0].refuse(server.port)
            refused_at = time.monotonic()
            wait_until(begun(runs, 10))
            first, second = runs()[:5], runs()[5:]
            stopped = max(run.end_ns or 0 for run in first) / 1e9 - refused_at
            begun_at = min(run.start_ns for run in second) / 1e9 - refused_at
            tell(f"stopped after {stopped:.1f} s, taken over after {begun_at:.1f} s")
            assert {run.end for run in first} == {"raised"}
            assert max(run.end_ns or 0 for run in first) < min(run.start_ns for run in second)
            open_gate(journal)
            assert set(other.call(targets.wait_all, job_ids).values()) == {"completed"}
        finally:
            for member in (refused, other, heir):
                if member is not None:
                    member.kill()


def test_clocks_that_are_wrong_change_nothing(start: Start, journal: Path, runs: ReadRuns) -> None:
    """Ninety seconds apart: no delay is cut short or drawn out, and nobody seems dead or unborn."""
    early, late = start(clock=WrongClock(-45)).wait_ready(), start(clock=WrongClock(45), run_jobs=False).wait_ready()
    began = time.monotonic()
    job_ids = late.call(targets.submit, journal, times=5, delay=1)
    job_ids += early.call(targets.submit, journal, times=5, delay=1)
    assert set(early.call(targets.wait_all, job_ids).values()) == {"completed"}
    assert min(run.start_ns for run in runs()) / 1e9 >= began + 0.9
    assert len(runs()) == 10
    for job_id in job_ids:
        record = late.call(targets.get, job_id)
        assert record.started_at - record.submitted_at >= timedelta(seconds=0.9)
        assert abs(record.submitted_at - datetime.now(UTC)) < timedelta(seconds=40)
