"""Several processes of one contestant work off the jobs of one database together."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import psycopg

from benchmarks.contestants import Contestant, started
from benchmarks.figures import OURS
from benchmarks.meter import Cost, cpu_seconds_of
from benchmarks.postgres import Database
from benchmarks.served import resume
from benchmarks.worker import working_together

_OPEN = {
    OURS: "SELECT coalesce(sum(jobs), 0) FROM servicekit.counts WHERE status IN ('pending', 'running')",
    "pgqueuer": "SELECT count(*) FROM pgqueuer",
    "procrastinate": "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')",
}
_POLL_SECONDS = 0.01
_LONGEST_SECONDS = 120


class Task(NamedTuple):
    """What a team has to do. The jobs wait before it begins."""

    workers: int
    jobs: int = 0
    limit: int = 0
    """How many may run at once, in all processes together; 0 is no limit."""
    milliseconds: int = 0
    """How long each job takes."""
    peers_width: int = 100
    """How many jobs a process of a peer takes at once."""
    seconds: float | None = None
    """When to stop; `None` is when all have ended."""


class _Team(NamedTuple):
    pids: list[int]
    begin: Callable[[], float]
    """Have the work begin; when that was, on the clock that all processes share."""

    def cpu_seconds(self) -> float:
        return sum(map(cpu_seconds_of, self.pids))


def cost_of(contestant: Contestant, database: Database, task: Task) -> Cost:
    """Of the jobs that the team has done, from when all of it was ready."""
    assemble = _our_team if contestant.kind == OURS else _peers_team
    with database.new_database() as url, assemble(contestant, url, task) as team, _open_jobs(contestant, url) as count:
        cpu, server_cpu = team.cpu_seconds(), database.cpu_seconds()
        began_at = team.begin()
        if task.seconds is not None:
            time.sleep(began_at + task.seconds - time.monotonic())
        while task.seconds is None and count():
            if time.monotonic() > began_at + _LONGEST_SECONDS:
                raise TimeoutError(f"{count():,} jobs have not ended")
            time.sleep(_POLL_SECONDS)
        done, seconds = task.jobs - count(), time.monotonic() - began_at
        cpu, server_cpu = team.cpu_seconds() - cpu, database.cpu_seconds() - server_cpu
    return Cost(done / seconds, cpu / max(done, 1) * 1e6, server_cpu / max(done, 1) * 1e6)


@contextmanager
def _open_jobs(contestant: Contestant, url: str) -> Iterator[Callable[[], int]]:
    """A function that counts the jobs that have not ended."""
    with psycopg.connect(url, autocommit=True) as connection:

        def count() -> int:
            row = connection.execute(_OPEN[contestant.kind]).fetchone()
            assert row
            return int(row[0])

        yield count


@contextmanager
def _our_team(contestant: Contestant, url: str, task: Task) -> Iterator[_Team]:
    """Of `servicekit worker`s. The queue is paused until they are to begin."""
    contestant.run("benchmarks.served", "fill", url, task.milliseconds / 1000, task.jobs)
    settings = {"SERVICEKIT_JOBS_URL": url, "BENCHMARK_IS_QUIET": "1", "BENCHMARK_KEEPS_ALL": "1"}
    settings["BENCHMARK_QUEUE_LIMIT"] = f"{task.limit}"
    with working_together(contestant, task.workers, **settings) as workers:
        yield _Team([worker.process.pid for worker in workers], lambda: asyncio.run(resume(url)))


@contextmanager
def _peers_team(contestant: Contestant, url: str, task: Task) -> Iterator[_Team]:
    """Of processes that are connected and wait for a line."""
    module = f"benchmarks.peers.{contestant.name}"
    contestant.run(module, "fill", url, task.jobs)
    numbers = [str(number) for number in (task.limit, task.milliseconds, task.peers_width)]

    def begin() -> float:
        began_at = time.monotonic()
        for process in processes:
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()
        return began_at

    with started(lambda: contestant.start(module, "work", url, *numbers), task.workers) as processes:
        yield _Team([process.pid for process in processes], begin)
