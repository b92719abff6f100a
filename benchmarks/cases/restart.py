"""How long after the start of its process a scheduler runs the first of the jobs that were left."""

import time
from collections.abc import Iterator

from benchmarks.contestants import Contestants
from benchmarks.disk import copy_database, temporary_folder
from benchmarks.figures import OURS, Figure, Target
from benchmarks.filled import fill


def measure(contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    """Nothing of the file is in the process, but what the system has cached of it stays cached."""
    rounds, finished, pending = (1, 1_000, 100) if quick else (5, 1_000_000, 10_000)
    first, own, last = [], [], []
    with temporary_folder() as folder:
        source = folder / "filled.db"
        fill(source, finished=finished, pending=pending)
        for _ in range(rounds):
            copy_database(source, folder / "jobs.db")
            clock = time.monotonic()
            answer = contestants.ours.run("benchmarks.durable", "restart", folder, pending)
            first.append(answer["first_at"] - clock)
            own.append(answer["first_at"] - answer["began_at"])
            last.append(answer["last_at"] - clock)
    name = f"restart with {finished:,} finished, {pending:,} pending"
    yield Figure(f"{name}: first job runs after", "s", {OURS: first}, (Target(2),))
    yield Figure(f"{name}: … without the interpreter's start", "s", {OURS: own})
    yield Figure(f"{name}: all have run after", "s", {OURS: last})
