"""What jobs and processes of these tests do."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import Any

from servicekit import Scheduler, current_job
from servicekit.errors import StoreUnavailable
from tests.crash.journal import journaled


async def note(journal: str, seconds: float = 0.0) -> None:
    """A job that is in the journal, and takes so long."""
    with journaled(journal):
        await asyncio.sleep(seconds)


async def hold(journal: str) -> str:
    """A job that goes on until the file beside the journal is there."""
    with journaled(journal):
        while not Path(f"{journal}.open").exists():
            await asyncio.sleep(0.02)
    return current_job().id


async def quick() -> None:
    """Nothing at all."""


async def submit(
    scheduler: Scheduler, journal: Path, seconds: float = 0.0, times: int = 1, **options: Any
) -> list[str]:
    """Submit so many `note`s at once."""
    adder = scheduler.with_options(**options)
    return list(await asyncio.gather(*(adder.add_job(note, str(journal), seconds) for _ in range(times))))


async def submit_when_possible(scheduler: Scheduler, journal: Path) -> str:
    """Submit a `note`, again if it is refused: a machine that was cut off may not have noticed that it is back."""
    while True:
        with suppress(StoreUnavailable):
            return await scheduler.add_job(note, str(journal))


async def submit_for(scheduler: Scheduler, journal: Path, seconds: float, rate: float) -> list[str]:
    """Submit so many `note`s a second; return those that were accepted."""
    accepted: list[str] = []

    async def submit_one() -> None:
        with suppress(StoreUnavailable):
            accepted.append(await scheduler.add_job(note, str(journal)))

    began, submitted = time.monotonic(), 0
    async with asyncio.TaskGroup() as tasks:
        while (passed := time.monotonic() - began) < seconds:
            for _ in range(round(passed * rate) - submitted):
                tasks.create_task(submit_one())
                submitted += 1
            await asyncio.sleep(1 / rate)
    return accepted


async def submit_quick(scheduler: Scheduler, times: int, **options: Any) -> list[str]:
    adder = scheduler.with_options(**options)
    return list(await asyncio.gather(*(adder.add_job(quick) for _ in range(times))))


async def submit_hold(scheduler: Scheduler, journal: Path, times: int = 1, **options: Any) -> list[str]:
    adder = scheduler.with_options(**options)
    return list(await asyncio.gather(*(adder.add_job(hold, str(journal)) for _ in range(times))))


async def wait_all(scheduler: Scheduler, job_ids: Sequence[str]) -> dict[str, str]:
    """Wait until all have ended; their statuses."""
    return {record.id: record.status.value for record in await asyncio.gather(*map(scheduler.wait, job_ids))}


async def get(scheduler: Scheduler, job_id: str) -> Any:
    return await scheduler.get_record(job_id)


async def cancel(scheduler: Scheduler, job_id: str) -> bool:
    return await scheduler.cancel(job_id)


async def delete(scheduler: Scheduler, job_id: str) -> None:
    await scheduler.delete(job_id)


async def read_stream(scheduler: Scheduler, job_id: str) -> list[tuple[int, str, int]]:
    """What a reader is told: version, status and attempt."""
    return [(record.version, record.status.value, record.attempt) async for record in scheduler.stream(job_id)]


async def problem(scheduler: Scheduler) -> str | None:
    return await scheduler.find_problem()


async def pause(scheduler: Scheduler) -> None:
    scheduler.pause()


def block(_scheduler: Scheduler, seconds: float) -> None:
    """Keep the event loop from everything else."""
    time.sleep(seconds)


async def submit_and_wait(scheduler: Scheduler, **options: Any) -> str:
    job_id = await scheduler.with_options(**options).add_job(quick)
    return (await scheduler.wait(job_id)).status.value


async def report(seconds: float) -> None:
    """A job that says often how far it is."""
    for step in range(50):
        current_job().progress(step, 50)
        await asyncio.sleep(seconds / 50)


async def follow_until(scheduler: Scheduler, name: str) -> dict[str, list[int]]:
    """The versions of each job that a follower of all is told, until a job of this name has ended."""
    seen: dict[str, list[int]] = {}
    async with scheduler.follow() as reader:
        while True:
            change = await reader.next_event()
            if change is not None and change.record is not None:
                seen.setdefault(change.job_id, []).append(change.record.version)
                if change.record.name == name and change.record.status.is_terminal:
                    return seen


async def read_in_turns(job_id: str, *schedulers: Scheduler) -> list[tuple[int, str, int]]:
    """Read a job's life a few events at a time, each time in the next process."""
    seen: list[tuple[int, str, int]] = []
    for scheduler in cycle(schedulers):
        with suppress(StoreUnavailable):
            async with scheduler.watch(job_id, seen[-1][0] if seen else 0) as reader:
                for _ in range(5):
                    while (event := await reader.next_event()) is None:
                        pass
                    assert event.record is not None
                    seen.append((event.record.version, event.record.status.value, event.record.attempt))
                    if event.record.status.is_terminal:
                        return seen
    raise AssertionError
