"""The end of an attempt is written whatever goes wrong, and its slot is free from then on."""

import asyncio
import gc
import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pytest

from servicekit import EndedBy, InMemoryScheduler, JobStatus, Retry, Scheduler, current_job
from servicekit.engine import late_end
from servicekit.engine.attempt import Attempt
from servicekit.engine.clock import SystemClock
from servicekit.engine.options import SchedulerOptions
from servicekit.engine.parts import SchedulerParts
from servicekit.engine.result_hooks import ResultHook
from servicekit.errors import StoreUnavailable
from servicekit.events.hub import EventHub
from servicekit.jobs import backoff
from servicekit.jobs.current import RunningJob
from servicekit.jobs.options import RunnerKind
from servicekit.jobs.outcome import Outcome
from servicekit.jobs.record import Progress
from servicekit.jobs.retention import Retention
from servicekit.jobs.status import Transition
from servicekit.jobs.submission import Claim, Submission
from servicekit.ports import Clock, Runner
from servicekit.runners.coroutine import CoroutineRunner
from servicekit.stores.memory.attempts import MemoryAttempts
from servicekit.stores.memory.kept_jobs import KeptJobs
from servicekit.stores.memory.store import MemoryStore
from servicekit.testing import FakeClock
from tests.fakes import noop


class OddAttempts(MemoryAttempts):
    """A part of a store with mistakes in it."""

    def __init__(self, kept: KeptJobs) -> None:
        super().__init__(kept)
        self.odd_failures: Any = None
        self.mistakes: Counter[str] = Counter()
        """How often something goes wrong, by what it is and which job's it is."""
        self.outages: Counter[str] = Counter()

    async def claim(
        self,
        limit: int,
        excluding: Collection[RunnerKind],
        max_running: int | None = None,
        queue_limits: Mapping[str, int] | None = None,
        most: int = 0,
    ) -> list[Claim]:
        claims = await super().claim(limit, excluding, max_running, queue_limits, most)
        for claim in claims:
            if claim.submission.target is fail and self.odd_failures is not None:
                claim.failures = self.odd_failures
        return claims

    async def end_attempt(self, claim: Claim, ending: Outcome) -> Transition | None:
        self._stumble("end", claim)
        return await super().end_attempt(claim, ending)

    async def report_progress(self, claim: Claim, progress: Progress) -> None:
        self._stumble("report", claim)
        await super().report_progress(claim, progress)

    def _stumble(self, what: str, claim: Claim) -> None:
        key = f"{what} {claim.submission.name}"
        if self.mistakes[key] > 0:
            self.mistakes[key] -= 1
            raise TypeError("a mistake")
        if self.outages[key] > 0:
            self.outages[key] -= 1
            raise StoreUnavailable("memory", "it is away")


class OddRunner(CoroutineRunner):
    """A runner with a mistake in it."""

    async def run(self, submission: Submission, job: RunningJob) -> Outcome:
        if submission.target is not noop:
            raise RuntimeError("a mistake of the runner's")
        return await super().run(submission, job)


class OddStore(MemoryStore):
    """A store with mistakes in it."""

    def __init__(self, hub: EventHub) -> None:
        super().__init__(hub, SystemClock(), Retention())
        self.hub = hub
        self.attempts = self.odd = OddAttempts(self.kept)


@pytest.fixture
def store() -> OddStore:
    return OddStore(EventHub())


def make_scheduler(
    store: OddStore,
    runner: CoroutineRunner | None = None,
    *,
    clock: Clock | None = None,
    hooks: Sequence[ResultHook] = (),
) -> Scheduler:
    runners: dict[RunnerKind, Runner] = {RunnerKind.COROUTINE: runner or CoroutineRunner()}
    options = SchedulerOptions(max_concurrency=1, result_hooks=hooks)
    parts = SchedulerParts(store=store, hub=store.hub, runners=runners, clock=clock or SystemClock(), options=options)
    return Scheduler(parts)


async def fail() -> None:
    raise ValueError("no")


async def name_artifact() -> None:
    current_job().artifact("01JQRS7XK5N8Z3VQ2M4T6W8Y0A")


async def advance() -> None:
    current_job().progress(3, 4)


@pytest.mark.parametrize("hooks", [(), (ResultHook(),)], ids=["no hooks", "hooks"])
async def test_a_counter_that_is_no_number_fails_its_job_and_frees_the_slot(
    store: OddStore, hooks: Sequence[ResultHook]
) -> None:
    store.odd.odd_failures = "many"
    async with make_scheduler(store, hooks=hooks) as scheduler:
        bad = await scheduler.with_options(retry=Retry(attempts=3, delay=0)).add_job(fail)
        good = await scheduler.add_job(noop)
        assert (await scheduler.wait(good, timeout=30)).status is JobStatus.COMPLETED
        record = await scheduler.get_record(bad)
        assert (record.status, record.ended_by) == (JobStatus.FAILED, EndedBy.CRASH)
        assert str(record.error).startswith("TypeError")


async def test_a_runner_that_raises_fails_its_job_and_frees_the_slot(store: OddStore) -> None:
    async with make_scheduler(store, OddRunner()) as scheduler:
        bad, good = await scheduler.add_job(fail), await scheduler.add_job(noop)
        assert (await scheduler.wait(good, timeout=30)).status is JobStatus.COMPLETED
        record = await scheduler.get_record(bad)
        assert (record.status, record.error) == (JobStatus.FAILED, "RuntimeError: a mistake of the runner's")


async def test_an_end_that_the_store_makes_a_mistake_of_is_written_as_a_failure(store: OddStore) -> None:
    store.odd.mistakes["end noop"] = 1
    async with make_scheduler(store) as scheduler:
        record = await scheduler.wait(await scheduler.add_job(noop), timeout=30)
        assert (record.status, record.error) == (JobStatus.FAILED, "TypeError: a mistake")


async def test_a_job_that_was_asked_to_stop_unheard_ends_and_is_not_said_to_be_tried_again(
    store: OddStore, caplog: pytest.LogCaptureFixture
) -> None:
    """As another process may have asked it, of whose wish this one has not heard yet."""

    async def fail_unheard() -> None:
        await store.submissions.request_cancel(current_job().id)
        raise ValueError("no")

    async with make_scheduler(store) as scheduler:
        job_id = await scheduler.with_options(retry=Retry(attempts=2, delay=3_600)).add_job(fail_unheard)
        record = await scheduler.wait(job_id, timeout=30)
    assert (record.status, record.error, record.attempts) == (JobStatus.FAILED, "ValueError: no", ())
    (line,) = caplog.records
    assert (line.levelname, line.name) == ("ERROR", "servicekit.jobs")
    assert line.getMessage().startswith(f"Job fail_unheard ({job_id}) failed after ")


async def test_a_mistake_in_the_last_report_costs_no_end(store: OddStore) -> None:
    store.odd.mistakes["report advance"] = 1_000
    async with make_scheduler(store) as scheduler:
        record = await scheduler.wait(await scheduler.add_job(advance), timeout=30)
        assert (record.status, record.progress) == (JobStatus.COMPLETED, None)


async def test_what_a_job_says_after_a_mistake_in_a_report_is_still_told_live(
    store: OddStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "_FIRST_SECONDS", 0.001)
    store.odd.mistakes["report advance_twice"] = 1
    heard = asyncio.Event()

    async def advance_twice() -> None:
        current_job().progress(1, 2)
        while not caplog.records:
            await asyncio.sleep(0)
        current_job().progress(2, 2)
        await heard.wait()

    async with make_scheduler(store) as scheduler:
        job_id = await scheduler.add_job(advance_twice)
        async with asyncio.timeout(30):
            async for record in scheduler.stream(job_id):
                if record.progress is not None and record.progress.done == 2:
                    heard.set()
    assert record.status is JobStatus.COMPLETED
    (line,) = caplog.records
    assert line.getMessage() == f"The report of job {job_id} cannot be written yet"


@pytest.mark.parametrize("kind", ["mistakes", "outages"])
async def test_an_end_that_cannot_be_written_is_tried_again_and_told_of(
    store: OddStore, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "_FIRST_SECONDS", 0.001)
    monkeypatch.setattr(late_end, "_LATE_SECONDS", 0.0)
    failing: Counter[str] = getattr(store.odd, kind)
    failing["end noop"] = 1_000_000
    async with make_scheduler(store) as scheduler:
        job_id = await scheduler.add_job(noop)
        async with asyncio.timeout(30):
            while (problem := scheduler.find_notice()) is None:
                await asyncio.sleep(0)
        assert problem.startswith("The end of a job cannot be written, and it is tried again: ")
        assert {"mistakes": "TypeError: a mistake", "outages": "it is away"}[kind] in problem
        assert await scheduler.find_problem() is None  # other jobs run
        failing.clear()
        assert (await scheduler.wait(job_id, timeout=30)).status.is_terminal
        async with asyncio.timeout(30):
            while scheduler.find_notice() is not None:  # the attempt itself ends a moment after its job
                await asyncio.sleep(0)


async def test_an_end_that_comes_late_is_logged_with_the_time_that_the_work_took(
    store: OddStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "servicekit.jobs")
    clock, end_attempt = FakeClock(), store.odd.end_attempt

    async def be_away_for_a_while(*_: object) -> None:
        await clock.advance(20)
        monkeypatch.setattr(store.odd, "end_attempt", end_attempt)
        raise StoreUnavailable("memory", "it is away")

    monkeypatch.setattr(store.odd, "end_attempt", be_away_for_a_while)
    async with make_scheduler(store, clock=clock) as scheduler:
        await scheduler.wait(await scheduler.add_job(noop))
    assert caplog.messages[-1].endswith("completed after 0.000 s")


async def test_the_pauses_before_an_end_is_tried_again_grow_with_the_time_that_it_is_late(
    store: OddStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    async def pause(self: late_end.LateEnd, seconds: float, _attempt: late_end.Hurried) -> None:
        pauses.append(seconds)
        self._since -= seconds  # it has passed

    monkeypatch.setattr(late_end.LateEnd, "_pause", pause)
    store.odd.outages["end noop"] = 100
    async with make_scheduler(store) as scheduler:
        await scheduler.wait(await scheduler.add_job(noop), timeout=30)
    assert len(pauses) == 100
    assert pauses[:4] == pytest.approx([0.5, 1.0, 2.0, 2.0], abs=0.1)
    assert pauses == sorted(pauses)
    assert pauses[-1] == 60.0


async def test_the_progress_that_was_reported_while_the_store_was_away_is_kept(store: OddStore) -> None:
    store.odd.outages["report advance"] = store.odd.outages["end advance"] = 1
    async with make_scheduler(store) as scheduler:
        record = await scheduler.wait(await scheduler.add_job(advance), timeout=30)
        assert record.progress is not None
        assert (record.status, record.progress.done) == (JobStatus.COMPLETED, 3)


async def test_a_report_that_can_never_be_written_does_not_keep_the_end_from_it(
    store: OddStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "_FIRST_SECONDS", 0.001)
    store.odd.outages["report advance"] = 1_000_000
    async with make_scheduler(store) as scheduler:
        record = await scheduler.wait(await scheduler.add_job(advance), timeout=30)
        assert (record.status, record.progress) == (JobStatus.COMPLETED, None)


def thread_noop() -> None:
    """The target that does nothing in a thread."""


async def report() -> None:
    current_job().progress(1)
    print("a line")


@pytest.mark.parametrize("options", [{}, {"run_timeout": 60}, {"silence_timeout": 60}])
@pytest.mark.parametrize("target", [noop, thread_noop, report])
async def test_jobs_that_have_ended_leave_nothing_to_the_garbage_collector(target: Any, options: Any) -> None:
    async with InMemoryScheduler() as unlimited:
        scheduler = unlimited.with_options(**options)
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for job_id in [await scheduler.add_job(target) for _ in range(10)]:
                await unlimited.wait(job_id)
            await asyncio.sleep(0)  # what was canceled ends
            gc.collect()
            left = [found for found in gc.garbage if isinstance(found, RunningJob | Attempt)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert left == []


async def test_what_a_job_has_left_behind_submits_still_and_reports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    reports: list[object] = []

    async def report_progress(*report: object) -> None:
        reports.append(report)

    monkeypatch.setattr(MemoryAttempts, "report_progress", report_progress)
    strays: list[asyncio.Task[str]] = []

    async def stray() -> str:
        await ended.wait()
        current_job().progress(1)
        return await current_job().submit_async(noop)

    async def leave() -> None:
        strays.append(asyncio.create_task(stray()))

    ended = asyncio.Event()
    async with InMemoryScheduler() as scheduler:
        parent = await scheduler.wait(await scheduler.add_job(leave))
        ended.set()
        child = await scheduler.wait(await strays[0])
        assert (child.parent, child.status) == (parent.id, JobStatus.COMPLETED)
        assert await scheduler.get_record(parent.id) == parent
    assert reports == []


async def test_a_report_that_is_being_written_when_its_job_ends_is_written_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    allowed, has_ended = asyncio.Event(), asyncio.Event()
    reports: list[float] = []
    write = MemoryAttempts.report_progress

    async def report_progress(attempts: MemoryAttempts, claim: Claim, progress: Progress) -> None:
        reports.append(progress.done)
        await allowed.wait()
        await write(attempts, claim, progress)

    async def report_and_end() -> None:
        current_job().progress(1)
        while not reports:
            await asyncio.sleep(0)
        has_ended.set()

    monkeypatch.setattr(MemoryAttempts, "report_progress", report_progress)
    async with InMemoryScheduler() as scheduler:
        job_id = await scheduler.add_job(report_and_end)
        await has_ended.wait()
        for _ in range(10):  # the attempt looks at its reports
            await asyncio.sleep(0)
        allowed.set()
        record = await scheduler.wait(job_id)
    assert reports == [1]
    assert (record.status, record.version, record.progress and record.progress.done) == (JobStatus.COMPLETED, 4, 1)


async def test_a_job_whose_end_cannot_be_written_leads_to_what_it_has_named(store: OddStore) -> None:
    store.odd.mistakes["end name_artifact"] = 1
    async with make_scheduler(store) as scheduler:
        record = await scheduler.wait(await scheduler.add_job(name_artifact))
        assert (record.status, record.artifact_id) == (JobStatus.FAILED, "01JQRS7XK5N8Z3VQ2M4T6W8Y0A")
