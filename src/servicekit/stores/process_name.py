"""What operators call a process."""

import socket
from functools import lru_cache

from servicekit.jobs.this_process import this_process


def name_of_process() -> str:
    """`host:pid` of this process, as its machine calls both."""
    return _name_of(this_process.id)


@lru_cache(maxsize=1)  # a forked child has another number
def _name_of(pid: int) -> str:
    return f"{socket.gethostname()}:{pid}"
