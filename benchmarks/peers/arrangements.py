"""Of several ways to drive a peer, the fastest."""

import json
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.contestants import use_all_cores

Run = Callable[[Path, int], float]
"""Runs so many no-ops in a new folder; how many seconds passed from the first submission until the last had ended."""

_TRIAL_SHARE = 10
_FEWEST_TRIED = 10


def main(arrangements: Mapping[str, Run], describe: Callable[[], str]) -> None:
    """Answer with the rate of the best arrangement, its name, and what the peer's own file says of its durability."""
    _, _, folder, count, *_ = sys.argv
    use_all_cores()
    root, jobs = Path(folder), int(count)
    best = _find_best(arrangements, root, jobs // _TRIAL_SHARE)
    rate = jobs / arrangements[best](_made(root / "whole"), jobs)
    print(json.dumps({"per_second": rate, "arrangement": best, "durability": describe()}), flush=True)


def _find_best(arrangements: Mapping[str, Run], root: Path, jobs: int) -> str:
    """The fastest in a trial with so many jobs; the first if that would be too few to tell."""
    if jobs < _FEWEST_TRIED:
        return next(iter(arrangements))
    seconds = {name: run(_made(root / f"trial-{name}"), jobs) for name, run in arrangements.items()}
    return min(seconds, key=lambda name: seconds[name])


class Countdown:
    """Counts jobs that have ended, in whatever thread they ran."""

    def __init__(self) -> None:
        self._missing = 0
        self._lock = threading.Lock()
        self._reached = threading.Event()

    def start(self, count: int) -> None:
        self._missing = count
        self._reached.clear()

    def count(self) -> None:
        with self._lock:
            self._missing -= 1
            if not self._missing:
                self._reached.set()

    def wait(self) -> None:
        if not self._reached.wait(300):
            raise TimeoutError(f"{self._missing} jobs have not ended")


def submit(job: Callable[[], object], count: int, threads: int) -> None:
    """Call it so many times, from several threads."""
    with ThreadPoolExecutor(threads) as pool:
        for calls in [pool.submit(_repeat, job, count // threads + (n < count % threads)) for n in range(threads)]:
            calls.result()


def timed(action: Callable[[], object]) -> float:
    clock = time.perf_counter()
    action()
    return time.perf_counter() - clock


def settings_of(connection: sqlite3.Connection) -> list[str]:
    """What a connection says of its durability."""
    (mode,), (level,) = (connection.execute(f"PRAGMA {name}").fetchone() for name in ("journal_mode", "synchronous"))
    return [f"journal_mode {mode}", f"synchronous {('off', 'normal', 'full', 'extra')[level]}"]


def _repeat(job: Callable[[], object], count: int) -> None:
    for _ in range(count):
        job()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
