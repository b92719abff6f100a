"""What open streams cost while nothing happens, and how soon all of them have the one event that does."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.clients import Crowd
from benchmarks.contestants import Contestant, Contestants
from benchmarks.figures import LIMIT, PEER, Figure, Target
from benchmarks.servers import Server, raise_open_files_limit, serving

_SETTLE_SECONDS = 0.5
_WARM_UP = 20
_SATURATED_PERCENT = 80.0


@dataclass(frozen=True)
class Idle:
    cpu_percent: float
    stream_kilobytes: float
    last_seconds: float


_ROWS = (
    ("cpu_percent", "CPU", "% core"),
    ("stream_kilobytes", "memory each", "kB"),
    ("last_seconds", "all have the final event after", "s"),
)
_TARGETS = {
    "cpu_percent": Target(1),  # 0.6 CPU seconds a minute
    "stream_kilobytes": Target(1.5, relative_to=LIMIT),
    "last_seconds": Target(2),
}


def measure(contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    """One server at a time: each has the machine for itself."""
    # A minute is long enough for four rounds of the comments that keep a silent connection alive.
    few, many, seconds = (20, 100, 0.3) if quick else (1_000, 10_000, 60.0)
    if (open_files := raise_open_files_limit()) < many + 100:
        raise RuntimeError(f"{many:,} streams need as many open files; `ulimit -n` allows {open_files:,}")
    small = {each.name: measure_streams(each, few, seconds) for each in contestants}
    yield from figures_of(few, small)
    able = [each for each in contestants if each.name != PEER or is_able(small[PEER], many / few)]
    note = "" if len(able) == len(small) else f"not asked of the peer: {few:,} streams took much of its core already"
    large = {each.name: measure_streams(each, many, seconds) for each in able}
    yield from figures_of(many, large, _TARGETS, note)


def is_able(idle: Idle, times: float) -> bool:
    """Whether a core would be enough for that many times the streams."""
    return idle.cpu_percent * times < _SATURATED_PERCENT


def figures_of(
    count: int, results: dict[str, Idle], targets: dict[str, Target] | None = None, note: str = ""
) -> Iterator[Figure]:
    targets = targets or {}
    for key, name, unit in _ROWS:
        values = {contestant: [getattr(idle, key)] for contestant, idle in results.items()}
        bounds = (targets[key],) if key in targets else ()
        yield Figure(f"{count:,} idle streams: {name}", unit, values, bounds, note if key == "cpu_percent" else "")


def measure_streams(contestant: Contestant, count: int, seconds: float, **environment: str) -> Idle:
    """All streams watch one job, which ends when the idle time is over."""
    with serving(contestant, **environment) as server, Crowd(server.address) as crowd:
        path = server.post("/held?name=shared")["stream_url"]
        crowd.open([path] * _WARM_UP)
        time.sleep(_SETTLE_SECONDS)
        before = server.own_bytes()
        crowd.open([path] * count)
        time.sleep(_SETTLE_SECONDS)
        stream_bytes = (server.own_bytes() - before) / count
        cpu_percent = idle_percent(server, seconds)
        server.post("/release")
        last = max(crowd.wait_ended().values())
        last_seconds = last - server.get("/finished")["shared"]
    return Idle(cpu_percent, stream_bytes / 1000, last_seconds)


def idle_percent(server: Server, seconds: float) -> float:
    """How much of a core the server uses while nothing happens."""
    cpu, clock = server.cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    return (server.cpu_seconds() - cpu) / (time.monotonic() - clock) * 100
