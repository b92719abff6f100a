"""Who is measured, and how one of them is started in a process of its own."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import LIMIT, OURS, PEER

_ROOT = Path(__file__).parent.parent
SERVERS_CORE, CLIENTS_CORE = 0, 1


@dataclass(frozen=True)
class Contestant:
    name: str
    python: str

    def start(self, module: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start `python -m module NAME arguments`; it answers on stdout and ends when its stdin does."""
        return subprocess.Popen(
            [self.python, "-m", module, self.name, *arguments],
            cwd=_ROOT,
            env=self._environment() | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, module: str, *arguments: str, timeout: float = 600) -> Any:
        """Run it to its end; its last line is its answer, in JSON."""
        process = self.start(module, *arguments)
        try:
            output, _ = process.communicate(timeout=timeout)
        finally:
            process.kill()
        if process.returncode != 0:
            raise RuntimeError(f"{self.name}: {module} {' '.join(arguments)} ended with {process.returncode}")
        return json.loads(output.splitlines()[-1])

    def _environment(self) -> dict[str, str]:
        # A path to this checkout would put our package where the peer's is meant: both have the same name.
        ours = self.name != PEER
        return {name: value for name, value in os.environ.items() if ours or not name.startswith("PYTHON")}


@dataclass(frozen=True)
class Contestants:
    """Ours, the limit, and the peer if there is one."""

    peer_python: str | None

    def __iter__(self) -> Iterator[Contestant]:
        yield Contestant(OURS, sys.executable)
        yield Contestant(LIMIT, sys.executable)
        if self.peer_python:
            yield Contestant(PEER, self.peer_python)

    def in_rounds(self, rounds: int, measure: Callable[[Contestant], Any]) -> dict[str, list[Any]]:
        """Measure each in turn, `rounds` times, so that what disturbs the machine disturbs them alike."""
        values: dict[str, list[Any]] = {contestant.name: [] for contestant in self}
        for number in range(rounds):
            for contestant in _rotated(list(self), number):
                values[contestant.name].append(measure(contestant))
        return values


def pin_to(core: int) -> None:
    """Keep this process on one core, if the machine has more than one and lets us choose."""
    with contextlib.suppress(AttributeError, OSError):
        if len(os.sched_getaffinity(0)) > 1:
            os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[core]})


def _rotated(items: Sequence[Contestant], by: int) -> list[Contestant]:
    by %= len(items)
    return [*items[by:], *items[:by]]
