"""Artifacts of jobs, and of several processes, some of which are killed."""

import asyncio
import multiprocessing
import os
import random
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.context import ForkServerProcess
from typing import Any

import pytest

from servicekit import JobStatus, Retry, create_scheduler, job_options
from servicekit.artifacts import Artifacts, Origin
from tests.artifacts import targets
from tests.artifacts.files import check_blobs, check_files, list_blobs, list_staged

KILLS = 12
WORKERS = 3
_context = multiprocessing.get_context("forkserver")


class Worker:
    """A process that saves and deletes, and says after each call that it is alive."""

    def __init__(self, address: str, seed: int, database_url: str = "") -> None:
        self._reader, writer = _context.Pipe(duplex=False)
        self._process: ForkServerProcess = _context.Process(
            target=targets.save_and_delete, args=(address, seed, writer, database_url), daemon=True
        )
        self._process.start()
        writer.close()

    def wait_calls(self, count: int) -> None:
        for _ in range(count):
            assert os.read(self._reader.fileno(), 1), "the worker has failed"

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self._reader.close()


def kill_all(workers: list[Worker]) -> None:
    for worker in workers:
        worker.kill()


def test_processes_that_are_killed_leave_every_row_with_its_blob(artifacts: Artifacts) -> None:
    _context.set_forkserver_preload([targets.__name__])
    chance = random.Random(17)
    with ExitStack() as stack:
        workers = [Worker(artifacts.address, seed) for seed in range(WORKERS)]
        stack.callback(kill_all, workers)
        for number in range(KILLS):
            place = chance.randrange(WORKERS)
            workers[place].wait_calls(chance.randint(1, 30))
            workers[place].kill()
            workers[place] = Worker(artifacts.address, WORKERS + number)
        for worker in workers:
            worker.wait_calls(10)
    check_blobs(artifacts)
    for each in artifacts.list(limit=1_000).artifacts:
        assert artifacts.load(each.id) in targets.CONTENTS
        assert each.parent_id is None or artifacts.get(each.parent_id).id
    left = len(list_staged(artifacts))
    assert artifacts.sweep().temporary_files == left
    assert list_staged(artifacts) == []
    check_files(artifacts)
    for each in artifacts.list(limit=1_000).artifacts:
        if each.level == 0:
            artifacts.delete(each.id, recursive=True)
    assert list_blobs(artifacts) == set()


def test_what_is_being_saved_is_not_swept(artifacts: Artifacts) -> None:
    with artifacts.stage() as staged:
        staged.write(b"content")
        assert artifacts.sweep().temporary_files == 0
        saved = artifacts.save(staged)
    assert artifacts.load(saved.id) == b"content"


SCRIPT = """
import os, sys
from servicekit.artifacts import Artifacts
from servicekit.errors import ArtifactsUnavailable
artifacts = Artifacts.at(sys.argv[1])
artifacts.save(b"parent")
child = os.fork()
if child == 0:
    try:
        artifacts.save(b"child")
    except ArtifactsUnavailable as error:
        print("forked" in error.reason, flush=True)
    os._exit(0)
os.waitpid(child, 0)
artifacts.save(b"parent again")
print(artifacts.stats().count)
"""


def test_a_forked_child_leaves_the_index_of_its_parent_alone(artifacts: Artifacts) -> None:
    command = [sys.executable, "-W", "error", "-c", SCRIPT, artifacts.address]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["True", "2"]


@pytest.mark.parametrize(
    "target",
    [
        targets.save_plainly,
        targets.save_from_coroutine,
        job_options(runner="process")(targets.save_plainly),
    ],
    ids=["thread", "coroutine", "process"],
)
async def test_what_a_job_saves_is_the_jobs(artifacts: Artifacts, target: Callable[[str], Any]) -> None:
    async with create_scheduler("memory://") as scheduler:
        job_id = await scheduler.add_job(target, artifacts.address)
        record = await scheduler.wait(job_id, 60)
        assert record.status is JobStatus.COMPLETED, record.error
        saved = await artifacts.aio.get(record.artifact_id or "")
    assert (saved.job_id, saved.attempt, saved.origin, saved.keep) == (job_id, 1, Origin.JOB, "job")
    assert await artifacts.aio.load(saved.id) == b"made by a job"
    assert [each.id for each in (await artifacts.aio.list(job=job_id)).artifacts] == [saved.id]


async def test_a_later_attempt_takes_the_place_of_an_earlier_one(artifacts: Artifacts) -> None:
    target = job_options(retry=Retry(attempts=2, delay=0))(targets.save_promised)
    async with create_scheduler("memory://") as scheduler:
        job_id = await scheduler.add_job(target, artifacts.address)
        record = await scheduler.wait(job_id, 60)
    assert (record.status, record.artifact_id) == (JobStatus.COMPLETED, job_id), record.error
    saved = await artifacts.aio.get(job_id)
    assert (await artifacts.aio.load(job_id), saved.attempt) == ("attempt 2", 2)
    await asyncio.to_thread(check_files, artifacts)
