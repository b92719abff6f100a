"""Random lives of jobs, held to the transition table and to a model of what a store is.

Every call is made on a store and on a plain model of it; then both must say the same. The store in memory is one; on
one file two stores work, which die, stop and come back, and a third one looks on.
"""

import asyncio
import sqlite3
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from servicekit.errors import IdempotencyConflict, JobNotFound
from servicekit.jobs.endings import GIVEN_BACK
from servicekit.jobs.events import JobEvent
from servicekit.jobs.ids import JobIds
from servicekit.jobs.options import JobOptions, RunnerKind
from servicekit.jobs.outcome import CANCELED, completion, failure, not_begun
from servicekit.jobs.query import ALL_JOBS, JobFilter
from servicekit.jobs.record import JobRecord, Progress
from servicekit.jobs.retention import Retention
from servicekit.jobs.status import TRANSITIONS, JobStatus, Transition
from servicekit.jobs.submission import Claim, JobTarget
from servicekit.ports import ClockSetting, JobStore
from servicekit.stores.durable import dead_processes
from servicekit.stores.memory import MemoryStore
from servicekit.stores.sqlite.store import SqliteStore
from servicekit.testing.stores.fakes import ManualClock, RecordingPublisher, submission, wait_healthy
from tests.fakes import noop
from tests.stores.event_log import check_events
from tests.stores.random_lives import Signals

T = TypeVar("T")
OUTCOMES: Final = {
    Transition.COMPLETE: completion("result"),
    Transition.FAIL: failure(ValueError("Invalid input")),
    Transition.CANCEL: CANCELED,
}
KEYS: Final = [None, None, None, "a", "b"]
EXCLUDED: Final[list[set[RunnerKind]]] = [set(), set(), set(), *({kind} for kind in RunnerKind), set(RunnerKind)]


def done(coroutine: Coroutine[object, object, T]) -> T:
    """Run what never suspends, without the cost of an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("the store suspended")


def make_local() -> JobTarget:
    """A target that no other process could import."""

    async def target(argument: int) -> None:
        """Does nothing with its argument."""

    return target


@dataclass
class Life:
    """What the model knows of a job."""

    id: str
    runner: RunnerKind
    is_local: bool
    max_restarts: int
    key: str | None
    argument: int
    owner: int | None
    """Who runs it, or alone could."""
    priority: int
    turn: int
    """When it became ready, counted."""
    due_at: datetime | None = None
    """The time for which it waits."""
    status: JobStatus = JobStatus.PENDING
    version: int = 1
    attempt: int = 0
    spared: int = 0
    failures: int = 0
    is_asked: bool = False
    is_hidden: bool = False
    progress: Progress | None = None
    pending_reason: str | None = None
    told: list[tuple[int, JobStatus]] = field(default_factory=lambda: [(1, JobStatus.PENDING)])

    def move(self, transition: Transition) -> None:
        self.status = TRANSITIONS[self.status, transition]
        self.version += 1
        self.pending_reason = None
        self.told.append((self.version, self.status))


@pytest.fixture(autouse=True)
def nothing_is_left_on_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process has run there counts as ended with it, so that its lives go on at once."""
    monkeypatch.setattr(dead_processes, "GONE_SECONDS", 0)


class UnnoticedClock(ManualClock):
    """One that is set back without a trace: all waits last until the time that was written down."""

    def setting(self) -> ClockSetting:
        return ClockSetting(self.origin, 0.0)


class Lives(RuleBasedStateMachine):
    """The rules for every store."""

    jobs = Bundle("jobs")
    claims = Bundle("claims")

    @initialize()
    def start(self) -> None:
        self.clock = UnnoticedClock()
        self.ids = JobIds()
        self.lives: dict[str, Life] = {}
        self.deleted: dict[str, Life] = {}
        self.stores: list[JobStore] = []
        self.numbers: list[int] = []
        """For each store, which of all that there ever were it is."""
        self.turns = count()
        self.open_stores()
        self.position = self.run(self.stores[0].changes.get_position())
        self.followed: dict[str, JobRecord] = {}

    def open_stores(self) -> None:
        self.publisher = RecordingPublisher()
        self.stores.append(MemoryStore(self.publisher, self.clock, Retention()))
        self.numbers.append(0)

    def run(self, coroutine: Coroutine[object, object, T]) -> T:
        return done(coroutine)

    @property
    def is_durable(self) -> bool:
        return self.stores[0].liveness.is_durable

    def store(self, which: int) -> JobStore:
        return self.stores[which % len(self.stores)]

    def number(self, which: int) -> int:
        return self.numbers[which % len(self.numbers)]

    @rule(
        target=jobs,
        which=st.integers(0, 1),
        runner=st.sampled_from(RunnerKind),
        is_local=st.booleans(),
        max_restarts=st.integers(0, 2),
        key=st.sampled_from(KEYS),
        argument=st.integers(0, 1),
        priority=st.sampled_from([0, 0, 1]),
        delay=st.sampled_from([0, 0, 3]),
        owner=st.sampled_from([None, None, "ana"]),
    )
    def insert(
        self,
        which: int,
        runner: RunnerKind,
        is_local: bool,
        max_restarts: int,
        key: str | None,
        argument: int,
        priority: int,
        delay: int,
        owner: str | None,
    ) -> object:
        options = JobOptions(
            idempotency_key=key, max_restarts=max_restarts, priority=priority, delay=delay, owner=owner
        )
        return self.insert_job(which, runner, is_local, argument, options)

    def insert_job(self, which: int, runner: RunnerKind, is_local: bool, argument: int, options: JobOptions) -> object:
        job_id, key = self.ids.next_id(), options.kept_idempotency_key
        target = make_local() if is_local else noop
        new = submission(job_id, runner, args=(argument,), target=target, options=options)
        first = next((life for life in self.lives.values() if key and life.key == key), None)
        if first is None:
            assert self.run(self.store(which).submissions.insert(new)) == job_id
            owner, turn = self.number(which) if is_local else None, next(self.turns)
            due_at = options.scheduled_at(self.clock.now())
            self.lives[job_id] = Life(
                job_id, runner, is_local, options.max_restarts, key, argument, owner, options.priority, turn, due_at
            )
            return job_id
        if (first.is_local, first.argument) == (is_local, argument):
            assert self.run(self.store(which).submissions.insert(new)) == first.id
        else:
            with pytest.raises(IdempotencyConflict):
                self.run(self.store(which).submissions.insert(new))
        return multiple()

    @rule(
        target=claims,
        which=st.integers(0, 1),
        call=st.tuples(st.sampled_from(RunnerKind), st.booleans(), st.integers(0, 2)),
        limit=st.integers(1, 4),
    )
    def insert_and_claim(self, which: int, call: tuple[RunnerKind, bool, int], limit: int) -> object:
        """Most of a life happens to jobs that run: this makes sure that there are some."""
        runner, is_local, max_restarts = call
        self.insert_job(which, runner, is_local, 0, JobOptions(max_restarts=max_restarts, priority=2))
        return self.claim_jobs(which, limit, set(), None)

    @precondition(lambda self: self.has_pending())
    @rule(
        target=claims,
        which=st.integers(0, 1),
        limit=st.integers(1, 4),
        excluding=st.sampled_from(EXCLUDED),
        max_running=st.sampled_from([None, None, None, 2, 4]),
    )
    def claim(self, which: int, limit: int, excluding: set[RunnerKind], max_running: int | None) -> object:
        return self.claim_jobs(which, limit, excluding, max_running)

    def claim_jobs(self, which: int, limit: int, excluding: set[RunnerKind], max_running: int | None) -> object:
        expected = self.claimable(which, limit, excluding, max_running)
        claims = self.run(self.store(which).attempts.claim(limit, excluding, max_running))
        assert [claim.submission.id for claim in claims] == [life.id for life in expected]
        for life, claim in zip(expected, claims, strict=True):
            self.start_attempt(life, self.number(which))
            assert (claim.attempt, claim.failures) == (life.attempt, life.failures)
        return multiple(*claims)

    def claimable(self, which: int, limit: int, excluding: set[RunnerKind], max_running: int | None) -> list[Life]:
        if self.is_durable and max_running is not None:
            limit = max(0, min(limit, max_running - len(self.running())))
        return [
            life
            for life in sorted(self.lives.values(), key=lambda life: (-life.priority, life.turn))
            if life.status is JobStatus.PENDING
            and life.due_at is None
            and life.runner not in excluding
            and (life.owner in (None, self.number(which)) or not self.is_durable)
        ][:limit]

    def start_attempt(self, life: Life, owner: int) -> None:
        life.attempt += 1
        life.owner = owner
        life.move(Transition.CLAIM)

    def has_pending(self) -> bool:
        return any(life.status is JobStatus.PENDING for life in self.lives.values())

    def running(self) -> list[Life]:
        return [life for life in self.lives.values() if life.status is JobStatus.RUNNING]

    def held(self, claim: Claim, staleness: int) -> Life | None:
        """The job, if this is the attempt that runs it."""
        life = self.lives.get(claim.submission.id)
        is_held = life is not None and life.status is JobStatus.RUNNING and life.attempt == claim.attempt - staleness
        return life if is_held else None

    @rule(
        which=st.integers(0, 1),
        claim=claims,
        outcome=st.sampled_from(sorted(OUTCOMES)),
        staleness=st.sampled_from([0, 0, 0, 1]),
    )
    def finish(self, which: int, claim: Claim, outcome: Transition, staleness: int) -> None:
        life = self.held(claim, staleness)
        stale = Claim(claim.submission, claim.attempt - staleness)
        is_ours = life is not None and not life.is_hidden
        written = self.run(self.store(which).attempts.end_attempt(stale, OUTCOMES[outcome]))
        assert written == (outcome if is_ours else None)
        if life is not None:
            self.end(life, outcome)

    def end(self, life: Life, transition: Transition) -> None:
        if life.is_hidden:
            self.forget(life)
        else:
            life.move(transition)

    @rule(
        which=st.integers(0, 1),
        claim=claims,
        staleness=st.sampled_from([0, 0, 0, 1]),
        delay=st.sampled_from([0, 0, 3]),
    )
    def retry(self, which: int, claim: Claim, staleness: int, delay: int) -> None:
        life, due_at = self.held(claim, staleness), self.clock.now() + timedelta(seconds=delay)
        stale = Claim(claim.submission, claim.attempt - staleness)
        is_ours = life is not None and not life.is_hidden
        ending = OUTCOMES[Transition.FAIL].to_be_retried(due_at)
        assert (self.run(self.store(which).attempts.end_attempt(stale, ending)) is not None) == is_ours
        if life is None:
            return
        if life.is_hidden or life.is_asked:
            self.end(life, Transition.FAIL)
            return
        life.progress = None
        life.failures += 1
        life.owner = life.owner if life.is_local else None
        life.turn = next(self.turns)
        life.due_at = due_at if delay else None
        life.move(Transition.RETRY)

    @rule(which=st.integers(0, 1))
    def make_due(self, which: int) -> None:
        waiting = {
            life.id: life.due_at
            for life in self.lives.values()
            if life.due_at is not None and life.status is JobStatus.PENDING
        }
        for due_at, job_id in sorted((due_at, job_id) for job_id, due_at in waiting.items()):
            if due_at <= self.clock.now():
                self.lives[job_id].due_at = None
                self.lives[job_id].turn = next(self.turns)
                del waiting[job_id]
        assert self.run(self.store(which).attempts.make_due()) == min(waiting.values(), default=None)

    @rule(which=st.integers(0, 1), claim=claims, staleness=st.sampled_from([0, 0, 1]))
    def release(self, which: int, claim: Claim, staleness: int) -> None:
        life = self.held(claim, staleness)
        is_ours = life is not None and not life.is_hidden
        stale = Claim(claim.submission, claim.attempt - staleness)
        assert (self.run(self.store(which).attempts.end_attempt(stale, GIVEN_BACK)) is not None) == is_ours
        if life is not None:
            self.give_up(life, is_spared=True)

    @rule(which=st.integers(0, 1), claim=claims, staleness=st.sampled_from([0, 0, 1]), number=st.integers(0, 1))
    def put_back(self, which: int, claim: Claim, staleness: int, number: int) -> None:
        """The attempt could not begin."""
        life = self.held(claim, staleness)
        is_ours = life is not None and not life.is_hidden
        stale, ending = Claim(claim.submission, claim.attempt - staleness), not_begun(f"reason {number}")
        assert (self.run(self.store(which).attempts.end_attempt(stale, ending)) is not None) == is_ours
        if life is None:
            return
        if life.is_hidden or life.is_asked:
            self.end(life, Transition.CANCEL)
            return
        life.spared += 1
        life.progress = None
        life.owner = life.owner if life.is_local else None
        life.move(Transition.RELEASE)
        life.pending_reason = ending.error

    def give_up(self, life: Life, *, is_spared: bool) -> None:
        """What becomes of a job whose attempt will not end by itself."""
        if not self.is_durable or life.is_hidden or life.is_asked:
            self.end(life, Transition.CANCEL)
        elif life.is_local or life.max_restarts < (1 if is_spared else life.attempt - life.spared - life.failures):
            life.move(Transition.FAIL)
        else:
            life.spared += is_spared
            life.owner = None
            life.progress = None
            life.move(Transition.RELEASE)

    @rule(which=st.integers(0, 1), claim=claims, done_so_far=st.integers(0, 100))
    def report_progress(self, which: int, claim: Claim, done_so_far: int) -> None:
        self.run(self.store(which).attempts.report_progress(claim, Progress(done_so_far)))
        life = self.held(claim, 0)
        if life is not None and not life.is_hidden:
            life.progress = Progress(done_so_far, reported_at=self.clock.now())
            life.version += 1

    @rule(which=st.integers(0, 1), job_id=jobs)
    def request_cancel(self, which: int, job_id: str) -> None:
        self.cancel_job(which, job_id)

    def cancel_job(self, which: int, job_id: str) -> None:
        life = self.visible().get(job_id)
        if life is None:
            with pytest.raises(JobNotFound):
                self.run(self.store(which).submissions.request_cancel(job_id))
            return
        record = self.run(self.store(which).submissions.request_cancel(job_id))
        assert record is not None
        if not life.status.is_terminal and not life.is_asked:
            life.is_asked = True
            if life.status is JobStatus.PENDING:
                life.move(Transition.CANCEL)
            else:
                life.version += 1
        assert (record.status, record.version) == (life.status, life.version)

    @rule(which=st.integers(0, 1), claim=claims, is_deleted=st.sampled_from([False, False, True]))
    def stop_attempt(self, which: int, claim: Claim, is_deleted: bool) -> None:
        """The same for jobs that mostly run."""
        if is_deleted:
            self.delete_job(which, claim.submission.id)
        else:
            self.cancel_job(which, claim.submission.id)

    @rule(which=st.integers(0, 1), job_id=consumes(jobs))
    def delete(self, which: int, job_id: str) -> None:
        self.delete_job(which, job_id)

    def delete_job(self, which: int, job_id: str) -> None:
        life = self.visible().get(job_id)
        if life is not None:
            self.run(self.store(which).submissions.delete(job_id))
            life.key = None
            if self.is_durable and life.status is JobStatus.RUNNING:
                life.is_hidden = True
            else:
                self.forget(life)

    def forget(self, life: Life) -> None:
        self.deleted[life.id] = self.lives.pop(life.id)

    def visible(self) -> dict[str, Life]:
        return {job_id: life for job_id, life in self.lives.items() if not life.is_hidden}

    @rule(seconds=st.integers(-5, 5))
    def pass_time(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(which=st.integers(0, 1))
    def rescue_nobody(self, which: int) -> None:
        self.run(self.store(which).liveness.rescue())
        self.run(wait_healthy(self.store(which).liveness))

    @invariant()
    def the_store_says_what_the_model_says(self) -> None:
        visible = self.visible()
        records = self.list_records(ALL_JOBS)
        assert [record.id for record in records] == sorted(visible, reverse=True)
        for record in records:
            life = visible[record.id]
            assert (record.status, record.version, record.attempt) == (life.status, life.version, life.attempt)
            assert (record.progress, record.cancel_requested_at is not None) == (life.progress, life.is_asked)
            assert record.pending_reason == life.pending_reason
        statuses = [life.status for life in visible.values()]
        counts = self.run(self.stores[0].reads.count_by_status())
        assert counts == {status: statuses.count(status) for status in JobStatus}
        mine = [record for record in records if record.owner == "ana"]
        assert self.list_records(JobFilter(owner="ana")) == mine
        counts = self.run(self.stores[-1].reads.count_by_status(JobFilter(owner="ana")))
        assert counts == {status: sum(record.status is status for record in mine) for status in JobStatus}
        for status in JobStatus:
            expected = [record for record in records if record.status is status]
            assert self.list_records(JobFilter(statuses=frozenset([status]))) == expected
            page = self.run(self.stores[-1].reads.list_records(JobFilter(statuses=frozenset([status])), 3, None))
            assert page.records == expected[:3]
            assert (page.next_before is None) == (len(expected) <= 3)

    @invariant()
    def every_life_is_told_in_order_by_each_transition(self) -> None:
        for job_id, life in self.visible().items():
            told = self.run(self.stores[-1].reads.list_transitions(job_id, 0))
            assert [(record.version, record.status) for record in told] == life.told
            assert all(is_legal(earlier, later) for earlier, later in pairwise(told))

    @rule(limit=st.integers(1, 5))
    def follow_for_a_while(self, limit: int) -> None:
        """Whoever follows the changes comes to know what the store knows, in steps of any size, and at any time."""
        page = self.run(self.stores[0].changes.list_changes(self.position, limit))
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

    def list_records(self, wanted: JobFilter) -> list[JobRecord]:
        return self.run(self.stores[0].reads.list_records(wanted, 1_000, None)).records

    def teardown(self) -> None:
        for job_id in self.visible():
            self.run(self.stores[0].submissions.delete(job_id))
            with pytest.raises(JobNotFound):
                self.run(self.stores[-1].reads.get_record(job_id))


class LivesInMemory(Lives):
    """What holds where every event is published in the process that made it."""

    @invariant()
    def every_event_is_published_in_order(self) -> None:
        lives: dict[str, list[JobEvent]] = {}
        for event in self.publisher.events:
            lives.setdefault(event.job_id, []).append(event)
        for job_id, events in lives.items():
            records = [event.record for event in events if event.record is not None]
            assert [record.version for record in records] == list(range(1, len(records) + 1))
            assert all(is_legal(earlier, later) for earlier, later in pairwise(records))
            if job_id in self.lives:
                told = [event.record for event in events if event.is_transition]
                assert self.run(self.stores[0].reads.list_transitions(job_id, 0)) == told


class Onlooker(RecordingPublisher):
    """Remembers events, and can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._has_news = asyncio.Event()

    def relay(self, event: JobEvent) -> None:
        super().relay(event)
        self._has_news.set()

    async def wait_event_of(self, job_id: str) -> None:
        while all(event.job_id != job_id for event in self.events):
            self._has_news.clear()
            await self._has_news.wait()


class LivesOnFile(Lives):
    """Two stores on one file, whose processes come and go. A third sees all that they do."""

    claims = Bundle("claims")

    def open_stores(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.folder = TemporaryDirectory()
        self.path = Path(self.folder.name) / "jobs.db"
        self.onlooker = Onlooker()
        self.third = self.open_store(self.onlooker)
        self.stores += [self.open_store(), self.open_store()]
        self.numbers += [0, 1]
        self.connection = sqlite3.connect(self.path)

    def open_store(self, publisher: RecordingPublisher | None = None) -> SqliteStore:
        store = SqliteStore(self.path, publisher or RecordingPublisher(), self.clock, Retention())
        self.run(store.liveness.open(Signals()))
        return store

    def run(self, coroutine: Coroutine[object, object, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, 30))

    @precondition(lambda self: self.has_pending())
    @rule(which=st.integers(0, 1), limit=st.integers(1, 4))
    def claim_and_go_away(self, which: int, limit: int) -> None:
        """Whoever asked for claims does not wait for them: they go back."""
        store = self.store(which)

        async def claim() -> None:
            claiming = asyncio.ensure_future(store.attempts.claim(limit, ()))
            await asyncio.sleep(0)
            claiming.cancel()
            with suppress(asyncio.CancelledError):
                await claiming
            for _ in range(2):  # the first is answered with the claims, the second after what that has led to
                await wait_healthy(store.liveness)

        expected = self.claimable(which, limit, set(), None)
        self.run(claim())
        for life in expected:
            self.start_attempt(life, self.number(which))
            life.spared += 1
            life.owner = life.owner if life.is_local else None
            life.move(Transition.RELEASE)

    @rule(which=st.integers(0, 1), is_rescued_by_other=st.booleans(), is_stopping=st.booleans())
    def die(self, which: int, is_rescued_by_other: bool, is_stopping: bool) -> None:
        """The process ends without a word, or in the middle of an orderly stop; somebody finds out."""
        store, number = self.stores[which], self.number(which)
        assert isinstance(store, SqliteStore)
        if is_stopping:
            self.retire(which)
        assert store.file.registration.lock is not None
        store.file.registration.lock.close()
        store.file.stop()
        if is_rescued_by_other:
            self.run(self.stores[1 - which].liveness.rescue())
        self.replace(which)
        self.fail_waiting(number)
        for life in self.running():
            if life.owner == number:
                self.give_up(life, is_spared=is_stopping)
        assert self.count_locks() == 3

    @rule(target=claims, which=st.integers(0, 1))
    def stop_in_order(self, which: int) -> object:
        """The process ends, and gives back what it runs."""
        store, number = self.stores[which], self.number(which)
        self.retire(which)
        released: list[Claim] = []
        for life in self.running():
            if life.owner == number:
                claim = Claim(submission(life.id), life.attempt)
                released.append(claim)
                assert (self.run(store.attempts.end_attempt(claim, GIVEN_BACK)) is None) == life.is_hidden
                self.give_up(life, is_spared=True)
        self.run(store.liveness.close())
        assert self.count_locks() == 2
        self.replace(which)
        return multiple(*released)

    @rule(which=st.integers(0, 1))
    def pause(self, which: int) -> None:
        """The scheduler is closed and started again while its process, and what that runs, goes on."""
        store, number = self.stores[which], self.number(which)
        has_attempts = any(life.owner == number for life in self.running())
        self.retire(which)
        self.run(store.liveness.close())
        self.run(self.stores[1 - which].liveness.rescue())
        assert self.count_locks() == 2 + has_attempts
        self.run(store.liveness.open(Signals()))

    def retire(self, which: int) -> None:
        self.run(self.stores[which].liveness.retire())
        self.fail_waiting(self.number(which))

    def fail_waiting(self, number: int) -> None:
        for life in self.lives.values():
            if life.status is JobStatus.PENDING and life.owner == number:
                life.move(Transition.FAIL)

    def replace(self, which: int) -> None:
        self.stores[which] = self.open_store()
        self.numbers[which] = max(self.numbers) + 1

    def count_locks(self) -> int:
        return len(list(self.path.parent.glob("*-process-*")))

    @invariant()
    def the_tables_agree(self) -> None:
        check_events(self.connection)

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            last = self.ids.next_id()
            self.run(self.stores[0].submissions.insert(submission(last)))
            self.run(self.onlooker.wait_event_of(last))
            self.check_what_was_seen()
            self.run(self.stores[0].submissions.delete(last))
            super().teardown()
        finally:
            self.connection.close()
            for store in (*self.stores, self.third):
                self.run(store.liveness.close())
            self.loop.close()
            self.folder.cleanup()

    def check_what_was_seen(self) -> None:
        """The third process was told of every transition, once and in order, up to the deletion."""
        seen: dict[str, list[JobEvent]] = {}
        for event in self.onlooker.events:
            seen.setdefault(event.job_id, []).append(event)
        for job_id, life in {**self.deleted, **self.lives}.items():
            *events, last = seen[job_id]
            is_deleted = life.is_hidden or job_id in self.deleted
            assert (last.record is None) == is_deleted
            records = [event.record for event in [*events, last] if event.record]
            assert len(records) == len(events) + (not is_deleted)
            assert all(earlier.version < later.version for earlier, later in pairwise(records))
            told = [
                (event.record.version, event.record.status)
                for event in [*events, last]
                if event.record and event.is_transition
            ]
            assert told == (life.told[: len(told)] if is_deleted else life.told)


def is_legal(earlier: JobRecord, later: JobRecord) -> bool:
    if earlier.status is later.status:
        return not earlier.status.is_terminal
    times = [later.submitted_at, later.started_at or later.submitted_at, later.finished_at]
    in_order = all(a <= b for a, b in pairwise(time for time in times if time is not None))
    return in_order and any((earlier.status, transition) in TRANSITIONS for transition in Transition)


TestLives = LivesInMemory.TestCase
TestLives.settings = settings(max_examples=60, stateful_step_count=40)
TestLivesOnFile = LivesOnFile.TestCase
# What fails is not made smaller: with a real file that would take longer than a test may.
_WITHOUT_SHRINKING: Final = (Phase.explicit, Phase.reuse, Phase.generate)
TestLivesOnFile.settings = settings(
    max_examples=20, stateful_step_count=50, phases=_WITHOUT_SHRINKING, report_multiple_bugs=False
)
