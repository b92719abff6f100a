"""A client that polls the trivial endpoint, in a process of its own: `python -m benchmarks.probe NAME PORT`.

It asks by the clock, whether or not the answer before was late, and each delay counts from the moment when the
request was due: a server that stalls is charged for everybody who would have asked meanwhile. It ends with its stdin.
"""

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.clients import Address, Connection, request_of
from benchmarks.contestants import CLIENTS_CORE, Contestant, pin_to
from benchmarks.servers import Server

_INTERVAL_SECONDS = 0.005
_PING = request_of("GET", "/ping")


@contextmanager
def probing(server: Server) -> Iterator[list[float]]:
    """Probe while the block runs; afterwards the list has the delays, in seconds."""
    delays: list[float] = []
    probe = Contestant("probe", sys.executable).start("benchmarks.probe", str(server.address[1]))
    try:
        assert probe.stdout
        probe.stdout.readline()
        yield delays
        output, _ = probe.communicate()
        delays.extend(json.loads(output))
    finally:
        probe.kill()
        probe.communicate()


def main() -> None:
    pin_to(CLIENTS_CORE)
    ended = threading.Event()
    threading.Thread(target=_set_at_end_of_stdin, args=[ended], daemon=True).start()
    print(json.dumps(delays_until(ended, ("127.0.0.1", int(sys.argv[2])))), flush=True)


def delays_until(ended: threading.Event, address: Address) -> list[float]:
    delays = []
    with Connection(address) as connection:
        connection.exchange(_PING)
        print("ready", flush=True)
        due = time.monotonic()
        while not ended.is_set():
            time.sleep(max(due - time.monotonic(), 0))
            connection.exchange(_PING)
            delays.append(time.monotonic() - due)
            due += _INTERVAL_SECONDS
    return delays


def _set_at_end_of_stdin(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


if __name__ == "__main__":
    main()
