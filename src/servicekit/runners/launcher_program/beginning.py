"""How the work of a job begins, in its own process: by executing a program, or by a call in Python."""

import importlib
import os
import signal
import socket
import sys
from typing import Final

from .descriptors import arrange_descriptors, close_others
from .forks import die_with_parent
from .messages import SHORTAGES, Request, receive_job, tell

ISOLATED: Final = "servicekit.runners.isolated"


def wait_for_work(jobs: socket.socket, supervisor: int) -> None:
    """Wait for a job in the process of its work, and become that work. Return if no job will come."""
    os.setsid()  # a group of its own, which can be killed at once, and no terminal
    die_with_parent()
    if os.getppid() != supervisor:  # it ended before the line above, and no signal will come
        return
    reset_signals()
    # What the launcher and the supervisor have open would be open in the job.
    close_others((0, 1, 2, jobs.fileno()))
    received = receive_job(jobs)
    if received is not None:
        request, (_, control, *streams) = received
        begin_work(request, control, streams[:-1] if request["has_guard"] else streams)


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
    """Enter the working directory; if that is impossible, tell the service why, and return `False`.

    The service's own directory may be gone for a while, as in a deploy: the job goes back. A directory that the job
    has asked for is the job's own mistake.
    """
    try:
        os.chdir(request["cwd"])
    except OSError as error:
        kind = "error" if request["is_cwd_given"] and error.errno not in SHORTAGES else "start_problem"
        tell(control, kind, f"{error.strerror}: {request['cwd']}")
        return False
    return True


def run_program(request: Request, control: int) -> None:
    """Execute a program in this process; if that is impossible, tell the service why."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and a program would inherit that
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    argv, environment = request["argv"], request["env"]
    # Before the program begins, so that no program runs of which the service does not know.
    if not tell(control, "began", os.getppid()):
        return
    try:
        os.execvpe(argv[0], argv, environment)
    except OSError as error:
        tell(control, "start_problem" if error.errno in SHORTAGES else "error", str(error.strerror))


def run_call(request: Request, control: int) -> None:
    """Call a function in this process; if servicekit cannot be imported, tell the service why."""
    os.environ.clear()
    os.environ.update(request["env"])
    sys.path[:], sys.argv[:] = request["path"], request["program"]
    try:
        isolated = importlib.import_module(ISOLATED)
    except Exception as error:  # a deploy may be replacing its files
        tell(control, "start_problem", f"servicekit cannot be imported: {type(error).__name__}: {error}")
        return
    if not tell(control, "began", os.getppid()):
        return
    os.close(control)
    isolated.main(request, call=0, report=control + 1, outcome_file=control + 2, calls=control + 3)


def reset_signals() -> None:
    """Handle signals as a new Python does. The blocked ones stay blocked until the work can take them.

    An imported module may have changed any of them.
    """
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ, signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) not in (signal.SIG_DFL, None):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
