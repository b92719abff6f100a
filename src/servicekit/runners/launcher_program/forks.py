"""What a process that forks others asks of the system: the ends of its children, and its orphans."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NoReturn

from .descriptors import wait_readable

# As <linux/prctl.h> has them; Python knows neither.
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36


class ChildEnds:
    """A descriptor that becomes readable when a child has ended.

    Python's handler of a signal writes to it, so that a `poll` that begins a moment after the signal returns at once.
    """

    def __init__(self) -> None:
        self.descriptors = self.descriptor, writer = os.pipe()
        self._writer = writer
        for descriptor in self.descriptors:
            os.set_blocking(descriptor, False)
        self.listen()

    def listen(self) -> None:
        """Hear of children, also if a module has taken the signal or the descriptor for itself since."""
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # without a handler, Python writes nothing

    def clear(self) -> None:
        with suppress(BlockingIOError):
            while os.read(self.descriptor, 4096):  # one byte for each signal
                pass

    def wait(self) -> None:
        wait_readable(self.descriptor)
        self.clear()


def reap_children(take: Callable[[int, int], None]) -> bool:
    """Pass each child that has ended to `take`, with its status; say whether there are other children."""
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return True
            take(pid, status)
    return False


def run_to_exit(function: Callable[[], None]) -> NoReturn:
    """Run this in a forked child, and end the child. It must never return to the code that has forked it."""
    code = 1
    try:
        function()
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose parent ends, where the system has that."""
    _call_prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Be killed by the system when the parent has ended, where the system has that."""
    _call_prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def outlive_parent() -> None:
    """Take `die_with_parent` back."""
    _call_prctl(_PR_SET_PDEATHSIG, 0)


def _call_prctl(option: int, value: int) -> None:
    with suppress(AttributeError):  # a system without it
        ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0)
