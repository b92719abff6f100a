"""`make demo`: serve the example, submit a job to it, show its stream in the terminal, and go on serving."""

import argparse
import errno
import http.client
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import ProxyHandler, Request, build_opener

import uvicorn

HOST = "127.0.0.1"
EXAMPLES = Path(__file__).parents[1] / "examples"
MAX_STOP_SECONDS = 2
TERMINAL = {"completed", "failed", "canceled", "deleted"}

SUBMITTING = """
  JOB_ID=$(curl -s -X POST http://localhost:{port}/api/v1/slow-compute \\
    -H "Content-Type: application/json" \\
    -d '{{"steps": {steps}}}' | jq -r '.job_id')
"""
STREAMING = """
  curl -N http://localhost:{port}/api/v1/jobs/{job}/\\$stream
"""
WHERE_TO_GO_ON = """The service keeps running. Where to go on:

  http://localhost:{port}/jobs   all jobs, as they change: the dashboard
  http://localhost:{port}/       submit a job and watch it in the browser
  http://localhost:{port}/docs   the API, to try out

Or in another terminal:
{submitting}{streaming}
Ctrl-C ends it.
"""


def main() -> int:
    options = parse_options()
    try:
        listener = listen(options.port)
    except (OSError, OverflowError) as error:
        return refuse(options.port, error)
    sys.path.insert(0, str(EXAMPLES))
    app = "job_scheduler_sse_api:app"
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=MAX_STOP_SECONDS))
    visitor = Visitor(server, listener.getsockname()[1], options.steps)
    # In one process, so that nothing is left behind whichever way it ends.
    end_with_parent()
    with own_terminal(), listener, own_jobs():
        for stop_signal in (signal.SIGINT, signal.SIGTERM):
            # uvicorn stops at these, and then raises them again for the handlers that stood here before.
            signal.signal(stop_signal, lambda *_: None)
        visitor.start()
        server.run(sockets=[listener])
    print("\nStopped.")
    return 1 if visitor.has_failed or not server.started else 0


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--steps", type=int, default=5)
    return parser.parse_args()


def listen(port: int) -> socket.socket:
    """From here on the port is ours, and a client that connects waits until the service answers."""
    return socket.create_server((HOST, port))


def refuse(port: int, error: OSError | OverflowError) -> int:
    is_taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
    problem = f"Port {port} is taken by another program." if is_taken else f"Cannot listen on port {port} ({error})."
    another = 8002 if port == 8001 else 8001
    print(f"{problem} Choose another, for example: make demo PORT={another}", file=sys.stderr)
    return 1


class Visitor(threading.Thread):
    """Does what a user of the service would do, over HTTP, beside the running server."""

    def __init__(self, server: uvicorn.Server, port: int, steps: int) -> None:
        super().__init__(name="visitor", daemon=True)
        self.has_failed = False
        self._server = server
        self._port = port
        self._steps = steps
        self._opener = build_opener(ProxyHandler({}))  # a proxy of the environment's would look for the port at itself

    def run(self) -> None:
        try:
            self._visit()
        except (OSError, http.client.HTTPException) as error:
            if self._server.started and not self._server.should_exit:  # else its start failed, or it was told to stop
                print(f"The demonstration failed: {error}", file=sys.stderr)
                self.has_failed = True
                self._server.should_exit = True

    def _visit(self) -> None:
        self._opener.open(self._url("/")).close()  # answered as soon as the service has started
        submitting = SUBMITTING.format(port=self._port, steps=self._steps)
        say(f"servicekit is serving at http://localhost:{self._port}/\n\nSubmitting a job, as you could:\n{submitting}")
        submitted = self._submit()
        say(json.dumps(submitted, indent=2))
        streaming = STREAMING.format(port=self._port, job=submitted["job_id"])
        say(f"\nIts stream, as you would see it with:\n{streaming}")
        status = self._watch(submitted["stream_url"])
        say(f"\nThe job is {status}, and its stream has ended.\n")
        streaming = STREAMING.format(port=self._port, job="$JOB_ID")
        say(WHERE_TO_GO_ON.format(port=self._port, submitting=submitting, streaming=streaming))

    def _submit(self) -> dict[str, str]:
        body = json.dumps({"steps": self._steps}).encode()
        request = Request(self._url("/api/v1/slow-compute"), body, {"Content-Type": "application/json"})
        with self._opener.open(request) as response:
            submitted: dict[str, str] = json.load(response)
        return submitted

    def _watch(self, stream_url: str) -> str:
        status = "unknown"
        with self._opener.open(self._url(stream_url)) as stream:
            for line in stream:
                text = line.decode().strip()
                if text.startswith("data:"):
                    say(f"  {text}\n")
                    status = json.loads(text.removeprefix("data:"))["status"]
        if status not in TERMINAL:
            raise http.client.HTTPException(f"the stream ended early, with the job {status}")
        return status

    def _url(self, path: str) -> str:
        return f"http://{HOST}:{self._port}{path}"


def say(text: str) -> None:
    print(text, flush=True)


@contextmanager
def own_terminal() -> Iterator[None]:
    """Be the only one whom Ctrl-C reaches; `make` would otherwise end with an error because it was interrupted."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR)
    except OSError:  # there is none, so no Ctrl-C either
        yield
        return
    before = os.tcgetpgrp(terminal)
    if before != os.getpgrp():  # started in the background
        os.close(terminal)
        yield
        return
    # SIGTTOU would stop whoever takes the terminal from outside of its foreground, SIGTSTP (Ctrl-Z) us but not make.
    for stop in (signal.SIGTTOU, signal.SIGTSTP):
        signal.signal(stop, signal.SIG_IGN)
    os.setpgid(0, 0)
    os.tcsetpgrp(terminal, os.getpgrp())
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # make was killed
            os.tcsetpgrp(terminal, before)
        os.close(terminal)


@contextmanager
def own_jobs() -> Iterator[None]:
    """Keep jobs in a temporary folder and not in the clone, unless the environment says where."""
    with TemporaryDirectory(prefix="servicekit-demo-") as folder:
        os.environ["SERVICEKIT_JOBS_URL"] = os.environ.get("SERVICEKIT_JOBS_URL") or f"sqlite:///{folder}/jobs.db"
        yield


def end_with_parent() -> None:
    """On Linux, be told to stop when `make` is killed, which could not pass that on itself."""
    if sys.platform == "linux":
        import ctypes

        set_parent_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
