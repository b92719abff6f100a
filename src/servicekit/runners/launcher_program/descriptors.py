"""The open descriptors of this process."""

import fcntl
import os
import select
from collections.abc import Collection
from contextlib import suppress

from .messages import MOST_DESCRIPTORS


def wait_readable(*descriptors: int, timeout: float | None = None) -> list[int]:
    """Wait until some of these can be read, or have ended, and return them; none after `timeout` seconds."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return [descriptor for descriptor, _ in poll.poll(None if timeout is None else 1_000 * timeout)]


def arrange_descriptors(descriptors: list[int]) -> int:
    """Number them from 0, close all others, and return the first that a program does not inherit."""
    # First all get numbers beyond those that are to be assigned, so that none is overwritten before its turn.
    high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 2 * MOST_DESCRIPTORS) for descriptor in descriptors]
    for number, descriptor in enumerate(high):
        os.dup2(descriptor, number, inheritable=number < 3)
    close_others(range(len(descriptors)))
    return 3


def close_others(kept: Collection[int]) -> None:
    for descriptor in map(int, os.listdir("/dev/fd")):  # noqa: PTH208
        if descriptor not in kept:
            with suppress(OSError):  # the one by which the list was read is closed already
                os.close(descriptor)


def identify(descriptor: int) -> tuple[int, int] | None:
    """What tells the file of this descriptor from all others; `None` if it is not open."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def list_descriptors() -> set[int]:
    """All that are open."""
    descriptors = map(int, os.listdir("/dev/fd"))  # noqa: PTH208
    # The one by which the list was read is in it, and closed already.
    return {descriptor for descriptor in descriptors if identify(descriptor) is not None}


def name_file(descriptor: int) -> str:
    """The path of its file, or what the system says instead; its number where there is no /proc."""
    with suppress(OSError):
        return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115
    return str(descriptor)
