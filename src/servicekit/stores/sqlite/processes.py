"""Locks that show which processes live. A lock dies with its process."""

import fcntl
import glob
import os
import secrets
import weakref
from contextlib import suppress
from functools import partial
from pathlib import Path


class ProcessLock:
    """A file beside the database, locked from now until `release` or the end of this process.

    `flock` belongs to the open file: it is dropped when the last process that has it open ends, however it ends. A
    forked child has inherited it, and would keep the lock alive; so it closes its copy at once. Programs that are
    started in the usual way (`exec`) do not inherit it. Who watches over work in a process of its own is given it on
    purpose (`descriptor`): the work may outlive this process by a moment. Two stores in one process have a file and a
    lock each.
    """

    def __init__(self, database: Path) -> None:
        self.descriptor = -1
        while self.descriptor < 0:
            self.path = database.with_name(f"{_prefix(database)}{secrets.token_hex(8)}")
            self.descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
            _make_accessible(self.descriptor, database)
            fcntl.flock(self.descriptor, fcntl.LOCK_EX)
            if os.fstat(self.descriptor).st_nlink == 0:  # somebody took it for one that was left behind
                self.close()
        os.register_at_fork(after_in_child=partial(_close_in_child, weakref.ref(self)))

    @property
    def is_there(self) -> bool:
        """Whether others can see it."""
        return self.path.exists()

    def release(self) -> None:
        """Take the sign of life away: this process works no more."""
        with suppress(FileNotFoundError):
            self.path.unlink()
        self.close()

    def close(self) -> None:
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def is_alive(path: Path, pid: int | None = None) -> bool:
    """Whether the process that made this file still holds its lock. `True` where that cannot be seen.

    A file that is gone proves nothing, since somebody may have tidied up: then it counts whether there is a process
    with its number. If it lives it makes another file as soon as it notices.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return pid is not None and pid != os.getpid() and _exists(pid)
    except OSError:  # it is another user's, or this process has no descriptor left; then it looks again soon
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared, so that two who ask do not mislead each other
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def is_lock_of(database: Path, name: str) -> bool:
    """Whether a file of this name can be a lock of this database: a copy of the database names the locks of another."""
    return name.startswith(_prefix(database)) and "/" not in name and "\0" not in name


def remove_leftovers(database: Path) -> None:
    """Remove the files of processes that were killed before they were on the list, or after they had left it."""
    with suppress(OSError):  # nobody needs them gone
        for path in database.parent.glob(f"{glob.escape(_prefix(database))}*"):
            with suppress(OSError):
                _remove_if_free(path)


def _remove_if_free(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # Held until the file is gone: its process may just be about to lock it, and must then see that it is.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        path.unlink()
    finally:
        os.close(descriptor)


def _make_accessible(descriptor: int, database: Path) -> None:
    """Let those who may use the database see the lock, as SQLite does with the files that it makes beside it."""
    with suppress(OSError):
        about = database.stat()
        os.fchmod(descriptor, about.st_mode & 0o666)
        os.fchown(descriptor, about.st_uid, about.st_gid)


def _prefix(database: Path) -> str:
    return f"{database.name}-process-"


def _close_in_child(reference: "weakref.ref[ProcessLock]") -> None:
    lock = reference()
    if lock is not None:
        lock.close()
