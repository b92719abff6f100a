"""Limits, keys and turns that hold over all processes."""

import random
import time
from collections import Counter
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from tests.crash.journal import most_at_once
from tests.many_machines import targets
from tests.many_machines.conftest import ReadRuns, Start
from tests.many_machines.figures import tell
from tests.needs import needs
from tests.stores.event_log import check_database

pytestmark = needs("postgresql")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("jobs", [300, pytest.param(10_000, marks=pytest.mark.soak)])
def test_a_limit_holds_for_four_processes(
    start: Start, journal: Path, runs: ReadRuns, postgres_url: str, jobs: int
) -> None:
    members = [start(max_concurrency=5) for _ in range(4)]
    job_ids = [
        job_id for each in members for job_id in each.call(targets.submit, journal, times=jobs // 4, seconds=0.002)
    ]
    statuses = members[0].begin(targets.wait_all, job_ids).result(300)
    assert set(statuses.values()) == {"completed"}
    assert Counter(run.job_id for run in runs()) == dict.fromkeys(job_ids, 1)
    assert most_at_once(runs()) <= 5
    check_database(postgres_url)


def test_three_queues_keep_to_their_limits(start: Start, journal: Path, runs: ReadRuns) -> None:
    limits = {"a": 1, "b": 2, "c": 4}
    members = [start(queues=limits) for _ in range(3)]
    queues = {
        job_id: name
        for name in limits
        for each in members
        for job_id in each.call(targets.submit, journal, 0.01, times=20, queue=name)
    }
    members[0].call(targets.wait_all, list(queues))
    for name, limit in limits.items():
        assert most_at_once(run for run in runs() if queues[run.job_id] == name) <= limit
    assert Counter(run.job_id for run in runs()) == dict.fromkeys(queues, 1)


def test_jobs_with_one_key_run_one_at_a_time_in_four_processes(
    start: Start, journal: Path, runs: ReadRuns, postgres_url: str
) -> None:
    members = [start() for _ in range(4)]
    keys: dict[str, str] = {}
    begun = [
        (key, each.begin(targets.submit, journal, 0.002, times=15, concurrency_key=key))
        for key in ("x", "y", "z")
        for each in members
    ]
    for key, answer in begun:
        keys |= dict.fromkeys(answer.result(60), key)
    members[0].call(targets.wait_all, list(keys))
    for key in ("x", "y", "z"):
        assert most_at_once(run for run in runs() if keys[run.job_id] == key) == 1
    assert Counter(run.job_id for run in runs()) == dict.fromkeys(keys, 1)
    check_database(postgres_url)


def test_the_most_urgent_job_is_started_first_whoever_submitted_it(start: Start, journal: Path, runs: ReadRuns) -> None:
    submitters = [start(run_jobs=False) for _ in range(3)]
    ranks = list(range(30))
    random.shuffle(ranks)
    priorities = {submitters[rank % 3].call(targets.submit, journal, priority=rank)[0]: rank for rank in ranks}
    start(max_concurrency=1).call(targets.wait_all, list(priorities))
    order = [priorities[run.job_id] for run in sorted(runs(), key=lambda run: run.start_ns)]
    assert order == sorted(ranks, reverse=True)


def test_one_idempotency_key_is_one_job_for_eight_processes(start: Start, journal: Path, runs: ReadRuns) -> None:
    members = [start().wait_ready() for _ in range(8)]
    answers: list[Future[Any]] = [
        each.begin(targets.submit, journal, idempotency_key="order 66") for each in members * 5
    ]
    job_ids = {job_id for answer in answers for job_id in answer.result(60)}
    assert len(job_ids) == 1
    members[0].call(targets.wait_all, list(job_ids))
    assert len(runs()) == 1


@pytest.mark.timeout(600)
@pytest.mark.soak
def test_a_flood_in_one_queue_delays_the_others_by_little(start: Start, journal: Path) -> None:
    """The bar is 50 ms more than without a flood; the median decides, since this machine has other things to do."""
    submitter, worker = start(run_jobs=False), start(max_concurrency=4)
    worker.wait_ready()

    def measure() -> float:
        delays = []
        for _ in range(20):
            begun = time.monotonic()
            submitter.call(targets.submit_and_wait, queue="other")
            delays.append(time.monotonic() - begun)
        return sorted(delays)[10]

    alone = measure()
    for _ in range(50):
        submitter.call(targets.submit_quick, 1_000, queue="flood")
    flooded = measure()
    tell(f"{alone * 1e3:.1f} ms alone, {flooded * 1e3:.1f} ms beside the flood")
    assert flooded - alone < 0.05


def test_processes_that_come_and_go_lose_no_job(start: Start, journal: Path, runs: ReadRuns, postgres_url: str) -> None:
    submitter = start(run_jobs=False)
    job_ids = submitter.call(targets.submit, journal, 0.005, times=200)
    waiting = submitter.begin(targets.wait_all, job_ids)
    for _ in range(3):
        workers = [start(max_concurrency_per_process=8).wait_ready() for _ in range(2)]
        for worker in workers:
            worker.stop()
    start()
    assert set(waiting.result(60).values()) == {"completed"}
    assert {run.job_id for run in runs()} == set(job_ids)
    check_database(postgres_url)
