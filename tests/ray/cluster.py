"""Clusters of Ray on this machine, for tests."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Final

from servicekit.jobs.cluster import RayCluster
from servicekit.jobs.outcome import Outcome
from servicekit.jobs.status import Transition
from servicekit.ports import Runner
from servicekit.runners.cluster.launcher import ClusterLauncher
from servicekit.runners.process import ProcessRunner
from servicekit.testing.runners.targets import give
from tests.needs import RAY, needs
from tests.ports import find_free_port
from tests.ray import targets
from tests.runners.trial import Trial
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


async def again(runner: Runner) -> Outcome:
    """Run a job until the cluster can be reached, which by Ray Client fails now and then by itself."""
    while (outcome := await Trial(runner, targets.tell_where).end()).transition is Transition.RELEASE:
        await asyncio.sleep(0.1)
    return outcome


async def wait_free(runner: Runner) -> None:
    """Wait until the runner knows that nothing runs on both nodes: works count a while after their end."""
    while runner.find_room(_ignore) != 2 * CPUS:  # its event loop may be that of an earlier test: nobody is told
        await asyncio.sleep(0.05)


def _ignore() -> None:
    pass


_shared: Final = ExitStack()


@cache
def shared_cluster() -> RunningCluster:
    """The cluster that tests of this process share: they leave its nodes running."""
    return _shared.enter_context(run_cluster(has_client=True))


@cache
def connected_runner() -> ProcessRunner:
    """The runner of that cluster that they share, since it takes seconds to connect."""
    runner = ProcessRunner(ClusterLauncher(RayCluster(shared_cluster().address)))
    _shared.callback(runner.close)
    asyncio.run(_run_one(runner))
    return runner


def end_shared() -> None:
    """End both. They are made anew when they are asked for again."""
    connected_runner.cache_clear()
    shared_cluster.cache_clear()
    _shared.close()


async def _run_one(runner: ProcessRunner) -> None:
    assert (await Trial(runner, give).end()).transition is Transition.COMPLETE
