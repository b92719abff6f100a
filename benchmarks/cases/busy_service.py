"""How long a trivial endpoint takes while streams are open and jobs are submitted."""

import time
from collections.abc import Iterator

from benchmarks.clients import Connection, Crowd, request_of
from benchmarks.contestants import Contestant, Contestants
from benchmarks.figures import Figure, Target, percentile
from benchmarks.probe import probing
from benchmarks.servers import serving

_JOBS_PER_SECOND = 200
_SUBMIT = request_of("POST", "/noop")


def measure(contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    rounds, streams, seconds = (1, 50, 0.5) if quick else (3, 1_000, 10.0)
    delays = contestants.in_rounds(rounds, lambda each: measure_delays(each, streams, seconds))
    name = f"{streams:,} streams, {_JOBS_PER_SECOND} jobs/s: a trivial endpoint"
    for percent, label, targets in ((50, "median", ()), (99, "p99", (Target(5),)), (100, "worst", (Target(25),))):
        values = {each: [percentile(each_round, percent) * 1000 for each_round in delays[each]] for each in delays}
        yield Figure(f"{name}, {label}", "ms", values, targets)


def measure_delays(contestant: Contestant, streams: int, seconds: float) -> list[float]:
    """Each stream watches a job of its own that runs all the while."""
    with serving(contestant) as server, Crowd(server.address) as crowd:
        crowd.open([server.post(f"/held?name={number}")["stream_url"] for number in range(streams)])
        with probing(server) as delays, Connection(server.address) as connection:
            submit_steadily(connection, seconds)
    return delays


def submit_steadily(connection: Connection, seconds: float) -> None:
    """Submit by the clock; what a slow answer held up is submitted late, but submitted."""
    start = time.monotonic()
    for number in range(int(seconds * _JOBS_PER_SECOND)):
        time.sleep(max(start + number / _JOBS_PER_SECOND - time.monotonic(), 0))
        connection.exchange(_SUBMIT)
