"""The mark of a work on its node, which tells whether anything of the work is left there, whatever became of its host.

It is a name in Linux's abstract namespace. Host and supervisor hold it, and the system frees it when the last of them
has ended, however that came. Other systems have no such names: there a work counts as gone with its host.
"""

import os
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

# A work that is killed is gone within milliseconds, and nobody waits for it but one task of the gateway's.
_LOOK_SECONDS: Final = 0.02
# That looks at all processes of the node.
_WAKE_SECONDS: Final = 1.0


def take_mark(key: str, job_id: str) -> socket.socket:
    """Take the mark of a work; `OSError` if somebody holds it. It is free when all copies of the socket are closed."""
    mark = socket.socket(socket.AF_UNIX)
    try:
        if sys.platform == "linux":
            mark.bind(f"\0{_name_of(key, job_id)}")
    except OSError:
        mark.close()
        raise
    return mark


def wait_gone(key: str, job_id: str, seconds: float) -> bool:
    """Wait for so long until nobody holds the mark of a work on this node. Whether nothing of the work is left.

    A supervisor that was stopped, by the work itself as a rule, is made to go on: it kills the work, since its host is
    gone.
    """
    deadline, wake_at = time.monotonic() + seconds, 0.0
    while (now := time.monotonic()) < deadline:
        with suppress(OSError), take_mark(key, job_id):
            return True
        if now >= wake_at:
            _wake_holders(_name_of(key, job_id))
            wake_at = now + _WAKE_SECONDS
        time.sleep(_LOOK_SECONDS)
    return False


def _name_of(key: str, job_id: str) -> str:
    return f"servicekit.{job_id}.{key}"


def _wake_holders(name: str) -> None:
    """Have all processes go on that hold this mark, as far as this one may."""
    sockets = {f"socket:[{inode}]" for inode in _find_inodes(name)}
    for folder in Path("/proc").glob("[0-9]*/fd"):
        with suppress(OSError):  # it has ended, or is another user's
            if any(str(descriptor.readlink()) in sockets for descriptor in folder.iterdir()):
                os.kill(int(folder.parent.name), signal.SIGCONT)


def _find_inodes(name: str) -> list[str]:
    with suppress(OSError):
        lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
        return [words[-2] for words in lines if words[-1] == f"@{name}"]
    return []
