"""The targets of the suite for functions: plain ones for threads and processes, and `async` ones.

Another process imports them by their names.
"""

import asyncio
import os
import sys
import time
from contextlib import suppress
from typing import NoReturn

from servicekit.errors import JobCanceled
from servicekit.jobs.current import current_job

ARTIFACT = "01JQRS7XK5N8Z3VQ2M4T6W8Y0A"


def give(value: object = None) -> object:
    return value


async def give_async(value: object = None) -> object:
    await asyncio.sleep(0)
    return value


def fail(text: str) -> NoReturn:
    raise ValueError(text)


async def fail_async(text: str) -> NoReturn:
    await asyncio.sleep(0)
    raise ValueError(text)


def leave() -> NoReturn:
    sys.exit("no more")


async def leave_async() -> NoReturn:
    await asyncio.sleep(0)
    sys.exit("no more")


def interrupt() -> NoReturn:
    raise KeyboardInterrupt


async def interrupt_async() -> NoReturn:
    await asyncio.sleep(0)
    raise KeyboardInterrupt


def report() -> None:
    job = current_job()
    with suppress(JobCanceled):
        job.log("one\ntwo", level="warning", source="target")
        job.progress(3, 4, "three of four")
        job.wait_cancel_requested()


async def report_async() -> None:
    job = current_job()
    job.log("one\ntwo", level="warning", source="target")
    job.progress(3, 4, "three of four")
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()


def obey() -> None:
    try:
        current_job().log("began")
        current_job().wait_cancel_requested()
        current_job().raise_if_canceled()
    finally:
        current_job().log("tidied up")


async def obey_async() -> None:
    current_job().log("began")
    try:
        await asyncio.Event().wait()
    finally:
        current_job().log("tidied up")


def finish_anyway() -> str:
    with suppress(JobCanceled):
        current_job().log("began")
        current_job().wait_cancel_requested()
    return "finished anyway"


async def finish_anyway_async() -> str:
    current_job().log("began")
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    return "finished anyway"


def fail_when_asked() -> None:
    finish_anyway()
    raise ValueError("could not tidy up")


async def fail_when_asked_async() -> None:
    await finish_anyway_async()
    raise ValueError("could not tidy up")


def ignore_requests() -> None:
    """Goes on, whatever happens to it."""
    while True:
        with suppress(BaseException):
            current_job().log("began")
            time.sleep(1_000)


def name_artifact() -> None:
    current_job().artifact("01JQRS7XK5N8Z3VQ2M4T6W8Y0B")
    current_job().artifact(ARTIFACT.lower())


async def name_artifact_async() -> None:
    name_artifact()


def crash() -> NoReturn:
    """Ends the process that it runs in, with no outcome."""
    current_job().artifact(ARTIFACT)
    os._exit(3)


def fork_and_return() -> list[int]:
    """Fork children that come to the target's end: by its return, by `sys.exit`, by an `exec` that fails."""
    ends = []
    for number in range(3):
        child = os.fork()
        if child == 0:
            if number == 1:
                sys.exit(7)
            if number == 2:
                os.execv("/no/such/program", ["program"])
            return []
        ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return ends


async def fork_and_return_async() -> list[int]:
    return fork_and_return()


class Odd(BaseException):
    """An error that has its own idea of everything."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        raise ZeroDivisionError

    def __str__(self) -> str:
        raise SystemExit

    def __reduce__(self) -> NoReturn:
        raise KeyboardInterrupt


def raise_odd() -> None:
    raise Odd


async def raise_odd_async() -> None:
    raise Odd
