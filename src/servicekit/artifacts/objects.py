"""Blobs in an object store, through fsspec: `blobs/ab/abcdef…/<copy>`, by the SHA-256 of the content, and `staging/`.

An object store has no locks and renames nothing. So each time a content is placed it becomes an object of another name,
a copy that the store makes by itself of what was uploaded to `staging/`, and then the copies that were there before go.
Whoever removes a blob removes the copies that it has seen before it asked the index, and never one that was made later.
Of those who place a content at the same time, each removes only copies that are older than its own: so one is left.

What an upload that was cut off has left in `staging/` is swept when it is a day old. Parts of an upload that was never
completed are seen by nobody: a rule of the bucket must remove them.
"""

import hashlib
import io
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, Self, cast

from servicekit.artifacts.ports import StagedBlob
from servicekit.errors import ArtifactsUnavailable, ConfigurationError, MissingExtra

try:
    import fsspec
    from fsspec.spec import AbstractBufferedFile
except ModuleNotFoundError as error:
    raise MissingExtra("Artifacts in an object store", "objects") from error

_HASH: Final = re.compile(r"[0-9a-f]{64}")
# A store takes parts of at least 5 MiB; one of them is in memory for each upload.
_PART_BYTES: Final = 8 * 1024 * 1024
# So much is asked for at once. A request takes some ten milliseconds, however little it is about.
_BLOCK_BYTES: Final = 1024 * 1024
_LEFT: Final = timedelta(days=1)


class ObjectBlobs:
    """A `BlobStore` at a URL of fsspec, such as `s3://bucket/artifacts`. What is there must belong to it alone."""

    def __init__(self, url: str) -> None:
        """`ConfigurationError` for a URL that fsspec does not know, or whose package is not installed."""
        self.location = url
        try:
            # Lists must show what other processes have done.
            files, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise ConfigurationError("place", url, sentence=f"Artifacts cannot be kept in {url}: {error}.") from error
        self._files: Any = files
        self._blobs = f"{path.rstrip('/')}/blobs"
        self._staging = f"{path.rstrip('/')}/staging"

    def stage(self) -> "StagedObject":
        with _translated_errors(self.location):
            return StagedObject(self._files, f"{self._staging}/{secrets.token_hex(16)}", self.location)

    def place(self, staged: StagedBlob) -> None:
        if not isinstance(staged, StagedObject):
            raise TypeError("the blob was staged by another store")
        with _translated_errors(self.location):
            older = self._list_copies(staged.sha256)
            name = f"{self._folder_of(staged.sha256)}/{secrets.token_hex(16)}"
            _make_parent(self._files, name)
            self._files.cp_file(staged.path, name)
            self._remove(older)

    def plan_removal(self, sha256: str) -> Callable[[], None]:
        with _translated_errors(self.location):
            return partial(self._remove, self._list_copies(sha256))

    def open(self, sha256: str) -> BinaryIO:
        reader = _Reader(self._files, partial(self._find_copy, sha256), self.location)
        return cast("BinaryIO", io.BufferedReader(reader, _BLOCK_BYTES))

    def find_path(self, sha256: str) -> Path | None:  # noqa: ARG002 # no object is a file of this machine
        return None

    def list(self) -> Iterator[str]:
        with _translated_errors(self.location):
            for folder in _list_folder(self._files, self._blobs):
                found = {each.rpartition("/")[0].rpartition("/")[2] for each in self._files.find(folder)}
                yield from sorted(filter(_HASH.fullmatch, found))

    def sweep(self) -> int:
        with _translated_errors(self.location):
            oldest = datetime.now(UTC) - _LEFT
            old = [each for each in _list_folder(self._files, self._staging) if self._is_older(each, oldest)]
            self._remove(old)
            return len(old)

    def _folder_of(self, sha256: str) -> str:
        return f"{self._blobs}/{sha256[:2]}/{sha256}"

    def _list_copies(self, sha256: str) -> Sequence[str]:
        return _list_folder(self._files, self._folder_of(sha256))

    def _find_copy(self, sha256: str) -> "_Copy":
        """A copy of the content. `FileNotFoundError` if there is none."""
        with _translated_errors(self.location):
            for each in self._list_copies(sha256):
                with suppress(FileNotFoundError):  # somebody has just placed the same content
                    return _Copy(each, self._files.size(each))
        raise FileNotFoundError(sha256)

    def _remove(self, names: Sequence[str]) -> None:
        with _translated_errors(self.location):
            for each in names:
                with suppress(FileNotFoundError):
                    self._files.rm_file(each)

    def _is_older(self, name: str, oldest: datetime) -> bool:
        try:
            modified: datetime = self._files.modified(name)
        except FileNotFoundError:
            return False
        return modified < oldest


class StagedObject:
    """A `StagedBlob` that is uploaded while it is written, a part at a time."""

    def __init__(self, files: Any, path: str, location: str) -> None:
        self.sha256 = ""
        self.size = 0
        self.path = path
        self._location = location
        self._hash = hashlib.sha256()
        self._files = files
        _make_parent(files, path)
        self._file = files.open(path, "wb", block_size=_PART_BYTES)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data).cast("B")
        self._hash.update(view)
        self.size += len(view)
        with _translated_errors(self._location):
            self._file.write(bytes(view))

    def finish(self) -> None:
        self.sha256 = self._hash.hexdigest()
        with _translated_errors(self._location):
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ArtifactsUnavailable), _translated_errors(self._location):
            if isinstance(self._file, AbstractBufferedFile) and not self._file.closed:
                self._file.discard()
                self._file.closed = True  # else the upload would be completed when the object is thrown away
            else:
                self._file.close()
                with suppress(FileNotFoundError):
                    self._files.rm_file(self.path)


class _Copy(NamedTuple):
    """An object, and its size."""

    name: str
    size: int


class _Reader(io.RawIOBase):
    """Reads a content in blocks. If the copy that it reads is replaced, it goes on with another one."""

    def __init__(self, files: Any, find_copy: Callable[[], _Copy], location: str) -> None:
        super().__init__()
        self._files = files
        self._find_copy = find_copy
        self._location = location
        self._copy = find_copy()
        self._position = 0
        # What is small is read to its end, also if it is deleted meanwhile.
        self._head = self._fetch(0, _BLOCK_BYTES)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        bases = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._copy.size}
        self._position = max(0, bases[whence] + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self._read(len(view))
        view[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return self._read(max(0, self._copy.size - self._position))

    def _read(self, size: int) -> bytes:
        end = min(self._position + size, self._copy.size)
        if self._position >= end:
            return b""
        is_known = end <= len(self._head)
        data = self._head[self._position : end] if is_known else self._fetch(self._position, end)
        self._position += len(data)
        return data

    def _fetch(self, start: int, end: int) -> bytes:
        while True:
            with _translated_errors(self._location), suppress(FileNotFoundError):
                end = min(end, self._copy.size)
                data: bytes = self._files.cat_file(self._copy.name, start=start, end=end) if end > start else b""
                return data
            try:
                self._copy = self._find_copy()
            except FileNotFoundError:
                raise ArtifactsUnavailable(self._location, "a content was deleted while it was read.") from None


def _list_folder(files: Any, folder: str) -> Sequence[str]:
    try:
        return sorted(files.ls(folder, detail=False))
    except FileNotFoundError:
        return []


def _make_parent(files: Any, path: str) -> None:
    """Make the folder where that is needed: in an object store there are none, and a bucket must be there."""
    if "file" in (files.protocol if isinstance(files.protocol, tuple) else (files.protocol,)):
        files.makedirs(path.rpartition("/")[0], exist_ok=True)


@contextmanager
def _translated_errors(location: str) -> Iterator[None]:
    """Turn what a store's package raises into `ArtifactsUnavailable`. Each has errors of its own."""
    try:
        yield
    except ArtifactsUnavailable:
        raise
    except FileNotFoundError as error:
        reason = "there is no such bucket or folder, or what was being saved was removed. Make it, or save it again."
        raise ArtifactsUnavailable(location, reason) from error
    except PermissionError as error:
        reason = "access is denied. Look at the credentials, and at what they allow."
        raise ArtifactsUnavailable(location, reason) from error
    except Exception as error:  # without its text, which names places that clients must not see
        raise ArtifactsUnavailable(location, f"the object store cannot be used ({type(error).__name__}).") from error
