"""A cluster of Ray on loopback, for tests: `python cluster_program.py CPUS PORT CLIENT_PORT FOLDER`.

Its first line of output is `{"address": ...}`. Each line that it reads is an order, answered by a line: `add`, `kill`
(the last node that was added), `kill head`, `pretend` (that it has other versions). It ends with its input.
"""

import json
import os
import sys

os.environ.update({"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0", "SET_ON_THE_NODE": "yes"})

from ray.cluster_utils import Cluster


def main(cpus: int, port: int, client_port: int, folder: str) -> None:
    common = {
        "node_ip_address": "127.0.0.1",
        "num_cpus": cpus,
        "object_store_memory": 100_000_000,
        "include_log_monitor": False,
        "temp_dir": folder,
    }
    cluster = Cluster()
    cluster.add_node(
        **common, include_dashboard=False, ray_client_server_port=client_port or None, gcs_server_port=port or None
    )
    nodes = []
    print(json.dumps({"address": cluster.address}), flush=True)
    for line in sys.stdin:
        match line.split():
            case ["add"]:
                nodes.append(cluster.add_node(**common))
            case ["kill"]:
                nodes.pop().kill_all_processes(allow_graceful=False)
            case ["kill", "head"]:
                cluster.head_node.kill_all_processes(allow_graceful=False)
            case ["pretend"]:  # that it has other versions
                other = {"ray_version": "1.0.0", "python_version": "3.6.1"}
                data = json.dumps(other).encode()
                cluster.head_node.get_gcs_client().internal_kv_put(b"CLUSTER_METADATA", data, True, b"cluster")
            case _:
                raise ValueError(line)
        print("{}", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
