"""Clients that stand still in the middle of a body do not keep a service from its stop."""

import signal
import socket
from contextlib import ExitStack
from itertools import product
from pathlib import Path

from tests.service import ROOT, run_service

LENGTHS = ("Content-Length: 50", "Transfer-Encoding: chunked")
ROUTES = ("tasks", "tasks/add/$execute", "configs", "ml/$train", "ml/$predict", "ml/$validate", "artifacts")


def test_a_stop_does_not_wait_for_bodies(tmp_path: Path) -> None:
    environment = {"PYTHONPATH": str(ROOT)}
    with (
        run_service("tests.ml.whole_service:app", environment=environment, cwd=tmp_path) as running,
        ExitStack() as connections,
    ):
        standing = []
        for route, length in product(ROUTES, LENGTHS):
            address = ("127.0.0.1", running.port)
            connection = connections.enter_context(socket.create_connection(address, timeout=60))
            connection.sendall(f"POST /api/v1/{route} HTTP/1.1\r\nHost: test\r\n{length}\r\n".encode())
            # The server says so when the route asks for the body, and not before.
            connection.sendall(b"Content-Type: application/json\r\nExpect: 100-continue\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
            standing.append(connection)
        running.send_signal(signal.SIGTERM)
        for connection in standing:
            assert connection.recv(100).startswith(b"HTTP/1.1 503 ")
        assert running.wait() in (0, -signal.SIGTERM)
    assert "Traceback" not in running.log
