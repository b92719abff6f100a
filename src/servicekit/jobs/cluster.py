"""The cluster on which jobs with `runner="ray"` run: where it is, and what a scheduler must know of it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from servicekit.errors import ConfigurationError

CLUSTER_VARIABLE: Final = "SERVICEKIT_CLUSTER"
LOCAL_CLUSTER: Final = "ray://local"
"""The address of a cluster that the service starts on its own machine, and ends with itself."""
GONE_SECONDS: Final = 7.0
"""So long after the process that runs its jobs, or the gateway beside it, has died, nothing is left of a work there.

If the cluster does not learn of the death, its nodes miss the gateway: see `servicekit.runners.cluster`.
"""
_ADDRESS: Final = re.compile(r"(ray://)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")
_EXPECTED: Final = f"ray://HOST:PORT (a Ray client server), HOST:PORT (a head node) or {LOCAL_CLUSTER}"


@dataclass(frozen=True, slots=True)
class RayCluster:
    """A Ray cluster. `with_jobs(cluster=...)` takes it, or its address alone.

    - `address`: `ray://head:10001`, the client server of a cluster, or `head:6379`, the head node itself, if this
      machine is a node of the cluster. `ray://local` is a cluster on this machine that the service starts and ends.
    - `runtime_env`: the environment of jobs there, as Ray takes it: `{"pip": ["xgboost"]}`. It must be JSON.

    `ConfigurationError` for what makes no sense.
    """

    address: str
    runtime_env: Mapping[str, object] | None = field(default=None, hash=False, repr=False)  # it can have secrets

    def __post_init__(self) -> None:
        check_address("cluster", self.address)
        if self.runtime_env is not None:
            object.__setattr__(self, "runtime_env", _copy(self.runtime_env))


def check_address(option: str, address: object) -> str:
    """The address itself; `ConfigurationError` if it is none."""
    if isinstance(address, str) and (address == LOCAL_CLUSTER or _ADDRESS.fullmatch(address)):
        return address
    raise ConfigurationError(option, address, _EXPECTED)


def make_cluster(option: str, value: object) -> RayCluster:
    """A cluster from its address; or as it is. `ConfigurationError` for anything else."""
    return value if isinstance(value, RayCluster) else RayCluster(check_address(option, value))


def _copy(runtime_env: object) -> Mapping[str, object]:
    if isinstance(runtime_env, Mapping):
        try:
            copied: dict[str, object] = json.loads(json.dumps(dict(runtime_env), allow_nan=False))
        except (TypeError, ValueError, RecursionError):
            pass
        else:
            return copied
    # Without the value, which can have secrets.
    raise ConfigurationError("cluster.runtime_env", type(runtime_env), 'a JSON object such as {"pip": ["xgboost"]}')
