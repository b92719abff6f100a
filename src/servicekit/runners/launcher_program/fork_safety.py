"""Whether processes can be forked from the launcher after it has imported modules of which nothing is known."""

import os
import signal
from contextlib import suppress

from .descriptors import identify, list_descriptors, name_file
from .forks import reap_children
from .processes import list_children, name_all, send_signal


class ForkSafety:
    """The state of this process before it imports unknown modules. If the import has changed it, no fork is safe."""

    def __init__(self, *sockets: int) -> None:
        self._sockets = sockets
        self._process = os.getpid()
        self._identities = list(map(identify, sockets))
        self._descriptors = list_descriptors()

    def find_danger(self) -> str | None:
        """Why no process may be forked from here, or `None`.

        A forked child that the module has left, and a process whose sockets were closed, cannot tell the service
        anything. So they end here.
        """
        if os.getpid() != self._process or list(map(identify, self._sockets)) != self._identities:
            os._exit(1)
        if reap_children(lambda *_: None):
            return f"importing it starts other processes ({name_all(list_children())}), which all jobs would share"
        threads = list_other_threads()
        if threads:
            names = ", ".join(threads)
            return f"importing it starts other threads ({names}), beside which no process can be forked safely"
        opened = sorted(list_descriptors() - self._descriptors)
        if opened:
            names = ", ".join(map(name_file, opened))
            return f"importing it leaves files open ({names}), for which jobs would take what they open themselves"
        return None


def end_children() -> None:
    """Kill the children of this process until it has none. It adopts the children of each that ends."""
    while reap_children(lambda *_: None) and (children := list_children()):
        for process in children:
            send_signal(process.pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(-1, 0)


def list_other_threads() -> list[str]:
    """The names of the threads of this process besides its first one, without those that end before a fork.

    A process with threads cannot be forked safely. A lock that another thread holds at that moment stays locked in the
    child for ever.
    """
    names = _list_threads()
    if len(names) > 1:  # OpenBLAS, for example, ends its threads before a fork, and starts them when it needs them
        with suppress(OSError):  # if no process can be forked, the threads do no harm either
            pid = os.fork()
            if pid == 0:
                os._exit(0)
            os.waitpid(pid, 0)
        names = _list_threads()
    return names[1:]


def _list_threads() -> list[str]:
    names = []
    with suppress(FileNotFoundError):
        for number in sorted(map(int, os.listdir("/proc/self/task"))):  # noqa: PTH208
            with suppress(OSError), open(f"/proc/self/task/{number}/comm", "rb") as file:  # the thread has ended since
                names.append(file.read().strip().decode(errors="replace"))
    return names
