"""The two processes of a job, forked before it comes."""

import os
import socket
from contextlib import suppress

from .forks import run_to_exit
from .supervisor import Supervisor


class ProcessPair:
    """A supervisor and, as its child, the process of the work: forked, and waiting for a job. `OSError` if none can be.

    A fork takes milliseconds, of which a job saves two if its processes are there when it comes.
    """

    def __init__(self) -> None:
        to_supervisor, supervisor = socket.socketpair()
        to_work, work = socket.socketpair()
        self._ends = (to_supervisor, to_work)
        self.pid = os.fork()
        if self.pid == 0:
            run_to_exit(Supervisor(supervisor, work).run)
        supervisor.close()
        work.close()

    def send(self, descriptors: list[int]) -> bool:
        """Give them the job; `False` if they are gone.

        The supervisor gets it first, so that no work begins without one. If the work is gone, it tells that the work
        has ended, which then has not begun.
        """
        to_supervisor, to_work = self._ends
        try:
            socket.send_fds(to_supervisor, [b"\0"], descriptors)
            with suppress(ConnectionError):
                socket.send_fds(to_work, [b"\0"], descriptors)
        except ConnectionError:
            return False
        finally:
            self.close()
        return True

    def close(self) -> None:
        """Without a job they end."""
        for end in self._ends:
            end.close()
