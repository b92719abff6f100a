"""The number of this process, for what asks for it with every job: `os.getpid()` is a system call."""

import os
from typing import Final


class _ThisProcess:
    """Its `id` is what `os.getpid()` says, also in a forked child; but not in one that code in C has forked without
    telling Python. Where that would do harm, `os.getpid()` is asked.
    """

    __slots__ = ("id",)

    def __init__(self) -> None:
        self.look()

    def look(self) -> None:
        self.id = os.getpid()


this_process: Final = _ThisProcess()
os.register_at_fork(after_in_child=this_process.look)
