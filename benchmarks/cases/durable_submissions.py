"""How many submissions a second are on the disk when they are acknowledged. Nothing is run meanwhile."""

from collections.abc import Iterator
from functools import partial
from statistics import median
from typing import Any

from benchmarks.contestants import Contestant, Contestants, in_rounds
from benchmarks.disk import temporary_folder
from benchmarks.figures import LIMIT, Figure, Target

_CALLERS = {
    # The limit of a single caller has nothing to share a commit with.
    1: (Target(0.833, at_least=True, relative_to=LIMIT),),
    50: (Target(10_000, at_least=True), Target(0.5, at_least=True, relative_to=LIMIT)),
    1_000: (Target(10_000, at_least=True), Target(0.5, at_least=True, relative_to=LIMIT)),
}
_JOBS = {1: 1_000, 50: 20_000, 1_000: 40_000}


def measure(contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    rounds = 1 if quick else 9
    pair = [*contestants.own, contestants.limit]
    for callers, targets in _CALLERS.items():
        jobs = min(200 * callers, 1_000) if quick else _JOBS[callers]
        rates = in_rounds(pair, rounds, partial(ask, "submissions", callers, jobs))
        loop = "" if callers == 1 else loop_note(contestants.limit, rounds, callers, jobs)
        yield Figure(f"durable submissions, callers waiting: {callers:,}", "jobs/s", rates, targets, loop)


def loop_note(limit: Contestant, rounds: int, callers: int, jobs: int) -> str:
    """What the limit writes if it has nobody to answer."""
    rates = [ask("loop", callers, jobs, limit) for _ in range(rounds)]
    return (
        f"a loop that commits groups of {callers:,} of the limit's rows, and answers nobody, has {median(rates):,.0f}"
    )


def ask(question: str, callers: int, jobs: int, contestant: Contestant) -> Any:
    with temporary_folder() as folder:
        return contestant.run("benchmarks.durable", question, folder, callers, jobs)["per_second"]
