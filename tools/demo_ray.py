"""`make demo-cluster CLUSTER=ray`: a training on a cluster of two nodes, one of which is killed while it works.

The service hands the training to the cluster, and shows its progress live. In the middle, its node is killed: the
attempt has crashed, and the job is tried again on the other node.
"""

import argparse
import re
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from tools.demo import say
from tools.demo_cluster import STEPS_BEFORE_THE_KILL, DemonstrationFailedError, Process, records, service, show, submit
from tools.ray_cluster import RunningCluster, run_cluster

APP: Final = "tools.ray_app:app"
NODES: Final = ("one", "two")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=5, help="how many seconds the training takes; at least 4")
    parser.add_argument("--url", help="a database for the jobs, instead of a file")
    options = parser.parse_args()
    if options.steps < STEPS_BEFORE_THE_KILL + 1:
        parser.error("--steps must be at least 4: a node is killed in the middle")
    return show(lambda started: _demonstrate(started, options.steps, options.url))


def _demonstrate(started: ExitStack, epochs: int, url: str | None) -> None:
    say("Starting a Ray cluster of its own, of two nodes, and a service ...")
    cluster = started.enter_context(run_cluster(NODES, cpus=1))
    folder = started.enter_context(tempfile.TemporaryDirectory(prefix="servicekit-demo-"))
    jobs_url = url or f"sqlite:///{Path(folder, 'jobs.db')}"
    server = started.enter_context(service("the service", APP, jobs_url, SERVICEKIT_CLUSTER=cluster.address))
    server.wait_until_ready()
    submitted = submit(server, "/train", {"epochs": epochs})
    say(f"\nA training of {epochs} epochs was submitted to {server.url}. It runs on the cluster. Its stream:\n")
    last = _follow(server, submitted["stream_url"], cluster)
    say(f"\nThe job is {last['status']}, at attempt {last['attempt']}. The first one has crashed:\n")
    say(f"  {last['attempts'][0]['error']}\n\nStopping all of them ...")


def _follow(server: Process, stream_url: str, cluster: RunningCluster) -> dict[str, Any]:
    """Show the stream until the job has ended, and kill its node in the middle. Return its last record."""
    is_killed = False
    for seconds, record in records(server, stream_url):
        progress = record["progress"] or {}
        told = progress.get("message") or record["pending_reason"] or ""
        attempt = f"attempt {record['attempt']}" if record["attempt"] else ""
        say(f"{seconds:5.1f} s  {record['status']:<10} {attempt:<10} {told}".rstrip())
        if not is_killed and progress.get("done", 0) >= STEPS_BEFORE_THE_KILL:
            _kill(cluster, progress["message"])
            is_killed = True
    if not is_killed or record["attempt"] < 2:
        raise DemonstrationFailedError("no node was killed while the job ran: let it have more steps")
    return record


def _kill(cluster: RunningCluster, message: str) -> None:
    found = re.match(r"on (\w+):", message)
    if found is None:
        raise DemonstrationFailedError(f"the job does not say where it runs: {message}")
    say(f"\n         all processes of node {found[1]} are killed\n")
    cluster.kill(found[1])


if __name__ == "__main__":
    sys.exit(main())
