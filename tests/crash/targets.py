"""What the jobs of the crash test do. Each notes in the journal when an attempt starts, and how it ends."""

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from servicekit import Command, Retry, current_job, job_options
from servicekit.jobs.submission import JobTarget
from tests.crash.journal import PROGRAM, journaled
from tests.crash.keeping import keep_blob, keep_in_process, keep_note

KEY: Final = "one at a time"


async def quick(journal: str, _seconds: float) -> None:
    with journaled(journal):
        pass


async def slow(journal: str, seconds: float) -> str:
    with journaled(journal):
        await asyncio.sleep(seconds)
    return "slow"


async def report(journal: str, seconds: float) -> None:
    with journaled(journal):
        for step in range(20):
            current_job().progress(step, 20, "on the way")
            await asyncio.sleep(seconds / 20)


async def fail(journal: str, _seconds: float) -> None:
    with journaled(journal):
        raise ValueError("planned")


def thread(journal: str, seconds: float) -> str:
    with journaled(journal):
        current_job().wait_cancel_requested(seconds)
        current_job().raise_if_canceled()
    return "thread"


def stubborn(journal: str, seconds: float) -> None:
    """A thread that does not listen."""
    with journaled(journal):
        time.sleep(seconds)


@job_options(max_restarts=0)
async def once(journal: str, seconds: float) -> None:
    with journaled(journal):
        await asyncio.sleep(seconds)


@job_options(max_restarts=0)
def once_in_thread(journal: str, seconds: float) -> None:
    with journaled(journal):
        current_job().wait_cancel_requested(seconds)


@job_options(runner="process")
def process(journal: str, seconds: float) -> str:
    with journaled(journal):
        time.sleep(seconds)
    return "process"


@job_options(retry=Retry(attempts=4, delay=0.05))
async def flaky(journal: str, seconds: float) -> None:
    """Fails twice, restarts not counted."""
    with journaled(journal):
        await asyncio.sleep(seconds / 10)
        if current_job().attempt <= 2:
            raise ValueError("planned")


@job_options(concurrency_key=KEY)
async def keyed(journal: str, seconds: float) -> None:
    """One at a time, of all processes together."""
    with journaled(journal):
        await asyncio.sleep(seconds / 10)


@job_options(retry=Retry(attempts=3, delay=0.01), concurrency_key=KEY)
def keyed_in_thread(journal: str, seconds: float) -> None:
    with journaled(journal):
        current_job().wait_cancel_requested(seconds / 20)
        if current_job().attempt == 1:
            raise ValueError("planned")


async def tick(journal: str, _seconds: float) -> None:
    with journaled(journal):
        pass


def _closure(journal: str, seconds: float) -> JobTarget:
    async def closure() -> None:
        await slow(journal, seconds)

    return closure


def _command(journal: str, seconds: float) -> JobTarget:
    return Command([sys.executable, "-S", "-E", "-c", PROGRAM, journal, str(seconds)])


_IMPORTABLE: Final[dict[str, Callable[[str, float], object]]] = {
    target.__name__: target
    for target in (
        quick, slow, report, fail, thread, stubborn, once, once_in_thread, process, flaky, keyed, keyed_in_thread,
        keep_note, keep_blob, keep_in_process,
    )
}  # fmt: skip
_LOCAL: Final[dict[str, Callable[[str, float], JobTarget]]] = {"closure": _closure, "coroutine": slow}

KINDS: Final = (*_IMPORTABLE, *_LOCAL, "command")
WEIGHTS: Final = (8, 4, 3, 2, 3, 1, 3, 2, 2, 3, 2, 2, 3, 3, 2, 2, 1, 2)
PLANNED: Final = ("fail", "flaky", "keyed_in_thread")
"""Those that may fail because they were told to."""
KEYED: Final = ("keyed", "keyed_in_thread")
SCHEDULE: Final = "every second"
RUN_ONCE: Final = ("once", "once_in_thread", *_LOCAL)
"""Those that must never be started twice."""


def find_call(kind: str, journal: Path, seconds: float) -> tuple[JobTarget, tuple[str, float] | tuple[()]]:
    """The target of this kind, and its arguments."""
    if kind == "command":
        return _command(str(journal), seconds), ()
    if kind in _LOCAL:
        return _LOCAL[kind](str(journal), seconds), ()
    return _IMPORTABLE[kind], (str(journal), seconds)
