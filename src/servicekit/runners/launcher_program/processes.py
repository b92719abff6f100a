"""The processes that descend from this one, read from /proc, and signals to them."""

import os
import signal
from contextlib import suppress
from typing import NamedTuple


class ProcessEntry(NamedTuple):
    """A process in the system's table of them."""

    pid: int
    program: bytes
    """The name of the program that it executes, as the kernel keeps it: at most 15 bytes."""


def list_children() -> list[ProcessEntry]:
    """The children of this process. Where there is no /proc, none are found."""
    return _list_by_parent().get(os.getpid(), [])


def list_descendants() -> list[ProcessEntry]:
    """The children of this process, their children, and so on. Where there is no /proc, none are found."""
    children = _list_by_parent()
    found = [*children.get(os.getpid(), [])]
    for process in found:  # the list grows in this loop
        found += children.get(process.pid, [])
    return found


def _list_by_parent() -> dict[int, list[ProcessEntry]]:
    children: dict[int, list[ProcessEntry]] = {}
    with suppress(FileNotFoundError):
        for name in os.listdir("/proc"):  # noqa: PTH208 # pathlib takes longer to import than the rest
            if name.isdigit():
                with suppress(OSError):  # it has just ended
                    parent, program = _read_status(name)
                    children.setdefault(parent, []).append(ProcessEntry(int(name), program))
    return children


def _read_status(pid: str) -> tuple[int, bytes]:
    """The parent of a process, and its program's name."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        start, _, rest = file.read().rpartition(b")")  # the name before it may contain spaces and brackets
    return int(rest.split()[1]), start.partition(b"(")[2]


def name_all(processes: list[ProcessEntry]) -> str:
    return ", ".join(sorted({process.program.decode(errors="replace") for process in processes}))


def send_signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # a process of another user may not be signaled
        os.kill(pid, number)


def send_to_group(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
