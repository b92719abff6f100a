"""A launcher's process as the service sees it: the socket to it, and the imports before it forks for a call."""

import asyncio
import errno
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import weakref
from collections.abc import Collection, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, Protocol

from servicekit.runners import launcher_program
from servicekit.runners.descriptors import DescriptorReader, make_file, make_pair
from servicekit.runners.launcher_program.messages import IMPORT

# The queue of the socket is full (`EAGAIN`, `ENOBUFS`), or too many descriptors are on their way (`ETOOMANYREFS`).
_BUSY: Final = (errno.EAGAIN, errno.ETOOMANYREFS, errno.ENOBUFS)
_PROGRAM: Final = str(Path(launcher_program.__file__).with_name("main.py"))
# Longer than it takes to load a model over a network. Jobs wait for the import, and nothing tells whether it hangs.
_IMPORT_SECONDS: Final = 300.0
_SHARED_IMPORTS: Final = ("servicekit.api", "servicekit.engine.factory", "servicekit.observability.bars")
"""Modules that most targets import, and that start no threads and open no files when they are imported."""

_log = logging.getLogger("servicekit.engine")


class Link(Protocol):
    """The process that works are sent to, and the socket to it. It has begun when this object is made."""

    @property
    def is_importing(self) -> bool:
        """Whether it imports something, for which jobs wait."""
        ...

    @property
    def is_left(self) -> bool:
        """Whether it waits for an event loop that has ended, so that another process must take its place."""
        ...

    def prepare(self) -> bool:
        """Have it do what calls need, unless that was asked before. `False` if it is too busy to be asked.

        `ConnectionError` if the process has ended.
        """
        ...

    def send(self, kind: bytes, descriptors: Sequence[int]) -> bool:
        """Send a request. `False` if too many are on their way. `ConnectionError` if the process has ended."""
        ...

    def work_stuck(self, reason: str | None) -> None:
        """See `WorkListener`."""
        ...

    def note_end(self) -> None:
        """Somebody has seen that the process has ended."""
        ...

    def close(self) -> None:
        """Take no more jobs. Those that run go on."""
        ...

    def forget(self) -> None:
        """In a forked child of the service: let go of the process without ending it."""
        ...


def send_request(connection: socket.socket, kind: bytes, descriptors: Sequence[int]) -> bool:
    """Send a request. `False` if too many are on their way. `ConnectionError` if the other process has ended."""
    try:
        socket.send_fds(connection, [kind], descriptors)
    except ConnectionError:
        raise
    except OSError as error:
        if error.errno not in _BUSY:
            raise
        return False
    return True


class LauncherListener(Protocol):
    """Is told what becomes of a launcher's process."""

    def link_lost(self, link: Link) -> None:
        """This process starts no more jobs."""
        ...

    def import_failed(self, problem: str) -> None:
        """One of the modules cannot be imported, the others were. `problem` is a sentence that says which, and why."""
        ...

    def preload_failed(self, reason: str) -> None:
        """No process can be forked from one that has imported these modules. `reason` follows a colon."""
        ...


class LauncherLink:
    """A launcher's process, and the socket to it. It ends with `close`, with this object, or with the service."""

    def __init__(self, preload: Collection[str], listener: LauncherListener) -> None:
        """`preload`: what to import besides servicekit itself."""
        self._preload = list(dict.fromkeys(preload))
        self._listener = listener
        self._imports: ImportRequest | None = None
        self._is_closed = False
        self.socket, theirs = socket.socketpair()
        self.socket.setblocking(False)
        with theirs, ExitStack() as undo:
            undo.enter_context(self.socket)
            self._process = subprocess.Popen(
                [sys.executable, "-P", _PROGRAM, str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # the signals of a terminal are meant for the service
            )
            undo.pop_all()
        self._finalizer = weakref.finalize(self, _end, self._process, self.socket)

    @property
    def is_importing(self) -> bool:
        """Whether it imports something, for which jobs wait."""
        return self._imports is not None and not self._imports.is_over

    @property
    def is_left(self) -> bool:
        """Whether another event loop waits for what it imports. That loop has ended, and will hear nothing of it."""
        return self.is_importing and self._imports is not None and not self._imports.is_heard_here

    def prepare(self) -> bool:
        """Have it import what calls need, unless that was asked before. `False` if too many requests are on their way.

        `ConnectionError` if the process has ended.
        """
        if self._is_closed:
            raise ConnectionError
        if self._imports is None:
            self._imports = ImportRequest(self._preload, self)
        return self._imports.is_sent or self._imports.send(self)

    def send(self, kind: bytes, descriptors: Sequence[int]) -> bool:
        """Send a request. `False` if too many are on their way. `ConnectionError` if the process has ended."""
        if self._is_closed:
            raise ConnectionError
        return send_request(self.socket, kind, descriptors)

    def work_stuck(self, reason: str | None) -> None:
        if reason is not None and not self._is_closed:
            _log.warning("The process that starts the processes of jobs is replaced by another: %s", reason)
        self._listener.link_lost(self)

    def note_end(self) -> None:
        """Somebody has seen that the process has ended."""
        if self._imports is not None:
            self._imports.note_end()
        self._listener.link_lost(self)

    def import_failed(self, problem: str) -> None:
        self._listener.import_failed(problem)

    def imports_failed(self, reason: str) -> None:
        if self._preload:
            self._listener.preload_failed(reason)
        self._listener.link_lost(self)

    def close(self) -> None:
        """End the process. Jobs that run go on, since their supervisors do not need it."""
        self._is_closed = True
        if self.is_importing and self._preload and self._finalizer.alive:
            # An imported module may have started processes. The launcher's group has no others: no job's process is
            # forked before the import has ended.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._finalizer()
        if self._imports is not None:
            self._imports.close()

    def forget(self) -> None:
        """In a forked child of the service: let go of the process without ending it."""
        self._is_closed = True
        self._finalizer.detach()
        self.socket.close()
        self._process.returncode = 0  # it is no child of this process: `Popen` must not wait for it, nor warn
        if self._imports is not None:
            self._imports.close_in_child()


class ImportRequest:
    """The request to import what calls need, and the wait for its end."""

    def __init__(self, preload: list[str], link: LauncherLink) -> None:
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._heard = b""
        self.is_sent = self.is_over = False
        self._file = make_file(json.dumps(_describe(preload)).encode())
        try:
            self._control, self._theirs = make_pair(socket.SOCK_STREAM)
        except OSError:
            os.close(self._file)
            raise
        os.set_blocking(self._control, False)
        self._reader = DescriptorReader(self._control, self._hear)
        reason = f"that has not ended for {_IMPORT_SECONDS:g} seconds"
        self._timer = self._loop.call_later(_IMPORT_SECONDS, self._fail, reason)

    @property
    def is_heard_here(self) -> bool:
        return self._loop is asyncio.get_running_loop()

    def send(self, link: LauncherLink) -> bool:
        self.is_sent = link.send(IMPORT, [self._file, self._theirs])
        if self.is_sent:
            self._close_theirs()
        return self.is_sent

    def note_end(self) -> None:
        self._reader.read()
        self._fail_by_end()

    def close(self) -> None:
        """Wait no longer."""
        if not self.is_over:
            self.is_over = True
            self._timer.cancel()
            self._reader.close()
            self.close_in_child()

    def close_in_child(self) -> None:
        self._close_theirs()
        if self._control >= 0:
            os.close(self._control)
            self._control = -1

    def _close_theirs(self) -> None:
        for descriptor in (self._file, self._theirs):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._theirs = -1

    def _hear(self, data: bytes) -> None:
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in lines:
            self._take_message(**json.loads(line))
        if not data:
            self._fail_by_end()

    def _take_message(
        self, *, warning: str | None = None, unsafe: str | None = None, is_ready: bool | None = None
    ) -> None:
        if warning is not None and not self.is_over:
            self._link.import_failed(warning)
        if unsafe is not None:
            self._fail(unsafe)
        if is_ready:
            self.close()

    def _fail_by_end(self) -> None:
        self._fail("the process that was to import it has ended, or closed what it speaks to the service by")

    def _fail(self, reason: str) -> None:
        if not self.is_over:
            self._link.imports_failed(reason)


def _describe(preload: list[str]) -> dict[str, object]:
    return {
        "path": [folder for folder in sys.path if isinstance(folder, str)],
        "program": sys.argv,
        "imports": [module for module in _SHARED_IMPORTS if module in sys.modules],
        "preload": preload,
    }


def _end(process: "subprocess.Popen[bytes]", connection: socket.socket) -> None:
    connection.close()
    process.kill()  # the end of the socket does the same, but not while a module is imported
    process.wait()
