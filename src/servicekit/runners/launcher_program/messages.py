"""What the service, the launcher and the processes of a job say to each other.

The service imports this module too. So it imports nothing else of this package.
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
"""An order to a supervisor: kill everything now. The end of the socket means the same."""

SHORTAGES: Final = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ETXTBSY)
"""Errors of a system that lacks something for a while. The job did not cause them, and can begin later.

`ETXTBSY` is among them: a program cannot be executed while another process has its file open for writing. A process
that was forked just now may hold such a descriptor for a moment.
"""
CALL: Final = b"c"
"""A request for a call in Python."""
PROGRAM: Final = b"p"
"""A request for a program."""
IMPORT: Final = b"i"
"""A request to import what calls need. It comes before the first of them."""

# A call with a guard has so many: request, control, stdin, stdout, stderr, report, outcome, calls, guard.
MOST_DESCRIPTORS: Final = 9

Request = dict[str, Any]


def read_request(file: int) -> Request:
    # The supervisor and the work share the position of this descriptor. So neither may move it.
    request: Request = json.loads(os.pread(file, os.fstat(file).st_size, 0))
    return request


def receive_job(jobs: socket.socket) -> tuple[Request, list[int]] | None:
    """Receive a job: its request and its descriptors. `None` if no job will come, or some descriptors are missing."""
    kind, descriptors, flags, _ = socket.recv_fds(jobs, 1, MOST_DESCRIPTORS)
    if flags & socket.MSG_CTRUNC:  # the kernel drops the descriptors that are too many for this process
        refuse(descriptors)
        return None
    return (read_request(descriptors[0]), descriptors) if kind else None


def refuse(
    descriptors: list[int], reason: str = "the process that starts the processes of jobs has too many open files"
) -> None:
    """Refuse a request: as a rule one of which some descriptors are missing, because this process may have no more."""
    if len(descriptors) > 1:  # the second is the control
        tell(descriptors[1], "start_problem", reason)
        tell(descriptors[1], "over", True)  # the service may have this end open too, and would not see it end
    for descriptor in descriptors:
        os.close(descriptor)


def tell(control: int, key: str, value: object) -> bool:
    """Send the service one line, and say whether it was sent. If not, the service has ended or given the job up."""
    with suppress(OSError):  # one write is enough: a line is far shorter than the buffer of the socket
        return os.write(control, json.dumps({key: value}).encode() + b"\n") > 0
    return False
