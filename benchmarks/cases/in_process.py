"""What one no-op costs in a process that does nothing else, also behind a long queue."""

from collections.abc import Iterator

from benchmarks.contestants import Contestant, Contestants
from benchmarks.figures import LIMIT, Figure, Target


def measure(contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    """CPU time, not the clock's: others on the machine matter less."""
    rounds, jobs = (1, 2_000) if quick else (5, 20_000)
    short, long = (10, 500) if quick else (10, 10_000)

    def ask(question: str, count: int) -> dict[str, list[dict[str, float]]]:
        def answer(contestant: Contestant) -> dict[str, float]:
            answered: dict[str, float] = contestant.run("benchmarks.engine", question, str(count))
            return answered

        return contestants.in_rounds(rounds, answer)

    noops = ask("noop", jobs)
    yield Figure("submit and run a no-op: CPU", "µs", _each(noops, "microseconds"), (Target(16),))
    yield Figure("submit and run a no-op: rate", "jobs/s", _each(noops, "per_second"))
    behind_few, behind_many = (_each(ask("queued", count), "microseconds") for count in (short, long))
    yield Figure(f"one job with {short:,} others queued: CPU", "µs", behind_few)
    yield Figure(f"one job with {long:,} others queued: CPU", "µs", behind_many)
    growth = {
        name: [many / few for many, few in zip(behind_many[name], behind_few[name], strict=True)] for name in behind_few
    }
    yield Figure(f"growth of that cost, {long:,} to {short:,}", "×", growth, (Target(1.25, relative_to=LIMIT),))


def _each(rounds: dict[str, list[dict[str, float]]], key: str) -> dict[str, list[float]]:
    return {name: [answer[key] for answer in answers] for name, answers in rounds.items()}
