#!/usr/bin/env python3
"""Run a command line of pytest's, and let its test processes stand still now and then: what fails depends on speed.

    tools/stall.py --every 2 --seconds 0.5 -- .venv/bin/python -m pytest --numprocesses 2 tests/engine

A busy machine, a suspended laptop or a debugger does the same to a service. What tests have started goes on meanwhile.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_XDIST = b"sys.stdin.readline()"  # by this the processes of pytest-xdist are known, beside what tests have started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two stops, on average")
    parser.add_argument("--seconds", type=float, default=0.5, help="how long each of them lasts")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # after which nothing stands still, or runs
    with subprocess.Popen(options.command) as tests:
        try:
            while _is_running(tests, chance.uniform(0.5, 1.5) * options.every):
                with _stopped(list(_list_test_processes(tests.pid))):
                    time.sleep(options.seconds)
        finally:
            tests.terminate()
    return tests.returncode


def _is_running(process: "subprocess.Popen[bytes]", seconds: float) -> bool:
    """Wait for so long, and say whether the process has not ended by then."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return process.poll() is None


def _list_test_processes(pid: int) -> Iterator[int]:
    """The workers of pytest-xdist, or else pytest itself."""
    with suppress(FileNotFoundError):  # it has just ended
        yield from _list_workers(pid) or [pid]


def _list_workers(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if _XDIST in _read_command(child)]


def _read_command(pid: str) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


@contextmanager
def _stopped(pids: list[int]) -> Iterator[None]:
    _send(pids, signal.SIGSTOP)
    try:
        yield
    finally:
        _send(pids, signal.SIGCONT)


def _send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


if __name__ == "__main__":
    sys.exit(main())
