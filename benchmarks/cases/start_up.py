"""What it takes until the command answers, and until the package is imported: nobody waits for that twice."""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from benchmarks.contestants import Contestant, Contestants, in_rounds
from benchmarks.figures import LIMIT, Figure, Target

_HELP = (["-m", "servicekit.cli.main", "--help"], ["-c", "pass"])
_IMPORT = (["-c", "import servicekit.api"], ["-c", "import fastapi"])


def measure(contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    rounds = 1 if quick else 15
    measured = [*contestants.own, contestants.limit]
    answers = in_rounds(measured, rounds, partial(cpu_milliseconds, _HELP))
    yield Figure(
        "`servicekit --help`: CPU", "ms", answers, (Target(60),), "the limit is an interpreter that does nothing"
    )
    imports = in_rounds(measured, rounds, partial(cpu_milliseconds, _IMPORT))
    yield Figure("`import servicekit.api`: CPU", "ms", imports, note="the limit is `import fastapi`")
    more = {name: beside(imports[name], imports[LIMIT]) for name in imports if name != LIMIT}
    yield Figure("`import servicekit.api`: more than FastAPI", "ms", more, (Target(120),))


def cpu_milliseconds(programs: tuple[Sequence[str], Sequence[str]], contestant: Contestant) -> float:
    ours, limit = programs
    arguments = limit if contestant.name == LIMIT else ours
    environment: Mapping[str, str] = os.environ
    if contestant.source:
        environment = {**os.environ, "PYTHONPATH": str(contestant.source)}
    before = _children_seconds()
    subprocess.run([contestant.python, *arguments], env=environment, stdout=subprocess.DEVNULL, check=True)
    return (_children_seconds() - before) * 1000


def beside(values: Sequence[float], limits: Sequence[float]) -> list[float]:
    return [value - limit for value, limit in zip(values, limits, strict=True)]


def _children_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system
