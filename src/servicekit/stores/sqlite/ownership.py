"""The owner of the file. Who can write to it can make the service call any function that it can import."""

import logging
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from servicekit.errors import StoreUnavailable

_ROOT: Final = 0
_BESIDE: Final = ("", "-wal", "-shm", "-journal")  # SQLite takes what stands in each of them for its own

_log = logging.getLogger("servicekit.stores")


def check_ownership(path: Path) -> None:
    """`StoreUnavailable` if a stranger may have prepared the file, or may write to it or replace it.

    Root may use everybody's files: see `warn_of_stranger`. A group may share the file.
    """
    for problem in _find_writers(path):
        raise StoreUnavailable(str(path), problem)
    if os.geteuid() != _ROOT:
        for problem in _find_strangers(path):
            raise StoreUnavailable(str(path), problem)


def warn_of_stranger(path: Path) -> None:
    """Log a warning if root uses somebody else's file."""
    if os.geteuid() == _ROOT:
        for problem in _find_strangers(path):
            _log.warning("The job store %s: %s", path, problem)


def _find_writers(path: Path) -> Iterator[str]:
    folder = path.parent.stat()
    if folder.st_mode & stat.S_IWOTH and not folder.st_mode & stat.S_ISVTX:
        place = path.parent / "jobs"
        yield (
            "every user of the machine can replace it, and so have the service call any function: use a subfolder of "
            f"its own (mkdir -m 700 {place}, and the address sqlite:///{place / path.name}), or forbid that "
            f"(chmod o-w {path.parent})."
        )
    for file, about in _list_files(path):
        if stat.S_ISDIR(about.st_mode):
            yield "it is a folder. Name a file in it."
        elif not stat.S_ISREG(about.st_mode):
            yield f"{file.name} is no plain file."
        elif about.st_mode & stat.S_IWOTH:
            yield (
                f"every user of the machine can write to {file.name}, and so have the service call any function. "
                f"If you know what is in it, forbid that (chmod o-w {file})."
            )


def _find_strangers(path: Path) -> Iterator[str]:
    for file, about in [(path.parent, path.parent.stat()), *_list_files(path)]:
        if about.st_uid not in (_ROOT, os.geteuid()):
            yield (
                f"{file} belongs to {_name_of(about.st_uid)}, who can so have the service call any function. Run the "
                f"service as that user, or choose another place; if you know what is in it, make it the service's own "
                f"(chown {_name_of(os.geteuid())} {file})."
            )


def _list_files(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for ending in _BESIDE:
        file = path.with_name(f"{path.name}{ending}")
        try:
            yield file, file.lstat()
        except FileNotFoundError:
            continue


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"
