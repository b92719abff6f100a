"""What a job on a cluster takes, beside a process of this machine, and beside Ray by itself."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from benchmarks.contestants import Contestant, Contestants, in_rounds, on_all_cores
from benchmarks.figures import LIMIT, Figure, Target, percentile
from tools.ray_cluster import run_cluster

_CPUS = 4
_LABELS = {"ray": "on a cluster", "process": "the same in processes of this machine"}
_NOTES = {"ray": "the limit is Ray's task, in a process that other tasks have used; ours has a process of its own"}


def measure(contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    """A cluster of two nodes on this machine. Bare tasks have no record, no log, and no process of their own."""
    starts, jobs, rounds = (5, 20, 1) if quick else (100, 1_000, 3)
    with on_all_cores(), run_cluster(["one", "two"], cpus=_CPUS) as cluster:
        for kind, label in _LABELS.items():
            measured = [contestants.ours, contestants.limit] if kind == "ray" else [contestants.ours]
            found = in_rounds(measured, rounds, partial(ask, kind, cluster.address, starts, jobs))
            yield from _figures(label, found, _NOTES.get(kind, ""))


def ask(kind: str, address: str, starts: int, jobs: int, contestant: Contestant) -> dict[str, Any]:
    answer: dict[str, Any] = contestant.run("benchmarks.clusters", kind, address, starts, jobs)
    return answer


def _figures(label: str, found: dict[str, list[dict[str, Any]]], note: str) -> Iterator[Figure]:
    is_cluster = LIMIT in found
    for percent, name in ((50, "median"), (99, "p99")):
        values = {each: [percentile(one["starts"], percent) * 1000 for one in found[each]] for each in found}
        targets = (Target(1.5, relative_to=LIMIT),) if is_cluster and percent == 50 else ()
        yield Figure(f"from add_job to a first line, {label}: {name}", "ms", values, targets, note if targets else "")
    values = {each: [percentile(one["cancels"], 50) * 1000 for one in found[each]] for each in found}
    yield Figure(f"from cancel to its end, {label}: median", "ms", values, (Target(100),) if is_cluster else ())
    values = {each: [one["rate"] for one in found[each]] for each in found}
    yield Figure(f"short jobs at once, {label}", "jobs/s", values)
    values = {each: [one["cpu"] * 1_000_000 for one in found[each]] for each in found}
    yield Figure(f"short jobs at once, {label}: CPU of the service for one", "µs", values)
