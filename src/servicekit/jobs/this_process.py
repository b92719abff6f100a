"""What is true of this process as a whole.

Its id is here for code that asks for it with every job: `os.getpid()` would be a system call each time.
"""

import os
from typing import Final


class _ThisProcess:
    """Its `id` is that of `os.getpid()`, in a forked child too. It is wrong in a child that code in C has forked, since
    Python does not learn of that. Where that would do harm, `os.getpid()` is called instead.
    """

    __slots__ = ("database_url", "id", "runs_one_job")

    def __init__(self) -> None:
        self.runs_one_job = False
        """Whether this is a job's own process."""
        self.database_url: str | None = None
        """In such a process: see `database_url`."""
        self.look()

    def look(self) -> None:
        self.id = os.getpid()


this_process: Final = _ThisProcess()
os.register_at_fork(after_in_child=this_process.look)
