"""The launcher: a small process beside the service that starts the processes of jobs, and sees to their end.

It is run by the path of this file, so that nothing but the standard library is imported. The other end of its socket
is `servicekit.runners.launcher`; the page in `servicekit.runners` says who watches whom, and what that promises.
"""

import ctypes
import fcntl
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, Final, NamedTuple, NoReturn

TERMINATE: Final = b"t"
"""An order to a supervisor: ask the work to stop."""
KILL: Final = b"k"
"""An order to a supervisor: end everything now. To close the socket says the same."""

_ISOLATED: Final = "servicekit.runners.isolated"
_MOST_DESCRIPTORS: Final = 9
_LOOK_SECONDS: Final = 0.1
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
# They are meant for the service, as when systemd sends them to each of its processes. Blocked rather than ignored: what
# work is sent before it can take it then waits for it.
_HELD_BACK: Final = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)

Request = dict[str, Any]


class Launcher:
    """Forks a supervisor for every request, until the service has closed its end of the socket."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._child_ends = ChildEnds()
        # The control socket of each supervisor stays open here too, until it is certain that nothing of its job is
        # left: then the service learns it from the end of that socket, even if the supervisor was killed.
        self._controls: dict[int, int] = {}
        self._orphaned: list[int] = []

    def serve(self) -> None:
        while True:
            ready = wait_readable(self._requests.fileno(), self._child_ends.descriptor)
            if self._child_ends.descriptor in ready:
                self._child_ends.clear()
                reap_children(self._take_end)
                if self._orphaned:
                    self._end_orphans()
            if self._requests.fileno() in ready and not self._take_request():
                return

    def _take_request(self) -> bool:
        data, descriptors, _, _ = socket.recv_fds(self._requests, 1, _MOST_DESCRIPTORS)
        if not data:
            return False
        file, control, *streams = descriptors
        request: Request = json.loads(os.pread(file, os.fstat(file).st_size, 0))
        lifeline = [streams.pop()] if request["has_lifeline"] else []
        if request["argv"] is None:
            preload(request)
        self._fork(request, control, streams, lifeline)
        for descriptor in (file, *streams, *lifeline):
            os.close(descriptor)
        return True

    def _fork(self, request: Request, control: int, streams: list[int], lifeline: list[int]) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            tell(control, "error", f"no process can be started: {error.strerror}")
            os.close(control)
            return
        if pid == 0:
            run_to_exit(Supervisor(request, control, streams, lifeline).run)
        self._controls[pid] = control

    def _take_end(self, pid: int, status: int) -> None:
        control = self._controls.pop(pid, None)
        if control is not None and status == 0:
            os.close(control)
        elif control is not None:
            self._orphaned.append(control)

    def _end_orphans(self) -> None:
        """Kill what a killed supervisor has left: one generation, whose end brings the next one here."""
        orphans = [process.pid for process in list_children() if process.pid not in self._controls]
        for pid in orphans:
            send_signal(pid, signal.SIGKILL)
        if not orphans:
            for control in self._orphaned:
                os.close(control)
            self._orphaned.clear()


class Supervisor:
    """Runs one job's work in a child, and ends when nothing of it is left: neither the child, nor what it started.

    All that descends from the work comes to this process when its parent has ended, wherever it went. So the work has
    gone when there are no more children.
    """

    def __init__(self, request: Request, control: int, streams: list[int], lifeline: list[int]) -> None:
        self._request = request
        self._control = control
        self._streams = streams
        self._lifeline = lifeline  # held until nothing of the work is left
        self._is_command = request["argv"] is not None
        self._is_asked = False
        self._asked: set[Process] = set()
        self._status: int | None = None
        self._work = -1

    def run(self) -> None:
        adopt_orphans()
        self._start()
        while not self._is_over():
            is_tidying_up = self._is_asked and self._status is not None
            if is_tidying_up:
                self._ask(list_children())
            interval = _LOOK_SECONDS if is_tidying_up else None
            ready = wait_readable(self._control, self._child_ends.descriptor, timeout=interval)
            if self._child_ends.descriptor in ready:
                self._child_ends.clear()
                self._reap()
            if self._control in ready:
                self._obey()
        self._end_rest()
        tell(self._control, "ended", self._status)

    def _start(self) -> None:
        self._child_ends = ChildEnds()
        supervisor = os.getpid()
        self._work = os.fork()
        if self._work == 0:
            run_to_exit(lambda: begin_work(self._request, self._control, self._streams, supervisor))
        tell(self._control, "began", True)
        close_others((2, self._control, *self._lifeline, *self._child_ends.descriptors))

    def _is_over(self) -> bool:
        """Whether the work has ended, and what it left behind has no claim to time of its own.

        When a command was asked to stop, each of its programs was: those that still tidy up may do so until the order
        to kill comes.
        """
        return self._status is not None and not (self._is_command and self._is_asked and self._reap())

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

    def _ask(self, processes: "list[Process]") -> None:
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


def begin_work(request: Request, control: int, streams: list[int], supervisor: int) -> None:
    """Become the work of a job: a program, or a call in Python."""
    os.setsid()
    call_prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor:  # it died before it could matter
        return
    reset_signals()
    control = arrange_descriptors([*streams[:3], control, *streams[3:]])
    try:
        os.chdir(request["cwd"])
        limit_memory(request["max_memory_bytes"])
        if request["argv"] is not None:
            run_program(request["argv"], request["env"])
        else:
            run_call(request, control)
    except OSError as error:
        place = f": {request['cwd']}" if error.filename == request["cwd"] else ""
        tell(control, "error", f"{error.strerror}{place}")


def run_program(argv: list[str], environment: dict[str, str]) -> NoReturn:
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and programs would inherit that
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.execvpe(argv[0], argv, environment)


def run_call(request: Request, control: int) -> None:
    os.environ.clear()
    os.environ.update(request["env"])
    sys.path[:], sys.argv[:] = request["path"], request["program"]
    isolated = importlib.import_module(_ISOLATED)
    os.close(control)
    isolated.main(request, call=0, report=control + 1, answer=control + 2, calls=control + 3)


def preload(request: Request) -> None:
    """Import what every call needs, once for all that are forked from here. The job tells if that fails."""
    if _ISOLATED not in sys.modules:
        sys.path[:] = request["path"]
        with suppress(Exception):
            for name in (_ISOLATED, *request["preload"]):
                importlib.import_module(name)
        gc.collect()
        gc.freeze()  # a collection in a child would copy every page that is shared with this process


class Process(NamedTuple):
    pid: int
    program: bytes
    """The name of what it executes."""


class ChildEnds:
    """A descriptor that becomes readable when a child has ended."""

    def __init__(self) -> None:
        self.descriptors = self.descriptor, writer = os.pipe()
        for descriptor in self.descriptors:
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def clear(self) -> None:
        with suppress(BlockingIOError):
            while os.read(self.descriptor, 4096):
                pass

    def wait(self) -> None:
        wait_readable(self.descriptor)
        self.clear()


def wait_readable(*descriptors: int, timeout: float | None = None) -> list[int]:
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return [descriptor for descriptor, _ in poll.poll(None if timeout is None else 1_000 * timeout)]


def reap_children(take: Callable[[int, int], None]) -> bool:
    """Pass on the children that have ended, each with its status; say whether there are others."""
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return True
            take(pid, status)
    return False


def list_children() -> list[Process]:
    """The children of this process; where there is no /proc, none are found."""
    return _list_by_parent().get(os.getpid(), [])


def list_descendants() -> list[Process]:
    """The children of this process, and theirs, and so on; where there is no /proc, none are found."""
    children = _list_by_parent()
    found = [*children.get(os.getpid(), [])]
    for process in found:  # which grows meanwhile
        found += children.get(process.pid, [])
    return found


def _list_by_parent() -> dict[int, list[Process]]:
    children: dict[int, list[Process]] = {}
    with suppress(FileNotFoundError):
        for name in os.listdir("/proc"):  # noqa: PTH208 # pathlib takes longer to import than the rest
            if name.isdigit():
                with suppress(OSError):  # it has just ended
                    parent, program = _read_status(name)
                    children.setdefault(parent, []).append(Process(int(name), program))
    return children


def _read_status(pid: str) -> tuple[int, bytes]:
    """The parent of a process, and its program's name."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        start, _, rest = file.read().rpartition(b")")  # the name before it can hold anything
    return int(rest.split()[1]), start.partition(b"(")[2]


def send_signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # what runs as somebody else ends when it likes
        os.kill(pid, number)


def send_to_group(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def adopt_orphans() -> None:
    """Become the parent of every descendant that loses its own, where the system has that."""
    call_prctl(_PR_SET_CHILD_SUBREAPER, 1)


def call_prctl(option: int, value: int) -> None:
    with suppress(AttributeError):  # a system without it
        ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0)


def reset_signals() -> None:
    """Handle signals as a new Python does, but go on holding some back."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ, signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) not in (signal.SIG_DFL, None):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def limit_memory(max_bytes: int | None) -> None:
    if max_bytes is not None:
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        limit = min(max_bytes, sys.maxsize if most == resource.RLIM_INFINITY else most)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def arrange_descriptors(descriptors: list[int]) -> int:
    """Number them from 0, close all others, and return the first that a program does not inherit."""
    high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 2 * _MOST_DESCRIPTORS) for descriptor in descriptors]
    for number, descriptor in enumerate(high):
        os.dup2(descriptor, number, inheritable=number < 3)
    close_others(range(len(descriptors)))
    return 3


def close_others(kept: Collection[int]) -> None:
    for descriptor in map(int, os.listdir("/dev/fd")):  # noqa: PTH208
        if descriptor not in kept:
            with suppress(OSError):  # the list's own
                os.close(descriptor)


def tell(control: int, key: str, value: object) -> None:
    """Send the service one line; it has gone if that is impossible."""
    with suppress(OSError):
        os.write(control, json.dumps({key: value}).encode() + b"\n")


def run_to_exit(function: Callable[[], None]) -> NoReturn:
    """Run this in a forked child, which must never come back to where it was forked."""
    code = 1
    try:
        function()
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
    adopt_orphans()
    Launcher(socket.socket(fileno=int(sys.argv[1]))).serve()
