"""The end of a service: nothing that is open holds it up, and nothing that goes on well is cut off."""

import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.api.event_stream import EventSourceClient
from tests.service import Service, run_command, run_service

APP = "tests.api.apps:app"

EXITING = """
import uvicorn
from tests.api.apps import app

server = uvicorn.Server(uvicorn.Config(app, port=0))

@app.post("/exit")
async def leave() -> None:
    server.should_exit = True

server.run()
"""


@contextmanager
def open_stream(service: Service) -> Iterator[EventSourceClient]:
    """The stream of a job that never ends, when it has told that it runs."""
    job_id = httpx.post(f"{service.url}/hold/never").raise_for_status().json()["job_id"]
    with EventSourceClient(service.port, f"/api/v1/jobs/{job_id}/$stream") as stream:
        while stream.next().record["status"] != "running":
            pass
        yield stream


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_server_that_has_answered_its_limit_of_requests_ends_although_a_stream_is_open(loop: str) -> None:
    with run_service(APP, options=["--limit-max-requests", "3", "--loop", loop]) as service:
        with open_stream(service) as stream:
            for _ in range(2):
                httpx.get(f"{service.url}/health").raise_for_status()
            assert stream.rest() == []
        assert service.wait() == 0
        assert "Traceback" not in service.log


def test_a_server_that_its_program_ends_ends_although_a_stream_is_open() -> None:
    with run_command([sys.executable, "-W", "error", "-c", EXITING]) as service:
        service.port = int(service.wait_log(r"running on http://127.0.0.1:(\d+)\D")[1])
        with open_stream(service) as stream:
            httpx.post(f"{service.url}/exit").raise_for_status()
            assert stream.rest() == []
        assert service.wait() == 0
        assert "Traceback" not in service.log


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel does not tell what it holds for a reader")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_slow_download_is_not_cut_off(loop: str) -> None:
    size = 8_000_000
    with run_service(APP, options=["--loop", loop]) as service, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.connect(("127.0.0.1", service.port))
        client.sendall(f"GET /download?size={size} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        received = len(client.recv(1_000))
        service.send_signal(signal.SIGTERM)
        slow_until = time.monotonic() + 5
        while part := client.recv(50_000):
            received += len(part)
            if time.monotonic() < slow_until:
                time.sleep(0.1)  # not to wait for anything: this is the slow reader
        assert received > size
        service.wait()
