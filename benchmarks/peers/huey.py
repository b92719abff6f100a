"""Huey: SqliteHuey and its consumer in one process, told to sync.

`... COUNT retries` has each job fail once; `... COUNT priorities` gives each one of a hundred priorities.
"""

import importlib
import logging
import random
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.peers.arrangements import Countdown, Run, main, settings_of, submit, timed

_settings: list[str] = []


def run(workers: int, submitters: int, is_first_submitted: bool, folder: Path, count: int) -> float:
    huey: Any = importlib.import_module("huey").SqliteHuey("bench", filename=str(folder / "huey.db"), fsync=True)
    countdown = Countdown()
    noop = _make_job(huey, countdown.count)
    # Its workers poll, ever more slowly: they are told to do so as often as makes sense.
    consumer = huey.create_consumer(workers=workers, periodic=False, initial_delay=0.001, max_delay=0.005)
    countdown.start(count)

    def whole() -> None:
        if not is_first_submitted:
            consumer.start()
        submit(noop, count, submitters)
        if is_first_submitted:
            consumer.start()
        countdown.wait()

    try:
        return timed(whole)
    finally:
        consumer.stop()
        _settings[:] = settings_of(huey.storage.conn)


def _make_job(huey: Any, count: Callable[[], None]) -> Callable[[], object]:
    """What submits one no-op of the kind that was asked for."""

    def fail_once(task: Any) -> None:
        if task.retries:
            raise RuntimeError("the first attempt always fails")
        count()

    kind = sys.argv[4] if len(sys.argv) > 4 else "plain"
    job: Callable[..., object] = (
        huey.task(retries=1, context=True)(fail_once) if kind == "retries" else huey.task()(count)
    )
    return (lambda: job(priority=random.randrange(100))) if kind == "priorities" else job


ARRANGEMENTS: dict[str, Run] = {
    "1 worker, after 1 submitter": partial(run, 1, 1, True),
    "1 worker beside 1 submitter": partial(run, 1, 1, False),
    "4 workers, after 1 submitter": partial(run, 4, 1, True),
    "4 workers beside 4 submitters": partial(run, 4, 4, False),
}


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    main(ARRANGEMENTS, lambda: ", ".join(_settings))
