"""The two processes of a job, forked before it comes."""

import os
import socket
from contextlib import suppress

from .forks import run_to_exit
from .supervisor import Supervisor


class ProcessPair:
    """A supervisor and its child, the process of the work, which wait for a job. `OSError` if they cannot be forked.

    A fork takes milliseconds. A job saves two of them if its processes are there before it comes.
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
        """Give them the job; `False` if they have ended.

        The supervisor gets it first, so that no work begins without a supervisor. If only the work has ended, the
        supervisor tells the service so, and the job has not begun.
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
        """Close the sockets. Processes that have no job end then."""
        for end in self._ends:
            end.close()
