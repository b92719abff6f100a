"""What one finished record costs in memory when all are kept."""

from collections.abc import Iterator

from benchmarks.contestants import Contestants
from benchmarks.figures import Figure, Target


def measure(contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    count = 20_000 if quick else 100_000
    answers = contestants.in_rounds(1, lambda each: each.run("benchmarks.engine", "memory", str(count))["bytes"])
    yield Figure(f"memory per record, {count:,} finished", "bytes", answers, (Target(1200),))
