"""Random lives of jobs, held to the transition table and to a model of what a store is."""

from collections.abc import Coroutine
from itertools import pairwise
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from servicekit.errors import JobNotFound
from servicekit.jobs.ids import JobIds
from servicekit.jobs.outcome import CANCELED, completion, failure
from servicekit.jobs.query import ALL_JOBS, JobFilter
from servicekit.jobs.record import JobRecord, Progress
from servicekit.jobs.retention import Retention
from servicekit.jobs.status import TRANSITIONS, JobStatus, Transition
from servicekit.jobs.submission import Claim, RunnerKind
from servicekit.stores.memory import MemoryStore
from tests.fakes import FakeClock, RecordingPublisher, submission

T = TypeVar("T")
OUTCOMES = {
    Transition.COMPLETE: completion("result"),
    Transition.FAIL: failure(ValueError("Invalid input")),
    Transition.CANCEL: CANCELED,
}


def done(coroutine: Coroutine[object, object, T]) -> T:
    """Run what never suspends, without the cost of an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("the store suspended")


class Lives(RuleBasedStateMachine):
    """Every call is made on the store and on a plain dictionary of statuses; then both must say the same."""

    jobs = Bundle("jobs")
    claims = Bundle("claims")

    @initialize()
    def start(self) -> None:
        self.clock = FakeClock()
        self.publisher = RecordingPublisher()
        self.store = MemoryStore(self.publisher, self.clock, Retention())
        self.ids = JobIds()
        self.position = done(self.store.get_position())
        self.followed: dict[str, JobRecord] = {}
        self.model: dict[str, JobStatus] = {}
        self.runners: dict[str, RunnerKind] = {}

    @rule(target=jobs, runner=st.sampled_from(RunnerKind))
    def insert(self, runner: RunnerKind) -> str:
        job_id = self.ids.next_id()
        done(self.store.insert(submission(job_id, runner)))
        self.model[job_id] = JobStatus.PENDING
        self.runners[job_id] = runner
        return job_id

    @rule(target=claims, limit=st.integers(1, 4), excluding=st.sets(st.sampled_from(RunnerKind)))
    def claim(self, limit: int, excluding: set[RunnerKind]) -> object:
        claims = done(self.store.claim(limit, excluding))
        expected = [
            job_id
            for job_id, status in self.model.items()
            if status is JobStatus.PENDING and self.runners[job_id] not in excluding
        ][:limit]
        assert [claim.submission.id for claim in claims] == expected
        for job_id in expected:
            self.model[job_id] = TRANSITIONS[JobStatus.PENDING, Transition.CLAIM]
        return multiple(*claims)

    @rule(claim=claims, outcome=st.sampled_from(sorted(OUTCOMES)), staleness=st.sampled_from([0, 0, 0, 1]))
    def finish(self, claim: Claim, outcome: Transition, staleness: int) -> None:
        job_id = claim.submission.id
        status = self.model.get(job_id)
        allowed = None if status is None or staleness else TRANSITIONS.get((status, outcome))
        if status is JobStatus.PENDING:
            allowed = None
        written = done(self.store.finish(Claim(claim.submission, claim.attempt - staleness), OUTCOMES[outcome]))
        assert written == (allowed is not None)
        if allowed is not None:
            self.model[job_id] = allowed

    @rule(claim=claims, staleness=st.sampled_from([0, 0, 1]))
    def release(self, claim: Claim, staleness: int) -> None:
        job_id = claim.submission.id
        is_allowed = self.model.get(job_id) is JobStatus.RUNNING and not staleness
        assert done(self.store.release(Claim(claim.submission, claim.attempt - staleness))) == is_allowed
        if is_allowed:
            self.model[job_id] = TRANSITIONS[JobStatus.RUNNING, Transition.CANCEL]

    @rule(claim=claims, done_so_far=st.integers(0, 100))
    def report_progress(self, claim: Claim, done_so_far: int) -> None:
        done(self.store.report_progress(claim, Progress(done_so_far)))
        if self.model.get(claim.submission.id) is JobStatus.RUNNING:
            assert self.record(claim.submission.id).progress == Progress(done_so_far)

    @rule(job_id=jobs)
    def request_cancel(self, job_id: str) -> None:
        if job_id not in self.model:
            return
        record = done(self.store.request_cancel(job_id))
        if self.model[job_id] is JobStatus.PENDING:
            self.model[job_id] = TRANSITIONS[JobStatus.PENDING, Transition.CANCEL]
        assert record.status is self.model[job_id]

    @rule(job_id=consumes(jobs))
    def delete(self, job_id: str) -> None:
        if self.model.pop(job_id, None) is not None:
            done(self.store.delete(job_id))

    @rule(seconds=st.integers(-5, 5))
    def pass_time(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @invariant()
    def the_store_says_what_the_model_says(self) -> None:
        records = self.list_records(ALL_JOBS)
        assert {record.id: record.status for record in records} == self.model
        assert [record.id for record in records] == sorted(self.model, reverse=True)
        counts = done(self.store.count_by_status())
        assert counts == {status: list(self.model.values()).count(status) for status in JobStatus}
        for status in JobStatus:
            expected = [record for record in records if record.status is status]
            assert self.list_records(JobFilter(statuses=frozenset([status]))) == expected
            page = done(self.store.list_records(JobFilter(statuses=frozenset([status])), 3, None))
            assert page.records == expected[:3]
            assert (page.next_before is None) == (len(expected) <= 3)

    @rule(limit=st.integers(1, 5))
    def follow_for_a_while(self, limit: int) -> None:
        """Whoever follows the changes comes to know what the store knows, in steps of any size, and at any time."""
        page = done(self.store.list_changes(self.position, limit))
        assert page is not None
        positions = [change.position for change in page.changes]
        assert positions == sorted(set(positions))
        assert all(self.position < position <= page.position for position in positions)
        for change in page.changes:
            if change.record is None:
                self.followed.pop(change.job_id, None)
            else:
                self.followed[change.job_id] = change.record
        self.position = page.position
        if page.is_last:
            assert {record.id: record for record in self.list_records(ALL_JOBS)} == self.followed

    @invariant()
    def every_life_is_legal_numbered_and_in_order(self) -> None:
        lives: dict[str, list[JobRecord]] = {}
        for event in self.publisher.events:
            if event.record is not None:
                lives.setdefault(event.job_id, []).append(event.record)
        for job_id, life in lives.items():
            assert [record.version for record in life] == list(range(1, len(life) + 1))
            assert all(is_legal(earlier, later) for earlier, later in pairwise(life))
            if job_id in self.model:
                assert self.record(job_id) == life[-1]
                told = [
                    event.record for event in self.publisher.events if event.is_transition and event.job_id == job_id
                ]
                assert done(self.store.list_transitions(job_id, 0)) == told

    def list_records(self, wanted: JobFilter) -> list[JobRecord]:
        return done(self.store.list_records(wanted, 1_000, None)).records

    def record(self, job_id: str) -> JobRecord:
        return done(self.store.get_record(job_id))

    def teardown(self) -> None:
        for job_id in self.model:
            done(self.store.delete(job_id))
            try:
                self.record(job_id)
            except JobNotFound:
                continue
            raise AssertionError(f"{job_id} was deleted and is there")


def is_legal(earlier: JobRecord, later: JobRecord) -> bool:
    if earlier.status is later.status:
        return not earlier.status.is_terminal
    times = [later.submitted_at, later.started_at or later.submitted_at, later.finished_at]
    in_order = all(a <= b for a, b in pairwise(time for time in times if time is not None))
    return in_order and any((earlier.status, transition) in TRANSITIONS for transition in Transition)


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
