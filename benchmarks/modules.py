"""The services with artifacts, tasks and models, each in a new folder, and how a request to one is watched."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from benchmarks.contestants import Contestant
from benchmarks.disk import temporary_folder
from benchmarks.figures import PEER
from benchmarks.servers import Server, serving

T = TypeVar("T")


@dataclass(frozen=True)
class Cost:
    """What a request has cost its server."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    """How much more memory the server held at most than before."""


@contextmanager
def serving_modules(contestant: Contestant) -> Iterator[Server]:
    """The contestant's service. What ours keeps is on the disk; what the peer keeps is where it does by default."""
    app = "chapkit" if contestant.name == PEER else "modules"
    with temporary_folder() as folder:
        url = f"sqlite:///{folder / 'jobs.db'}"
        with serving(contestant, app, BENCHMARK_FOLDER=str(folder), SERVICEKIT_JOBS_URL=url) as server:
            yield server


def cost_of(server: Server, request: Callable[[], T]) -> tuple[Cost, T]:
    """Make the request. What it costs, and what it returns."""
    held, cpu, clock = server.reset_peak_bytes(), server.cpu_seconds(), time.perf_counter()
    answer = request()
    seconds, cpu = time.perf_counter() - clock, server.cpu_seconds() - cpu
    return Cost(seconds, cpu, max(0, server.peak_bytes() - held)), answer
