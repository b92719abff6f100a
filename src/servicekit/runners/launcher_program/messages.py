"""What the service says to the launcher and to the processes of a job, and what they answer.

The service imports this module as well, so nothing else of this package is imported here.
"""

import errno
import json
import os
import socket
from contextlib import suppress
from typing import Any, Final

TERMINATE: Final = b"t"
"""An order to a supervisor: ask the work to stop."""
KILL: Final = b"k"
"""An order to a supervisor: end everything now. To close the socket says the same."""

SHORTAGES: Final = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ETXTBSY)
"""Errors that are nobody's fault, and pass."""
CALL: Final = b"c"
"""A request for a call in Python."""
PROGRAM: Final = b"p"
"""A request for a program."""
IMPORT: Final = b"i"
"""A request to import what calls need. It comes before the first of them."""

MOST_DESCRIPTORS: Final = 9

Request = dict[str, Any]


def read_request(file: int) -> Request:
    request: Request = json.loads(os.pread(file, os.fstat(file).st_size, 0))
    return request


def receive_job(jobs: socket.socket) -> tuple[Request, list[int]] | None:
    """What is to be done, and its descriptors; `None` if nothing is any more."""
    kind, descriptors, flags, _ = socket.recv_fds(jobs, 1, MOST_DESCRIPTORS)
    if flags & socket.MSG_CTRUNC:
        refuse(descriptors)
        return None
    return (read_request(descriptors[0]), descriptors) if kind else None


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
