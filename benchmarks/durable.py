"""A durable engine in a process of its own: `python -m benchmarks.durable NAME QUESTION FOLDER NUMBERS`."""

import asyncio
import json
import random
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import limits
from benchmarks.contestants import use_all_cores
from benchmarks.figures import OURS
from benchmarks.targets import noop, work
from servicekit import Retention
from servicekit.engine.clock import SystemClock
from servicekit.engine.factory import create_scheduler
from servicekit.engine.scheduler import Scheduler
from servicekit.events.hub import EventHub
from servicekit.jobs.query import ALL_JOBS
from servicekit.jobs.record import JobRecord
from servicekit.jobs.status import JobStatus
from servicekit.jobs.workers import Readiness
from servicekit.stores.sqlite.store import SqliteStore

_POLL_SECONDS = 0.002
_PAGE = 100
_WARM_UP = 500
"""Enough commits for the write-ahead log to be used again: a file that grows is slower to sync."""


def scheduler_at(folder: Path, **options: Any) -> Scheduler:
    return create_scheduler(f"sqlite:///{folder / 'jobs.db'}", **options)


async def rate_of_submissions(name: str, folder: Path, callers: int, count: int) -> dict[str, float]:
    """Jobs that are on the disk per second, by coroutines of which each waits for its job. Nothing is run."""
    if name != OURS:
        return await _rate_of_raw_submissions(folder, callers, count)
    async with scheduler_at(folder, run_jobs=False) as scheduler:
        await submit(scheduler.add_job, callers, min(_WARM_UP, count))
        return {"per_second": await submit(scheduler.add_job, callers, count)}


async def submit(add_job: Callable[..., Awaitable[object]], callers: int, count: int) -> float:
    """How many no-ops a second are accepted."""

    async def call(jobs: int) -> None:
        for _ in range(jobs):
            await add_job(noop)

    clock = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(callers):
            tasks.create_task(call(count // callers + (number < count % callers)))
    return count / (time.perf_counter() - clock)


async def _rate_of_raw_submissions(folder: Path, callers: int, count: int) -> dict[str, float]:
    """Commit by commit for one caller; for several, all that waits in one transaction."""
    if callers == 1:
        return await rate_of_a_loop("", folder, 1, count)
    group_commit = limits.GroupCommit(limits.open_table(folder / "limit.db"))
    numbers = iter(range(10**9))

    async def add_job(_: object) -> None:
        await group_commit.insert(limits.make_row(next(numbers)))

    await submit(add_job, callers, min(_WARM_UP, count))
    return {"per_second": await submit(add_job, callers, count)}


async def rate_of_a_loop(_: str, folder: Path, group: int, count: int) -> dict[str, float]:
    """The same for nobody who waits: a loop that writes group after group."""
    connection = limits.open_table(folder / f"loop-{group}.db")
    for number in range(0, -min(_WARM_UP, count), -1):
        limits.write(connection, [limits.make_row(number - 1)])
    clock = time.perf_counter()
    for start in range(0, count, group):
        limits.write(connection, [limits.make_row(start + number) for number in range(group)])
    return {"per_second": count / (time.perf_counter() - clock)}


async def rate_of_lives(name: str, folder: Path, callers: int, count: int) -> dict[str, float]:
    """No-ops that are submitted, run and finished per second, from the first submission until all is on the disk."""
    if name != OURS:
        return _rate_of_raw_lives(folder, callers, count)
    async with scheduler_at(folder) as scheduler:
        await _run_to_the_end(scheduler, callers, min(_WARM_UP, count))
        cpu, clock = time.process_time(), time.perf_counter()
        await _run_to_the_end(scheduler, callers, count)
        seconds, cpu = time.perf_counter() - clock, time.process_time() - cpu
    return {"per_second": count / seconds, "microseconds": cpu / count * 1e6}


async def _run_to_the_end(scheduler: Scheduler, callers: int, count: int) -> None:
    """Jobs count themselves; that they are finished, the file must say."""
    counts = await scheduler.count_by_status()
    done, completed = work.done + count, counts[JobStatus.COMPLETED] + count
    await submit(scheduler.add_job, callers, count)
    while work.done < done or (await scheduler.count_by_status())[JobStatus.COMPLETED] < completed:  # noqa: ASYNC110
        await asyncio.sleep(_POLL_SECONDS)


def _rate_of_raw_lives(folder: Path, group: int, count: int) -> dict[str, float]:
    connection = limits.open_table(folder / "limit.db")
    groups = [
        [limits.make_row(number) for number in range(start, min(start + group, count))]
        for start in range(0, count, group)
    ]
    cpu, clock = time.process_time(), time.perf_counter()
    limits.write_lives(connection, groups)
    seconds, cpu = time.perf_counter() - clock, time.process_time() - cpu
    return {"per_second": count / seconds, "microseconds": cpu / count * 1e6}


async def cost_of_access(_: str, folder: Path, repeats: int) -> dict[str, float]:
    """Seconds to claim a job, to get one of any age, and to list the newest; the medians."""
    path = folder / "jobs.db"
    store = SqliteStore(path, EventHub(), SystemClock(), Retention())
    await store.liveness.open(NoSignals())
    ids = random_ids(path, repeats)
    claim = await _median_seconds(lambda _: store.attempts.claim(1, ()), ids)
    get = await _median_seconds(store.reads.get_record, ids)
    page = await _median_seconds(lambda _: store.reads.list_records(ALL_JOBS, _PAGE, None), ids)
    await store.liveness.close()
    return {"claim": claim, "get": get, "page": page}


def random_ids(path: Path, count: int) -> list[str]:
    """Ids of jobs of any age, by way of the log of events, whose positions are numbers."""
    with closing(sqlite3.connect(path)) as connection:
        (last,) = connection.execute("SELECT max(position) FROM events").fetchone()
        query = "SELECT job_id FROM events WHERE position >= ? ORDER BY position LIMIT 1"
        return [connection.execute(query, [random.randint(1, last)]).fetchone()[0] for _ in range(count)]


async def _median_seconds(ask: Callable[[str], Awaitable[object]], ids: list[str]) -> float:
    times = []
    for job_id in ids:
        clock = time.perf_counter()
        if not await ask(job_id):
            raise RuntimeError("nothing was found")
        times.append(time.perf_counter() - clock)
    return median(times)


class NoSignals:
    """Stands in for an engine that has nothing to do."""

    def wake(self) -> None:
        pass

    is_stopping = False
    readiness = Readiness()

    def is_running(self, job_id: str, attempt: int) -> bool:  # noqa: ARG002
        return True

    def hear_of_failure(self, record: JobRecord) -> None:
        """No job fails here."""

    def cancel(self, job_id: str) -> None:
        pass

    def keep_only(self, held: Collection[tuple[str, int]]) -> None:
        pass

    def stop_attempts(self, *, are_lost: bool) -> None:
        pass


async def time_to_restart(_: str, folder: Path, pending: int) -> dict[str, float]:
    """When the first of the pending jobs ran, and the last, on the clock that all processes share."""
    began_at = time.monotonic()
    async with scheduler_at(folder, retention=Retention(max_age=None, max_count=None)):
        while not work.done:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)
        first_at = time.monotonic()
        while work.done < pending:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)
        return {"began_at": began_at, "first_at": first_at, "last_at": time.monotonic()}


QUESTIONS: dict[str, Callable[..., Coroutine[Any, Any, dict[str, float]]]] = {
    "submissions": rate_of_submissions,
    "loop": rate_of_a_loop,
    "lives": rate_of_lives,
    "access": cost_of_access,
    "restart": time_to_restart,
}


def main() -> None:
    _, name, question, folder, *numbers = sys.argv
    use_all_cores()
    print(json.dumps(asyncio.run(QUESTIONS[question](name, Path(folder), *map(int, numbers)))), flush=True)


if __name__ == "__main__":
    main()
