"""A cluster of Ray on this machine, for as long as a block runs: for benchmarks, demos and tests.

    with run_cluster(["one", "two"], cpus=2) as cluster:
        RayCluster(cluster.address)

All of it listens on loopback. It ends with the process that started it, also if that one is killed.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

_PROGRAM: Final = Path(__file__).with_name("ray_nodes.py")


class RunningCluster:
    """The program of a cluster, and its orders."""

    def __init__(self, process: "subprocess.Popen[str]", errors: Path, client_port: int) -> None:
        self._process = process
        self._errors = errors
        self.address: str = self._read()["address"]
        self.client_address = f"ray://127.0.0.1:{client_port}"

    def add(self, node: str) -> None:
        """Add a node, and wait until it is there."""
        self.order(f"add {node}")

    def kill(self, node: str) -> None:
        """Kill all processes of a node, or of the `head`."""
        self.order(f"kill {node}")

    def order(self, line: str) -> None:
        """Have it do something (see `ray_nodes`), and wait until that is done."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        self._read()

    def _read(self) -> dict[str, str]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        while line and not line.startswith("{"):  # Ray prints what it likes
            line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"The cluster has not started, or has ended:\n{self._errors.read_text()[-2_000:]}")
        said: dict[str, str] = json.loads(line)
        return said


@contextmanager
def run_cluster(
    nodes: Sequence[str], *, cpus: int, head_cpus: int = 0, gpus: int = 0, port: int = 0, client_port: int = 0
) -> Iterator[RunningCluster]:
    """A cluster of a head and these nodes, which say that they have so many CPUs and GPUs. `port`: that of the head.

    With a `client_port`, the head has a client server there.
    """
    # Ray makes sockets there, whose paths may have only 107 bytes.
    with TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder:
        argv = [sys.executable, str(_PROGRAM), *map(str, (cpus, head_cpus, gpus, port, client_port, folder))]
        errors = Path(folder, "errors")
        with (
            errors.open("w") as stderr,
            subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True) as process,
        ):
            cluster = RunningCluster(process, errors, client_port)
            for node in nodes:
                cluster.add(node)
            yield cluster
            assert process.stdin is not None
            process.stdin.close()
            process.wait()
