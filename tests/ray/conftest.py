import asyncio
from collections.abc import Iterator

import pytest

from servicekit.jobs.cluster import RayCluster
from servicekit.jobs.status import Transition
from servicekit.runners.cluster.launcher import ClusterLauncher
from servicekit.runners.process import ProcessRunner
from servicekit.testing.runners.targets import give
from tests.ray.cluster import end_shared_cluster, shared_cluster
from tests.runners.trial import Trial


@pytest.fixture(autouse=True, scope="package")
def _end_cluster() -> Iterator[None]:
    yield
    end_shared_cluster()


@pytest.fixture(scope="package")
def shared_runner() -> Iterator[ProcessRunner]:
    """A runner that is connected, which takes seconds."""
    runner = ProcessRunner(ClusterLauncher(RayCluster(shared_cluster().address)))
    asyncio.run(_run_one(runner))
    yield runner
    runner.close()


async def _run_one(runner: ProcessRunner) -> None:
    assert (await Trial(runner, give).end()).transition is Transition.COMPLETE
