"""What becomes of a process that a target forks, and that runs on to the target's end: it would take itself for us."""

import os
import sys
from contextlib import suppress
from types import TracebackType
from typing import NoReturn


class ForkGuard:
    """Around a target's call: nobody comes out of it but the process that went in.

    A child of `os.fork()` whose `exec` fails, say, or that calls `sys.exit()`, ends here, as at the end of a program.
    Without that, a job would end as its child did, and a child of the service would be a second one, with the first
    one's sockets and files.
    """

    __slots__ = ("_process",)

    def __enter__(self) -> None:
        self._process = os.getpid()

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        if os.getpid() != self._process:
            _end(error)


def _end(error: BaseException | None) -> NoReturn:
    code: object = None
    if isinstance(error, SystemExit):
        code = error.code
    elif error is not None:
        code = 1
        with suppress(BaseException):  # it is the user's error, and perhaps the user's hook
            sys.excepthook(type(error), error, error.__traceback__)
    for stream in (sys.stdout, sys.stderr):
        with suppress(BaseException):  # the target can have put anything there
            stream.flush()
    os._exit(code & 0xFF if isinstance(code, int) else int(code is not None))
