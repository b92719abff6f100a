"""Our service's jobs in a process without HTTP: `python -m benchmarks.worker NAME`, which ends with its stdin.

It is what `servicekit worker` runs. It says on stdout when it is ready, and its jobs say there what they have done.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.contestants import Contestant, ContestantFailedError, started, use_all_cores
from benchmarks.meter import cpu_seconds_of
from benchmarks.serve import end_with_stdin
from servicekit.cli.main import main as run_command

# A job that nobody runs must not keep a whole benchmark waiting.
_LONGEST_SECONDS = 120


@dataclass(frozen=True)
class WorkerProcess:
    process: subprocess.Popen[str]

    def cpu_seconds(self) -> float:
        return cpu_seconds_of(self.process.pid)

    def read_stamps(self, count: int) -> dict[str, float]:
        """When so many jobs of `targets.stamped` have ended, by their names."""
        guard = threading.Timer(_LONGEST_SECONDS, self.process.kill)
        guard.start()
        try:
            return dict(json.loads(self._read_line()) for _ in range(count))
        finally:
            guard.cancel()

    def _read_line(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise ContestantFailedError(f"{self.process.args!r} has ended")
        return line


@contextmanager
def working(contestant: Contestant, **environment: str) -> Iterator[WorkerProcess]:
    """A worker process while the block runs; it claims jobs from the first line on."""
    with working_together(contestant, 1, **environment) as (worker,):
        yield worker


@contextmanager
def working_together(contestant: Contestant, count: int, **environment: str) -> Iterator[list[WorkerProcess]]:
    """The same of several."""
    with started(lambda: contestant.start("benchmarks.worker", **environment), count) as processes:
        yield [WorkerProcess(process) for process in processes]


def main() -> None:
    use_all_cores()
    end_with_stdin()
    sys.exit(run_command(["worker", "benchmarks.apps.ours:app"]))


if __name__ == "__main__":
    main()
