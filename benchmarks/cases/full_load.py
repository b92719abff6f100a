"""How long a trivial endpoint takes while its service, or a worker process beside it, has all the work there can be."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from benchmarks.clients import load, request_of
from benchmarks.contestants import Contestant, Contestants, rotated
from benchmarks.disk import temporary_folder
from benchmarks.figures import OURS, Figure, percentile
from benchmarks.probe import probing
from benchmarks.servers import Server, serving
from benchmarks.worker import working

_CONNECTIONS = 8
_SUBMIT = request_of("POST", "/restartable")
_HEAVY_AT_ONCE = 4
_SETTLE_SECONDS = 0.3


def measure(contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    rounds, jobs, seconds = (1, 200, 0.3) if quick else (5, 10_000, 5.0)
    ours = contestants.ours
    questions: dict[str, Callable[[], list[float]]] = {
        "no-ops at the full rate, in memory": lambda: during_submissions(ours, jobs, is_durable=False),
        "no-ops at the full rate, durable": lambda: during_submissions(ours, jobs, is_durable=True),
        "heavy Python jobs in the service itself": lambda: during_heavy_jobs(ours, seconds, is_apart=False),
        "heavy Python jobs in a worker process": lambda: during_heavy_jobs(ours, seconds, is_apart=True),
    }
    delays: dict[str, list[list[float]]] = {name: [] for name in questions}
    for number in range(rounds):
        for name, ask in rotated(list(questions.items()), number):
            delays[name].append(ask())
    for name in questions:
        for percent, label in ((50, "median"), (99, "p99")):
            values = {OURS: [percentile(each, percent) * 1000 for each in delays[name]]}
            yield Figure(f"{name}: a trivial endpoint, {label}", "ms", values)


def during_submissions(ours: Contestant, jobs: int, *, is_durable: bool) -> list[float]:
    """The service is asked for jobs as fast as it accepts them."""
    with temporary_folder() as folder:
        url = f"sqlite:///{folder / 'jobs.db'}" if is_durable else "memory://"
        with serving(ours, SERVICEKIT_JOBS_URL=url) as server, probing(server) as delays:
            asyncio.run(load(server.address, _SUBMIT, jobs, _CONNECTIONS))
    return delays


def during_heavy_jobs(ours: Contestant, seconds: float, *, is_apart: bool) -> list[float]:
    """Some jobs that keep a thread each busy with Python, here or elsewhere."""
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        settings = {"SERVICEKIT_JOBS_URL": f"sqlite:///{folder / 'jobs.db'}"}
        if is_apart:
            stack.enter_context(working(ours, **settings))
            settings["BENCHMARK_ACCEPTS_ONLY"] = "1"
        server = stack.enter_context(serving(ours, **settings))
        submit_heavy_jobs(server, seconds + _SETTLE_SECONDS)
        time.sleep(_SETTLE_SECONDS)
        with probing(server) as delays:
            time.sleep(seconds)
    return delays


def submit_heavy_jobs(server: Server, seconds: float) -> None:
    """They share one interpreter, so that each needs a part of its core."""
    for _ in range(_HEAVY_AT_ONCE):
        server.post(f"/burn?seconds={seconds}")
