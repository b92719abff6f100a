"""A cluster of Ray on this machine, with two nodes, for tests."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from servicekit.jobs.cluster import RayCluster
from tests.needs import RAY, needs
from tests.postgres import find_free_port

needs_ray = needs(RAY)
# What the nodes say that they have. The contract has five jobs run side by side.
CPUS: Final = 4
_PROGRAM: Final = Path(__file__).with_name("cluster_program.py")


class RunningCluster:
    """The program of a cluster, and its orders."""

    def __init__(self, process: "subprocess.Popen[str]", client_port: int) -> None:
        self._process = process
        self.address: str = self._read()["address"]
        self.client_address = f"ray://127.0.0.1:{client_port}"

    @property
    def settings(self) -> RayCluster:
        return RayCluster(self.address)

    def order(self, line: str) -> None:
        """Have it do something, and wait until that is done."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        self._read()

    def _read(self) -> dict[str, str]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        while line and not line.startswith("{"):  # Ray prints what it likes
            line = self._process.stdout.readline()
        said: dict[str, str] = json.loads(line)
        return said


@contextmanager
def run_cluster(*, nodes: int = 2, port: int = 0, has_client: bool = False) -> Iterator[RunningCluster]:
    """A cluster that nobody else uses."""
    client_port = find_free_port() if has_client else 0
    # Ray makes sockets there, whose paths may have only 107 bytes.
    with TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder:
        argv = [sys.executable, str(_PROGRAM), str(CPUS), str(port), str(client_port), folder]
        with subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            cluster = RunningCluster(process, client_port)
            for _ in range(nodes - 1):
                cluster.order("add")
            yield cluster
            assert process.stdin is not None
            process.stdin.close()
            process.wait()


_shared: Final = ExitStack()


@cache
def shared_cluster() -> RunningCluster:
    """The cluster that all tests of this process share: they leave its nodes running."""
    return _shared.enter_context(run_cluster(has_client=True))


def end_shared_cluster() -> None:
    _shared.close()
