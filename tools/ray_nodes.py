"""A cluster of Ray on loopback: `python ray_nodes.py CPUS HEAD_CPUS GPUS PORT CLIENT_PORT FOLDER`.

Its first line of output is `{"address": ...}`. Each line that it reads is an order, answered by a line: `add NAME`,
`kill NAME`, `kill head`, `pretend` (that it has other versions). On a node, `NODE` in the environment is its name. It
ends with its input.
"""

import json
import os
import sys
from pathlib import Path
from typing import Final

FOLDER: Final = sys.argv[-1]
os.environ.update(
    {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": FOLDER},
)


def main(cpus: int, head_cpus: int, gpus: int, port: int, client_port: int) -> None:
    common = {
        "node_ip_address": "127.0.0.1",
        "object_store_memory": 100_000_000,
        "include_log_monitor": False,
        "temp_dir": FOLDER,
    }
    from ray.cluster_utils import Cluster  # it reads the environment

    Path(FOLDER, "ray").mkdir(parents=True, exist_ok=True)  # where the address of the cluster is left for others
    cluster = Cluster()
    cluster.add_node(
        **common,
        num_cpus=head_cpus,
        include_dashboard=False,
        ray_client_server_port=client_port or None,
        gcs_server_port=port or None,
        env_vars={"NODE": "head"},
    )
    nodes = {"head": cluster.head_node}
    print(json.dumps({"address": cluster.address}), flush=True)
    for line in sys.stdin:
        match line.split():
            case ["add", name]:
                nodes[name] = cluster.add_node(**common, num_cpus=cpus, num_gpus=gpus, env_vars={"NODE": name})
            case ["kill", name]:
                nodes.pop(name).kill_all_processes(allow_graceful=False)
            case ["pretend"]:
                other = {"ray_version": "1.0.0", "python_version": "3.6.1"}
                data = json.dumps(other).encode()
                cluster.head_node.get_gcs_client().internal_kv_put(b"CLUSTER_METADATA", data, True, b"cluster")
            case _:
                raise ValueError(line)
        print("{}", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:6]))
