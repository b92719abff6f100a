"""The launcher: a small process beside the service that starts the processes of jobs, and sees to their end.

It is run by the path of this file, so that nothing but the standard library is imported. The other end of its socket
is `servicekit.runners.launcher`; the page in `servicekit.runners` says who watches whom, and what that promises.
"""

import errno
import fcntl
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, Final, NamedTuple, NoReturn

TERMINATE: Final = b"t"
"""An order to a supervisor: ask the work to stop."""
KILL: Final = b"k"
"""An order to a supervisor: end everything now. To close the socket says the same."""

_SHORTAGES: Final = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ETXTBSY)
"""Errors that are nobody's fault, and pass."""
CALL: Final = b"c"
"""A request for a call in Python."""
PROGRAM: Final = b"p"
"""A request for a program."""
IMPORT: Final = b"i"
"""A request to import what calls need. It comes before the first of them."""

_ISOLATED: Final = "servicekit.runners.isolated"
_LOADING: Final = "SERVICEKIT_IS_LOADING"  # as in `calls`
_MOST_DESCRIPTORS: Final = 9
# So long after a request, in which its job begins, before the processes of the next one are forked.
_SPARE_SECONDS: Final = 0.002
_LOOK_SECONDS: Final = 0.1
# Twenty looks a second take a thousandth of a processor, and let a job have some 100 MB too much at the very worst.
_MEMORY_SECONDS: Final = 0.05
_LIST_SECONDS: Final = 1.0
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
        self._spare: Pair | None = None
        self._has_served = False

    def serve(self) -> None:
        while True:
            interval = _SPARE_SECONDS if self._spare is None and self._has_served else None
            ready = wait_readable(self._requests.fileno(), self._child_ends.descriptor, timeout=interval)
            if not ready:
                self._make_spare()
            if self._child_ends.descriptor in ready:
                self._child_ends.clear()
                reap_children(self._take_end)
                if self._orphaned:
                    self._end_orphans()
            if self._requests.fileno() in ready and not self._take_request():
                return

    def _make_spare(self) -> None:
        """Fork the processes of the next job while there is nothing else to do."""
        self._has_served = False  # if that is not possible now, it is tried again after the next request
        with suppress(OSError):
            self._spare = Pair()

    def _take_request(self) -> bool:
        kind, descriptors, flags, _ = socket.recv_fds(self._requests, 1, _MOST_DESCRIPTORS)
        if not kind:
            return False
        if flags & socket.MSG_CTRUNC:
            refuse(descriptors)
            return True
        if kind == IMPORT:
            return self._import(*descriptors)
        has_begun = self._begin(descriptors)
        for descriptor in descriptors:
            if not (has_begun and descriptor == descriptors[1]):
                os.close(descriptor)
        return True

    def _import(self, file: int, control: int) -> bool:
        """Import what calls need; `False` if nothing may be forked from here any more."""
        if self._spare is not None:
            self._spare.close()  # it would have to import all that by itself
            self._spare = None
        request = read_request(file)
        os.close(file)
        state = State(self._requests.fileno(), control)
        problems = preload(request)
        danger = state.find_danger() if request["preload"] else None
        for problem in problems:
            tell(control, "warning", problem)
        if danger is None:
            self._child_ends.listen()
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
            if pair is None or not pair.send(descriptors):
                pair = Pair()
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
        """Kill what a killed supervisor has left: one generation, whose end brings the next one here."""
        ours = {*self._controls, self._spare.pid if self._spare is not None else -1}
        orphans = [process.pid for process in list_children() if process.pid not in ours]
        for pid in orphans:
            send_signal(pid, signal.SIGKILL)
        if not orphans:
            for control in self._orphaned:
                os.close(control)
            self._orphaned.clear()


class Pair:
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


class Supervisor:
    """Runs one job's work in a child, and ends when nothing of it is left: neither the child, nor what it started.

    All that descends from the work comes to this process when its parent has ended, wherever it went. So the work has
    gone when there are no more children.
    """

    def __init__(self, jobs: socket.socket, jobs_of_work: socket.socket) -> None:
        self._jobs = jobs
        self._jobs_of_work = jobs_of_work
        self._control = -1
        self._lifeline: list[int] = []  # held until nothing of the work is left
        self._is_command = False
        self._memory: MemoryWatch | None = None
        self._is_asked = False
        self._asked: set[Process] = set()
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
        if request["has_lifeline"]:
            self._lifeline = [others.pop()]
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


def wait_for_work(jobs: socket.socket, supervisor: int) -> None:
    """Wait for a job in the process of its work, and become that; if there will be none, return."""
    os.setsid()
    call_prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor:  # it died before it could matter
        return
    reset_signals()
    close_others((0, 1, 2, jobs.fileno()))
    received = receive_job(jobs)
    if received is not None:
        request, (_, control, *streams) = received
        begin_work(request, control, streams[:-1] if request["has_lifeline"] else streams)


def begin_work(request: Request, control: int, streams: list[int]) -> None:
    """Become the work of a job: a program, or a call in Python."""
    try:
        control = arrange_descriptors([*streams[:3], control, *streams[3:]])
    except OSError as error:
        tell(control, "start_problem", str(error.strerror))
    else:
        if enter_directory(request, control):
            begin = run_call if request["argv"] is None else run_program
            begin(request, control)


def enter_directory(request: Request, control: int) -> bool:
    try:
        os.chdir(request["cwd"])
    except OSError as error:
        kind = "error" if request["is_cwd_given"] and error.errno not in _SHORTAGES else "start_problem"
        tell(control, kind, f"{error.strerror}: {request['cwd']}")
        return False
    return True


def run_program(request: Request, control: int) -> None:
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and programs would inherit that
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    argv, environment = request["argv"], request["env"]
    if not tell(control, "began", os.getppid()):
        return
    try:
        os.execvpe(argv[0], argv, environment)
    except OSError as error:
        tell(control, "start_problem" if error.errno in _SHORTAGES else "error", str(error.strerror))


def run_call(request: Request, control: int) -> None:
    os.environ.clear()
    os.environ.update(request["env"])
    sys.path[:], sys.argv[:] = request["path"], request["program"]
    try:
        isolated = importlib.import_module(_ISOLATED)
    except Exception as error:  # its files may have been replaced
        tell(control, "start_problem", f"servicekit cannot be imported: {type(error).__name__}: {error}")
        return
    if not tell(control, "began", os.getppid()):
        return
    os.close(control)
    isolated.main(request, call=0, report=control + 1, answer=control + 2, calls=control + 3)


def preload(request: Request) -> list[str]:
    """Import what calls need, once for all that are forked from here, and say what went wrong.

    The isolated module is not among that: a job tells if it cannot be imported.
    """
    sys.path[:], sys.argv[:] = request["path"], request["program"]
    problems = []
    os.environ[_LOADING] = "1"
    for name in (_ISOLATED, *request["imports"], *request["preload"]):
        try:
            importlib.import_module(name)
        except BaseException as error:  # whatever the module likes, which may leave
            if name in request["preload"]:
                problems.append(f"{name} cannot be imported beforehand: {type(error).__name__}: {error}")
    os.environ.pop(_LOADING, None)
    gc.collect()
    gc.freeze()  # a collection in a child would copy every page that is shared with this process
    return problems


class State:
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


def identify(descriptor: int) -> tuple[int, int] | None:
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def list_descriptors() -> set[int]:
    descriptors = map(int, os.listdir("/dev/fd"))  # noqa: PTH208
    return {descriptor for descriptor in descriptors if identify(descriptor) is not None}  # the list's own is closed


def name_file(descriptor: int) -> str:
    with suppress(OSError):
        return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115
    return str(descriptor)


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


def read_request(file: int) -> Request:
    request: Request = json.loads(os.pread(file, os.fstat(file).st_size, 0))
    return request


def receive_job(jobs: socket.socket) -> tuple[Request, list[int]] | None:
    """What is to be done, and its descriptors; `None` if nothing is any more."""
    kind, descriptors, flags, _ = socket.recv_fds(jobs, 1, _MOST_DESCRIPTORS)
    if flags & socket.MSG_CTRUNC:
        refuse(descriptors)
        return None
    return (read_request(descriptors[0]), descriptors) if kind else None


class MemoryWatch:
    """Looks how much memory all that descends from this process holds. Where there is no /proc, that is not known.

    Not a limit of the system: that could only be on addresses, of which libraries reserve far more than they use, and
    some that get none go on asking for ever.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._pids: list[int] = []
        self._list_at = self._count_at = 0.0

    def find_excess(self) -> int | None:
        """How many bytes it is, if that is too much."""
        now = time.monotonic()
        if now >= self._list_at:  # to go through all processes of the machine takes longer than to look at some
            self._pids = [process.pid for process in list_descendants()]
            self._list_at = now + _LIST_SECONDS
        used = sum(read_memory(pid, "status", (b"VmRSS", b"VmSwap")) for pid in self._pids)
        if used > self._max_bytes and now >= self._count_at:  # pages that several of them share were counted for each
            used = sum(read_memory(pid, "smaps_rollup", (b"Pss", b"SwapPss")) for pid in self._pids)
            # That takes the kernel a tenth of a second for each GB, and more: a tenth of a processor is spent on it.
            self._count_at = now + 10 * (time.monotonic() - now)
            return used if used > self._max_bytes else None
        return None


def read_memory(pid: int, file: str, names: tuple[bytes, ...]) -> int:
    """The sum of these figures in bytes; 0 for a process that has ended."""
    total = 0
    with suppress(OSError), open(f"/proc/{pid}/{file}", "rb") as lines:  # a process may have any bytes for its name
        for line in lines:
            name, _, rest = line.partition(b":")
            if name in names:
                total += 1024 * int(rest.split()[0])
    return total


class Process(NamedTuple):
    pid: int
    program: bytes
    """The name of what it executes."""


class ChildEnds:
    """A descriptor that becomes readable when a child has ended."""

    def __init__(self) -> None:
        self.descriptors = self.descriptor, writer = os.pipe()
        self._writer = writer
        for descriptor in self.descriptors:
            os.set_blocking(descriptor, False)
        self.listen()

    def listen(self) -> None:
        """Hear of children, whoever else has wanted to since."""
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
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


def name_all(processes: list[Process]) -> str:
    return ", ".join(sorted({process.program.decode(errors="replace") for process in processes}))


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
    import ctypes  # by the launcher, at its start: the service imports this module, and has no use for it

    with suppress(AttributeError):  # a system without it
        ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0)


def reset_signals() -> None:
    """Handle signals as a new Python does, but go on holding some back."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ, signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) not in (signal.SIG_DFL, None):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


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


def refuse(descriptors: list[int]) -> None:
    """Let go of a request that came without some of its descriptors, since this process may have no more."""
    if len(descriptors) > 1:
        tell(descriptors[1], "start_problem", "the process that starts the processes of jobs has too many open files")
    for descriptor in descriptors:
        os.close(descriptor)


def tell(control: int, key: str, value: object) -> bool:
    """Send the service one line; if that is impossible, it has gone, or given the job up."""
    with suppress(OSError):
        return os.write(control, json.dumps({key: value}).encode() + b"\n") > 0
    return False


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
    # Its socket tells the end of the service as well, unless a module that was imported has closed that, or hangs.
    call_prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(sys.argv[2]):  # it died before
        os._exit(0)
    adopt_orphans()
    Launcher(socket.socket(fileno=int(sys.argv[1]))).serve()
    os._exit(0)  # what was imported may have left threads that would be waited for
