"""persist-queue: its acknowledged queue on SQLite, and a thread that takes, runs and acknowledges.

It is a queue and not a scheduler: the worker is ours, and keeps no record of what it did.
"""

import importlib
import sqlite3
import threading
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.peers.arrangements import Countdown, Run, main, settings_of, submit, timed


def run(is_first_submitted: bool, folder: Path, count: int) -> float:
    module = importlib.import_module("persistqueue")
    queue: Any = module.SQLiteAckQueue(str(folder), multithreading=True)
    countdown = Countdown()
    countdown.start(count)
    worker = threading.Thread(target=_work, args=[queue, countdown, count], daemon=True)

    def whole() -> None:
        if not is_first_submitted:
            worker.start()
        submit(lambda: queue.put("noop"), count, 1)
        if is_first_submitted:
            worker.start()
        countdown.wait()

    seconds = timed(whole)
    worker.join()
    queue.close()
    return seconds


def _work(queue: Any, countdown: Countdown, count: int) -> None:
    for _ in range(count):
        item = queue.get()
        queue.ack(item)
        countdown.count()


ARRANGEMENTS: dict[str, Run] = {
    "1 worker, after 1 submitter": partial(run, True),
    "1 worker beside 1 submitter": partial(run, False),
}


def describe() -> str:
    """Its connections say nothing of `synchronous`: they have what SQLite was built with."""
    with closing(sqlite3.connect(":memory:")) as connection:
        return f"journal_mode wal, {settings_of(connection)[1]}"


if __name__ == "__main__":
    main(ARRANGEMENTS, describe)
