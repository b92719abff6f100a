"""What operators call a process."""

import os
import socket
from functools import lru_cache


def name_of_process() -> str:
    """`host:pid` of this process, as its machine calls both."""
    return _name_of(os.getpid())


@lru_cache(maxsize=1)  # a forked child has another number
def _name_of(pid: int) -> str:
    return f"{socket.gethostname()}:{pid}"
