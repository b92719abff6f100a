"""A program that runs a job on a cluster, tells the processes that belong to it, and waits to be killed."""

import asyncio
import sys

from servicekit.jobs.cluster import RayCluster
from servicekit.runners.cluster.launcher import ClusterLauncher
from servicekit.runners.process import ProcessRunner
from tests.ray import targets
from tests.ray.cluster import again
from tests.runners.trial import Trial


async def main(address: str) -> None:
    runner = ProcessRunner(ClusterLauncher(RayCluster(address=address)))
    await again(runner)
    trial = Trial(runner, targets.sleep_on_node).start()
    print(*[await trial.wait_pid(who) for who in ("child", "task", "work")], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
