"""Temporary directories that are gone afterwards, whatever happens to the process.

A directory is removed when its block ends. If its process is killed before, nobody runs the end of the block. So the
directory is locked as long as the process lives, and whoever looks next removes those that are not: the next job that
makes one, the service when a job has ended, and a service that starts.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_PREFIX: Final = "servicekit-ml-"


@contextmanager
def temporary_directory() -> Iterator[Path]:
    """A new directory that only this user can enter. It is removed at the end of the block, with all that is in it."""
    sweep_directories()
    directory, lock = _make()
    try:
        yield directory
    finally:
        _remove(directory)
        os.close(lock)


def sweep_directories() -> int:
    """Remove the directories of processes that have died, and return how many there were.

    Only directories of this user are looked at. One that is in use is locked, and left alone.
    """
    count = 0
    for directory in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        lock = _lock(directory)
        if lock is not None:
            _remove(directory)
            os.close(lock)
            count += 1
    return count


def _make() -> tuple[Path, int]:
    while True:
        directory = Path(tempfile.mkdtemp(prefix=_PREFIX))
        lock = _lock(directory)
        if lock is not None:
            return directory, lock
        # Another process has swept it up in between.


def _lock(directory: Path) -> int | None:
    """A descriptor that holds the directory's lock; `None` if another process holds it, or the directory is not ours.

    The lock ends with the process: a program that the process starts does not inherit the descriptor.
    """
    try:
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    with suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(lock)
        # It may have been removed after it was opened; then the lock is that of nothing.
        if status.st_uid == os.geteuid() and os.path.samestat(status, directory.lstat()):
            return lock
    os.close(lock)
    return None


def _remove(directory: Path) -> None:
    """Remove it with all that is in it, also where a command has taken permissions away from itself."""
    shutil.rmtree(directory, ignore_errors=True)
    if not directory.exists():
        return
    for folder, _, _ in os.walk(directory):  # from above, so that what is below can be reached
        with suppress(OSError):
            Path(folder).chmod(0o700)
    shutil.rmtree(directory, ignore_errors=True)
