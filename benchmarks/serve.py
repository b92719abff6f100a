"""One contestant's service under uvicorn: `python -m benchmarks.serve NAME [APP]`.

Prints its port and ends with its stdin, so that no server is left when the benchmark itself is killed.
"""

import importlib
import os
import socket
import sys
import threading

import uvicorn

from benchmarks.contestants import SERVERS_CORE, pin_to
from benchmarks.servers import raise_open_files_limit

_BACKLOG = 4096


def main() -> None:
    name = sys.argv[-1]  # of the contestant, unless another application is named
    pin_to(SERVERS_CORE)
    raise_open_files_limit()
    end_with_stdin()
    listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
    print(listener.getsockname()[1], flush=True)
    _forget_stdout()
    app = importlib.import_module(f"benchmarks.apps.{name}").app
    config = uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False, log_level="warning")
    uvicorn.Server(config).run(sockets=[listener])


def end_with_stdin() -> None:
    """End this process when nobody can write to it any more."""
    threading.Thread(target=_exit_at_end_of_stdin, daemon=True).start()


def _exit_at_end_of_stdin() -> None:
    sys.stdin.read()
    os._exit(0)


def _forget_stdout() -> None:
    """Nobody reads on: a service that logs there would stand still once the pipe is full."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
