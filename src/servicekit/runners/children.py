"""What becomes of a process that a target forks, and that runs on to the target's end: it would take itself for us."""

import os
import sys
from contextlib import suppress
from typing import NoReturn


def leave_to_parent(process: int, error: BaseException | None = None) -> None:
    """End this process if it is a child of `process`, the one that has called the target; else do nothing.

    A child of `os.fork()` whose `exec` fails, say, or that calls `sys.exit()`, ends here, as at the end of a program.
    Without that, a job would end as its child did, and a child of the service would be a second one, with the first
    one's sockets and files.
    """
    if os.getpid() != process:
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
