"""What the list and one record cost when many jobs have finished, and whom that delays."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from benchmarks.clients import Connection, request_of
from benchmarks.contestants import Contestant, Contestants
from benchmarks.figures import Figure, Target, percentile
from benchmarks.probe import probing
from benchmarks.servers import serving

_JOBS = "/api/v1/jobs"
_FEWEST = 2


@dataclass(frozen=True)
class Finished:
    first_page: float
    no_hit: float
    one_record: float
    delay_p99: float
    delay_worst: float


_ROWS = (
    ("first_page", "first page of the list", (Target(10),)),
    ("no_hit", "a filter without a hit", (Target(10),)),
    ("one_record", "one record", ()),
    ("delay_p99", "a trivial endpoint meanwhile, p99", (Target(10),)),
    ("delay_worst", "a trivial endpoint meanwhile, worst", (Target(10),)),
)


def measure(contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    rounds, count, seconds = (1, 1_000, 0.2) if quick else (3, 100_000, 2.0)
    results = contestants.in_rounds(rounds, lambda each: measure_lists(each, count, seconds))
    for key, name, targets in _ROWS:
        values = {each: [getattr(finished, key) * 1000 for finished in results[each]] for each in results}
        yield Figure(f"{count:,} finished jobs: {name}", "ms", values, targets)


def measure_lists(contestant: Contestant, count: int, seconds: float) -> Finished:
    with serving(contestant, BENCHMARK_KEEPS_ALL="1") as server:
        job_id = server.post(f"/noops?count={count}")
        with probing(server) as delays, Connection(server.address) as connection:
            first_page = request_seconds(connection, _JOBS, seconds)
            no_hit = request_seconds(connection, f"{_JOBS}?status_filter=failed", seconds)
            one_record = request_seconds(connection, f"{_JOBS}/{job_id}", seconds)
    return Finished(first_page, no_hit, one_record, percentile(delays, 99), max(delays))


def request_seconds(connection: Connection, path: str, seconds: float, method: str = "GET") -> float:
    """The median time of a request that is repeated without a pause."""
    times: list[float] = []
    request = request_of(method, path)
    end = time.monotonic() + seconds
    while len(times) < _FEWEST or time.monotonic() < end:
        start = time.monotonic()
        connection.exchange(request)
        times.append(time.monotonic() - start)
    return median(times)
