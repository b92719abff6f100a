"""The end of a process that a target forks, and that returns from the target: it must not go on as a second service."""

import os
import sys
from contextlib import suppress
from typing import NoReturn


def leave_to_parent(process: int, error: BaseException | None = None) -> None:
    """End this process if it is a child of `process`, the one that has called the target. Else do nothing.

    A child of `os.fork()` whose `exec` fails, for example, or that calls `sys.exit()`, ends here, as at the end of a
    program. Without that, the job would end as its child did. And a child of the service would be a second service,
    with the sockets and files of the first.
    """
    if os.getpid() != process:
        _end(error)


def _end(error: BaseException | None) -> NoReturn:
    code: object = None
    if isinstance(error, SystemExit):
        code = error.code
    elif error is not None:
        code = 1
        with suppress(BaseException):  # both the error and the hook may be the user's
            sys.excepthook(type(error), error, error.__traceback__)
    for stream in (sys.stdout, sys.stderr):
        with suppress(BaseException):  # the target may have put any object there
            stream.flush()
    os._exit(code & 0xFF if isinstance(code, int) else int(code is not None))
