"""Who is measured, and how one of them is started in a process of its own."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.figures import BEFORE, LIMIT, OURS, PEER

A = TypeVar("A")

_ROOT = Path(__file__).parent.parent
_CORES_VARIABLE = "BENCHMARK_CORES"
SERVERS_CORE, CLIENTS_CORE = 0, 1

IN_MEMORY = {"SERVICEKIT_JOBS_URL": "memory://"}
"""What our own services and schedulers are told, unless a case is about jobs that are kept on a disk."""


class ContestantFailedError(RuntimeError):
    """A contestant's process did not start, ended or hangs. What it had to say is on stderr."""


@dataclass(frozen=True)
class Contestant:
    name: str
    python: str
    source: Path | None = None
    """Where our own package is, if it is that of another commit."""

    @property
    def kind(self) -> str:
        """Whose programs run it: an older commit is one of ours."""
        return OURS if self.name == BEFORE else self.name

    def start(self, module: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start `python -m module KIND arguments`; it answers on stdout and ends when its stdin does."""
        return subprocess.Popen(
            [self.python, "-m", module, self.kind, *arguments],
            cwd=_ROOT,
            env=self._environment() | IN_MEMORY | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, module: str, *arguments: object, timeout: float = 600) -> Any:
        """Run it to its end; its last line is its answer, in JSON."""
        process = self.start(module, *map(str, arguments))
        question = f"{self.name}: {module} {' '.join(map(str, arguments))}"
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise ContestantFailedError(f"{question} has not answered within {timeout:g} seconds") from None
        finally:
            process.kill()
        if process.returncode != 0:
            raise ContestantFailedError(f"{question} ended with {process.returncode}")
        return json.loads(output.splitlines()[-1])

    def _environment(self) -> dict[str, str]:
        if self.source is not None:
            return {**os.environ, "PYTHONPATH": str(self.source)}
        # A path to this checkout would put our package where the peer's is meant: both have the same name.
        ours = self.python == sys.executable
        return {name: value for name, value in os.environ.items() if ours or not name.startswith("PYTHON")}


@contextlib.contextmanager
def started(start: Callable[[], subprocess.Popen[str]], count: int) -> Iterator[list[subprocess.Popen[str]]]:
    """So many processes while the block runs. Each has said its first line, which is that it is ready."""
    processes = [start() for _ in range(count)]
    try:
        for process in processes:
            assert process.stdout
            if not process.stdout.readline():
                raise ContestantFailedError(f"{process.args!r} did not start")
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


@dataclass(frozen=True)
class Contestants:
    """Ours, the limit, and the peers that there are."""

    peer_python: str | None
    embedded_pythons: Mapping[str, str] = field(default_factory=dict)
    """The interpreters of the peers that keep jobs in a file, by their names."""
    older_source: Path | None = None
    """Our own package as it was at the commit to compare with."""
    modules_python: str | None = None
    """The interpreter of the peer that has artifacts and models."""
    served_pythons: Mapping[str, str] = field(default_factory=dict)
    """The interpreters of the peers that keep jobs in PostgreSQL, by their names."""

    def __iter__(self) -> Iterator[Contestant]:
        """Ours, the limit, and the peer of our name: all of them have a service and a scheduler in memory."""
        yield from self.own
        yield self.limit
        if self.peer_python:
            yield Contestant(PEER, self.peer_python)

    @property
    def ours(self) -> Contestant:
        return Contestant(OURS, sys.executable)

    @property
    def own(self) -> list[Contestant]:
        """Ours, and ours as it was before if that is asked for."""
        before = [Contestant(BEFORE, sys.executable, self.older_source)] if self.older_source else []
        return [self.ours, *before]

    @property
    def limit(self) -> Contestant:
        return Contestant(LIMIT, sys.executable)

    @property
    def with_modules(self) -> list[Contestant]:
        """Ours, and the peer that has artifacts and models too."""
        return [self.ours, *([Contestant(PEER, self.modules_python)] if self.modules_python else [])]

    @property
    def embedded_peers(self) -> list[Contestant]:
        return [Contestant(name, python) for name, python in self.embedded_pythons.items()]

    @property
    def served_peers(self) -> list[Contestant]:
        return [Contestant(name, python) for name, python in self.served_pythons.items()]

    def in_rounds(self, rounds: int, measure: Callable[[Contestant], Any]) -> dict[str, list[Any]]:
        return in_rounds(list(self), rounds, measure)


def in_rounds(
    contestants: Sequence[Contestant], rounds: int, measure: Callable[[Contestant], Any]
) -> dict[str, list[Any]]:
    """Measure each in turn, `rounds` times, so that what disturbs the machine disturbs them alike."""
    values: dict[str, list[Any]] = {contestant.name: [] for contestant in contestants}
    for number in range(rounds):
        for contestant in rotated(contestants, number):
            values[contestant.name].append(measure(contestant))
    return values


def rotated(items: Sequence[A], by: int) -> list[A]:
    """The items in turn, beginning with another one for each number."""
    by %= len(items)
    return [*items[by:], *items[:by]]


def pin_to(core: int) -> None:
    """Keep this process on one core, if the machine has more than one and lets us choose."""
    cores = _all_cores()
    if len(cores) > 1:
        _use([cores[core]])


def use_all_cores() -> None:
    """Take back what was inherited from a process that keeps to one core."""
    _use(_all_cores())


@contextlib.contextmanager
def on_all_cores() -> Iterator[None]:
    """In the block, this process and what it starts may use all cores, as anywhere else."""
    before = os.sched_getaffinity(0)
    use_all_cores()
    try:
        yield
    finally:
        _use(sorted(before))


def _all_cores() -> list[int]:
    """The cores that the benchmark was given. A child inherits its parent's choice of one, so it is told of all."""
    if _CORES_VARIABLE not in os.environ:
        os.environ[_CORES_VARIABLE] = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    return [int(core) for core in os.environ[_CORES_VARIABLE].split(",")]


def _use(cores: Sequence[int]) -> None:
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, cores)
