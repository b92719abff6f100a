"""The address of a cluster of Ray: what to look at before Ray is imported and begins to connect."""

import os
import socket
from contextlib import suppress
from typing import Final

from servicekit.jobs.cluster import LOCAL_CLUSTER

CLIENT: Final = "ray://"
"""Begins an address that is reached by Ray Client."""
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_OWN_SECONDS: Final = 1.0  # an address of this machine answers at once, or never
_REACH_SECONDS: Final = 10.0  # as a network may take, and a host that drops what it does not know never answers


def check_reachable(address: str) -> None:
    """`OSError` if nobody listens there. Ray would try that for minutes."""
    host, _, port = address.removeprefix(CLIENT).rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_SECONDS).close()


def keep_loopback(address: str) -> None:
    """Have Ray take a loopback address as it is, if the cluster is to be found there alone.

    Ray takes the machine's own address for it otherwise, which is right for a head that listens on all addresses. It
    reads this variable of the environment when it is imported.
    """
    if address == LOCAL_CLUSTER:
        os.environ.update({"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"})
    else:
        host, _, port = address.rpartition(":")
        if host in _LOOPBACK and port.isdigit() and not _is_open(_find_own_address(), int(port)):
            os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"


def _find_own_address() -> str:
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("198.51.100.1", 9))  # nothing is sent: the system only chooses an address
        return str(probe.getsockname()[0])
    return _LOOPBACK[0]


def _is_open(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=_OWN_SECONDS).close()
    except OSError:
        return False
    return True
