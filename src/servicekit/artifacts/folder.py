"""The folder of artifacts, and what is said when it cannot be used."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EACCES, EDQUOT, EEXIST, ENOSPC, ENOTDIR, EPERM, EROFS
from pathlib import Path
from typing import Final

from servicekit.errors import ArtifactsUnavailable

_ROOT: Final = 0

_REASONS: Final = {
    ENOSPC: "the disk is full. Make room on it; artifacts that were saved are kept.",
    EDQUOT: "the quota of the disk is used up. Make room on it; artifacts that were saved are kept.",
    EACCES: "access is denied. Look at the permissions of the folder and of what is in it.",
    EPERM: "access is denied. Look at the permissions of the folder and of what is in it.",
    EROFS: "the disk is mounted read-only.",
    EEXIST: "a file is where a folder should be. Move it away.",
    ENOTDIR: "a file is where a folder should be. Move it away.",
}


def make_folder(path: Path) -> None:
    """Make the folder if it is not there, for its owner alone, and sync it to the disk. The folder above it as well."""
    if path.is_dir():
        return
    if path.parent != path:
        make_folder(path.parent)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        if not path.is_dir():  # else another process has just made it
            raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Sync the names in a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_owner(path: Path) -> None:
    """`ArtifactsUnavailable` if somebody else could change what is in the folder: models in it are loaded as code."""
    about = path.stat()
    if about.st_mode & stat.S_IWOTH:
        reason = f"every user of the machine can write to {path}. Forbid that (chmod o-w {path}), or use another one."
        raise ArtifactsUnavailable(str(path), reason)
    if os.geteuid() not in (_ROOT, about.st_uid) and about.st_uid != _ROOT:
        reason = f"{path} belongs to another user. Run the service as that user, or use another folder."
        raise ArtifactsUnavailable(str(path), reason)


@contextmanager
def translated_errors(location: str) -> Iterator[None]:
    """Turn errors of the disk into `ArtifactsUnavailable`, with what can be done about it."""
    try:
        yield
    except ArtifactsUnavailable:
        raise
    except OSError as error:
        reason = _REASONS.get(error.errno or 0) or f"{error.strerror or error}."
        raise ArtifactsUnavailable(location, reason) from error
