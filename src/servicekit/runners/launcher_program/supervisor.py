"""The supervisor: the process that watches over one job's work, and sees to its end."""

import os
import signal
import socket
from typing import Final

from .beginning import wait_for_work
from .descriptors import close_others, wait_readable
from .forks import ChildEnds, adopt_orphans, reap_children, run_to_exit
from .memory import MemoryWatch
from .messages import TERMINATE, receive_job, tell
from .processes import ProcessEntry, list_children, list_descendants, send_signal, send_to_group

_LOOK_SECONDS: Final = 0.1
# Twenty looks a second take a thousandth of a processor, and let a job have some 100 MB too much at the very worst.
_MEMORY_SECONDS: Final = 0.05


class Supervisor:
    """Runs one job's work in a child, and ends when nothing of it is left: neither the child, nor what it started.

    All that descends from the work comes to this process when its parent has ended, wherever it went. So the work has
    gone when there are no more children.
    """

    def __init__(self, jobs: socket.socket, jobs_of_work: socket.socket) -> None:
        self._jobs = jobs
        self._jobs_of_work = jobs_of_work
        self._control = -1
        self._guard: list[int] = []  # held until nothing of the work is left
        self._is_command = False
        self._memory: MemoryWatch | None = None
        self._is_asked = False
        self._asked: set[ProcessEntry] = set()
        self._status: int | None = None
        self._work = -1

    def run(self) -> None:
        adopt_orphans()
        start_problem = self._fork_work()
        if not self._take_job():
            return
        if start_problem is not None:
            tell(self._control, "start_problem", start_problem)
            return
        while not self._is_over():
            is_tidying_up = self._is_asked and self._status is not None
            if is_tidying_up:
                self._ask(list_children())
            interval = _LOOK_SECONDS if is_tidying_up else None
            if self._memory is not None:
                interval = _MEMORY_SECONDS
                self._hold_to_memory(self._memory)
            ready = wait_readable(self._control, self._child_ends.descriptor, timeout=interval)
            if self._child_ends.descriptor in ready:
                self._child_ends.clear()
                self._reap()
            if self._control in ready:
                self._obey()
        self._end_rest()
        tell(self._control, "ended", self._status)

    def _fork_work(self) -> str | None:
        """Fork the process of the work; say why that cannot be."""
        supervisor = os.getpid()
        try:
            self._child_ends = ChildEnds()
            self._work = os.fork()
        except OSError as error:
            return f"no process can be started: {error.strerror}"
        if self._work == 0:
            run_to_exit(lambda: wait_for_work(self._jobs_of_work, supervisor))
        close_others((0, 1, 2, self._jobs.fileno(), *self._child_ends.descriptors))
        return None

    def _take_job(self) -> bool:
        """Wait for a job; `False` if none will come, or the process of the work has ended before."""
        if self._work >= 0 and self._jobs.fileno() not in wait_readable(
            self._jobs.fileno(), self._child_ends.descriptor
        ):
            return False
        received = receive_job(self._jobs)
        if received is None:
            return False
        request, (file, self._control, *others) = received
        self._is_command = request["argv"] is not None
        if request["max_memory_bytes"] is not None:
            self._memory = MemoryWatch(request["max_memory_bytes"])
        if request["has_guard"]:
            self._guard = [others.pop()]
        for descriptor in (file, *others, self._jobs.fileno()):
            os.close(descriptor)
        return True

    def _is_over(self) -> bool:
        """Whether the work has ended, and what it left behind has no claim to time of its own.

        When a command was asked to stop, each of its programs was: those that still tidy up may do so until the order
        to kill comes.
        """
        return self._status is not None and not (self._is_command and self._is_asked and self._reap())

    def _hold_to_memory(self, memory: "MemoryWatch") -> None:
        used = memory.find_excess()
        if used is not None:
            self._memory = None
            tell(self._control, "excess", used)
            self._kill()

    def _reap(self) -> bool:
        return reap_children(self._take_end)

    def _take_end(self, pid: int, status: int) -> None:
        if pid == self._work:
            self._status = status

    def _obey(self) -> None:
        try:
            order = os.read(self._control, 1)
        except ConnectionError:
            order = b""
        if order == TERMINATE and not self._is_command:
            send_signal(self._work, signal.SIGTERM)  # a target knows best what it has started
        elif order == TERMINATE:
            self._is_asked = True
            self._asked.clear()
            programs = list_descendants()
            self._ask(programs)
            if not programs:
                send_to_group(self._work, signal.SIGTERM)
        else:
            self._is_asked = False
            self._kill()

    def _ask(self, processes: "list[ProcessEntry]") -> None:
        """Ask those processes of a command to stop that were not asked as the programs that they are.

        What a shell has just forked can miss the signal. If it is a program when the shell has ended, it is asked
        again; but not before: it may be what the shell needs to tidy up.
        """
        for process in processes:
            if process not in self._asked:
                self._asked.add(process)
                send_signal(process.pid, signal.SIGTERM)

    def _kill(self) -> None:
        if self._status is None:
            send_signal(self._work, signal.SIGKILL)
        # The whole group at once: nobody in it can fork faster than that.
        send_to_group(self._work, signal.SIGKILL)

    def _end_rest(self) -> None:
        """Kill the children, then theirs, which become children of this process, until there are none.

        Only children are killed: their numbers cannot be given to others before this process has taken note of their
        end.
        """
        if self._reap():
            self._kill()
        while self._reap():
            for process in list_children():
                send_signal(process.pid, signal.SIGKILL)
            self._child_ends.wait()
