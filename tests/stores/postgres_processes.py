"""Processes that work on the same PostgreSQL database, as far as their statements go: each has its own connection."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar, Unpack

from servicekit.jobs.ids import JobIds
from servicekit.jobs.options import DEFAULT_OPTIONS, OptionChanges, changed
from servicekit.jobs.outcome import Outcome, completion
from servicekit.jobs.status import Transition
from servicekit.jobs.submission import CallDescription
from servicekit.stores.durable.new_jobs import NewJob, new_job
from servicekit.stores.durable.operations import Operation
from servicekit.stores.durable.requests import AttemptEnd, ClaimedJob, ClaimRequest
from servicekit.stores.durable.times import time_text
from servicekit.stores.postgres import claims, inserts, keys, owners, writes
from servicekit.stores.postgres.address import Address
from servicekit.stores.postgres.connections import connect
from servicekit.stores.postgres.session import Session
from servicekit.stores.postgres.writer import Writer

A = TypeVar("A")
R = TypeVar("R")

_DONE: Final = completion(None)
NOON: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
_REGISTER: Final = """
    INSERT INTO servicekit.processes (number, name, pid, shard, started_at, renewed_at)
    VALUES (%s, 'here', 1, %s, now(), now())
"""
_COUNTS: Final = "SELECT queue, status, sum(jobs)::bigint FROM servicekit.counts GROUP BY 1, 2 HAVING sum(jobs) <> 0"
_RECOUNT: Final = """
    SELECT queue, CASE WHEN is_deleted AND status = 'running' THEN 'deleted' ELSE status END, count(*)
    FROM servicekit.jobs GROUP BY 1, 2
"""
_OWNER_COUNTS: Final = "SELECT owned_by, status, sum(jobs)::bigint FROM servicekit.owner_counts GROUP BY 1, 2"
_OWNER_RECOUNT: Final = """
    SELECT owned_by, status, count(*) FROM servicekit.jobs WHERE owned_by IS NOT NULL AND NOT is_deleted GROUP BY 1, 2
"""
# As the writer's, but with time enough for a test that a busy machine holds up.
_LIMITS: Final = {
    **Writer.limits,
    "statement_timeout": "60s",
    "lock_timeout": "60s",
    "idle_in_transaction_session_timeout": "60s",
}
_IS_WAITING: Final = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"


class Process:
    """A process, which writes in transactions as the store does."""

    ids = JobIds()

    def __init__(self, address: Address, number: int) -> None:
        self.connection = connect(address, purpose="test", limits=_LIMITS)
        self.session = Session(self.connection, address.schema)
        self.number = number
        self.session.run(_REGISTER, [number, number])
        self.now = NOON

    def begin(self) -> None:
        self.session.begin(self.number, self.number)
        self.session.run("BEGIN")

    def commit(self) -> None:
        owners.settle(self.session)
        keys.settle(self.session)
        self.session.run("COMMIT")

    def commit_keys(self) -> None:
        """Give the slots that are free, before the commit."""
        keys.settle(self.session)

    def roll_back(self) -> None:
        self.session.run("ROLLBACK")

    def write(self, operation: Operation[A, R], *arguments: A) -> list[R | Exception]:
        """Perform an operation, in a transaction of its own unless one has begun."""
        is_alone = self.connection.pgconn.transaction_status == 0
        if is_alone:
            self.begin()
        answers = list(operation.write(self.session, list(arguments)))
        if is_alone:
            self.commit()
        return answers

    def new(self, *, fingerprint: str | None = None, **options: Unpack[OptionChanges]) -> NewJob:
        call = CallDescription("tests.fakes:noop", '{"args": [], "kwargs": {}}')
        made = changed(DEFAULT_OPTIONS, options)
        return new_job(self.ids.next_id(), "noop", "coroutine", call, made, self.now, fingerprint=fingerprint)

    def insert(self, *jobs: NewJob) -> list[str | Exception]:
        return self.write(inserts.insert, *jobs)

    def submit(self, count: int = 1, **options: Unpack[OptionChanges]) -> list[str]:
        jobs = [self.new(**options) for _ in range(count)]
        assert self.insert(*jobs) == [job.id for job in jobs]
        return [job.id for job in jobs]

    def request(self, limit: int = 100, max_running: int | None = None, **queue_limits: int) -> ClaimRequest:
        return ClaimRequest(self.number, limit, (), max_running, queue_limits, time_text(self.now), "here")

    def claim(self, limit: int = 100, max_running: int | None = None, **queue_limits: int) -> list[ClaimedJob]:
        (jobs,) = self.write(claims.claim, self.request(limit, max_running, **queue_limits))
        assert isinstance(jobs, list)
        return jobs

    def claim_ids(self, limit: int = 100, max_running: int | None = None, **queue_limits: int) -> list[str]:
        return [job.id for job in self.claim(limit, max_running, **queue_limits)]

    def end(self, *jobs: ClaimedJob, outcome: Outcome = _DONE) -> Sequence[Transition | Exception | None]:
        ends = [AttemptEnd(job.id, job.attempt, outcome, time_text(self.now)) for job in jobs]
        return self.write(writes.end_attempts, *ends)

    def ask(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self.session.run(query, values)

    def list_ready(self) -> list[str]:
        query = "SELECT id FROM servicekit.jobs WHERE status = 'pending' AND waits_for IS NULL ORDER BY turn"
        return [job_id for (job_id,) in self.ask(query)]

    def check_counts(self) -> None:
        """The counts are what is in the table."""
        assert sorted(self.ask(_COUNTS)) == sorted(self.ask(_RECOUNT))
        assert sorted(self.ask(f"{_OWNER_COUNTS} HAVING sum(jobs) <> 0")) == sorted(self.ask(_OWNER_RECOUNT))

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @contextmanager
    def waiting(self, observer: "Process", act: Callable[[], R]) -> "Iterator[Future[R]]":
        """It does something that has to wait for others, and waits as long as the block lasts."""
        with ThreadPoolExecutor(1) as thread:
            acting = thread.submit(act)
            while observer.ask(_IS_WAITING, [self.connection.info.backend_pid]) == [(0,)]:
                assert not acting.done(), acting.result()
            yield acting
