"""Targets that would break whoever trusts them. Each does what it does in a process of its own."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from servicekit.jobs.current import current_job


class Leaving:
    """Ends whoever unpickles it, or writes it as JSON."""

    def __reduce__(self) -> NoReturn:
        sys.exit("install more")

    def __iter__(self) -> Iterator[int]:
        sys.exit("install more")


class LeavingWhenRead:
    """Ends whoever reads it again, as what is in a module that leaves on its import does."""

    def __reduce__(self) -> tuple[object, ...]:
        return sys.exit, ("install more",)


def give_many(count: int) -> list[int]:
    return list(range(count))


def give_leaving() -> Leaving:
    return Leaving()


def give_leaving_when_read() -> LeavingWhenRead:
    return LeavingWhenRead()


def close_everything_and_write(folder: str, *, is_failing: bool = False) -> str:
    """Close all descriptors, as daemons do, and open files: they get the numbers of what was closed."""
    os.closerange(3, 100)
    for number in range(10):
        os.write(os.open(Path(folder, str(number)), os.O_CREAT | os.O_RDWR), b"mine")
    current_job().log("a line")
    current_job().progress(1)
    current_job().wait_cancel_requested(0.01)
    if is_failing:
        raise ValueError("no")
    return "done"


def write_to_every_descriptor() -> str:
    for text in (b"x", b"[" * 10_000, json.dumps(["line", {}, [], 3]).encode(), b'["progress", "much"]'):
        for descriptor in range(3, 10):
            try:
                os.write(descriptor, text)
            except OSError:
                continue
    return "done"


def pretend(text: str) -> None:
    """Write what looks like an outcome where that belongs, and crash."""
    for descriptor in range(3, 10):
        try:
            os.pwrite(descriptor, text.encode(), 0)
        except OSError:
            continue
    os._exit(0)


def grow() -> None:
    """Make the file of the outcome huge, and crash."""
    for descriptor in range(3, 10):
        try:
            os.ftruncate(descriptor, 1 << 40)
        except OSError:
            continue
    os._exit(0)


def fork_and_return() -> str:
    """Both return, the child with something else; its parent waits for it."""
    pid = os.fork()
    if pid == 0:
        return "the child's"
    os.waitpid(pid, 0)
    return "the parent's"


def fork_a_child_that_raises() -> str:
    pid = os.fork()
    if pid == 0:
        raise SystemExit("the child's")
    os.waitpid(pid, 0)
    return "the parent's"


class _Output:
    def write(self, text: str) -> NoReturn:
        raise SystemExit

    def flush(self) -> NoReturn:
        raise SystemExit


def replace_output() -> str:
    sys.stdout = sys.stderr = _Output()
    return "done"


def forget_environment() -> str:
    os.environ.clear()
    return "done"
