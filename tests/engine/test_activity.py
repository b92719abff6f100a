"""What has become of jobs in the last minutes, as it is counted, kept and told."""

import asyncio
import sys
from asyncio.subprocess import create_subprocess_exec
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from servicekit import ConfigurationError, Every, JobStatus, Retry, Scheduler, StoreUnavailable, create_scheduler
from servicekit.engine.activity import ActivityKeeper
from servicekit.events.hub import EventHub
from servicekit.jobs.activity import Activity, ActivityMinute, Counts, Group
from servicekit.jobs.bulk import JobSelection
from servicekit.jobs.options import DEFAULT_OPTIONS, OptionChanges, changed
from servicekit.jobs.query import ALL_JOBS
from servicekit.jobs.retention import Retention
from servicekit.jobs.status import Transition
from servicekit.jobs.submission import Claim
from servicekit.observability.activity import ActivityRecorder
from servicekit.stores.memory import MemoryStore
from servicekit.testing.stores.fakes import ManualClock, submission
from tests.fakes import Gate, noop

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def fail() -> None:
    raise ValueError("no")


async def activity_when(scheduler: Scheduler, is_reached: Callable[[Activity], bool]) -> Activity:
    """A job's end can be seen a moment before it is counted."""
    while not is_reached(activity := await scheduler.get_activity(minutes=5)):
        await asyncio.sleep(0.01)
    return activity


def numbers(activity: Activity) -> tuple[int, int, int, int]:
    total = activity.total
    return total.submitted, total.completed, total.failed, total.canceled


async def test_all_ways_of_a_job_are_counted_once(scheduler: Scheduler, gate: Gate) -> None:
    for _ in range(3):
        await scheduler.with_options(idempotency_key="x").add_job(noop)
    first = await scheduler.find_by_key("x")
    assert first is not None
    await scheduler.wait(first)
    await scheduler.wait(await scheduler.retry(first))
    await scheduler.wait(await scheduler.with_options(retry=Retry(attempts=2, delay=0)).add_job(fail))
    running, pending = await scheduler.add_job(gate.enter), await scheduler.with_options(delay=60).add_job(noop)
    await gate.wait_entered(1)
    for job_id in (running, pending, pending):
        await scheduler.cancel(job_id)
    await scheduler.queues.pause("paused")
    late = await scheduler.with_options(queue_timeout=0.01, queue="paused").add_job(noop)
    await scheduler.delete(await scheduler.with_options(delay=60).add_job(noop))
    assert (await scheduler.wait(late)).status is JobStatus.FAILED
    activity = await activity_when(scheduler, lambda found: numbers(found) == (7, 2, 2, 2))
    assert activity.total.wait_p95 is not None
    assert activity.total.run_p50 is not None
    assert sum(point.submitted for point in activity.points) == 7
    assert {(group.name, group.queue) for group in activity.groups} == {
        ("noop", "default"), ("fail", "default"), ("enter", "default"), ("noop", "paused"),
    }  # fmt: skip


async def test_what_is_done_with_many_at_once_is_counted(scheduler: Scheduler, gate: Gate) -> None:
    running = await scheduler.add_job(gate.enter)
    await gate.wait_entered(1)
    pending = [await scheduler.with_options(delay=60).add_job(noop) for _ in range(3)]
    assert (await scheduler.bulk.cancel(JobSelection(ALL_JOBS, job_ids=frozenset([running, *pending])))).done == 4
    assert (await scheduler.bulk.retry(JobSelection(ALL_JOBS, job_ids=frozenset(pending)))).done == 3
    await activity_when(scheduler, lambda found: numbers(found) == (7, 3, 0, 4))


async def test_the_jobs_of_schedules_are_counted(scheduler: Scheduler) -> None:
    await scheduler.schedules.add("often", Every(1), noop)
    await activity_when(scheduler, lambda found: found.total.submitted > 0 and found.total.completed > 0)


async def test_a_job_waits_from_the_time_at_which_it_could_start(single: Scheduler, gate: Gate) -> None:
    await single.add_job(gate.enter)
    await gate.wait_entered(1)
    began = asyncio.get_running_loop().time()
    waiting = await single.add_job(noop)
    delayed = await single.with_options(name="delayed", delay=0.2).add_job(noop)
    await asyncio.wait([asyncio.create_task(single.wait(delayed))], timeout=0.5)
    gate.open()
    for job_id in (waiting, delayed):
        await single.wait(job_id)
    waited = asyncio.get_running_loop().time() - began
    activity = await activity_when(single, lambda found: found.total.completed == 3)
    waits = {group.name: group.wait_p95 or 0.0 for group in activity.groups}
    assert 0.45 <= waits["noop"] <= 1.1 * waited + 0.1
    assert waits["delayed"] <= 1.1 * (waited - 0.2) + 0.1


async def test_names_queues_and_owners_are_told_apart(scheduler: Scheduler) -> None:
    wanted: Sequence[OptionChanges] = [
        {"name": "train", "queue": "gpu", "owner": "ana"},
        {"name": "train", "queue": "gpu", "owner": "ben"},
        {"name": "test", "queue": "gpu"},
        {"name": "train", "queue": "cpu", "owner": "ana"},
    ]
    for options in wanted:
        await scheduler.wait(await scheduler.with_options(**options).add_job(noop))
    activity = await activity_when(scheduler, lambda found: found.total.completed == 4)
    assert [(each.name, each.queue, each.completed) for each in activity.groups] == [
        ("train", "gpu", 2), ("test", "gpu", 1), ("train", "cpu", 1),
    ]  # fmt: skip
    assert [(each.queue, each.completed) for each in activity.queues] == [("gpu", 3), ("cpu", 1)]
    for narrowed, count in (
        ({"name": "train"}, 3), ({"queue": "gpu"}, 3), ({"name": "train", "queue": "gpu"}, 2), ({"owner": "ana"}, 2),
        ({"owner": "ana", "queue": "cpu"}, 1), ({"owner": "eva"}, 0), ({"name": "no"}, 0),
    ):  # fmt: skip
        found = await scheduler.get_activity(**narrowed)  # type: ignore[arg-type]
        assert (found.total.submitted, sum(point.completed for point in found.points)) == (count, count)


async def test_the_number_of_minutes_is_checked(scheduler: Scheduler) -> None:
    for minutes in (0, 121, 1.5, True):
        with pytest.raises(ConfigurationError, match="minutes"):
            await scheduler.get_activity(minutes=minutes)  # type: ignore[arg-type]
    activity = await scheduler.get_activity(minutes=120)
    assert len(activity.points) == 120
    assert activity.points[-1].at <= activity.until < activity.points[-1].at + timedelta(minutes=1)
    assert activity.total.run_p50 is activity.total.failure_share is None


_OTHER_PROCESS = """
import asyncio, sys
from servicekit import create_scheduler
from tests.fakes import noop

async def main():
    async with create_scheduler(sys.argv[1]) as scheduler:
        for job_id in [await scheduler.add_job(noop) for _ in range(20)]:
            await scheduler.wait(job_id)

asyncio.run(main())
"""


async def test_all_processes_of_a_file_are_summed_and_a_restart_forgets_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    async with create_scheduler(url, run_jobs=False) as first:
        process = await create_subprocess_exec(sys.executable, "-c", _OTHER_PROCESS, url)
        await first.with_options(delay=60).add_job(noop)
        assert await process.wait() == 0
        assert numbers(await first.get_activity()) == (21, 20, 0, 0)
        async with create_scheduler(url, run_jobs=False) as second:
            assert (await second.get_activity()).total.completed == 20
    async with create_scheduler(url, run_jobs=False) as third:
        assert numbers(await third.get_activity()) == (21, 20, 0, 0)


class Kept:
    """A store in memory whose time is moved, and which can be away."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.clock.advance((NOON - self.clock.now()).total_seconds())
        self.store = MemoryStore(EventHub(), self.clock, Retention())
        self.is_away = False
        self._put = self.store.activity.put_activity
        self.store.activity.put_activity = self._put_unless_away  # type: ignore[method-assign]
        self.keeper = self.start()

    async def _put_unless_away(self, minutes: Sequence[ActivityMinute]) -> None:
        if self.is_away:
            raise StoreUnavailable("there", "it is away.")
        await self._put(minutes)

    def start(self) -> ActivityKeeper:
        """Another process."""
        return ActivityKeeper(self.store, ActivityRecorder(self.clock.now))

    async def completed(self, minutes: int = 10) -> list[int]:
        """Of each minute, as somebody else sees it."""
        activity = await self.start().get(minutes, None, None, None)
        return [point.completed for point in activity.points]


def end(recorder: ActivityRecorder, count: int = 1, **options: str) -> None:
    claim = Claim(submission("x", options=changed(DEFAULT_OPTIONS, options)), 1)  # type: ignore[arg-type]
    for _ in range(count):
        recorder.ended(claim, Transition.COMPLETE, 1.0)


async def test_each_minute_has_its_own_numbers() -> None:
    kept = Kept()
    for count in (1, 2, 0, 3):
        kept.keeper.recorder.look_at_clock()
        end(kept.keeper.recorder, count)
        kept.clock.advance(60)
    await kept.keeper.stop()
    assert await kept.completed(6) == [0, 1, 2, 0, 3, 0]


async def test_what_cannot_be_written_is_written_later() -> None:
    kept = Kept()
    kept.is_away = True
    for _ in range(3):
        kept.keeper.recorder.look_at_clock()
        end(kept.keeper.recorder)
        await kept.keeper.stop()
        kept.clock.advance(60)
    assert await kept.completed(4) == [0, 0, 0, 0]
    assert [point.completed for point in (await kept.keeper.get(4, None, None, None)).points] == [1, 1, 1, 0]
    kept.is_away = False
    for _ in range(2):
        await kept.keeper.stop()
        assert await kept.completed(4) == [1, 1, 1, 0]


async def test_a_clock_that_is_set_back_takes_nothing_away() -> None:
    kept = Kept()
    for seconds in (60, -60, 0):
        kept.keeper.recorder.look_at_clock()
        end(kept.keeper.recorder, 2)
        await kept.keeper.stop()
        kept.clock.advance(seconds)
    kept.clock.advance(60)
    assert sum(await kept.completed(3)) == 6


async def test_any_number_of_names_and_owners_takes_bounded_room() -> None:
    kept = Kept()
    kept.keeper.recorder.look_at_clock()
    for number in range(3_000):
        end(kept.keeper.recorder, name=f"job {number}", owner=f"user {number}")
        end(kept.keeper.recorder, name="usual")
    kept.is_away = True
    for _ in range(100):
        kept.clock.advance(60)
        kept.keeper.recorder.look_at_clock()
        for number in range(200):
            end(kept.keeper.recorder, name=f"job {number}", owner=f"user {number}")
    rows = kept.keeper.recorder.collect()
    assert len(rows) <= 2_000
    assert all(len(row.groups) <= 100 for row in rows)
    activity = await kept.keeper.get(10, None, None, None)
    assert activity.total.completed == 9 * 200 + 200
    assert len(activity.groups) <= 100
    assert activity.groups[-1].name is None


@pytest.mark.parametrize("at_once", [1, 7, 32, 10_000])
async def test_of_very_many_jobs_all_are_counted_and_their_percentiles_are_right(at_once: int) -> None:
    recorder = ActivityRecorder(lambda: NOON)
    recorder.look_at_clock()
    claims = [Claim(submission("x"), 1, 0, NOON - timedelta(seconds=number % 10)) for number in range(10_000)]
    for first in range(0, 10_000, at_once):
        recorder.started(claims[first : first + at_once], NOON)
    for number, claim in enumerate(claims):
        recorder.ended(claim, Transition.COMPLETE, 1.0 + number % 100)
    counts = recorder.collect()[0].groups[Group("noop", "default")]
    assert counts.completed == 10_000
    assert sum(counts.waits.values()) == pytest.approx(10_000, rel=0.01)
    assert sum(counts.runs.values()) == pytest.approx(10_000, rel=0.01)


async def test_an_attempt_that_is_followed_by_another_is_no_end() -> None:
    recorder = ActivityRecorder(lambda: NOON)
    recorder.look_at_clock()
    for written in (Transition.RETRY, Transition.RELEASE, None):
        recorder.ended(Claim(submission("x"), 1), written, 1.0)
    assert [counts for row in recorder.collect() for counts in row.groups.values()] in ([], [Counts()])
