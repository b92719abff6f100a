"""Uploads and downloads through a real server: in constant memory, cut off in the middle, and during a stop."""

import json
import re
import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from servicekit.artifacts import Artifacts
from tests.artifacts.served import URL, files_in
from tests.service import Service, run_service

MEGABYTE = 1024 * 1024


MOST = 48 * MEGABYTE
"""More than that is not taken."""


@contextmanager
def serve(artifacts: Artifacts) -> Iterator[Service]:
    environment = {"ARTIFACTS": artifacts.address, "MAX_UPLOAD_BYTES": str(MOST)}
    with run_service("tests.artifacts.file_service:app", environment=environment) as running:
        yield running


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    return Artifacts(tmp_path_factory.mktemp("shared") / "artifacts")


@pytest.fixture(scope="module")
def running(shared: Artifacts) -> Iterator[Service]:
    """One service for all tests that neither stop nor kill it."""
    with serve(shared) as running:
        yield running


@contextmanager
def connect_raw(running: Service, request: str, body: bytes = b"") -> Iterator[socket.socket]:
    """Send the beginning of a request, whatever it is."""
    with socket.create_connection(("127.0.0.1", running.port), timeout=60) as connection:
        connection.sendall(request.replace("\n", "\r\n").encode() + b"\r\n" + body)
        yield connection


def post_of(length: str, path: str = f"{URL}/$upload") -> str:
    return f"POST {path} HTTP/1.1\nHost: test\n{length}\n"


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while piece := connection.recv(65_536):
        received += piece
    return received


def read_status(connection: socket.socket) -> int:
    return int(connection.recv(65_536).split(b" ")[1])


def wait_staged(artifacts: Artifacts, size: int) -> None:
    """Wait until so much of an upload is in its temporary file."""
    folder = Path(artifacts.address, "staging")
    while not any(path.stat().st_size >= size for path in folder.glob("*")):
        pass


def wait_files(artifacts: Artifacts, files: list[str]) -> None:
    """Wait until there are these files. The test's own time limit ends this if there are others for ever."""
    while files_in(artifacts) != files:
        pass


def test_a_client_that_vanishes_in_the_middle_leaves_nothing(shared: Artifacts, running: Service) -> None:
    before = files_in(shared)
    form = b"--b\r\nContent-Disposition: form-data; name=file\r\n\r\n"
    for path, kind, body in (
        (f"{URL}/$upload", "text/plain", b""),
        (URL, "multipart/form-data; boundary=b", form),
        (URL, "application/json", b'{"data": "'),
    ):
        request = post_of(f"Content-Length: 9000000\nContent-Type: {kind}", path)
        with connect_raw(running, request, body + b"x" * 3 * MEGABYTE):
            if kind != "application/json":
                wait_staged(shared, MEGABYTE)
        wait_files(shared, before)
    assert httpx.get(f"{running.url}{URL}?kind=artifact").status_code == 200
    assert "Traceback" not in running.log


@pytest.mark.parametrize(
    "length", [f"Content-Length: {MOST + 1}", "Transfer-Encoding: chunked", "Content-Length: " + "9" * 18]
)
def test_what_is_too_large_is_413(shared: Artifacts, running: Service, length: str) -> None:
    before = files_in(shared)
    body = b"%x\r\n%b\r\n" % (MOST + MEGABYTE, bytes(MOST + MEGABYTE)) if "chunked" in length else b""
    with connect_raw(running, post_of(length), body) as connection:
        assert read_status(connection) == 413
    wait_files(shared, before)


def test_a_length_that_lies_ends_with_the_length(running: Service) -> None:
    with connect_raw(running, post_of("Content-Length: 3\nConnection: close"), b"abcdefg") as connection:
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 201")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["size"] == 3
    for length in ("-1", "1_0", "abc", "+3"):
        with connect_raw(running, post_of(f"Content-Length: {length}\nConnection: close"), b"abc") as connection:
            assert read_status(connection) == 400
    assert httpx.get(f"{running.url}{URL}").status_code == 200


def test_an_upload_without_a_length_is_taken(running: Service) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(30):
            yield b"x" * 100_000

    told = httpx.post(f"{running.url}{URL}", content=pieces(), params={"name": "a.bin"}).json()
    assert told["size"] == 3_000_000
    url = f"{running.url}{URL}/{told['id']}/$download"
    assert httpx.get(url).content == b"x" * 3_000_000
    assert httpx.get(url, headers={"Range": "bytes=1-2"}).content == b"xx"
    assert httpx.head(url).headers["content-length"] == "3000000"


def test_a_full_disk_is_503_and_leaves_nothing(shared: Artifacts, running: Service) -> None:
    url = f"{running.url}{URL}"
    kept = httpx.post(url, json={"data": "x" * 100_000}).json()["id"]
    before = files_in(shared)
    # A process that may write no large files is told so as by a full disk.
    resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (2 * MEGABYTE, resource.RLIM_INFINITY))
    for response in (
        httpx.post(f"{url}/$upload", content=b"x" * 9 * MEGABYTE),
        httpx.post(url, files={"file": b"x" * 9 * MEGABYTE}),
        httpx.post(url, json={"data": "x" * 9 * MEGABYTE}),
    ):
        assert (response.status_code, response.headers["retry-after"]) == (503, "5"), response.text
        assert shared.address not in response.text
    wait_files(shared, before)
    assert httpx.get(f"{url}/{kept}").json()["data"] == "x" * 100_000
    resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert httpx.post(f"{url}/$upload", content=b"x" * 9 * MEGABYTE).status_code == 201


@pytest.mark.parametrize("kind", ["raw", "form"])
def test_an_upload_and_a_download_take_no_memory(running: Service, kind: str) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield b"\xff" * MEGABYTE

    def form() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        yield from pieces()
        yield b"\r\n--b--\r\n"

    url = f"{running.url}{URL}"
    headers = {"Content-Type": "multipart/form-data; boundary=b"} if kind == "form" else {}
    small = httpx.post(url, content=b"x").json()["id"]
    httpx.get(f"{url}/{small}/$download")
    before = peak_of(running)
    told = httpx.post(url, content=form() if kind == "form" else pieces(), headers=headers, timeout=60).json()
    assert told["size"] == 40 * MEGABYTE
    with httpx.stream("GET", f"{url}/{told['id']}/$download", timeout=60) as response:
        assert sum(map(len, response.iter_raw())) == 40 * MEGABYTE
    assert peak_of(running) - before < 32 * MEGABYTE


def peak_of(running: Service) -> int:
    """The most memory that the process has had so far, in bytes."""
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert match is not None
    return int(match[1]) * 1024


def test_a_stop_does_not_wait_for_transfers(artifacts: Artifacts) -> None:
    with serve(artifacts) as running:
        _check_stop(artifacts, running)


def _check_stop(artifacts: Artifacts, running: Service) -> None:
    url = f"{running.url}{URL}"
    told = httpx.post(f"{url}/$upload", content=b"x" * 32 * MEGABYTE).json()
    upload = post_of("Content-Length: 9000000\nContent-Type: text/plain")
    slow = post_of("Content-Length: 9000\nContent-Type: application/json", URL)
    download = f"GET {URL}/{told['id']}/$download HTTP/1.1\nHost: test\n"
    with (
        connect_raw(running, upload, b"x" * 2 * MEGABYTE) as sender,
        connect_raw(running, slow, b'{"data": "'),
        connect_raw(running, download) as reader,
    ):
        wait_staged(artifacts, MEGABYTE)
        assert reader.recv(100)  # and no more
        running.send_signal(signal.SIGTERM)
        assert read_status(sender) == 503
        assert running.wait() in (0, -signal.SIGTERM)
    assert [name.partition("/")[0] for name in files_in(artifacts)] == ["blobs"]
    assert "Traceback" not in running.log


def test_a_crash_leaves_what_was_saved(artifacts: Artifacts) -> None:
    with serve(artifacts) as running:
        kept = httpx.post(f"{running.url}{URL}/$upload", content=b"kept").json()["id"]
        with connect_raw(running, post_of("Content-Length: 9000000"), b"x" * 2 * MEGABYTE):
            wait_staged(artifacts, MEGABYTE)
            running.kill()
    assert len(files_in(artifacts)) == 2
    with serve(artifacts) as running:
        assert httpx.get(f"{running.url}{URL}/{kept}/$download").content == b"kept"
        while len(files_in(artifacts)) > 1:  # swept as the service starts
            pass


def test_files_are_for_their_owner_alone(shared: Artifacts, running: Service) -> None:
    httpx.post(f"{running.url}{URL}/$upload", content=b"secret")
    for path in (Path(shared.address), *Path(shared.address).rglob("*")):
        assert path.stat().st_mode & 0o077 == 0
