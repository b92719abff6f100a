"""Jobs for a cluster: one that it has no room for waits, and is in nobody's way."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from servicekit import JobRecord, JobStatus, RunnerKind, Scheduler, create_scheduler
from servicekit.engine import cluster_room, start_problems
from servicekit.jobs.current import RunningJob
from servicekit.jobs.outcome import Outcome, clip, not_begun
from servicekit.jobs.submission import Submission
from tests.engine.fake_cluster import FakeCluster, with_cluster, work
from tests.fakes import noop

REASON = "it needs 3 processors, and 1 are free"


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster(4)


@pytest.fixture
async def scheduler(url: str, cluster: FakeCluster) -> AsyncIterator[Scheduler]:
    async with with_cluster(url, cluster) as scheduler:
        yield scheduler


async def submit(
    scheduler: Scheduler, name: str, cpus: float = 1, priority: int = 0, gpus: float = 0, **options: object
) -> str:
    chosen = scheduler.with_options(
        runner="ray", name=name, resources={"cpus": cpus, "gpus": gpus}, priority=priority, max_restarts=0, **options  # type: ignore[arg-type]
    )  # fmt: skip
    return await chosen.add_job(work)


async def wait_given_back(scheduler: Scheduler, job_id: str) -> JobRecord:
    """Wait until the job is pending again, since it could not begin."""
    async for record in scheduler.stream(job_id):
        if record.status is JobStatus.PENDING and record.attempt > 0:
            return record
    raise AssertionError(f"Job {job_id} has ended.")


async def test_a_job_without_room_waits_and_begins_when_there_is_some(
    scheduler: Scheduler, cluster: FakeCluster
) -> None:
    first = await submit(scheduler, "first", cpus=3)
    await cluster.wait_begun("first")
    large = await submit(scheduler, "large", cpus=3)
    waiting = await wait_given_back(scheduler, large)
    assert waiting == await scheduler.get_record(large)
    assert (waiting.pending_reason, waiting.attempts, waiting.error) == (REASON, (), None)
    cluster.finish("first")
    await cluster.wait_begun("first", "large")
    begun = await scheduler.get_record(large)
    assert (begun.status, begun.pending_reason) == (JobStatus.RUNNING, None)
    cluster.finish("large")
    record = await scheduler.wait(large)
    assert (record.status, record.attempts, record.error) == (JobStatus.COMPLETED, (), None)
    assert (await scheduler.wait(first)).status is JobStatus.COMPLETED  # its room is free a moment before its end


async def test_the_jobs_behind_it_keep_their_order(scheduler: Scheduler, cluster: FakeCluster) -> None:
    await submit(scheduler, "first", cpus=3)
    await cluster.wait_begun("first")
    await wait_given_back(scheduler, await submit(scheduler, "large", cpus=3))
    small = await submit(scheduler, "small")  # it would fit, but then large jobs would wait for ever
    await submit(scheduler, "urgent", priority=1)
    assert await scheduler.find_problem() is None
    assert await scheduler.get_status(small) is JobStatus.PENDING
    cluster.finish("first")
    await cluster.wait_begun("first", "urgent", "large")
    cluster.finish("large")
    await cluster.wait_begun("first", "urgent", "large", "small")


async def test_jobs_that_need_no_gpu_pass_those_that_wait_for_one(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_room, "_PAUSE_SECONDS", 0.05)
    cluster = FakeCluster(3, gpus=1)
    async with with_cluster(url, cluster) as scheduler:
        await submit(scheduler, "first", gpus=1)
        await cluster.wait_begun("first")
        waiting = [await submit(scheduler, f"gpu {number}", gpus=1) for number in range(3)]
        for job_id in waiting:
            await wait_given_back(scheduler, job_id)
        await submit(scheduler, "a")
        await cluster.wait_begun("first", "a")
        await submit(scheduler, "b")
        await cluster.wait_begun("first", "a", "b")
        assert await scheduler.find_problem() is None
        cluster.finish("first")
        await cluster.wait_begun("first", "a", "b", "gpu 0")


async def test_a_job_that_waits_is_not_claimed_again_and_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_room, "_PAUSE_SECONDS", 3600)
    cluster = FakeCluster(3)
    async with with_cluster(url, cluster) as scheduler:
        waiting = await submit(scheduler, "waiting", gpus=1)
        await wait_given_back(scheduler, waiting)
        for _ in range(5):
            await scheduler.wait(await scheduler.add_job(noop))
        assert (await scheduler.get_record(waiting)).attempt <= 2  # once more for those that may stand behind it
        cluster.add(1)
        await submit(scheduler, "other")
        await cluster.wait_begun("other")


@pytest.mark.parametrize("cpus", [1, 2])
async def test_a_job_that_was_refused_is_claimed_again_though_the_cluster_tells_of_no_change(
    url: str, monkeypatch: pytest.MonkeyPatch, cpus: float
) -> None:
    monkeypatch.setattr(cluster_room, "_PAUSE_SECONDS", 0.05)
    cluster = FakeCluster(4)
    cluster.refusals = 3
    async with with_cluster(url, cluster) as scheduler:
        await wait_given_back(scheduler, await submit(scheduler, "refused", cpus=cpus))
        await cluster.wait_begun("refused")


async def test_a_small_job_that_was_refused_though_there_is_room_hides_nobody(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_room, "_PAUSE_SECONDS", 0.05)
    cluster = FakeCluster(0.5)
    cluster.room = 1  # as on nodes that have parts of processors, or GPUs alone
    async with with_cluster(url, cluster) as scheduler:
        await submit(scheduler, "small")
        await submit(scheduler, "smaller", cpus=0.5)
        await cluster.wait_begun("smaller")


async def test_a_job_that_has_waited_and_begun_lets_no_more_be_claimed_than_there_is_room_for(
    scheduler: Scheduler, cluster: FakeCluster
) -> None:
    await submit(scheduler, "first", cpus=3)
    await cluster.wait_begun("first")
    await wait_given_back(scheduler, await submit(scheduler, "large", cpus=4))
    jobs = [await submit(scheduler, f"small {number}") for number in range(8)]
    cluster.finish("first")
    await cluster.wait_begun("first", "large")
    refused = [*cluster.refused]
    cluster.finish("large")
    begun = ["first", "large"]
    for number in range(8):
        begun.append(f"small {number}")
        if number >= 3:  # four at a time
            await cluster.wait_begun(*begun)
            cluster.finish(f"small {number - 3}")
    for number in range(5, 8):
        cluster.finish(f"small {number}")
    for job_id in jobs:
        await scheduler.wait(job_id)
    assert cluster.refused == refused


@pytest.mark.parametrize(
    "options", [{"max_concurrency": 2}, {"queues": {"default": 2}}, {"max_concurrency_per_process": 2}]
)
async def test_it_holds_no_slot_that_others_could_use(url: str, options: dict[str, int], cluster: FakeCluster) -> None:
    async with with_cluster(url, cluster, **options) as scheduler:  # type: ignore[arg-type]
        await submit(scheduler, "first", cpus=3)
        await cluster.wait_begun("first")
        await wait_given_back(scheduler, await submit(scheduler, "large", cpus=3))
        for _ in range(3):
            assert (await scheduler.wait(await scheduler.add_job(noop))).status is JobStatus.COMPLETED


async def test_it_keeps_nobody_from_its_concurrency_key_who_could_begin(
    scheduler: Scheduler, cluster: FakeCluster
) -> None:
    await submit(scheduler, "first", cpus=3)
    await cluster.wait_begun("first")
    large = await submit(scheduler, "large", cpus=3, concurrency_key="k")
    await wait_given_back(scheduler, large)
    for _ in range(2):
        job_id = await scheduler.with_options(concurrency_key="k").add_job(noop)
        assert (await scheduler.wait(job_id)).status is JobStatus.COMPLETED
    cluster.finish("first")
    await cluster.wait_begun("first", "large")


async def test_processes_of_the_service_are_counted_apart_from_the_cluster(url: str, cluster: FakeCluster) -> None:
    async with with_cluster(url, cluster, max_processes=1) as scheduler:
        for name in ("a", "b", "c"):
            await submit(scheduler, name)
        await cluster.wait_begun("a", "b", "c")
        assert (await scheduler.wait(await scheduler.with_options(runner="process").add_job(work))).attempt == 1


async def test_no_more_jobs_are_claimed_than_there_is_room_for(scheduler: Scheduler, cluster: FakeCluster) -> None:
    job_ids = [await submit(scheduler, f"{number}") for number in range(20)]
    for done in range(20):
        await cluster.wait_begun(*(f"{number}" for number in range(min(20, done + 4))))
        cluster.finish(f"{done}")
    records = [await scheduler.wait(job_id) for job_id in job_ids]
    assert {record.attempt for record in records} == {1}


async def test_a_cluster_with_little_room_keeps_nobody_from_slots(url: str) -> None:
    cluster = FakeCluster(3)
    async with with_cluster(url, cluster, max_concurrency=4) as scheduler:  # type: ignore[call-arg]
        await scheduler.queues.pause("default")
        for number in range(5):
            await submit(scheduler, f"{number}", priority=1)
        job_ids = [await scheduler.add_job(noop) for _ in range(5)]
        await scheduler.queues.resume("default")
        for job_id in job_ids:
            assert (await scheduler.wait(job_id)).status is JobStatus.COMPLETED
        await cluster.wait_begun("0", "1", "2")


async def test_a_cluster_with_little_room_does_not_have_others_claimed_one_by_one(url: str) -> None:
    cluster = FakeCluster(1)
    async with with_cluster(url, cluster) as scheduler:
        await scheduler.queues.pause("default")
        job_ids = [await scheduler.add_job(noop) for _ in range(320)]
        asked = cluster.asked
        await scheduler.queues.resume("default")
        for job_id in job_ids:
            await scheduler.wait(job_id)
        assert cluster.asked - asked < 100  # 32 at once in memory


async def test_a_waiting_job_can_be_canceled_and_is_held_to_its_limits(
    scheduler: Scheduler, cluster: FakeCluster
) -> None:
    await submit(scheduler, "first", cpus=3)
    await cluster.wait_begun("first")
    late = await submit(scheduler, "late", cpus=3, queue_timeout=0.1)
    assert str((await scheduler.wait(late)).error).startswith("QueueTimeout")
    large = await submit(scheduler, "large", cpus=3)
    assert await scheduler.cancel(large)
    assert (await scheduler.get_record(large)).status is JobStatus.CANCELED


async def test_another_process_with_a_cluster_takes_the_job(tmp_path: Path, cluster: FakeCluster) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    async with create_scheduler(url, run_jobs=False) as web, with_cluster(url, FakeCluster(0)) as full:
        job_id = await submit(web, "work")
        await full.wait(await full.add_job(noop))
        async with with_cluster(url, cluster):
            await cluster.wait_begun("work")
            cluster.finish("work")
            assert (await web.wait(job_id)).attempt == 1


async def wait_problems(scheduler: Scheduler, expected: dict[RunnerKind, str]) -> None:
    while [dict(worker.problems) for worker in await scheduler.list_workers() if worker.runs_jobs] != [expected]:
        await asyncio.sleep(0.001)


async def test_all_are_told_why_a_cluster_takes_no_jobs_for_as_long_as_that_is_so(
    scheduler: Scheduler, cluster: FakeCluster
) -> None:
    await wait_problems(scheduler, {})
    cluster.notice, cluster.room = "The cluster is away." + 1_000 * "?", 0
    job_id = await submit(scheduler, "work")
    told = clip(cluster.notice, 500)
    await wait_problems(scheduler, {RunnerKind.RAY: told})
    assert await scheduler.get_status(job_id) is JobStatus.PENDING
    cluster.notice = cluster.room = None
    cluster.add(0)
    await cluster.wait_begun("work")
    await wait_problems(scheduler, {})


async def test_all_are_told_who_has_no_cluster(tmp_path: Path, cluster: FakeCluster) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    own = tuple(kind for kind in RunnerKind if kind is not RunnerKind.RAY)
    async with create_scheduler(url, run_jobs=False) as web, create_scheduler(url):
        await submit(web, "work")
        assert [worker.runners for worker in await web.list_workers()] == [(), own]
        async with with_cluster(url, cluster):
            assert [worker.runners for worker in await web.list_workers()] == [(), own, (*own, RunnerKind.RAY)]
            await cluster.wait_begun("work")
        web.run_jobs()  # from the next start on
        await web.close()
        await web.start()
        assert [worker.runners for worker in await web.list_workers()] == [own, own]


class OddCluster(FakeCluster):
    """Says that there is room, and begins nothing for as long as it is ill."""

    is_ill = True
    reason = "it is ill"

    async def run(self, submission: Submission, job: RunningJob) -> Outcome:
        return not_begun(self.reason) if self.is_ill else await super().run(submission, job)


async def test_a_cluster_that_does_not_know_its_room_is_tried_again_after_pauses(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_problems, "_FIRST_SECONDS", 0.01)
    cluster = OddCluster(4)
    async with with_cluster(url, cluster) as scheduler:
        await submit(scheduler, "work")
        while (problem := await scheduler.find_problem()) is None:
            await asyncio.sleep(0.001)
        assert problem.startswith("Functions on a cluster cannot begin in this process: it is ill.")
        cluster.is_ill = False
        await cluster.wait_begun("work")


def log_in(password: str) -> None:
    """A target that the cluster does not call."""


async def test_why_a_job_cannot_begin_is_told_to_everybody_without_its_secrets(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = OddCluster(4)
    cluster.reason = "nobody knows opensesame"
    async with with_cluster(url, cluster) as scheduler:
        await scheduler.with_options(runner="ray", mask=["password"]).add_job(log_in, "opensesame")
        while (problem := await scheduler.find_problem()) is None:
            await asyncio.sleep(0.001)
    assert "nobody knows" in problem
    assert "opensesame" not in problem + caplog.text
