"""One run of a target that tells the number of its process, and what becomes of that process."""

import asyncio
import os
import select
from contextlib import suppress
from typing import Final

from servicekit.testing.runners import Trial as AnyTrial

HAS_ENDED: Final = (FileNotFoundError, ProcessLookupError)
"""How /proc says that a process is no more: to `open`, or to `read` if it has ended in between."""


class Trial(AnyTrial):
    """A job whose lines tell the numbers of processes."""

    async def wait_pid(self, who: str) -> int:
        """Wait for the line in which somebody tells the number of its process."""
        return int(await self.wait_line(rf"{who} (\d+)"))


async def wait_gone(*pids: int) -> None:
    """Wait until these processes have ended."""
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(descriptor, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)


def block_until_gone(pid: int) -> None:
    """Wait until this process has ended, and let the event loop do nothing meanwhile."""
    with suppress(ProcessLookupError):  # it was quicker
        descriptor = os.pidfd_open(pid)
        select.select([descriptor], [], [])
        os.close(descriptor)


def parent_of(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def children_of(pid: int) -> list[int]:
    """None, if the process has ended meanwhile."""
    with suppress(*HAS_ENDED), open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]
    return []


def is_running(pid: int) -> bool:
    """Whether the process is there, and not only its entry, which waits for its parent to read it."""
    with suppress(*HAS_ENDED), open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"
    return False
