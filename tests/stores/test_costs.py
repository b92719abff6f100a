"""What must cost the same however many jobs there are, measured in the steps of SQLite's own machine."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from servicekit.jobs.ids import JobIds
from servicekit.jobs.options import JobOptions, RunnerKind
from servicekit.jobs.outcome import completion
from servicekit.jobs.query import ALL_JOBS, JobFilter
from servicekit.jobs.status import JobStatus
from servicekit.jobs.submission import CallDescription
from servicekit.jobs.suggestions import SuggestedField, SuggestionRequest
from servicekit.stores.durable.new_jobs import new_job
from servicekit.stores.durable.requests import AttemptEnd, ClaimedJob, ClaimRequest, ListRequest, Pause, SuggestRequest
from servicekit.stores.durable.times import time_text
from servicekit.stores.sqlite import claims, inserts, membership, queries, queues, suggestions, times, writes
from servicekit.stores.sqlite.database import connect, create_file

NOW: Final = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
CALL: Final = CallDescription("tests.fakes:noop", '{"args": [], "kwargs": {}}')
COROUTINE, COMMAND = RunnerKind.COROUTINE, RunnerKind.COMMAND
ids = JobIds()


class File:
    """A file of jobs, in which a process works."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        request = membership.RegistrationRequest(None, 1, "lock", time_text(NOW), None)
        (number,) = membership.register.write(connection, [request])
        assert isinstance(number, int)
        self.process = number

    def insert(self, count: int, runner: RunnerKind = COROUTINE, process: int | None = None, **options: Any) -> None:
        asked = JobOptions(**options)
        jobs = [new_job(ids.next_id(), "noop", runner, CALL, asked, NOW, owner=process) for _ in range(count)]
        self.connection.execute("BEGIN")
        inserts.insert.write(self.connection, jobs)
        self.connection.execute("COMMIT")

    def claim(self, limit: int = 5, max_running: int | None = None) -> list[ClaimedJob]:
        request = ClaimRequest(self.process, limit, (COMMAND,), max_running, {}, time_text(NOW), "host:1")
        (jobs,) = claims.claim.write(self.connection, [request])
        assert not isinstance(jobs, Exception)
        return jobs

    def count_steps(self, action: Callable[[], object]) -> int:
        """How many steps the machine makes for it; what it has changed is taken back."""
        steps = 0

        def count() -> int:
            nonlocal steps
            steps += 1
            return 0

        self.connection.execute("BEGIN")
        self.connection.set_progress_handler(count, 1)
        action()
        self.connection.set_progress_handler(None, 1)
        self.connection.execute("ROLLBACK")
        return steps


@pytest.fixture
def file(tmp_path: Path) -> Iterator[File]:
    path = tmp_path / "jobs.db"
    create_file(path)
    with closing(connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        yield File(connection)


def test_a_claim(file: File) -> None:
    def claim() -> None:
        assert len(file.claim()) == 5

    file.insert(10)
    file.insert(10, queue="other")
    file.insert(2, concurrency_key="k", priority=-1)
    before = file.count_steps(claim)
    file.insert(1_000)
    file.insert(1_000, queue="other")
    file.insert(1_000, concurrency_key="k", priority=1)
    file.insert(1_000, delay=60, priority=1)
    file.insert(1_000, COMMAND, priority=1)  # which has no slot
    file.insert(1_000, process=file.process + 1, priority=1)
    assert file.count_steps(claim) < 2 * before


def test_a_claim_among_many_queues(file: File) -> None:
    def fill(numbers: range) -> None:
        for number in numbers:
            file.insert(2, queue=f"ready {number}")
            file.insert(1, queue=f"paused {number}")
            file.insert(1, COMMAND, queue=f"excluded {number}")
            file.insert(1, process=file.process + 1, queue=f"of another {number}")
            queues.set_paused.write(file.connection, [Pause(f"paused {number}", is_paused=True)])
        file.claim(1)  # which finds their places

    def claim() -> None:
        assert len(file.claim(5, 1_000)) == 5

    fill(range(10))
    before = file.count_steps(claim)
    fill(range(10, 300))
    assert file.count_steps(claim) < 2 * before


def test_a_claim_where_keys_are_held_in_a_paused_queue(file: File) -> None:
    def fill(numbers: range) -> None:
        for number in numbers:
            for queue in ("paused", "paused too"):
                file.insert(2, queue=queue, concurrency_key=f"key {number}")
        file.claim(1)

    def claim() -> None:
        assert len(file.claim(5)) == 5

    for queue in ("paused", "paused too"):
        queues.set_paused.write(file.connection, [Pause(queue, is_paused=True)])
    file.insert(20)
    fill(range(30))
    before = file.count_steps(claim)
    fill(range(30, 300))
    assert file.count_steps(claim) < 2 * before


def test_submissions_where_waiting_is_limited(file: File) -> None:
    def insert() -> None:
        job = new_job(ids.next_id(), "noop", COROUTINE, CALL, JobOptions(), NOW, max_pending=5)
        assert inserts.insert.write(file.connection, [job]) == [job.id]

    before = file.count_steps(insert)
    for number in range(100):
        file.insert(1, queue=f"queue {number}")
    assert file.count_steps(insert) < 2 * before


def test_to_count_and_list_the_jobs_of_an_owner(file: File) -> None:
    wanted = JobFilter(owner="ana", statuses=frozenset([JobStatus.FAILED]))

    def ask() -> None:
        assert sum(queries.count_by_status(file.connection, JobFilter(owner="ana")).values()) >= 20
        assert queries.list_records(file.connection, ListRequest(wanted, 10, None, 1_000, NOW)).records == []
        page = queries.list_records(file.connection, ListRequest(JobFilter(owner="ana"), 10, None, 1_000, NOW))
        assert len(page.records) == 10

    file.insert(20, owner="ana")
    before = file.count_steps(ask)
    file.insert(1_000, owner="ana")
    file.insert(1_000, owner="ben")
    file.insert(1_000)
    assert file.count_steps(ask) < 2 * before


def test_to_suggest_what_to_look_for(file: File) -> None:
    def ask() -> None:
        for field in SuggestedField:
            found = suggestions.suggest(file.connection, SuggestRequest(SuggestionRequest(field, limit=5), 1_000))
            assert len(found) == (1 if field is SuggestedField.NAME else 5)
        of_ana = SuggestRequest(SuggestionRequest(SuggestedField.TAG, owner="ana"), 20)
        assert suggestions.suggest(file.connection, of_ana)

    file.insert(150, owner="ana", tags=["tag 0"], queue="queue 0")  # as many as are counted one by one
    for number in range(1, 6):
        file.insert(1, owner=f"owner {number}", queue=f"queue {number}", tags=[f"tag {number}"])
    before = file.count_steps(ask)
    file.insert(1_000, owner="ana", tags=["tag 0"], queue="queue 0")
    for number in range(100):
        file.insert(1, owner=f"z {number}", queue=f"z {number}", tags=[f"z {number}"])
    assert file.count_steps(ask) < 2 * before


def test_owners_that_have_been(file: File) -> None:
    for number in range(10):
        file.insert(1, owner=f"owner {number}")
    file.claim(100)
    file.connection.execute("DELETE FROM jobs")
    file.insert(1, owner="ana")
    assert file.connection.execute("SELECT * FROM owner_counts").fetchall() == [("ana", "pending", 1)]


def test_queues_that_have_been(file: File) -> None:
    """With a queue for each of its users, a service has more and more."""
    for number in range(10):
        file.insert(1, queue=f"queue {number}")
        file.insert(1, queue=f"other {number}")
    file.claim(100)
    file.connection.execute("DELETE FROM jobs")
    file.insert(2, queue="queue")
    file.insert(2, queue="another")
    file.claim(1)
    for table, most in (("counts", 3), ("queues", 2), ("queue_turns", 2), ("moved_queues", 1)):
        (count,) = file.connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        assert count <= most, table


def test_the_end_of_a_job_with_a_key(file: File) -> None:
    file.insert(3, concurrency_key="k")
    (job,) = file.claim()
    end = AttemptEnd(job.id, job.attempt, completion(None), time_text(NOW))
    before = file.count_steps(lambda: writes.end_attempts.write(file.connection, [end]))
    file.insert(1_000, concurrency_key="k")
    file.insert(1_000, concurrency_key="k", concurrency_limit=2)
    file.insert(1_000, concurrency_key="another")
    assert file.count_steps(lambda: writes.end_attempts.write(file.connection, [end])) < 2 * before


def test_to_know_when_something_is_due(file: File) -> None:
    def ask() -> None:
        assert times.find_next(file.connection, None) == time_text(NOW + timedelta(seconds=5))

    file.insert(1, delay=5)
    file.insert(1, queue_timeout=50)
    before = file.count_steps(ask)
    for count in range(3):
        file.insert(500, delay=60 + count)
        file.insert(500, queue_timeout=60 + count)
        file.insert(500)
    assert file.count_steps(ask) < 2 * before


def test_to_list_processes(file: File) -> None:
    def ask() -> None:
        assert [process.running for process in membership.list_listed(file.connection, None)] == [3]

    file.insert(6)
    file.claim(3)
    before = file.count_steps(ask)
    file.insert(1_000)
    file.insert(1_000, process=file.process)
    for job in file.claim(1_000):
        end = AttemptEnd(job.id, job.attempt, completion(None), time_text(NOW))
        writes.end_attempts.write(file.connection, [end])
    assert file.count_steps(ask) == before


def test_to_count_jobs_and_list_queues(file: File) -> None:
    def count() -> None:
        queries.count_by_status(file.connection, ALL_JOBS)
        queries.count_by_status(file.connection, JobFilter(queue="queue 1"))
        queues.list_queues(file.connection, None)

    for number in range(5):
        file.insert(1, queue=f"queue {number}")
    before = file.count_steps(count)
    for number in range(5):
        file.insert(500, queue=f"queue {number}")
    assert file.count_steps(count) < 2 * before
