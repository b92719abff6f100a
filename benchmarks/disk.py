"""Where durable jobs are kept while they are measured: on a disk, since memory that is synced costs nothing."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY, FILE = "in memory", "in a file"
PLACES = (MEMORY, FILE)
"""Where our own jobs can be kept."""

_IN_MEMORY = ("tmpfs", "ramfs", "devtmpfs")


@contextmanager
def new_jobs_url(place: str) -> Iterator[str]:
    """The address of a place that has no jobs yet. A file is removed at the end of the block."""
    if place == MEMORY:
        yield "memory://"
    else:
        with temporary_folder() as folder:
            yield f"sqlite:///{folder / 'jobs.db'}"


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder on a disk, removed with all that is in it at the end of the block."""
    with tempfile.TemporaryDirectory(prefix="servicekit-bench-", dir=find_place()) as folder:
        yield Path(folder)


def copy_database(source: Path, target: Path) -> Path:
    """A copy of a file that nobody has open, beside nothing of an earlier copy."""
    for old in target.parent.glob(f"{target.name}*"):
        old.unlink()
    shutil.copyfile(source, target)
    return target


def find_place() -> Path:
    for folder in (Path(tempfile.gettempdir()), Path("/var/tmp"), Path.home()):
        if folder.is_dir() and filesystem_of(folder) not in _IN_MEMORY:
            return folder
    raise RuntimeError("There is no folder on a disk for temporary files: name one by TMPDIR")


def filesystem_of(folder: Path) -> str:
    """The kind of filesystem that a folder is on."""
    kinds = {}
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        kinds[Path(place)] = kind
    return next(kinds[each] for each in [folder.resolve(), *folder.resolve().parents] if each in kinds)
