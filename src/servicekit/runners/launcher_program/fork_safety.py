"""Whether processes can be forked from the launcher after it has imported modules of which nothing is known."""

import os
import signal
from contextlib import suppress

from .descriptors import identify, list_descriptors, name_file
from .forks import reap_children
from .processes import list_children, name_all, send_signal


class ForkSafety:
    """What must be as it was, after modules were imported of which nothing is known, for others to be forked."""

    def __init__(self, *sockets: int) -> None:
        self._sockets = sockets
        self._process = os.getpid()
        self._identities = list(map(identify, sockets))
        self._descriptors = list_descriptors()

    def find_danger(self) -> str | None:
        """Why nothing may be forked from here. In a forked child, or without the sockets, nothing more can be done."""
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
    """Kill the children, and theirs, which become children of this process, until there are none."""
    while reap_children(lambda *_: None) and (children := list_children()):
        for process in children:
            send_signal(process.pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(-1, 0)


def list_other_threads() -> list[str]:
    """The names of the threads of this process besides its first, but for those that end themselves before a fork.

    A process with threads cannot be forked safely: what locks they hold then, the child holds for ever.
    """
    names = _list_threads()
    if len(names) > 1:  # OpenBLAS, say, ends its own, and starts them again when it needs them
        with suppress(OSError):  # there can be no more processes, so the threads may stay
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
            with suppress(OSError), open(f"/proc/self/task/{number}/comm", "rb") as file:  # it has just ended
                names.append(file.read().strip().decode(errors="replace"))
    return names
