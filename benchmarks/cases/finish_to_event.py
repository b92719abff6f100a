"""How long after a job's real finish its event is at the client."""

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks.clients import Connection, Crowd
from benchmarks.contestants import Contestants
from benchmarks.figures import Figure, Target, percentile
from benchmarks.servers import Server, serving

AT_ONCE = 20
_SHORTEST, _LONGEST = 0.1, 0.6
"""Seconds that a job runs: long enough for its stream to be open, and as varied as the peer's polls are apart."""


def measure(contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    rounds, waves = (1, 1) if quick else (5, 5)
    with ExitStack() as stack:
        servers = {each.name: stack.enter_context(serving(each)) for each in contestants}
        for server in servers.values():
            run_wave(server, "warm-up")
        delays = contestants.in_rounds(
            rounds, lambda each: [delay for wave in range(waves) for delay in run_wave(servers[each.name], f"{wave}")]
        )
    for percent, name, bound in ((50, "median", 1), (99, "p99", 10)):
        values = {name: [percentile(each, percent) * 1000 for each in delays[name]] for name in delays}
        yield Figure(f"finish to event at the client: {name}", "ms", values, (Target(bound),))


def run_wave(server: Server, wave: str) -> list[float]:
    """Seconds from finish to event for some jobs that run at the same time, each with a stream."""
    seen_at = watch_wave(server, wave, "/timed")
    finished_at = server.get("/finished")
    return [seen - finished_at[name] for name, seen in seen_at.items()]


def watch_wave(server: Server, wave: str, path: str) -> dict[str, float]:
    """When the clients of some jobs knew that they had finished, by the jobs' names."""
    names = {}
    with Connection(server.address) as connection, Crowd(server.address) as crowd:
        for number in range(AT_ONCE):
            name = f"{wave}-{number}-{time.monotonic_ns()}"
            seconds = random.uniform(_SHORTEST, _LONGEST)
            submitted = connection.post(f"{path}?name={name}&seconds={seconds}")
            names[crowd.start(submitted["stream_url"])] = name
        return {names[stream]: at for stream, at in crowd.wait_ended().items()}
