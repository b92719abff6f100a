"""`make demo-cluster`: two services and two workers with one database, and a worker that is killed while it works.

A job is submitted to one service and followed through the other. In the middle, its worker is killed by `kill -9`. The
stream goes on, and the other worker completes the job.
"""

import argparse
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.request import ProxyHandler, Request, build_opener

from servicekit import create_scheduler
from tools.demo import HOST, TERMINAL, end_with_parent, own_terminal, say
from tools.postgres_server import ServerUnavailableError, find_programs, running_server
from tools.system_packages import install_command

ROOT: Final = Path(__file__).parents[1]
APP: Final = "tools.cluster_app:app"
START_SECONDS: Final = 60  # on a busy machine; usually it is one or two
STOP_SECONDS: Final = 10
STEPS_BEFORE_THE_KILL: Final = 3

OPENER: Final = build_opener(ProxyHandler({}))  # a proxy of the environment's would look for the ports at itself


class DemonstrationFailedError(Exception):
    """The text says what is not as it should be."""


class Stopped(BaseException):  # no error: Ctrl-C, or a signal
    """Everything ends."""


def main() -> int:
    options = parse_options()
    return show(lambda started: demonstrate(options.url or started.enter_context(own_server()), options.steps))


def show(demonstration: Callable[[ExitStack], None]) -> int:
    """Run a demonstration, which nothing is left of however it ends. The exit code."""
    end_with_parent()
    with own_terminal():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, stop)
        try:
            with ExitStack() as started:
                demonstration(started)
            say("Nothing is left of them.")
        except Stopped:
            say("\nStopped.")
        except (DemonstrationFailedError, ServerUnavailableError, OSError, http.client.HTTPException) as error:
            print(f"The demonstration failed: {error}", file=sys.stderr)
            return 1
    return 0


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="a database to use instead of one on a server of its own")
    parser.add_argument("--steps", type=int, default=5, help="how many seconds the job takes; at least 4")
    return parser.parse_args()


def stop(_number: int, _frame: object) -> NoReturn:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # from here on everything ends anyway, and nothing must be left behind
    raise Stopped


@contextmanager
def own_server() -> Iterator[str]:
    """A PostgreSQL server for the demonstration alone."""
    try:
        programs = find_programs()
    except ServerUnavailableError as error:
        how = (
            f"Install it, {install_command(['postgresql'])}, or name a database: make demo-cluster URL=postgresql://..."
        )
        raise ServerUnavailableError(f"{error}. {how}") from error
    say("Starting a PostgreSQL server of its own, in a temporary folder ...")
    with running_server(programs) as server:
        yield server.url()


def demonstrate(url: str, steps: int) -> None:
    say("Starting two services and two workers ...")
    with ExitStack() as started:
        services = [started.enter_context(service(f"service {number}", APP, url)) for number in (1, 2)]
        workers = [started.enter_context(worker(number, url)) for number in (1, 2)]
        for process in (*services, *workers):
            process.wait_until_ready()
        say(f"\nThe jobs are in {create_scheduler(url).location}\n")
        for process in (*services, *workers):
            say(f"  {process.name:<12} pid {process.pid:<10} {process.url}".rstrip())
        submitted = submit(services[0], "/api/v1/slow-compute", {"steps": steps})
        say(f"\nA job of {steps} steps was submitted to {services[0].name}. Its stream, through {services[1].name}:\n")
        last = follow(services[1], submitted["stream_url"], workers)
        say(f"\nThe job is {last['status']}, at attempt {last['attempt']}. Stopping all of them ...")


def submit(service: "Process", path: str, values: dict[str, int]) -> dict[str, str]:
    request = Request(service.url + path, json.dumps(values).encode(), {"Content-Type": "application/json"})
    with OPENER.open(request) as response:
        submitted: dict[str, str] = json.load(response)
    return submitted


def follow(service: "Process", stream_url: str, workers: list["Process"]) -> dict[str, Any]:
    """Show the stream until the job has ended, and kill its worker in the middle. Return its last record."""
    is_killed = False
    for seconds, record in records(service, stream_url):
        say(f"{seconds:5.1f} s  {describe(record, workers)}")
        if not is_killed and (record["progress"] or {}).get("done", 0) >= STEPS_BEFORE_THE_KILL:
            kill(find_worker(record, workers))
            is_killed = True
    if not is_killed or record["attempt"] != 2:
        raise DemonstrationFailedError("no worker was killed while the job ran: let it have more steps")
    return record


def records(service: "Process", stream_url: str) -> Iterator[tuple[float, dict[str, Any]]]:
    """What the stream of a job sends until the job has ended, and after how many seconds."""
    record: dict[str, Any] = {"status": "unknown"}
    begun = time.monotonic()
    with OPENER.open(f"{service.url}{stream_url}") as stream:
        for line in stream:
            if line.startswith(b"data:"):
                record = json.loads(line.removeprefix(b"data:"))
                yield time.monotonic() - begun, record
    if record["status"] not in TERMINAL:
        raise DemonstrationFailedError(f"the stream ended early, with the job {record['status']}")


def describe(record: dict[str, Any], workers: list["Process"]) -> str:
    progress = record["progress"] or {}
    worker = find_worker(record, workers)
    where = f"at {worker.name}, attempt {record['attempt']}" if worker else ""
    return f"{record['status']:<10} {where:<24} {progress.get('message') or ''}".rstrip()


def find_worker(record: dict[str, Any], workers: list["Process"]) -> "Process | None":
    _, _, pid = (record["process"] or "").rpartition(":")
    return next((worker for worker in workers if str(worker.pid) == pid), None)


def kill(worker: "Process | None") -> None:
    if worker is None:
        raise DemonstrationFailedError("none of the workers runs the job")
    say(f"\n         $ kill -9 {worker.pid}   # {worker.name}\n")
    worker.kill()


class Process:
    """A service or a worker in a process of its own."""

    def __init__(
        self, name: str, command: list[str], jobs_url: str, listener: socket.socket | None = None, **environment: str
    ) -> None:
        self.name = name
        self.url = f"http://localhost:{listener.getsockname()[1]}" if listener else ""
        self.output = ""
        self._is_ready = threading.Event()
        self._process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env=os.environ | {"SERVICEKIT_JOBS_URL": jobs_url, "PYTHONUNBUFFERED": "1"} | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            pass_fds=[listener.fileno()] if listener else [],
            start_new_session=True,  # Ctrl-C reaches this process alone, which stops the others
            preexec_fn=end_with_parent,  # noqa: PLW1509 # no thread has been started by then
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.output += line
            if "Running the jobs of" in line or "startup complete" in line:
                self._is_ready.set()
        self._is_ready.set()

    def wait_until_ready(self) -> None:
        threading.Thread(target=self._read, daemon=True).start()
        if not self._is_ready.wait(START_SECONDS) or self._process.poll() is not None:
            raise DemonstrationFailedError(f"{self.name} does not start:\n{self.output}")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()


@contextmanager
def service(name: str, app: str, jobs_url: str, **environment: str) -> Iterator[Process]:
    # It is listening before the service starts: so nobody else can take the port.
    with socket.create_server((HOST, 0)) as listener:
        command = ["uvicorn", app, "--fd", str(listener.fileno()), "--timeout-graceful-shutdown", "1"]
        yield from running(Process(name, command, jobs_url, listener, **environment))


@contextmanager
def worker(number: int, jobs_url: str) -> Iterator[Process]:
    yield from running(Process(f"worker {number}", ["servicekit", "worker", APP], jobs_url))


def running(process: Process) -> Iterator[Process]:
    try:
        yield process
    finally:
        process.stop()


if __name__ == "__main__":
    sys.exit(main())
