"""Blobs as files: `blobs/ab/abcdef…`, by the SHA-256 of the content, and `staging/` for those that are being written.

A file in `staging/` is locked (`flock`) by the process that writes it, and a lock dies with its process. So `sweep`
tells what a dead process has left from what is being written now, however long that takes.
"""

import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, Self

from servicekit.artifacts.folder import make_folder, sync_folder, translated_errors
from servicekit.artifacts.ports import StagedBlob
from servicekit.errors import ArtifactsUnavailable

_HASH: Final = re.compile(r"[0-9a-f]{64}")


class DirectoryBlobs:
    """A `BlobStore` in a directory. Its files are for their owner alone, and it makes them at the first use."""

    def __init__(self, directory: Path) -> None:
        self.location = str(directory)
        self._blobs = directory / "blobs"
        self._staging = directory / "staging"

    def stage(self) -> "StagedFile":
        with translated_errors(self.location):
            make_folder(self._staging)
            return StagedFile(self._staging, self.location)

    def place(self, staged: StagedBlob) -> None:
        if not isinstance(staged, StagedFile):
            raise TypeError("the blob was staged by another store")
        with translated_errors(self.location):
            folder = self._folder_of(staged.sha256)
            if not staged.is_placed:
                make_folder(folder)
                staged.path.replace(folder / staged.sha256)
                staged.is_placed = True
                sync_folder(folder)
            elif not self._path_of(staged.sha256).exists():
                reason = "what was being saved was removed before it had its row. Save it again."
                raise ArtifactsUnavailable(self.location, reason)

    def plan_removal(self, sha256: str) -> Callable[[], None]:
        with translated_errors(self.location):
            return partial(self._remove, sha256, _identify(self._path_of(sha256)))

    def open(self, sha256: str) -> BinaryIO:
        try:
            folder = os.open(self._folder_of(sha256), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                descriptor = os.open(sha256, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            finally:
                os.close(folder)
        except FileNotFoundError:
            raise
        except OSError as error:  # it is a link, say, or must not be read
            reason = f"the blob {sha256} cannot be opened: {error.strerror}."
            raise ArtifactsUnavailable(self.location, reason) from error
        return open(descriptor, "rb")

    def find_path(self, sha256: str) -> Path | None:
        return self._path_of(sha256)

    def list(self) -> Iterator[str]:
        with translated_errors(self.location):
            for folder in _list_folder(self._blobs):
                if folder.is_dir(follow_symlinks=False):
                    yield from (each.name for each in _list_folder(folder) if _HASH.fullmatch(each.name))

    def sweep(self) -> int:
        with translated_errors(self.location):
            return sum(_remove_if_left(Path(each)) for each in _list_folder(self._staging))

    def _remove(self, sha256: str, file: object) -> None:
        path = self._path_of(sha256)
        with translated_errors(self.location), suppress(FileNotFoundError):
            if file is not None and _identify(path) == file:
                path.unlink()

    def _folder_of(self, sha256: str) -> Path:
        return self._blobs / sha256[:2]

    def _path_of(self, sha256: str) -> Path:
        return self._folder_of(sha256) / sha256


class StagedFile:
    """A `StagedBlob` in a temporary file, which is locked for as long as this is open."""

    def __init__(self, folder: Path, location: str) -> None:
        self.sha256 = ""
        self.size = 0
        self.is_placed = False
        self._location = location
        self._hash = hashlib.sha256()
        while True:
            self.path = folder / secrets.token_hex(16)
            self._file = open(self.path, "xb", buffering=0, opener=_open_for_owner)  # noqa: SIM115 # until `__exit__`
            fcntl.flock(self._file, fcntl.LOCK_EX)
            if os.fstat(self._file.fileno()).st_nlink:
                break
            self._file.close()  # a sweep has taken it for one that was left, between the two calls

    def write(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data).cast("B")
        self._hash.update(view)
        self.size += len(view)
        with translated_errors(self._location):
            while view:
                view = view[self._file.write(view) :]

    def finish(self) -> None:
        self.sha256 = self._hash.hexdigest()
        with translated_errors(self._location):
            os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.is_placed:
            with suppress(OSError):
                self.path.unlink()
        self._file.close()


def _open_for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _identify(path: Path) -> tuple[int, int] | None:
    """What tells the file at the path from one that is there later; `None` if there is none."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_ctime_ns  # the number of a removed file is soon given to another


def _list_folder(path: "os.PathLike[str]") -> list["os.DirEntry[str]"]:
    with suppress(FileNotFoundError), os.scandir(path) as entries:
        return sorted(entries, key=lambda each: each.name)
    return []


def _remove_if_left(path: Path) -> bool:
    """Remove a temporary file whose process has died."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:  # it has just been placed or given up, or is no file of ours
        return False
    try:
        # Held until the file is gone: its process may just be about to lock it, and must then see that it is.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    except (BlockingIOError, FileNotFoundError):
        return False
    finally:
        os.close(descriptor)
    return True
