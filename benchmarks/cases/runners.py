"""How soon each runner has its target's first line running, once it is warm."""

from collections.abc import Iterator
from functools import partial

from benchmarks.contestants import Contestant, Contestants, in_rounds
from benchmarks.figures import Figure, Target, percentile

_LABELS = {
    "coroutine": "a coroutine's first line",
    "thread": "a thread's first line",
    "process": "a process's first line",
    "command": "the end of the command `true`",
    "heavy": "a process's first line, with FastAPI to import",
    "preloaded": "the same, imported by `preload`",
}
_WITHOUT_LIMIT = ("heavy", "preloaded")
_STARTS = {"coroutine": 2_000, "thread": 2_000, "process": 100, "command": 200, "heavy": 30, "preloaded": 100}
_TARGETS = {"process": (Target(8),)}
_LIMITS = {
    "coroutine": "the limit is a task",
    "thread": "the limit is a thread",
    "process": "the limit is a process that `multiprocessing` spawns",
    "command": "the limit is `subprocess.run`",
}


def measure(contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    """One at a time, in memory: what the runner takes, and not what the jobs before do."""
    rounds = 1 if quick else 3
    for kind, label in _LABELS.items():
        measured = [contestants.ours] if kind in _WITHOUT_LIMIT else [*contestants.own, contestants.limit]
        delays = in_rounds(measured, rounds, partial(ask, kind, 5 if quick else _STARTS[kind]))
        for percent, name in ((50, "median"), (99, "p99")):
            values = {each: [percentile(seconds, percent) * 1000 for seconds in delays[each]] for each in delays}
            targets, note = (_TARGETS.get(kind, ()), _LIMITS.get(kind, "")) if percent == 50 else ((), "")
            yield Figure(f"from add_job to {label}: {name}", "ms", values, targets, note)


def ask(kind: str, count: int, contestant: Contestant) -> list[float]:
    seconds: list[float] = contestant.run("benchmarks.starts", kind, count)
    return seconds
