"""A service as users run it: a real server in a process of its own, on a free loopback port.

    with run_service("examples/job_scheduler_sse_api.py") as service:
        httpx.get(f"{service.url}/health")
        service.stop()

No port is guessed: the server takes a free one and says in its log that it is ready.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

ROOT = Path(__file__).parents[1]
# How long a test waits for what comes in a moment, or never: no verdict depends on how fast the machine is.
START_SECONDS = 60.0
STOP_SECONDS = 30.0
STORE_VARIABLE = "SERVICEKIT_TESTS_ON"
"""The environment's variable that is `postgresql` where tests are to run on a server as well."""
_READY = r"running on https?://127\.0\.0\.1:(\d+)\D"


class Service:
    """A running server and its log. Sending it signals and ending it is the same for every kind of server."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout
        self.process = process
        self._log = ""
        self._is_log_ended = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read_log, args=[process.stdout], name="log of a service")
        self._reader.start()
        self.port = 0

    @property
    def url(self) -> str:
        """Where it answers, such as http://127.0.0.1:40001"""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """All that it has written so far, errors included."""
        with self._changed:
            return self._log

    def wait_log(self, pattern: str, *, after: int = 0, timeout: float = START_SECONDS) -> re.Match[str]:
        """Wait until the log, from character `after` on, has a match. An error if the server ends or time runs out."""
        compiled = re.compile(pattern)
        with self._changed:
            self._changed.wait_for(lambda: self._is_log_ended or compiled.search(self._log, after), timeout)
            match = compiled.search(self._log, after)
            if match is None:
                reason = "has ended" if self._is_log_ended else f"was not seen for {timeout} s"
                raise AssertionError(f"{pattern!r}: the service {reason}. Its log:\n{self._log}")
            return match

    def wait_port(self) -> None:
        """Wait until it takes connections: one with children is ready by its log a moment before it listens."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), START_SECONDS).close()
            except ConnectionRefusedError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise AssertionError(f"Nobody listens at port {self.port}. Its log:\n{self.log}") from None
                time.sleep(0.01)
            else:
                return

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the server, but not to children of its own."""
        self.process.send_signal(number)

    def wait(self, *, timeout: float = STOP_SECONDS) -> int:
        """Wait until the server has ended, and its log with it. The exit code is negative after a deadly signal."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"The service still runs after {timeout} s. Its log:\n{self.log}") from None
        self._reader.join(timeout)
        return code

    def stop(self, number: signal.Signals = signal.SIGTERM, *, timeout: float = STOP_SECONDS) -> None:
        """Send a signal, and wait for the end. What keeps a service from that keeps it for longer than we wait."""
        self.send_signal(number)
        self.wait(timeout=timeout)

    def kill(self) -> None:
        """End the server and all its children, whatever they do."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join()

    def _read_log(self, output: IO[str]) -> None:
        with output:
            for line in output:
                with self._changed:
                    self._log += line
                    self._changed.notify_all()
        with self._changed:
            self._is_log_ended = True
            self._changed.notify_all()


@contextmanager
def run_service(
    app: str | Path,
    *,
    port: int = 0,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
) -> Iterator[Service]:
    """Serve `app` by uvicorn until the end of the block.

    `app` is a module with its application's name (`"tests.guide.apps:app"`), or a file whose application is `app`.
    With `port` 0 the server takes a free one; `options` are uvicorn's own.
    """
    command = [sys.executable, "-W", "error", "-m", "uvicorn", *_locate(app), "--port", str(port), *options]
    with run_command(command, cwd=cwd, environment=environment) as service:
        service.port = int(service.wait_log(_READY)[1])
        yield service


@contextmanager
def run_command(
    command: Sequence[str | Path], *, cwd: Path = ROOT, environment: Mapping[str, str] | None = None
) -> Iterator[Service]:
    """Run any server until the end of the block; its `port` is the caller's to find out.

    Unless the environment says otherwise, it keeps its jobs in a place of its own.
    """
    with _new_place() as url:
        yield from _run(command, cwd, {"SERVICEKIT_JOBS_URL": url, **(environment or {})})


@contextmanager
def _new_place() -> Iterator[str]:
    """The address of jobs for one service: in a file; or in a database, if the tests are to run on a server."""
    if os.environ.get(STORE_VARIABLE) == "postgresql":
        from tests.postgres import shared_server

        with shared_server().new_database() as url:
            yield url
    else:
        with TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/jobs.db"


def _run(command: Sequence[str | Path], cwd: Path, environment: Mapping[str, str]) -> Iterator[Service]:
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=cwd,
        env=os.environ | {"PYTHONUNBUFFERED": "1"} | dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # so that its children can be ended with it
    )
    service = Service(process)
    try:
        yield service
    finally:
        service.kill()


def _locate(app: str | Path) -> list[str]:
    path = ROOT / app
    if path.suffix == ".py":
        return ["--app-dir", str(path.parent), f"{path.stem}:app"]
    return ["--app-dir", str(ROOT), str(app)]
