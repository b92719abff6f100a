"""A contestant's service as a child process: started, measured from outside by /proc, and always ended."""

import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.clients import Address, Connection
from benchmarks.contestants import Contestant, ContestantFailedError
from benchmarks.meter import cpu_seconds_of

WANTED_OPEN_FILES = 25_000


@dataclass(frozen=True)
class Server:
    address: Address
    pid: int

    def get(self, path: str) -> Any:
        """One answer over a connection of its own: uvicorn closes those that rest for some seconds."""
        with Connection(self.address) as connection:
            return connection.get(path)

    def post(self, path: str) -> Any:
        with Connection(self.address) as connection:
            return connection.post(path)

    def cpu_seconds(self) -> float:
        return cpu_seconds_of(self.pid)

    def own_bytes(self) -> int:
        """The memory that it has filled itself, whoever shares its program and libraries meanwhile."""
        lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith(("Anonymous:", "Swap:"))) * 1024

    def reset_peak_bytes(self) -> int:
        """Forget how much memory it has held at most. How much it holds now."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        return self.peak_bytes()

    def peak_bytes(self) -> int:
        """How much memory it has held at most since it was asked to forget that, files that it has mapped included."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024


@contextmanager
def serving(contestant: Contestant, app: str | None = None, **environment: str) -> Iterator[Server]:
    """The contestant's service, or another `app`, while the block runs; it answers requests from the first line on."""
    process = contestant.start("benchmarks.serve", *filter(None, [app]), **environment)
    try:
        yield _server_of(process)
    finally:
        # Open streams would hold up a polite stop, which is not what is measured here.
        process.kill()
        process.communicate()


def _server_of(process: subprocess.Popen[str]) -> Server:
    assert process.stdout
    port = process.stdout.readline()
    if not port:
        raise ContestantFailedError(f"{process.args!r} did not start")
    server = Server(("127.0.0.1", int(port)), process.pid)
    server.get("/ping")
    return server


def raise_open_files_limit() -> int:
    """Allow as many open files as we want or may have; how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (WANTED_OPEN_FILES, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), max(hard, wanted)))
        except (ValueError, OSError):
            continue  # Only root may go beyond the hard limit.
        return max(soft, wanted)
    return soft
