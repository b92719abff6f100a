"""A way to the server that fails when a test wants it to."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

COMMITTED: Final = b"COMMIT\0"
"""What the server answers to a commit, whichever way that was sent."""


class Proxy:
    """Passes connections on to a server. It can cut them, at an answer of the server's or at once, and swallow all."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.delay_seconds = 0.0
        """How long each piece of data takes, in either direction."""
        self.connections = 0
        """How many were made, all in all."""
        self._flows = threading.Event()
        self._flows.set()
        self._takes_connections = True
        self._answer: bytes | None = None
        self._was_cut = threading.Event()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def lose_answer(self, answer: bytes = COMMITTED) -> None:
        """The next time that the server gives this answer, nobody hears it: the connection is cut instead."""
        self._was_cut.clear()
        self._answer = answer

    def wait_lost(self, timeout: float = 60) -> None:
        """Wait until the answer was lost."""
        assert self._was_cut.wait(timeout), "the server has not given that answer"

    def cut(self) -> None:
        """Reset all connections; new ones are taken."""
        with self._lock:
            ends, self._open = self._open, set()
        for end in ends:
            _reset(end)

    def refuse(self) -> None:
        """From now on, reset all connections: as if there was no server."""
        self._takes_connections = False
        self.cut()

    def swallow(self) -> None:
        """From now on nothing arrives, in either direction, and no connection is closed: as if a cable was pulled."""
        self._flows.clear()

    def heal(self) -> None:
        """Be a good proxy again. What was swallowed meanwhile arrives."""
        self._takes_connections = True
        self._flows.set()

    def close(self) -> None:
        self._listener.close()
        self._flows.set()
        self.refuse()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # it is closed
                return
            self.connections += 1
            if not self._takes_connections:
                _reset(client)
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._server_port))
            except OSError:
                _reset(client)
                continue
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {client, server}
            for way in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pass_on, args=way, name="proxy", daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                self._flows.wait()
                if self.delay_seconds:
                    time.sleep(self.delay_seconds)
                if is_answer and self._loses(data):
                    break
                target.sendall(data)
        with self._lock:
            self._open -= {source, target}
        for end in (source, target):
            _reset(end)

    def _loses(self, data: bytes) -> bool:
        with self._lock:
            if self._answer is None or self._answer not in data:
                return False
            self._answer = None
        self._was_cut.set()
        return True


def _reset(end: socket.socket) -> None:
    """Wake whoever waits for it, then close it."""
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    with suppress(OSError):
        end.close()


@contextmanager
def run_proxy(port: int) -> Iterator[Proxy]:
    """A proxy before the server at this port of the machine, until the end of the block."""
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
