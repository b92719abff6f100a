"""What it costs a job to say how far it is, or a line of its log, and how soon a reader has it."""

from collections.abc import Iterator
from functools import partial

from benchmarks.contestants import Contestant, Contestants, in_rounds
from benchmarks.disk import PLACES, new_jobs_url
from benchmarks.figures import OURS, Figure, percentile

_CALLS = {
    "progress": ("current_job().progress()", "the limit is a function that does nothing"),
    "log": ("current_job().log()", "the limit is a print to a file"),
    "print": ("print() in a job", "the limit is a print to a file"),
    "logging": ("logging.info() in a job", "the limit is logging to a file"),
}
_KINDS = {"progress": "progress", "log": "a line of the log"}


def measure(contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    rounds, calls, reports = (1, 2_000, 5) if quick else (3, 200_000, 100)
    pair = [contestants.ours, contestants.limit]
    for call, (label, note) in _CALLS.items():
        costs = in_rounds(pair, rounds, partial(cost_of, call, calls))
        yield Figure(f"{label}: CPU of the caller", "ns", costs, note=note)
    for place in PLACES:
        for kind, label in _KINDS.items():
            delays = [delays_of(contestants, kind, place, reports) for _ in range(rounds)]
            for percent, name in ((50, "median"), (99, "p99")):
                values = {OURS: [percentile(each, percent) * 1000 for each in delays]}
                yield Figure(f"{label} to a reader, {place}: {name}", "ms", values)


def cost_of(call: str, calls: int, contestant: Contestant) -> float:
    nanoseconds: float = contestant.run("benchmarks.reports", "cost", call, calls)
    return nanoseconds


def delays_of(contestants: Contestants, kind: str, place: str, reports: int) -> list[float]:
    with new_jobs_url(place) as url:
        delays: list[float] = contestants.ours.run("benchmarks.reports", "delays", kind, url, reports)
        return delays
