"""The number of this process. It is asked for several times for each job, and `os.getpid()` is a system call."""

import os
from typing import Final


class _ThisProcess:
    """Its `id` is what `os.getpid()` says, also in a forked child.

    A child of code in C that forks without Python's knowledge has its parent's, as has much else that it would need.
    """

    __slots__ = ("id",)

    def __init__(self) -> None:
        self.look()

    def look(self) -> None:
        self.id = os.getpid()


this_process: Final = _ThisProcess()
os.register_at_fork(after_in_child=this_process.look)
