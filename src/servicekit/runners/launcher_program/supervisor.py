"""The supervisor: the process that watches one job's work, and kills what is left at its end."""

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

# While a command tidies up, it may start programs that do not know yet that they are to stop. Each is asked within this
# time. Ten looks a second through /proc take little of a processor, and only as long as that goes on.
_LOOK_SECONDS: Final = 0.1
# Twenty looks a second take a thousandth of a processor. A job that takes memory as fast as it can exceeds its limit by
# some 100 MB before it is seen.
_MEMORY_SECONDS: Final = 0.05


class Supervisor:
    """Runs one job's work in a child, and ends when nothing is left of it: neither the child, nor what it started.

    This process adopts every descendant whose parent ends, also those that left the session or the process group. So
    nothing is left of the work when this process has no more children.
    """

    def __init__(self, jobs: socket.socket, jobs_of_work: socket.socket) -> None:
        self._jobs = jobs
        self._jobs_of_work = jobs_of_work
        self._control = -1
        # The lock by which other processes see that this job may still run: open until nothing is left of it.
        self._guard: list[int] = []
        self._is_command = False
        self._memory: MemoryWatch | None = None
        self._is_asked = False  # to stop, and not to be killed since
        self._asked: set[ProcessEntry] = set()
        self._status: int | None = None  # of the work, once it has ended
        self._work = -1

    def run(self) -> None:
        adopt_orphans()  # before the fork, so that nothing can get away
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
                self._child_ends.clear()  # first: an end that comes in between makes it readable again
                self._reap()
            if self._control in ready:
                self._obey()
        self._end_rest()
        tell(self._control, "ended", self._status)

    def _fork_work(self) -> str | None:
        """Fork the process of the work. If that fails, return the reason, which the job is told when it comes."""
        supervisor = os.getpid()
        try:
            self._child_ends = ChildEnds()
            self._work = os.fork()
        except OSError as error:
            return f"no process can be started: {error.strerror}"
        if self._work == 0:
            run_to_exit(lambda: wait_for_work(self._jobs_of_work, supervisor))
        # What the launcher has open belongs to other jobs. Held here, it would hide that they have ended.
        close_others((0, 1, 2, self._jobs.fileno(), *self._child_ends.descriptors))
        return None

    def _take_job(self) -> bool:
        """Wait for a job. `False` if none will come, or if the process of the work has ended before."""
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
        """Whether the work has ended, and what it left behind is to be killed now.

        A command that was asked to stop is different. Each of its programs was asked, and those that still tidy up may
        do so until the order to kill comes.
        """
        return self._status is not None and not (self._is_command and self._is_asked and self._reap())

    def _hold_to_memory(self, memory: MemoryWatch) -> None:
        """Kill the work if it holds too much, and tell the service how much that was."""
        used = memory.find_excess()
        if used is not None:
            self._memory = None  # once is enough
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
        except ConnectionError:  # the service has ended with something unread
            order = b""  # as at its end: everything is to be killed
        if order == TERMINATE and not self._is_command:
            send_signal(self._work, signal.SIGTERM)  # only the target: it knows what to do with what it has started
        elif order == TERMINATE:
            self._is_asked = True
            self._asked.clear()
            programs = list_descendants()
            self._ask(programs)
            if not programs:  # where there is no /proc, the process group is all that can be found
                send_to_group(self._work, signal.SIGTERM)
        else:
            self._is_asked = False
            self._kill()

    def _ask(self, processes: list[ProcessEntry]) -> None:
        """Ask those processes of a command to stop that have not been asked since they execute their program.

        A child that a shell has just forked can lose the signal, since it still has the shell's handler. Such a child
        has another program's name later, and is asked again. That waits for the end of the shell, since until then the
        program may be one that the shell needs to tidy up.
        """
        for process in processes:
            if process not in self._asked:
                self._asked.add(process)
                send_signal(process.pid, signal.SIGTERM)

    def _kill(self) -> None:
        if self._status is None:
            send_signal(self._work, signal.SIGKILL)
        # The whole group at once. One by one, a process of it could fork faster than all are killed.
        send_to_group(self._work, signal.SIGKILL)

    def _end_rest(self) -> None:
        """Kill the children of this process until it has none. It adopts the children of each that ends.

        Only children are killed, no other descendants. The kernel gives the id of a child to no other process before
        this process has waited for it. So no stranger can be hit.
        """
        if self._reap():
            self._kill()
        while self._reap():
            for process in list_children():
                send_signal(process.pid, signal.SIGKILL)
            self._child_ends.wait()
