"""What it takes until the command answers, and until the package is imported: nobody waits for that twice.

Everything is measured as it is once installed, with its bytecode at hand: pip compiles what it installs, and otherwise
Python does so at the first import. Where the environment forbids that (`PYTHONDONTWRITEBYTECODE`), every start would
compile all of the source again, ours and FastAPI's.
"""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from resource import RUSAGE_CHILDREN, getrusage
from tempfile import TemporaryDirectory

from benchmarks.contestants import Contestant, Contestants, in_rounds
from benchmarks.figures import LIMIT, Figure, Target

_Programs = tuple[Sequence[str], Sequence[str]]

_HELP: _Programs = (["-m", "servicekit.cli.main", "--help"], ["-c", "pass"])
_IMPORT: _Programs = (["-c", "import servicekit.api"], ["-c", "import fastapi"])


def measure(contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    measured = [*contestants.own, contestants.limit]
    with TemporaryDirectory() as bytecode:
        for programs in (_HELP, _IMPORT):  # once, to compile
            in_rounds(measured, 1, partial(cpu_milliseconds, programs, bytecode))
        yield from _measure(measured, bytecode, rounds=1 if quick else 15)


def _measure(measured: Sequence[Contestant], bytecode: str, *, rounds: int) -> Iterator[Figure]:
    answers = in_rounds(measured, rounds, partial(cpu_milliseconds, _HELP, bytecode))
    yield Figure(
        "`servicekit --help`: CPU", "ms", answers, (Target(60),), "the limit is an interpreter that does nothing"
    )
    imports = in_rounds(measured, rounds, partial(cpu_milliseconds, _IMPORT, bytecode))
    yield Figure("`import servicekit.api`: CPU", "ms", imports, note="the limit is `import fastapi`")
    more = {name: beside(imports[name], imports[LIMIT]) for name in imports if name != LIMIT}
    yield Figure("`import servicekit.api`: more than FastAPI", "ms", more, (Target(120),))


def cpu_milliseconds(programs: _Programs, bytecode: str, contestant: Contestant) -> float:
    ours, limit = programs
    arguments = limit if contestant.name == LIMIT else ours
    environment: Mapping[str, str] = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode, "PYTHONDONTWRITEBYTECODE": ""}
    if contestant.source:
        environment = {**environment, "PYTHONPATH": str(contestant.source)}
    before = _children_seconds()
    subprocess.run([contestant.python, *arguments], env=environment, stdout=subprocess.DEVNULL, check=True)
    return (_children_seconds() - before) * 1000


def beside(values: Sequence[float], limits: Sequence[float]) -> list[float]:
    return [value - limit for value, limit in zip(values, limits, strict=True)]


def _children_seconds() -> float:
    usage = getrusage(RUSAGE_CHILDREN)  # os.times() counts in hundredths of a second
    return usage.ru_utime + usage.ru_stime
