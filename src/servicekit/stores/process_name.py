"""What operators call a process."""

import os
import socket
from functools import lru_cache


def name_of_process(pid: int | None = None, host: str | None = None) -> str:
    """`host:pid` of this process, as its machine calls both; or of another process, of this machine or another one."""
    return _name_of(os.getpid()) if pid is None else f"{host or socket.gethostname()}:{pid}"


@lru_cache(maxsize=1)  # a forked child has another number
def _name_of(pid: int) -> str:
    return f"{socket.gethostname()}:{pid}"
