"""Whether claiming, getting and listing cost more when many jobs are kept in the file."""

from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks.contestants import Contestants, rotated
from benchmarks.disk import temporary_folder
from benchmarks.figures import OURS, Figure, Target
from benchmarks.filled import fill

_PENDING = 10_000
_ROWS = {"claim": "claim one", "get": "get one", "page": "first page of the list"}


def measure(contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    """The files stand ready and are asked in turn. Each has jobs that wait, and claims take of them."""
    rounds, repeats, sizes = (1, 20, (100, 1_000)) if quick else (7, 300, (1_000, 100_000, 1_000_000))
    seconds: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
    with ExitStack() as stack:
        folders = {size: stack.enter_context(temporary_folder()) for size in sizes}
        for size, folder in folders.items():
            fill(folder / "jobs.db", finished=size, pending=_PENDING // 10 if quick else _PENDING)
        for number in range(rounds):
            for size, folder in rotated(list(folders.items()), number):
                seconds[size].append(contestants.ours.run("benchmarks.durable", "access", folder, repeats))
    for key, name in _ROWS.items():
        for size in sizes:
            yield Figure(f"{size:,} jobs kept: {name}", "ms", {OURS: [each[key] * 1000 for each in seconds[size]]})
        least, most = sizes[0], sizes[-1]
        growth = [many[key] / few[key] for many, few in zip(seconds[most], seconds[least], strict=True)]
        yield Figure(f"{name}: growth from {least:,} to {most:,} jobs kept", "×", {OURS: growth}, (Target(2),))
