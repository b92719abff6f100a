"""Clusters of Ray on this machine, for tests."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Final

from servicekit.ports import Runner
from tests.needs import RAY, needs
from tests.ports import find_free_port
from tools import ray_cluster
from tools.ray_cluster import RunningCluster

needs_ray = needs(RAY)
# What the nodes say that they have. The contract has five jobs run side by side.
CPUS: Final = 4
SECOND: Final = "second"
"""The node beside the head, and the one that says that it has GPUs."""
GPUS: Final = 2


@contextmanager
def run_cluster(*, nodes: int = 2, port: int = 0, has_client: bool = False) -> Iterator[RunningCluster]:
    """A cluster that nobody else uses: a head, and perhaps the second node."""
    client_port = find_free_port() if has_client else 0
    with ray_cluster.run_cluster(
        [SECOND][: nodes - 1], cpus=CPUS, head_cpus=CPUS, gpus=GPUS, port=port, client_port=client_port
    ) as cluster:
        yield cluster


async def wait_free(runner: Runner) -> None:
    """Wait until the runner knows that nothing runs on both nodes: works count a while after their end."""
    while runner.find_room(_ignore) != 2 * CPUS:  # its event loop may be that of an earlier test: nobody is told
        await asyncio.sleep(0.05)


def _ignore() -> None:
    pass


_shared: Final = ExitStack()


@cache
def shared_cluster() -> RunningCluster:
    """The cluster that all tests of this process share: they leave its nodes running."""
    return _shared.enter_context(run_cluster(has_client=True))


def end_shared_cluster() -> None:
    _shared.close()
