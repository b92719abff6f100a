"""Archives: the files of a model as one file. To unpack one, nothing that it says of itself is believed.

An archive is a zip file. The same files make the same bytes (names in order, no times, not compressed), so that a model
that did not change is kept once. Before a byte is unpacked, every member is checked: its name must lead to a place
below the folder, and it must be a plain file. While it is unpacked, what comes out is counted. A zip bomb ends at the
limit.
"""

import os
import stat
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from servicekit.errors import ConfigurationError, ContentTooLarge, InvalidContent, ServicekitError

ARCHIVE_MEDIA_TYPE: Final = "application/zip"
ARCHIVE_SUFFIX: Final = ".zip"
MAX_BYTES: Final = 10 * 1024**3
MAX_FILES: Final = 10_000

_CHUNK_BYTES: Final = 256 * 1024
# The list of the members is read into memory at once. This is enough for some 50,000 of them.
_MAX_LIST_BYTES: Final = 4 * 1024 * 1024
_NO_TIME: Final = (1980, 1, 1, 0, 0, 0)  # the first that a zip file can tell
_ENCRYPTED: Final = 0x1
_MAX_NAME_BYTES: Final = 1_000  # less than the 4,096 that Linux allows for a path, folder included
_BROKEN: Final = (BadZipFile, EOFError, NotImplementedError, ValueError, struct.error, zlib.error)
"""What `zipfile` raises for bytes that are no archive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveLimits:
    """How much an archive may hold when it is unpacked."""

    max_bytes: int = MAX_BYTES
    max_files: int = MAX_FILES

    def __post_init__(self) -> None:
        for option in ("max_bytes", "max_files"):
            value = getattr(self, option)
            if type(value) is not int or value < 1:
                raise ConfigurationError(option, value, "a whole number of at least 1")


def pack(folder: Path, names: Iterable[str], target: IO[bytes], limits: ArchiveLimits) -> None:
    """Write these files of the folder into `target`, as an archive. The same files make the same bytes.

    No links are followed. `ContentTooLarge` or `InvalidContent` if the files are more than the limits allow; `OSError`
    for what is no plain file any more.
    """
    ordered = sorted(names)
    if len(ordered) > limits.max_files:
        raise _too_many_files(limits)
    left = limits.max_bytes
    with ZipFile(target, "w") as archive:
        for name in ordered:
            left -= _add(archive, folder, name, left, limits)


def unpack(source: IO[bytes], folder: Path, limits: ArchiveLimits) -> None:
    """Write the files of an archive into a folder, which must be empty. Nothing is written outside of it.

    `InvalidContent` for what is no archive, has a member that an archive of ours cannot have, or too many.
    `ContentTooLarge` if it holds more bytes than the limits allow. What was written until then stays in the folder.
    """
    try:
        with ZipFile(_BoundedReads(source)) as archive:
            left = limits.max_bytes
            for member in _check(archive.infolist(), limits):
                left -= _extract(archive, member, folder, left, limits)
    except ServicekitError:
        raise
    except _BROKEN as error:
        raise _wrong(f"it cannot be read ({error})") from None


def open_plain_file(folder: Path, name: str) -> IO[bytes]:
    """Open a file below the folder for reading. `OSError` if it, or a folder on the way to it, is a link, or no file.

    What is on the disk can change at any time, so each step is taken from the folder that was opened before it.
    """
    *parents, last = name.split("/")
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parents:
            at, left = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at), at
            os.close(left)
        # A pipe without a writer would block the call for ever.
        file = os.fdopen(os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at), "rb")
    finally:
        os.close(at)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(f"not a plain file: {name}")
    return file


def write_new_file(folder: Path, name: str, *, is_executable: bool = False) -> IO[bytes]:
    """Open a new file below the folder for writing; folders on the way to it are made. An error if it is there."""
    path = folder / name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    return os.fdopen(os.open(path, flags, 0o700 if is_executable else 0o600), "wb")


def _add(archive: ZipFile, folder: Path, name: str, left: int, limits: ArchiveLimits) -> int:
    if problem := find_name_problem(name):  # nobody could unpack it
        raise _wrong(f"the name {name[:80]!r} {problem}")
    with open_plain_file(folder, name) as source:
        status = os.fstat(source.fileno())
        if status.st_size > left:
            raise ContentTooLarge(limits.max_bytes)
        member = ZipInfo(name, _NO_TIME)
        member.create_system = 3  # Unix, so that the mode counts
        is_executable = bool(status.st_mode & stat.S_IXUSR)
        member.external_attr = (stat.S_IFREG | (0o755 if is_executable else 0o644)) << 16
        member.file_size = status.st_size  # a file of more than 4 GiB is written in another way
        with archive.open(member, "w") as sink:
            return _copy(source, sink, status.st_size)


def _copy(source: IO[bytes], sink: IO[bytes], limit: int) -> int:
    """Copy at most so many bytes, and return how many there were."""
    copied = 0
    while chunk := source.read(min(_CHUNK_BYTES, limit - copied)):
        sink.write(chunk)
        copied += len(chunk)
    return copied


def _check(members: list[ZipInfo], limits: ArchiveLimits) -> list[ZipInfo]:
    """The files of the archive, if all that it says can be right."""
    if len(members) > limits.max_files:
        raise _too_many_files(limits)
    if sum(member.file_size for member in members) > limits.max_bytes:
        raise ContentTooLarge(limits.max_bytes)
    names: set[str] = set()
    for member in members:
        _check_member(member, names)
    for name in names:
        parents = ["/".join(name.split("/")[:depth]) for depth in range(1, name.count("/") + 1)]
        if twice := names.intersection(parents):
            raise _wrong(f"it has {min(twice)!r} as a file and as a folder")
    return [member for member in members if not member.is_dir()]


def _check_member(member: ZipInfo, names: set[str]) -> None:
    name = member.orig_filename.removesuffix("/")
    if problem := find_name_problem(name):
        raise _wrong(f"it has a member {name[:80]!r}, whose name {problem}")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFDIR if member.is_dir() else stat.S_IFREG):
        raise _wrong(f"its member {name!r} is a link or a device, and no plain file")
    if member.flag_bits & _ENCRYPTED or member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise _wrong(f"its member {name!r} is encrypted, or packed in an unusual way")
    if not member.is_dir():
        if name in names:
            raise _wrong(f"it has the member {name!r} twice")
        names.add(name)


def find_name_problem(name: str) -> str | None:
    """What is wrong with the name of a file of a workspace, as the end of a sentence; `None` if it may be used."""
    parts = name.split("/")
    if not name or "\\" in name or not name.isprintable():
        return "is empty, or has characters that no name may have"
    if name.startswith("/"):
        return "is an absolute path"
    if ".." in parts:
        return "leads out of the folder"
    if any(not part or part.startswith(".") for part in parts):
        return "has a part that is empty or begins with a dot"
    if len(name.encode()) > _MAX_NAME_BYTES:
        return "is too long"
    return None


def _extract(archive: ZipFile, member: ZipInfo, folder: Path, left: int, limits: ArchiveLimits) -> int:
    is_executable = bool((member.external_attr >> 16) & stat.S_IXUSR)
    with (
        archive.open(member) as source,
        write_new_file(folder, member.filename, is_executable=is_executable) as sink,
    ):
        count = _copy(source, sink, left)
        if source.read(1):
            raise ContentTooLarge(limits.max_bytes)
        return count


def _wrong(reason: str) -> InvalidContent:
    return InvalidContent(("archive",), reason)


def _too_many_files(limits: ArchiveLimits) -> InvalidContent:
    return _wrong(f"it has more than {limits.max_files:,} files (max_files)")


class _BoundedReads:
    """A file whose reads are bounded: `ZipFile` reads the list of the members at once, however long it is."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek = file.seek
        self.tell = file.tell
        self.seekable = file.seekable
        self.flush = file.flush

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(min(size, _MAX_LIST_BYTES + 1) if size >= 0 else _MAX_LIST_BYTES + 1)
        if len(data) > _MAX_LIST_BYTES:
            raise _wrong("it has too many members")
        return data
