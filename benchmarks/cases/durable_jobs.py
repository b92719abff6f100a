"""How many no-ops a second one process submits, runs and finishes, each of them kept on the disk."""

from collections.abc import Iterator
from statistics import median
from typing import Any

from benchmarks.contestants import Contestant, Contestants, rotated
from benchmarks.disk import temporary_folder
from benchmarks.figures import PEER, Figure, Target

_CALLERS = {1: (), 50: (Target(5_000, at_least=True),), 1_000: (Target(5_000, at_least=True),)}
_JOBS = {1: 1_000, 50: 15_000, 1_000: 15_000}
_PEERS_JOBS = {"huey": 2_000, "persist_queue": 2_000, "dbos": 200}
"""A second or two of work each."""
_FIVE_TIMES = Target(5, at_least=True, relative_to=PEER)


def measure(contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    """The peers are asked once a round, in the arrangement that suits each best; the best of them counts."""
    rounds = 1 if quick else 7
    measured = [*contestants.own, contestants.limit]
    questions = [(each, callers) for each in measured for callers in _CALLERS]
    answers: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for number in range(rounds):
        for contestant, callers in rotated([*questions, *((peer, 0) for peer in contestants.embedded_peers)], number):
            answers.setdefault((contestant.name, callers), []).append(ask(contestant, callers, quick))
    peers = {peer.name: answers[peer.name, 0] for peer in contestants.embedded_peers}
    best = best_of(peers)
    for callers, targets in _CALLERS.items():
        rates = {each.name: rates_of(answers[each.name, callers]) for each in measured}
        name = f"whole durable no-ops, callers waiting: {callers:,}"
        if callers == 1:  # the peers had more, where that suits them
            yield Figure(name, "jobs/s", rates, targets)
        else:
            yield Figure(name, "jobs/s", rates | best, (*targets, _FIVE_TIMES), note_on(peers))
    cpu = {each.name: [answer["microseconds"] for answer in answers[each.name, 1_000]] for each in measured}
    yield Figure("whole durable no-ops, callers waiting: 1,000: CPU of one", "µs", cpu)


def ask(contestant: Contestant, callers: int, quick: bool) -> dict[str, Any]:
    """A peer has no number of callers: it may choose."""
    with temporary_folder() as folder:
        if callers:
            jobs = 300 if quick else _JOBS[callers]
            answer: dict[str, Any] = contestant.run("benchmarks.durable", "lives", folder, callers, jobs)
        else:
            jobs = 50 if quick else _PEERS_JOBS[contestant.name]
            answer = contestant.run(f"benchmarks.peers.{contestant.name}", folder, jobs)
        return answer


def best_of(peers: dict[str, list[dict[str, Any]]]) -> dict[str, list[float]]:
    """The rounds of all peers, and again those of the best as the peer's."""
    rates = {name: rates_of(answers) for name, answers in peers.items()}
    if not rates:
        return {}
    return {**rates, PEER: max(rates.values(), key=median)}


def note_on(peers: dict[str, list[dict[str, Any]]]) -> str:
    return "; ".join(
        f"{name} {median(rates_of(answers)):,.0f} ({answers[-1]['durability']}; {answers[-1]['arrangement']})"
        for name, answers in peers.items()
    )


def rates_of(answers: list[dict[str, Any]]) -> list[float]:
    return [answer["per_second"] for answer in answers]
