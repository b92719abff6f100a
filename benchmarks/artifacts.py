"""Artifacts in a process of its own, without HTTP: `python -m benchmarks.artifacts NAME FOLDER COUNT`."""

import asyncio
import json
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks import limits
from benchmarks.contestants import use_all_cores
from benchmarks.figures import OURS

CALLERS = 50
CONTENT = {"rows": [{"week": f"2026-W{number:02}", "cases": number * 17} for number in range(28)]}
"""A thousand bytes of JSON."""


async def rates(name: str, folder: Path, count: int) -> dict[str, float]:
    """How many are saved a second, each on the disk when its caller is answered, and how many are read."""
    if name != OURS:
        return await _raw_rates(folder, count)
    from servicekit.artifacts import Artifacts

    artifacts = Artifacts(folder).aio

    async def save() -> str:
        return (await artifacts.save(CONTENT, kind="note")).id

    return await _measure(save, artifacts.load, count)


async def _raw_rates(folder: Path, count: int) -> dict[str, float]:
    """A row in a table, committed in groups; and a row by its key, read in a thread."""
    path, text = folder / "limit.db", json.dumps(CONTENT)
    group_commit, numbers = limits.GroupCommit(limits.open_table(path)), iter(range(10**9))
    reader = sqlite3.connect(path, check_same_thread=False)

    async def save() -> str:
        job_id, target, _, now = limits.make_row(next(numbers))
        await group_commit.insert((job_id, target, text, now))
        return job_id

    def select(job_id: str) -> object:
        (found,) = reader.execute("SELECT arguments FROM jobs WHERE id = ?", [job_id]).fetchone()
        return json.loads(found)

    async def load(job_id: str) -> object:
        return await asyncio.to_thread(select, job_id)

    return await _measure(save, load, count)


async def _measure(
    save: Callable[[], Awaitable[str]], load: Callable[[str], Awaitable[object]], count: int
) -> dict[str, float]:
    ids = await _by_all_callers(count // 10 + CALLERS, save)  # the warm-up
    clock = time.perf_counter()
    ids += await _by_all_callers(count, save)
    saved, newest = time.perf_counter(), iter(ids[-count:])
    await _by_all_callers(count, lambda: load(next(newest)))
    return {"saves": count / (saved - clock), "reads": count / (time.perf_counter() - saved)}


async def _by_all_callers(count: int, call: Callable[[], Awaitable[Any]]) -> list[Any]:
    """What so many calls return, made by coroutines of which each waits for its own."""
    answers: list[Any] = [None] * count
    left = iter(range(count))

    async def work() -> None:
        for number in left:
            answers[number] = await call()

    async with asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(work())
    return answers


def main() -> None:
    _, name, folder, count = sys.argv
    use_all_cores()
    print(json.dumps(asyncio.run(rates(name, Path(folder), int(count)))), flush=True)


if __name__ == "__main__":
    main()
