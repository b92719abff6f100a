"""Serves an application over connections that hold little: `python -m tests.api.small_buffers APP LOOP`."""

import socket
import sys

import uvicorn


def main(app: str, loop: str) -> None:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)  # inherited by the connections
    listening.bind(("127.0.0.1", 0))
    print(f"running on http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app, loop=loop)).run(sockets=[listening])


if __name__ == "__main__":
    main(*sys.argv[1:])
