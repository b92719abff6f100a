"""How a peer that keeps jobs in PostgreSQL is asked: `python -m benchmarks.peers.NAME NAME QUESTION URL NUMBERS`."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from benchmarks.contestants import use_all_cores
from benchmarks.meter import Cost, Meter

CALLERS_POOLS = (10, 50)
"""How many connections a process may have that submits."""

_TRIAL_SHARE = 10
_POLL_SECONDS = 0.002


class Arrangement(NamedTuple):
    """How a peer works off many jobs."""

    is_first_submitted: bool
    width: int
    """How many it takes, or runs, at once."""


class Opened(Protocol):
    """A peer that is connected. Its jobs call what they were given."""

    async def submit(self) -> object:
        """Submit one job."""

    async def submit_many(self, count: int) -> None:
        """Submit so many, in the way that takes it the least."""

    async def work(self, limit: int, width: int) -> None:
        """Run jobs until it is cancelled, in all processes never more than the limit at once; 0 is no limit."""

    async def count_open(self) -> int:
        """How many have not ended."""


@dataclass(frozen=True)
class Served:
    install: Callable[[str], Awaitable[None]]
    """Make its tables in the database at the address."""
    open: Callable[[str, Callable[[], Awaitable[None]], int], AbstractAsyncContextManager[Opened]]
    """Connect to the address: what its jobs call, and how many connections it may have."""
    arrangements: Sequence[Arrangement]


class Work:
    """The job: it counts itself, and may take a while."""

    def __init__(self, seconds: float = 0) -> None:
        self.done = 0
        self._seconds = seconds

    async def run(self) -> None:
        if self._seconds:
            await asyncio.sleep(self._seconds)
        self.done += 1


async def cost_of_submissions(peer: Served, url: str, server_pid: int, callers: int, count: int) -> tuple[Cost, str]:
    """Each caller waits for each of its jobs."""

    async def submit(connections: int, jobs: int) -> Cost:
        async with peer.open(url, Work().run, connections) as opened:

            async def call(number: int) -> None:
                for _ in range(jobs // callers + (number < jobs % callers)):
                    await opened.submit()

            await opened.submit()
            meter = Meter(server_pid)
            await asyncio.gather(*map(call, range(callers)))
            return meter.read(jobs)

    await peer.install(url)
    pools = CALLERS_POOLS if callers > 1 else (1,)
    tried = {connections: (await submit(connections, count // _TRIAL_SHARE)).per_second for connections in pools}
    best = max(tried, key=lambda connections: tried[connections])
    return await submit(best, count), f"({best} connections)"


async def cost_of_lives(peer: Served, url: str, server_pid: int, limit: int, count: int) -> tuple[Cost, str]:
    """From the first submission until no job is open any more."""
    await peer.install(url)
    tried = {each: await _live(peer, url, server_pid, limit, each, count // _TRIAL_SHARE) for each in peer.arrangements}
    best = max(tried, key=lambda arrangement: tried[arrangement].per_second)
    order = "after" if best.is_first_submitted else "beside"
    return await _live(peer, url, server_pid, limit, best, count), f"({best.width} at once, {order} the submissions)"


async def _live(peer: Served, url: str, server_pid: int, limit: int, how: Arrangement, count: int) -> Cost:
    work = Work()
    async with peer.open(url, work.run, min(CALLERS_POOLS)) as opened:
        meter = Meter(server_pid)
        worker = None if how.is_first_submitted else asyncio.create_task(opened.work(limit, how.width))
        await opened.submit_many(count)
        worker = worker or asyncio.create_task(opened.work(limit, how.width))
        while work.done < count or await opened.count_open():  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)
        cost = meter.read(count)
        worker.cancel()
        await asyncio.wait([worker])
        return cost


async def fill(peer: Served, url: str, count: int) -> None:
    await peer.install(url)
    async with peer.open(url, Work().run, 1) as opened:
        await opened.submit_many(count)


async def run_jobs(peer: Served, url: str, limit: int, milliseconds: int, width: int) -> None:
    """Work when told so by a line, until the standard input ends."""
    async with peer.open(url, Work(milliseconds / 1000).run, min(CALLERS_POOLS)) as opened:
        print("ready", flush=True)
        sys.stdin.readline()
        worker = asyncio.create_task(opened.work(limit, width))
        await asyncio.to_thread(sys.stdin.read)
        worker.cancel()
        await asyncio.wait([worker])


QUESTIONS: dict[str, Callable[..., Awaitable[object]]] = {
    "submissions": cost_of_submissions,
    "lives": cost_of_lives,
    "fill": fill,
    "work": run_jobs,
}


def main(peer: Served) -> None:
    _, _, question, url, *numbers = sys.argv
    use_all_cores()

    async def answer() -> object:
        return await QUESTIONS[question](peer, url, *map(int, numbers))

    print(json.dumps(asyncio.run(answer())), flush=True)
