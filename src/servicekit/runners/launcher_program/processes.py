"""The processes that descend from this one, as /proc tells them, and signals to them."""

import os
import signal
from contextlib import suppress
from typing import NamedTuple


class ProcessEntry(NamedTuple):
    pid: int
    program: bytes
    """The name of what it executes."""


def list_children() -> list[ProcessEntry]:
    """The children of this process; where there is no /proc, none are found."""
    return _list_by_parent().get(os.getpid(), [])


def list_descendants() -> list[ProcessEntry]:
    """The children of this process, and theirs, and so on; where there is no /proc, none are found."""
    children = _list_by_parent()
    found = [*children.get(os.getpid(), [])]
    for process in found:  # which grows meanwhile
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
        start, _, rest = file.read().rpartition(b")")  # the name before it can hold anything
    return int(rest.split()[1]), start.partition(b"(")[2]


def name_all(processes: list[ProcessEntry]) -> str:
    return ", ".join(sorted({process.program.decode(errors="replace") for process in processes}))


def send_signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # what runs as somebody else ends when it likes
        os.kill(pid, number)


def send_to_group(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
