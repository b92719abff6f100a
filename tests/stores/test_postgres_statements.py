"""Statements of jobs in PostgreSQL: what load does not show, since it needs two transactions at one moment."""

import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Final

import pytest

from servicekit.errors import IdempotencyConflict
from servicekit.jobs.endings import GIVEN_BACK, NOT_BEGUN
from servicekit.jobs.idempotency import key_of_owner
from servicekit.jobs.outcome import CANCELED, completion, failure
from servicekit.jobs.schedules import FiredSchedule
from servicekit.jobs.status import Transition
from servicekit.stores.durable.requests import ClaimedJob, Decline, JobRequest, ProcessForgotten, ProgressReport, Tick
from servicekit.stores.durable.schedule_rows import describe_schedule
from servicekit.stores.durable.times import time_text
from servicekit.stores.postgres import claims, keys, lines, schedules, times, writes
from servicekit.stores.postgres.address import Address, read_address
from servicekit.stores.postgres.schema import migrate
from servicekit.stores.postgres.session import Session, Values
from servicekit.testing.stores.schedules import NEXT, TICK, schedule
from tests.needs import needs
from tests.postgres import NEWEST, OLDEST
from tests.stores.postgres_processes import NOON, Process

# A moment that has passed: it is time for the next look at all ready jobs.
LATER: Final = 1e-9
CLAIMS: Final = "taken AS MATERIALIZED"

pytestmark = needs("postgresql")


@pytest.fixture
def address(postgres_url: str) -> Address:
    address = read_address("url", f"{postgres_url}?schema=other")
    migrate(address)
    return address


@pytest.fixture
def join(address: Address) -> Iterator[Callable[[], Process]]:
    """Starts another process."""
    with ExitStack() as stack:
        numbers = iter(range(1, 100))

        def start() -> Process:
            process = Process(address, next(numbers))
            stack.enter_context(process.connection)
            return process

        yield start


@pytest.fixture
def first(join: Callable[[], Process]) -> Process:
    return join()


@pytest.fixture
def second(join: Callable[[], Process]) -> Process:
    return join()


@pytest.fixture
def observer(join: Callable[[], Process]) -> Process:
    return join()


def test_of_jobs_with_one_key_that_are_inserted_at_one_moment_one_is_ready(
    first: Process, second: Process, observer: Process
) -> None:
    first.submit()  # who is the first in a queue is waited for
    first.end(*first.claim())
    first.begin()
    (job_id,) = first.submit(concurrency_key="k")
    first.commit_keys()
    with second.waiting(observer, lambda: second.submit(concurrency_key="k")) as other:
        first.commit()
    assert observer.list_ready() == [job_id]
    first.end(*first.claim())
    assert observer.list_ready() == other.result()


def test_a_slot_is_given_once_when_two_jobs_let_go_at_one_moment(
    first: Process, second: Process, observer: Process
) -> None:
    first.submit(3, concurrency_key="k", concurrency_limit=2)
    waiting = first.submit(2, concurrency_key="k", concurrency_limit=2)
    mine, others = first.claim(1), second.claim(1)
    first.begin()
    first.end(*mine)
    first.commit_keys()
    with second.waiting(observer, lambda: second.end(*others)):
        first.commit()
    assert len(observer.list_ready()) == 2
    assert observer.list_ready()[1:] == waiting[:1]


def test_a_job_that_is_canceled_while_it_gets_a_slot_leaves_it_to_the_next(
    first: Process, second: Process, observer: Process
) -> None:
    first.submit(concurrency_key="k")
    heir, last = first.submit(2, concurrency_key="k")
    jobs = first.claim()
    first.begin()
    first.end(*jobs)
    first.commit_keys()
    request = JobRequest(heir, time_text(NOON))
    with second.waiting(observer, lambda: second.write(writes.request_cancel, request)):
        first.commit()
    assert observer.list_ready() == [last]
    observer.check_counts()


def test_a_slot_is_not_given_to_a_job_that_is_being_canceled(
    first: Process, second: Process, observer: Process
) -> None:
    first.submit(concurrency_key="k")
    heir, last = first.submit(2, concurrency_key="k")
    jobs = first.claim()
    second.begin()
    second.write(writes.request_cancel, JobRequest(heir, time_text(NOON)))
    with first.waiting(observer, lambda: first.end(*jobs)):
        second.commit()
    assert observer.list_ready() == [last]
    observer.check_counts()


def test_nothing_is_left_of_a_job_that_is_deleted_while_it_changes(
    first: Process, second: Process, observer: Process
) -> None:
    (job_id,) = first.submit()
    request = JobRequest(job_id, time_text(NOON))
    first.begin()
    first.write(writes.request_cancel, request)
    with second.waiting(observer, lambda: second.write(writes.delete, request)):
        first.commit()
    query = "SELECT version FROM servicekit.events WHERE job_id = %s"
    assert observer.ask(query, [job_id]) == [(None,)]  # that of the deletion
    observer.check_counts()


@pytest.mark.parametrize("limits", [{"max_running": 1}, {"default": 1}])
def test_a_limit_holds_for_claims_at_one_moment(
    first: Process, second: Process, observer: Process, limits: dict[str, int]
) -> None:
    (job_id, _) = first.submit(2)
    first.begin()
    assert first.claim_ids(**limits) == [job_id]
    with second.waiting(observer, lambda: second.claim_ids(**limits)) as others:
        first.commit()
    assert others.result() == []


def test_a_claim_gets_no_more_than_it_asks_for_however_few_jobs_it_was_planned_for(first: Process) -> None:
    first.submit(200)
    first.ask("DELETE FROM servicekit.jobs")
    first.ask("DELETE FROM servicekit.counts")
    first.ask("ANALYZE servicekit.jobs")  # there are pages, and no rows: however many come, the planner expects one
    jobs = first.submit(8)
    assert [first.claim_ids(1), first.claim_ids(3), first.claim_ids(2)] == [jobs[:1], jobs[1:4], jobs[4:6]]


def test_a_claim_passes_over_what_another_one_is_taking(first: Process, second: Process) -> None:
    job_ids = first.submit(5)
    first.begin()
    assert first.claim_ids(2) == job_ids[:2]
    assert second.claim_ids(2) == job_ids[2:4]
    first.roll_back()
    assert second.claim_ids() == [*job_ids[:2], job_ids[4]]


def test_claims_at_one_moment_do_not_wait_for_each_other_where_queues_take_turns(
    first: Process, second: Process
) -> None:
    for queue in ("a", "b", "c"):
        first.submit(4, queue=queue)
    first.begin()
    taken = first.claim_ids(6)
    assert len({*taken, *second.claim_ids(6)}) == 12
    first.commit()
    first.check_counts()


def test_one_idempotency_key_is_used_once_by_two_at_one_moment(
    first: Process, second: Process, observer: Process
) -> None:
    first.begin()
    (job_id,) = first.submit(idempotency_key="k")
    job = second.new(idempotency_key="k")
    with second.waiting(observer, lambda: second.insert(job)) as answer:
        first.commit()
    assert answer.result() == [job_id]
    assert observer.list_ready() == [job_id]
    observer.check_counts()


def test_all_who_use_a_key_at_one_moment_are_given_the_job_that_is_kept(
    first: Process, second: Process, observer: Process
) -> None:
    first.begin()
    (job_id,) = first.submit(idempotency_key="k")
    jobs = [second.new(idempotency_key="k") for _ in range(3)]
    with second.waiting(observer, lambda: second.insert(*jobs)) as answer:
        first.commit()
    assert answer.result() == [job_id] * 3
    assert observer.list_ready() == [job_id]


def test_a_key_that_is_used_for_something_else_at_one_moment_is_a_conflict(
    first: Process, second: Process, observer: Process
) -> None:
    first.begin()
    first.insert(first.new(idempotency_key="k", fingerprint="a"))
    job = second.new(idempotency_key="k", fingerprint="b")
    with second.waiting(observer, lambda: second.insert(job)) as answer:
        first.commit()
    assert isinstance(answer.result()[0], IdempotencyConflict)


def test_a_key_is_free_if_its_first_use_was_not_committed(first: Process, second: Process, observer: Process) -> None:
    first.begin()
    first.submit(idempotency_key="k")
    job = second.new(idempotency_key="k")
    with second.waiting(observer, lambda: second.insert(job)) as answer:
        first.roll_back()
    assert answer.result() == [job.id]
    assert observer.list_ready() == [job.id]


def test_what_was_written_by_a_commit_of_which_nothing_was_heard_is_not_written_again(first: Process) -> None:
    jobs = [first.new(), first.new(idempotency_key="k"), first.new(concurrency_key="k")]
    assert first.insert(*jobs) == first.insert(*jobs) == [job.id for job in jobs]
    first.check_counts()
    claimed = first.claim()
    outcomes = [completion(1), failure(ValueError("no")).to_be_retried(NOON), GIVEN_BACK]
    expected = [outcome.transition for outcome in outcomes]
    for is_unsure, answers in ((False, expected), (True, expected), (False, [None] * 3)):
        first.begin()
        first.session.is_unsure = is_unsure
        assert [first.end(job, outcome=outcome)[0] for job, outcome in zip(claimed, outcomes, strict=True)] == answers
        first.commit()
    first.check_counts()


def test_an_attempt_of_another_process_cannot_be_ended(first: Process, second: Process) -> None:
    first.submit()
    (job,) = first.claim()
    second.write(writes.report_progress, ProgressReport(job.id, job.attempt, "[1, null, null, null]"))
    assert second.end(job) == second.end(job, outcome=NOT_BEGUN) == [None]
    assert first.ask("SELECT progress FROM servicekit.jobs") == [(None,)]
    assert first.end(job) == [Transition.COMPLETE]


def test_a_process_that_counts_as_dead_gets_no_jobs(first: Process, second: Process) -> None:
    (job_id,) = first.submit()
    second.ask("UPDATE servicekit.processes SET is_dead = TRUE WHERE number = %s", [first.number])
    (answer,) = first.write(claims.claim, first.request())
    assert isinstance(answer, ProcessForgotten)
    assert second.claim_ids() == [job_id]


def test_a_process_is_not_declared_dead_while_it_claims(first: Process, second: Process, observer: Process) -> None:
    first.submit()
    first.begin()
    first.claim()
    mark = "UPDATE servicekit.processes SET is_dead = TRUE WHERE number = %s"
    with second.waiting(observer, lambda: second.ask(mark, [first.number])):
        first.commit()
    assert observer.ask("SELECT owner FROM servicekit.jobs") == [(first.number,)]


def test_a_job_becomes_due_once(first: Process, second: Process) -> None:
    job_ids = first.submit(3, delay=10)
    late = time_text(NOON.replace(hour=13))
    first.begin()
    first.write(times.make_due, late)
    second.write(times.make_due, late)
    first.commit()
    assert second.list_ready() == job_ids


def test_a_job_that_another_process_has_claimed_does_not_expire(
    first: Process, second: Process, observer: Process
) -> None:
    first.submit(queue_timeout=10)
    first.begin()
    (job,) = first.claim()
    with second.waiting(observer, lambda: second.write(times.make_due, time_text(NOON.replace(hour=13)))) as failed:
        first.commit()
    assert failed.result() == [[]]
    assert first.end(job) == [Transition.COMPLETE]
    observer.check_counts()


def test_a_job_whose_line_is_not_known_is_found_by_the_next_look(first: Process, second: Process) -> None:
    (known,) = second.submit()
    assert second.claim_ids() == [known]
    (job_id,) = first.submit(queue="other")
    first.ask("DELETE FROM servicekit.lines")
    first.ask("DELETE FROM servicekit.queues")
    assert second.claim_ids() == []
    second.session.next_look_at = LATER  # a second later
    assert second.claim_ids() == [job_id]


def test_the_first_job_of_a_database_is_found_by_a_process_that_has_looked_before(
    first: Process, second: Process
) -> None:
    for _ in range(2):
        second.session.next_look_at = LATER
        assert second.claim_ids() == []
    (job_id,) = first.submit()
    assert second.claim_ids() == [job_id]


def test_a_job_with_an_old_turn_is_found_at_once(
    first: Process, second: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "_SLOW_SECONDS", 0)
    first.submit()
    (job,) = first.claim()
    second.submit(20)
    second.end(*second.claim())
    for _ in range(2):
        second.session.next_look_at = LATER
        assert second.claim_ids() == []
    assert min(second.session.bounds) > job.turn
    first.end(job, outcome=NOT_BEGUN)
    assert second.claim_ids() == [job.id]


def test_a_job_that_is_left_to_another_process_is_found_by_it_at_once(first: Process, second: Process) -> None:
    (job_id,) = first.submit()
    assert second.claim_ids(0) == []
    second.ask("UPDATE servicekit.processes SET runs_jobs = TRUE")
    (job,) = first.claim()
    assert first.write(writes.decline, Decline(job.id, job.attempt)) == [True]
    assert first.claim_ids() == []
    assert second.claim_ids() == [job_id]


class Explained(Session):
    """A session that explains a statement instead of answering it."""

    def __init__(self, session: Session, how: str, part: str) -> None:
        super().__init__(session.connection, session._schema)
        self.number, self.shard, self.bounds, self.next_look_at = 1, 1, session.bounds, session.next_look_at
        self._how = how
        self._part = part
        self.plan: dict[str, Any] = {}

    def run(self, statement: str, values: Values = ()) -> list[tuple[Any, ...]]:
        if self._part not in statement:
            return super().run(statement, values)
        ((text,),) = super().run(f"EXPLAIN ({self._how}, FORMAT JSON) {statement}", values)
        self.plan = self.plan or json.loads(text)[0]["Plan"]  # of the first one
        return [(True, *[None] * len(ClaimedJob._fields))] if CLAIMS in statement else []


def walk(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", []):
        yield from walk(part)


def test_a_claim_does_not_look_at_jobs_that_the_server_cannot_forget(
    first: Process, observer: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "_SLOW_SECONDS", 0)
    observer.ask("BEGIN ISOLATION LEVEL REPEATABLE READ")
    observer.ask("SELECT 1 FROM servicekit.jobs")
    for _ in range(4):
        first.submit(1_000)
        assert first.end(*first.claim(1_000)) == [Transition.COMPLETE] * 1_000
    touched = []
    for look in range(3):
        first.submit(5)
        first.begin()
        explained = Explained(first.session, "ANALYZE, BUFFERS", CLAIMS)
        claims.claim.write(explained, [first.request()])
        touched.append(explained.plan["Shared Hit Blocks"] + explained.plan["Shared Read Blocks"])
        first.roll_back()
        first.session.next_look_at = LATER
        assert len(first.claim_ids()) == 5, look
    assert touched[2] < touched[0] / 2


def test_where_a_look_takes_long_the_second_one_follows_soon(first: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_SLOW_SECONDS", 0)
    first.submit(2)
    first.claim(1)
    assert first.session.next_look_at < time.monotonic() + lines._LOOK_SECONDS / 2
    first.session.next_look_at = LATER
    first.claim(1)
    assert min(first.session.bounds) >= 0
    assert first.session.next_look_at > LATER


@pytest.mark.parametrize("postgres", [OLDEST, NEWEST], indirect=True)
@pytest.mark.parametrize(
    "part",
    [CLAIMS, "kept AS", "progress = value", "no_logs", "failures = ", "cancel_requested_at = CASE", "given AS",
     "AS turn FROM", "holder_id"],
)  # fmt: skip
def test_no_statement_is_planned_to_read_a_table_whole_even_if_that_is_empty(first: Process, part: str) -> None:
    """The plan is kept, and used when the table is large."""
    first.submit()
    (job,) = first.claim()
    for queue in ("paused", "open"):
        first.submit(queue=queue, concurrency_key="k")
    first.ask("UPDATE servicekit.queues SET is_paused = TRUE WHERE name = 'paused'")
    first.begin()
    first.session = explained = Explained(first.session, "VERBOSE", part)
    claims.claim.write(explained, [first.request()])
    first.write(writes.report_progress, ProgressReport(job.id, job.attempt, "[1, null, null, null]"))
    first.end(job, outcome=NOT_BEGUN)
    first.end(job)
    writes.remove(explained, [job.id])
    writes.end_jobs(explained, CANCELED, [job.id], time_text(NOON))
    first.write(times.make_due, time_text(NOON))
    explained.keys.add("k")
    first.commit_keys()
    keys.pass_on(explained, {}, of_all=True)
    large = {"jobs", "events", "results", "logs", "job_tags", "job_metadata"}
    reads = [
        node for node in walk(explained.plan) if node.get("Relation Name") in large and "Scan" in node["Node Type"]
    ]
    assert reads
    whole = [node for node in reads if "Index Cond" not in node and node["Node Type"] != "Tid Scan"]
    assert [node.get("Index Name") for node in whole] == []


@pytest.mark.parametrize("seed", range(3))
def test_counts_and_keys_are_right_whatever_several_processes_do(join: Callable[[], Process], seed: int) -> None:
    chance = random.Random(seed)
    crowd = Crowd([join() for _ in range(3)], chance)
    for _ in range(150):
        crowd.do_something()
    crowd.settle()
    crowd.check()


class Crowd:
    """Processes that do random things, some of them in transactions that are rolled back."""

    def __init__(self, processes: Sequence[Process], chance: random.Random) -> None:
        self._processes = processes
        self._chance = chance
        self._running: dict[int, list[Any]] = {process.number: [] for process in processes}

    def do_something(self) -> None:
        process = self._chance.choice(self._processes)
        running = list(self._running[process.number])
        process.begin()
        for _ in range(self._chance.randint(1, 3)):
            self._chance.choice([self.submit, self.submit, self.claim, self.claim, self.end, self.stop])(process)
        if self._chance.random() < 0.2:
            process.roll_back()
            self._running[process.number] = running
        else:
            process.commit()

    def submit(self, process: Process) -> None:
        key = self._chance.choice([None, "a", "b"])
        process.submit(
            self._chance.randint(1, 4),
            queue=self._chance.choice(["x", "y"]),
            concurrency_key=key,
            concurrency_limit={"a": 1, "b": 2}.get(key or "", 1),
            tags=self._chance.choice([[], ["t"]]),
            owner=self._chance.choice([None, "ana", "ben"]),
        )

    def claim(self, process: Process) -> None:
        self._running[process.number] += process.claim(self._chance.randint(1, 4), 6, y=2)

    def end(self, process: Process) -> None:
        running = self._running[process.number]
        if running:
            outcome = self._chance.choice([completion(1), NOT_BEGUN, failure(ValueError()).to_be_retried(NOON)])
            process.end(running.pop(self._chance.randrange(len(running))), outcome=outcome)

    def stop(self, process: Process) -> None:
        rows = process.ask("SELECT id FROM servicekit.jobs WHERE finished_at IS NULL AND NOT is_deleted ORDER BY id")
        if rows:
            request = JobRequest(self._chance.choice(rows)[0], time_text(NOON))
            if self._chance.random() < 0.5:
                process.write(writes.request_cancel, request)
            else:
                process.write(writes.delete, request)

    def settle(self) -> None:
        for process in self._processes:
            process.end(*self._running[process.number])

    def check(self) -> None:
        process = self._processes[0]
        process.check_counts()
        (running,) = process.ask("SELECT count(*) FROM servicekit.jobs WHERE status = 'running'")
        assert running == (0,)
        for key, limit in (("a", 1), ("b", 2)):
            query = (
                "SELECT count(*) FILTER (WHERE waits_for IS NULL), count(*) FROM servicekit.jobs "
                "WHERE concurrency_key = %s AND finished_at IS NULL"
            )
            for kept in (key, key_of_owner("ana", key), key_of_owner("ben", key)):
                ((ready, waiting),) = process.ask(query, [kept])
                assert ready == min(limit, waiting)
        assert process.ask("SELECT job_id FROM servicekit.job_tags EXCEPT SELECT id FROM servicekit.jobs") == []


def test_a_tick_that_is_fired_by_two_at_one_moment_gets_one_job(
    first: Process, second: Process, observer: Process
) -> None:
    first.write(schedules.put, describe_schedule(schedule(), TICK))

    def fire(process: Process) -> Sequence[FiredSchedule | Exception]:
        tick = Tick("nightly", time_text(TICK), time_text(NEXT), process.ids.next_id(), NOON, None)
        return process.write(schedules.fire, tick)

    first.begin()
    assert fire(first) == [FiredSchedule.SUBMITTED]
    with second.waiting(observer, lambda: fire(second)) as other:
        first.commit()
    assert other.result() == [FiredSchedule.LOST]
    assert observer.ask("SELECT count(*) FROM servicekit.jobs") == [(1,)]
