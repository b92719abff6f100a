"""Small disks, which become full or read-only."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def finally_run(script: str, folder: Path) -> Iterator[None]:
    """Have a shell undo what was done, also if this process is killed."""
    command = ["sh", "-c", f"read _; {script}", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as undoing:
        yield
    assert undoing.returncode == 0


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A disk of this size, where the system lets us have one."""
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("needs the right to mount a disk")
    with finally_run('umount --lazy "$0"', folder):
        yield folder


def remount(folder: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", folder], check=True)


def fill(folder: Path) -> Path:
    """Leave no room on the disk."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        for size in (4096, 1):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
    return ballast
