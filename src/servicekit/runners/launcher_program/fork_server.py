"""The launcher's loop: it takes requests from the service, and forks the processes that run them."""

import os
import signal
import socket
from contextlib import suppress
from typing import Final

from .descriptors import wait_readable
from .fork_safety import ForkSafety, end_children
from .forks import ChildEnds, adopt_orphans, die_with_parent, reap_children
from .messages import IMPORT, MOST_DESCRIPTORS, read_request, refuse, tell
from .preloading import preload
from .process_pair import ProcessPair
from .processes import list_children, send_signal

# A job begins within this time after its request. To fork the next job's processes earlier would slow it down.
_SPARE_SECONDS: Final = 0.002


class ForkServer:
    """Forks a supervisor and the process of its work for every request, until the service closes the socket."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._child_ends = ChildEnds()
        # The control socket of each supervisor, by the supervisor's process. It stays open here until nothing is left
        # of the job. The service takes the end of that socket for the end of the job, and learns it even if the
        # supervisor was killed.
        self._controls: dict[int, int] = {}
        self._orphaned: list[int] = []  # the control sockets of killed supervisors
        self._spare: ProcessPair | None = None
        self._has_served = False

    def serve(self) -> None:
        while True:
            # With no spare to make, the launcher sleeps until something comes: an idle service costs nothing.
            interval = _SPARE_SECONDS if self._spare is None and self._has_served else None
            ready = wait_readable(self._requests.fileno(), self._child_ends.descriptor, timeout=interval)
            if not ready:
                self._make_spare()
            if self._child_ends.descriptor in ready:
                self._child_ends.clear()  # first: an end that comes in between makes it readable again
                reap_children(self._take_end)
                if self._orphaned:
                    self._end_orphans()
            if self._requests.fileno() in ready and not self._take_request():
                return

    def _make_spare(self) -> None:
        """Fork the processes of the next job while there is nothing else to do."""
        self._has_served = False  # if the fork fails, it is tried again after the next request
        with suppress(OSError):
            self._spare = ProcessPair()

    def _take_request(self) -> bool:
        """Serve one request. `False` if the service has closed the socket, or nothing may be forked any more."""
        kind, descriptors, flags, _ = socket.recv_fds(self._requests, 1, MOST_DESCRIPTORS)
        if not kind:
            return False
        if flags & socket.MSG_CTRUNC:  # the kernel drops the descriptors that are too many for this process
            refuse(descriptors)
            return True
        if kind == IMPORT:
            return self._import(*descriptors)
        has_begun = self._begin(descriptors)
        for descriptor in descriptors:  # all but the control, which `_controls` holds then
            if not (has_begun and descriptor == descriptors[1]):
                os.close(descriptor)
        return True

    def _import(self, file: int, control: int) -> bool:
        """Import what calls need; `False` if nothing may be forked from here any more."""
        if self._spare is not None:
            self._spare.close()  # it was forked before the import, and would have to import all that by itself
            self._spare = None
        request = read_request(file)
        os.close(file)
        state = ForkSafety(self._requests.fileno(), control)
        problems = preload(request)
        # What servicekit itself imports is known to be safe, so only the user's modules are a reason to look.
        danger = state.find_danger() if request["preload"] else None
        for problem in problems:
            tell(control, "warning", problem)
        if danger is None:
            self._child_ends.listen()  # a module may have wanted to hear of its own children
            tell(control, "is_ready", True)
        else:
            end_children()
            tell(control, "unsafe", danger)
        os.close(control)
        return danger is None

    def _begin(self, descriptors: list[int]) -> bool:
        control, self._has_served = descriptors[1], True
        pair, self._spare = self._spare, None
        try:
            # A spare that somebody has killed takes no job. A pair that was forked this moment is there.
            if pair is None or not pair.send(descriptors):
                pair = ProcessPair()
                pair.send(descriptors)
        except OSError as error:
            tell(control, "start_problem", f"no process can be started: {error.strerror}")
            return False
        self._controls[pair.pid] = control
        return True

    def _take_end(self, pid: int, status: int) -> None:
        if self._spare is not None and self._spare.pid == pid:  # somebody has killed it
            self._spare.close()
            self._spare = None
        control = self._controls.pop(pid, None)
        if control is not None and status == 0:
            os.close(control)
        elif control is not None:
            self._orphaned.append(control)

    def _end_orphans(self) -> None:
        """Kill what a killed supervisor has left: one generation. When it has ended, the next one comes here.

        This process adopts the children of a killed supervisor. Its other children are known, so the rest are those.
        """
        ours = {*self._controls, self._spare.pid if self._spare is not None else -1}
        orphans = [process.pid for process in list_children() if process.pid not in ours]
        for pid in orphans:
            send_signal(pid, signal.SIGKILL)
        if not orphans:
            for control in self._orphaned:
                os.close(control)
            self._orphaned.clear()


def run(requests: int, parent: int) -> None:
    """Serve the service at the other end of the socket `requests`, and end this process when the service has ended."""
    # The end of the socket tells the same. But a module that was imported may have closed the socket, or may hang.
    die_with_parent()
    if os.getppid() != parent:  # the service ended before the line above, and no signal will come
        os._exit(0)
    adopt_orphans()
    ForkServer(socket.socket(fileno=requests)).serve()
    os._exit(0)  # Python would wait for threads that an imported module has left
