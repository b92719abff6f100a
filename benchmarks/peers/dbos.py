"""DBOS on SQLite: workflows without steps, started in the background or put on a queue."""

import importlib
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.peers.arrangements import Run, main, settings_of, timed

_QUEUE = "noops"
_settings: list[str] = []


def run(drive: Callable[[Any, Any, int], None], folder: Path, count: int) -> float:
    dbos: Any = importlib.import_module("dbos").DBOS
    file = folder / "dbos.db"
    dbos(config={"name": "bench", "system_database_url": f"sqlite:///{file}", "log_level": "ERROR"})
    workflow = dbos.workflow()(_noop)
    dbos.launch()
    try:
        dbos.register_queue(_QUEUE, polling_interval_sec=0.01)
        return timed(lambda: drive(dbos, workflow, count))
    finally:
        dbos.destroy(destroy_registry=True)
        with closing(sqlite3.connect(file)) as connection:
            _settings[:] = settings_of(connection)


def _noop() -> None:
    pass


def call(_: Any, workflow: Any, count: int) -> None:
    for _ in range(count):
        workflow()


def start(threads: int, dbos: Any, workflow: Any, count: int) -> None:
    _wait_for_all(lambda: dbos.start_workflow(workflow), threads, count)


def enqueue(dbos: Any, workflow: Any, count: int) -> None:
    _wait_for_all(lambda: dbos.enqueue_workflow(_QUEUE, workflow), 1, count)


def _wait_for_all(submit: Callable[[], Any], threads: int, count: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        for handle in pool.map(lambda _: submit(), range(count)):
            handle.get_result()


ARRANGEMENTS: dict[str, Run] = {
    "called by 1 thread": partial(run, call),
    "started by 1 thread": partial(run, partial(start, 1)),
    "started by 4 threads": partial(run, partial(start, 4)),
    "put on a queue by 1 thread": partial(run, enqueue),
}


if __name__ == "__main__":
    main(ARRANGEMENTS, lambda: ", ".join(_settings))
