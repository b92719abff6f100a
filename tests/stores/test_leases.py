"""Who lives, by the server's clock, and what its time is."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Final, cast

import psycopg
import pytest

from servicekit.engine.clock import SystemClock
from servicekit.errors import StoreUnavailable
from servicekit.jobs.ids import JobIds
from servicekit.jobs.options import RunnerKind
from servicekit.jobs.retention import Retention
from servicekit.jobs.status import JobStatus
from servicekit.ports import ClockSetting
from servicekit.stores.durable import dead_processes
from servicekit.stores.durable.requests import ClockReading, NextMoment
from servicekit.stores.durable.times import time_text
from servicekit.stores.postgres import clock as clocks
from servicekit.stores.postgres import membership
from servicekit.stores.postgres.address import read_address
from servicekit.stores.postgres.connections import is_down
from servicekit.stores.postgres.leases import Lease, Terms, find_machine, find_start, has_ended
from servicekit.stores.postgres.membership import RegistrationRequest
from servicekit.stores.postgres.server_time import ServerTime
from servicekit.stores.postgres.session import Session
from servicekit.stores.postgres.store import PostgresStore
from servicekit.testing.stores.fakes import ManualClock, RecordingPublisher, RecordingSignals, submission
from servicekit.testing.stores.workers import HINDERED, readiness_of
from tests.needs import needs

pytestmark = needs("postgresql")

TERMS: Final = Terms(*(100 * seconds for seconds in Terms()))
"""The server's clock goes on beside the uptime of a test: a machine that stalls must not count."""
ME: Final = 1
OTHER: Final = 2


class Uptime:
    """Stands still until it is moved, but takes so long from one look to the next."""

    def __init__(self) -> None:
        self.seconds = 1_000.0
        self.step = 0.0

    def __call__(self) -> float:
        self.seconds += self.step
        return self.seconds


@pytest.fixture
def uptime() -> Uptime:
    return Uptime()


@pytest.fixture
def session(postgres_url: str) -> Iterator[Session]:
    with psycopg.connect(postgres_url, autocommit=True, options="-c timezone=UTC") as connection:
        connection.execute("CREATE SCHEMA servicekit")
        migration = files("servicekit.stores.postgres") / "migrations" / "0001_jobs.sql"
        connection.execute(migration.read_bytes())
        yield Session(connection)


@pytest.fixture
def lease(session: Session, uptime: Uptime) -> Lease:
    assert register(session, ME) is not None
    return new_lease(ME, uptime)


class TimeOfUptime(ServerTime):
    """In these tests time passes by the uptime alone: a server's clock that did not would look as if it was set."""

    def take(self, server_now: datetime, sent_at: float, heard_at: float) -> bool:
        return False


def new_lease(number: int, uptime: Uptime) -> Lease:
    lease = Lease(TimeOfUptime(ManualClock(), uptime), TERMS, read_uptime=uptime)
    lease.begin(number, uptime())
    return lease


def register(session: Session, number: int, pid: int | None = None, machine: str | None = None) -> int | None:
    pid = os.getpid() if pid is None else pid
    request = RegistrationRequest(number, f"host:{pid}", machine or find_machine(), pid, find_start(pid), "service")
    (shard,) = membership.register.write(session, [request])
    assert not isinstance(shard, Exception)
    return shard


def let_pass(session: Session, seconds: float, number: int = OTHER) -> None:
    """The process has not renewed its lease for so long."""
    session.run(
        "UPDATE servicekit.processes SET renewed_at = clock_timestamp() - make_interval(secs => %s) WHERE number = %s",
        [seconds, number],
    )


def mark_dead(session: Session, lease: Lease) -> list[int]:
    (members,) = membership.mark_dead.write(session, [(lease.list_suspects(), TERMS)])
    assert not isinstance(members, Exception)
    return [member.id for member in members]


def renew_for(session: Session, lease: Lease, uptime: Uptime, seconds: float) -> None:
    """Let time pass with a renewal in time."""
    for _ in range(round(seconds / TERMS.renewal)):
        uptime.seconds += TERMS.renewal
        assert lease.renew(session)


def test_a_lease_counts_from_before_its_renewal_was_sent(session: Session, lease: Lease, uptime: Uptime) -> None:
    uptime.seconds += 5
    assert lease.held_seconds == TERMS.stop - 5
    uptime.step = 2.0  # the server takes that long to answer
    assert lease.renew(session)
    uptime.step = 0
    assert lease.held_seconds == TERMS.stop - 2
    uptime.seconds += TERMS.stop
    assert lease.held_seconds == 0
    assert lease.renew(session)  # nobody has noticed
    assert lease.held_seconds == TERMS.stop


def test_a_process_that_is_marked_as_dead_renews_no_more(session: Session, lease: Lease, uptime: Uptime) -> None:
    register(session, OTHER)
    other = new_lease(OTHER, uptime)
    renew_for(session, lease, uptime, TERMS.death)
    let_pass(session, TERMS.death + 1)
    assert lease.renew(session)
    assert mark_dead(session, lease) == [OTHER]
    assert not other.renew(session)
    assert (other.is_lost, other.held_seconds) == (True, 0)
    assert not other.renew(session)
    assert register(session, OTHER) is None
    assert lease.renew(session)
    assert mark_dead(session, lease) == [OTHER]  # until its jobs are taken over


def test_who_renews_just_before_it_would_be_marked_is_left_alone(
    session: Session, lease: Lease, uptime: Uptime
) -> None:
    register(session, OTHER)
    other = new_lease(OTHER, uptime)
    renew_for(session, lease, uptime, TERMS.death)
    let_pass(session, TERMS.death + 1)
    assert lease.renew(session)
    assert lease.list_suspects() == [(OTHER, False)]
    assert other.renew(session)
    assert mark_dead(session, lease) == []
    assert other.renew(session)


@pytest.mark.parametrize("seconds", [TERMS.gone - 50, TERMS.stop, TERMS.death - 50])
def test_a_process_elsewhere_is_not_dead_before_its_lease_is_over(
    session: Session, lease: Lease, uptime: Uptime, seconds: float
) -> None:
    renew_for(session, lease, uptime, TERMS.death)
    register(session, OTHER, 1, "another machine")
    let_pass(session, seconds)
    assert lease.renew(session)
    assert mark_dead(session, lease) == []
    uptime.seconds += 100
    assert [number for number, _ in lease.list_suspects()] == [OTHER] * (seconds + 100 > TERMS.death)


def test_a_process_of_this_machine_is_dead_as_soon_as_what_it_left_has_ended(
    session: Session, lease: Lease, uptime: Uptime
) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        register(session, OTHER, process.pid)
        let_pass(session, TERMS.gone + 1)
        lease.look(session)
        assert lease.list_suspects() == []  # it lives
        let_pass(session, 0)
        lease.look(session)
        process.kill()
    assert lease.list_suspects() == []
    let_pass(session, TERMS.gone - 50)
    lease.look(session)
    assert lease.list_suspects() == []
    uptime.seconds += 100
    assert lease.list_suspects() == [(OTHER, True)]
    assert mark_dead(session, lease) == []  # by the server's clock it is too early
    let_pass(session, TERMS.gone + 1)
    assert mark_dead(session, lease) == [OTHER]


def test_a_process_that_has_ended_and_that_nobody_has_heard_of_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        started = find_start(process.pid)
        assert started
        assert not has_ended(process.pid, started)
        assert has_ended(process.pid, started - 1)  # its number was that of another process before
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert has_ended(process.pid, started)
    assert has_ended(process.pid, started)


def test_after_an_outage_a_process_gives_others_time_to_renew_their_leases(
    session: Session, lease: Lease, uptime: Uptime
) -> None:
    register(session, OTHER, 1, "another machine")
    renew_for(session, lease, uptime, 6_000)
    uptime.seconds += 6_000
    let_pass(session, 6_000)
    for _ in range(round(TERMS.death / TERMS.renewal)):
        assert lease.renew(session)
        assert mark_dead(session, lease) == []
        uptime.seconds += TERMS.renewal
    assert lease.renew(session)
    assert mark_dead(session, lease) == [OTHER]


def test_a_process_that_has_just_come_judges_nobody_by_the_age_of_its_lease(
    session: Session, lease: Lease, uptime: Uptime
) -> None:
    register(session, OTHER, 1, "another machine")
    let_pass(session, 6_000)
    assert lease.renew(session)
    assert mark_dead(session, lease) == []
    renew_for(session, lease, uptime, TERMS.death)
    assert mark_dead(session, lease) == [OTHER]


def test_a_server_that_is_down_takes_nobody_over(session: Session, lease: Lease, uptime: Uptime) -> None:
    register(session, OTHER, 1, "another machine")
    renew_for(session, lease, uptime, TERMS.death)
    for _ in range(10):
        uptime.seconds += 500
        assert lease.held_seconds > 0
        lease.note_down(uptime())
    let_pass(session, 5_000)
    let_pass(session, 5_000, ME)
    assert lease.renew(session)
    assert mark_dead(session, lease) == []  # the other one has not had a chance to renew its lease either


def test_leases_that_may_be_lost_are_judged_when_there_was_time_to_renew_them(
    session: Session, lease: Lease, uptime: Uptime
) -> None:
    """A standby that lagged behind has taken over."""
    register(session, OTHER, 1, "another machine")
    renew_for(session, lease, uptime, TERMS.death)
    let_pass(session, 6_000)
    lease.distrust()
    assert lease.renew(session)
    assert mark_dead(session, lease) == []
    renew_for(session, lease, uptime, TERMS.death)
    assert mark_dead(session, lease) == [OTHER]


STARTING: Final = 'connection to server at "db" failed: FATAL:  the database system is starting up'
REFUSED: Final = 'connection to server at "db" failed: Connection refused'


@pytest.mark.parametrize(
    ("said", "hosts", "was_ended", "is_expected"),
    [
        (STARTING, "db", False, True),
        (STARTING.replace("starting up", "shutting down"), "db", False, True),
        (STARTING, "db,other", True, False),  # the other one may serve by now
        (REFUSED, "db", True, True),
        (REFUSED, "db", False, False),  # a firewall can say so for this process alone
        (REFUSED, "db,other", True, False),
        (f"Multiple connection attempts failed. All failures were:\n{REFUSED}", "db", True, False),
        ("server closed the connection unexpectedly", "db", True, False),
        ("connection timeout expired", "db", True, False),
    ],
)
def test_only_a_server_that_nobody_can_reach_is_down(said: str, hosts: str, was_ended: bool, is_expected: bool) -> None:
    address = read_address("url", f"postgresql://{hosts}/jobs")
    error = StoreUnavailable("it", "it cannot be reached.")
    error.__cause__ = psycopg.OperationalError(said)
    assert is_down(error, address, was_ended=was_ended) is is_expected


def test_a_lost_lease_is_not_renewed_by_a_server_that_is_down(session: Session, lease: Lease, uptime: Uptime) -> None:
    session.run("UPDATE servicekit.processes SET is_dead = true")
    assert not lease.renew(session)
    lease.note_down(uptime())
    assert (lease.is_lost, lease.held_seconds) == (True, 0)


def test_an_answer_that_comes_after_the_process_has_joined_anew_is_not_about_it(
    session: Session, lease: Lease, uptime: Uptime, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.run("UPDATE servicekit.processes SET is_dead = true")
    run = session.run

    def run_late(*asked: object) -> list[tuple[object, ...]]:
        monkeypatch.undo()
        rows = run(*asked)  # type: ignore[arg-type]
        register(session, OTHER)
        lease.begin(OTHER, uptime())
        return rows

    monkeypatch.setattr(session, "run", run_late)
    assert not lease.renew(session)
    assert (lease.is_lost, lease.held_seconds) == (False, TERMS.stop)
    assert lease.renew(session)


def test_the_next_moment_is_known_from_a_renewal_until_something_is_committed(
    session: Session, lease: Lease, uptime: Uptime
) -> None:
    assert lease.find_next() is None
    assert lease.renew(session)
    assert lease.find_next() == NextMoment(None)
    uptime.seconds += 1
    lease.note_commit()
    assert lease.find_next() is None
    insert = "INSERT INTO servicekit.jobs (id, name, runner, max_restarts, submitted_at"
    session.run(
        f"{insert}, scheduled_at, waits_for) VALUES ('a', '', '', 0, now(), '2031-02-03 04:05:06.78+00', 'time')"
    )
    session.run(f"{insert}, expires_at) VALUES ('b', '', '', 0, now(), '2031-02-03 04:05:06+00')")
    uptime.seconds += 1
    assert lease.renew(session)
    moment = datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert lease.find_next() == NextMoment(time_text(moment))
    session.run("DELETE FROM servicekit.jobs WHERE id = 'b'")
    uptime.seconds += 1
    lease.look(session)
    assert lease.find_next() == NextMoment(time_text(moment + timedelta(milliseconds=780)))
    uptime.seconds += TERMS.stop
    assert lease.find_next() is None  # it is too old


def test_a_process_knows_whether_it_is_alone(session: Session, lease: Lease) -> None:
    assert not lease.is_alone  # it does not know yet
    assert lease.renew(session)
    assert lease.is_alone
    register(session, OTHER)
    assert lease.renew(session)
    assert not lease.is_alone
    session.run("UPDATE servicekit.processes SET is_dead = true WHERE number = %s", [OTHER])
    assert lease.renew(session)
    assert lease.is_alone


def test_shards_are_used_again(session: Session) -> None:
    assert [register(session, number) for number in (11, 12, 13, 12)] == [0, 1, 2, 1]
    assert membership.leave.write(session, [12]) == [True]
    assert [register(session, number) for number in (14, 15)] == [1, 3]
    assert (session.number, session.shard) == (15, 3)


def test_a_stranger_with_jobs_is_found(session: Session, lease: Lease) -> None:
    insert = "INSERT INTO servicekit.jobs (id, name, runner, max_restarts, submitted_at, owner, status, finished_at)"
    rows = [(ME, "running", None), (77, "running", None), (0, "pending", None), (78, "pending", None),
            (79, "failed", datetime.now(UTC)), (77, "pending", None)]  # fmt: skip
    for row in rows:
        session.run(f"{insert} VALUES (gen_random_uuid()::text, '', '', 0, now(), %s, %s, %s)", row)
    assert membership.list_strangers(session, 4) == [77, 78]
    assert membership.list_strangers(session, 77) == [78]
    assert membership.leave.write(session, [lease.number]) == [False]
    assert [job.attempt for job in membership.list_running(session, ME)] == [0]


def test_other_services_are_told(session: Session, lease: Lease) -> None:
    assert membership.introduce.write(session, ["service"]) == [[]]
    assert membership.introduce.write(session, ["other"]) == [["service"]]
    assert membership.introduce.write(session, ["other"]) == [["service"]]


class Server:
    """Tells its time to machines, whose clocks and ways to it are what they are."""

    def __init__(self) -> None:
        self.now = datetime(2026, 5, 1, tzinfo=UTC)

    def answer(self, time: ServerTime, uptime: Uptime, there: float, back: float) -> None:
        sent_at = uptime()
        self.let_pass(there, uptime)
        told = self.now
        self.let_pass(back, uptime)
        time.take(told, sent_at, uptime())

    def let_pass(self, seconds: float, *uptimes: Uptime) -> None:
        self.now += timedelta(seconds=seconds)
        for uptime in uptimes:
            uptime.seconds += seconds


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def new_time() -> Callable[[Uptime], ServerTime]:
    def new(uptime: Uptime) -> ServerTime:
        clock = ManualClock()
        clock.set_by(90 * uptime.seconds)
        return ServerTime(clock, uptime)

    return new


def test_machines_whose_clocks_differ_agree(server: Server, new_time: Callable[[Uptime], ServerTime]) -> None:
    one, other = Uptime(), Uptime()
    other.seconds = 7.0
    times = [new_time(one), new_time(other)]
    for time, uptime in zip(times, (one, other), strict=True):
        before = uptime.seconds
        server.answer(time, uptime, 0.01, 0.01)
        server.let_pass(0, one if uptime is other else other)
        assert uptime.seconds > before
    one.seconds += 0.02  # which has passed there as well
    assert abs(times[0].now() - times[1].now()) < timedelta(microseconds=10)
    server.let_pass(3_600, one, other)
    assert [abs(time.now() - server.now) < timedelta(microseconds=10) for time in times] == [True, True]


def test_the_shortest_round_trip_counts(
    server: Server, uptime: Uptime, new_time: Callable[[Uptime], ServerTime]
) -> None:
    time = new_time(uptime)
    server.answer(time, uptime, 0.9, 0.1)
    assert abs(time.now() - server.now) < timedelta(seconds=0.5)
    server.answer(time, uptime, 0.002, 0.002)
    server.let_pass(2, uptime)
    assert abs(time.now() - server.now) < timedelta(milliseconds=1)
    server.answer(time, uptime, 0.1, 0.7)
    assert abs(time.now() - server.now) < timedelta(milliseconds=1)


def test_the_time_goes_on_and_not_back(
    server: Server, uptime: Uptime, new_time: Callable[[Uptime], ServerTime]
) -> None:
    time = new_time(uptime)
    server.answer(time, uptime, 0.0, 0.8)  # it is taken to be ahead
    shown = [time.now()]
    server.answer(time, uptime, 0.001, 0.001)
    for _ in range(10):
        shown.append(time.now())
        server.let_pass(0.1, uptime)
    assert shown == sorted(shown)
    assert abs(time.now() - server.now) < timedelta(milliseconds=2)


@pytest.mark.parametrize("hours", [1, -1])
def test_somebody_who_sets_the_clock_of_the_server_is_noticed(
    server: Server, uptime: Uptime, new_time: Callable[[Uptime], ServerTime], hours: int
) -> None:
    time = new_time(uptime)
    server.answer(time, uptime, 0.001, 0.001)
    time.now()
    before = time.setting()
    server.answer(time, uptime, 0.001, 0.003)
    assert time.setting().is_like(before)
    server.now += timedelta(hours=hours)
    server.answer(time, uptime, 0.2, 0.001)
    assert abs(time.now() - server.now) < timedelta(seconds=0.2)
    seconds = time.setting().seconds_since(before)
    assert seconds is not None
    assert abs(seconds - hours * 3_600) < 1


class ServerWithAnother:
    """A session with a server that tells of another process, which renews its lease as long as it lives."""

    def __init__(self) -> None:
        self.seconds = self.renewed = 0.0

    def run(self, _: str, values: Mapping[str, object]) -> list[tuple[object, ...]]:
        now = datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(seconds=self.seconds)
        other = [OTHER, False, False, 1, 1, self.seconds - self.renewed]
        return [(now.isoformat(), None, 2, json.dumps([other]), True, "off")]


def test_nobody_is_dead_because_the_clock_of_the_server_was_set(uptime: Uptime) -> None:
    lease = Lease(ServerTime(ManualClock(), uptime), TERMS, read_uptime=uptime)
    server = ServerWithAnother()
    lease.begin(ME, uptime())

    def renew(*, is_alive: bool) -> list[tuple[int, bool]]:
        uptime.seconds += TERMS.renewal
        server.seconds += TERMS.renewal
        server.renewed = server.seconds if is_alive else server.renewed
        assert lease.renew(cast("Session", server))
        return lease.list_suspects()

    assert [renew(is_alive=True) for _ in range(5)] == [[]] * 5
    server.seconds += 6_000
    assert renew(is_alive=False) == []
    assert renew(is_alive=True) == []
    dying = [renew(is_alive=False) for _ in range(5)]
    assert dying == [[]] * 4 + [[(OTHER, False)]]


def test_a_process_that_died_before_the_clock_was_set_back_is_found(
    session: Session, lease: Lease, uptime: Uptime
) -> None:
    register(session, OTHER, 1, "another machine")
    let_pass(session, -3_600)
    clocks.heed.write(session, [ClockReading(ClockSetting(None, seconds), datetime.now(UTC)) for seconds in (7200, 0)])
    age = "SELECT extract(epoch FROM clock_timestamp() - renewed_at) FROM servicekit.processes WHERE number = %s"
    assert 0 <= session.run(age, [OTHER])[0][0] < 60
    let_pass(session, -3_600)
    register(session, OTHER + 1)  # nobody was there who could have noticed
    assert 0 <= session.run(age, [OTHER])[0][0] < 60


def test_leases_leave_time_between_the_end_of_attempts_and_their_next_start() -> None:
    terms = Terms()
    assert terms.renewal * 2 < terms.stop < terms.death - 1
    assert terms.renewal < terms.gone < terms.death


async def test_what_a_process_ran_on_a_cluster_is_taken_over_when_nothing_can_be_left_of_it(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_processes, "GONE_SECONDS", 60)
    store = PostgresStore(read_address("url", postgres_url), RecordingPublisher(), SystemClock(), Retention())
    await store.liveness.open(RecordingSignals())
    job_id = await store.submissions.insert(submission(JobIds().next_id(), RunnerKind.RAY))
    assert len(await store.attempts.claim(1, ())) == 1
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("UPDATE servicekit.processes SET is_dead = true")
    while not store.database.registration.is_lost:
        await asyncio.sleep(0.01)
    await store.liveness.rescue()  # it joins anew, and takes over what it had
    assert (await store.reads.get_record(job_id)).status is JobStatus.RUNNING
    monkeypatch.setattr(dead_processes, "GONE_SECONDS", 0)
    await store.liveness.rescue()
    assert (await store.reads.get_record(job_id)).status is JobStatus.PENDING
    await store.liveness.close()


async def test_a_process_that_cannot_join_anew_at_once_tries_again(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = PostgresStore(read_address("url", postgres_url), RecordingPublisher(), SystemClock(), Retention())
    signals = RecordingSignals()
    signals.readiness = HINDERED
    await store.liveness.open(signals)
    registration = store.database.registration
    before = registration.number
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("UPDATE servicekit.processes SET is_dead = true")
    while not registration.is_lost:
        await asyncio.sleep(0.01)
    take = registration.take

    async def fail(*_: object) -> None:
        monkeypatch.setattr(registration, "take", take)
        raise StoreUnavailable("it", "it is away.")

    monkeypatch.setattr(registration, "take", fail)
    with pytest.raises(StoreUnavailable):
        await store.liveness.rescue()
    assert registration.held_seconds == 0
    await store.liveness.rescue()
    assert registration.held_seconds > 0
    assert registration.number not in (0, before)
    assert [are_lost for are_lost in signals.stopped if are_lost] == [True, True]  # a renewal can be late as well
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        ((count,),) = connection.execute("SELECT count(*) FROM servicekit.processes").fetchall()
    assert count == 1  # what it was before is taken over
    assert [readiness_of(worker) for worker in await store.queues.list_workers()] == [HINDERED]
    await store.liveness.close()
