"""Blobs as files: `blobs/ab/abcdef…`, by the SHA-256 of the content, and `staging/` for those that are being written.

A file in `staging/` is locked (`flock`) by the process that writes it, and a lock dies with its process. So `sweep`
tells what a dead process has left from what is being written now, however long that takes.

In a directory that several machines share, no lock of another machine is relied on. Each file there has its machine in
its name. One of another machine counts as left when nothing was written to it for a day, by the file server's clock.
"""

import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import BinaryIO, Final, Self
from uuid import getnode

from servicekit.artifacts.folder import check_owner, make_folder, sync_folder, translated_errors
from servicekit.artifacts.ports import StagedBlob
from servicekit.errors import ArtifactsUnavailable

_HASH: Final = re.compile(r"[0-9a-f]{64}")
# Longer than any upload stands still, and not so long that what a lost machine has left fills the disk.
_LEFT_SECONDS: Final = 86_400.0


class DirectoryBlobs:
    """A `BlobStore` in a directory. Its files are for their owner alone, and it makes them at the first use."""

    def __init__(self, directory: Path, *, is_shared: bool = False) -> None:
        """`is_shared`: processes of other machines may use it as well."""
        self.location = str(directory)
        self._directory = directory
        self._machine = _name_machine() if is_shared else ""
        self._was_seen = False
        self._blobs = directory / "blobs"
        self._staging = directory / "staging"

    def stage(self) -> "StagedFile":
        with translated_errors(self.location):
            self._check_not_gone()
            make_folder(self._staging)
            check_owner(self._directory)
            return StagedFile(self._staging, self.location, f"{self._machine}{secrets.token_hex(16)}")

    def place(self, staged: StagedBlob) -> None:
        if not isinstance(staged, StagedFile):
            raise TypeError("the blob was staged by another store")
        with translated_errors(self.location):
            folder = self._folder_of(staged.sha256)
            if not staged.is_placed:
                make_folder(folder)
                staged.path.replace(folder / staged.sha256)
                staged.is_placed = self._was_seen = True
                sync_folder(folder)
            elif not self._path_of(staged.sha256).exists():
                reason = "what was being saved was removed before it had its row. Save it again."
                raise ArtifactsUnavailable(self.location, reason)

    def plan_removal(self, sha256: str) -> Callable[[], None]:
        with translated_errors(self.location):
            return partial(self._remove, sha256, _identify(self._path_of(sha256)))

    def open(self, sha256: str) -> BinaryIO:
        try:
            descriptor = self._open(sha256)
        except FileNotFoundError:
            self._check_not_gone()
            raise
        except OSError as error:  # it is a link, say, or must not be read
            reason = f"the blob {sha256} cannot be opened: {error.strerror}."
            raise ArtifactsUnavailable(self.location, reason) from error
        self._was_seen = True
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
            files = _list_folder(self._staging)
            own = [each for each in files if each.name.startswith(self._machine)]
            others = [each for each in files if not each.name.startswith(self._machine)]
            return sum(_remove_if_left(Path(each)) for each in own) + (self._sweep_old(others) if others else 0)

    def _check_not_gone(self) -> None:
        """`ArtifactsUnavailable` if a shared directory was unmounted: nobody else would find what is saved there."""
        if self._machine and self._was_seen and not self._blobs.is_dir():
            reason = "its contents are gone. Look whether the shared directory is still mounted there."
            raise ArtifactsUnavailable(self.location, reason)

    def _remove(self, sha256: str, file: object) -> None:
        path = self._path_of(sha256)
        with translated_errors(self.location), suppress(FileNotFoundError):
            if file is not None and _identify(path) == file:
                path.unlink()

    def _open(self, sha256: str) -> int:
        """A descriptor of the blob. A file server's client can remember for a while that a name was not there, and asks
        anew only when its folder is opened: so each folder is.
        """
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        with ExitStack() as folders:
            folder = os.open(self._blobs, flags | os.O_DIRECTORY)
            folders.callback(os.close, folder)
            folder = os.open(sha256[:2], flags | os.O_DIRECTORY, dir_fd=folder)
            folders.callback(os.close, folder)
            return os.open(sha256, flags, dir_fd=folder)

    def _sweep_old(self, files: "Sequence[os.DirEntry[str]]") -> int:
        """Remove what other machines have left."""
        with self.stage() as now:  # a new file has the time of the file server
            oldest = now.written_at - _LEFT_SECONDS
        old = [each for each in files if _is_older(each, oldest)]
        for each in old:
            with suppress(FileNotFoundError):  # its machine has swept as well
                Path(each).unlink()
        return len(old)

    def _folder_of(self, sha256: str) -> Path:
        return self._blobs / sha256[:2]

    def _path_of(self, sha256: str) -> Path:
        return self._folder_of(sha256) / sha256


class StagedFile:
    """A `StagedBlob` in a temporary file, which is locked for as long as this is open."""

    def __init__(self, folder: Path, location: str, name: str) -> None:
        self.sha256 = ""
        self.size = 0
        self.is_placed = False
        self._location = location
        self._hash = hashlib.sha256()
        for number in count():
            self.path = folder / f"{name}-{number}"
            self._file = open(self.path, "xb", buffering=0, opener=_open_for_owner)  # noqa: SIM115 # until `__exit__`
            with suppress(OSError):  # not every file server has locks; then only its age tells, after the next boot
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

    @property
    def written_at(self) -> float:
        """When it was written to, by the clock of where it is, in seconds since 1970."""
        return os.fstat(self._file.fileno()).st_mtime

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


def _name_machine() -> str:
    """What names of files begin with that processes of this machine write, since it was booted."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:  # not Linux
        boot = hex(getnode())
    return f"{hashlib.sha256(boot.encode()).hexdigest()[:16]}-"


def _is_older(entry: "os.DirEntry[str]", oldest: float) -> bool:
    try:
        return entry.stat(follow_symlinks=False).st_mtime < oldest
    except FileNotFoundError:
        return False


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
    except OSError:  # it is being written; or it is gone; or nobody can tell here
        return False
    finally:
        os.close(descriptor)
    return True
