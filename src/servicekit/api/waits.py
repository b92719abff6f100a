"""Requests that wait until a job has ended."""

import asyncio
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Self

from fastapi import Request

from servicekit.api.state import find_service
from servicekit.engine.scheduler import Scheduler

MAX_WAIT_SECONDS: Final = 60  # proxies close connections that are silent for a minute
_MOST_DIGITS: Final = 9  # a longer number is above the maximum, and Python refuses to read thousands of digits
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"?')


@dataclass(frozen=True, slots=True)
class PreferredWait:
    """How long a client wants to wait for the end of its job: `Prefer: wait=5` of RFC 7240."""

    seconds: int
    until: float
    """The end of the wait, as a time of the event loop."""

    @classmethod
    def of(cls, headers: Iterable[tuple[bytes, bytes]]) -> Self | None:
        """The wait that the headers ask for, at most `MAX_WAIT_SECONDS`; `None` if there is none that makes sense."""
        lines = [str(value, "latin-1") for name, value in headers if name == b"prefer"]
        for preference in _QUOTED.sub(_unquote, ",".join(lines)).split(",") if lines else ():
            name, _, value = preference.partition(";")[0].partition("=")
            if name.strip().lower() == "wait":  # by the RFC, only the first one counts
                return cls._parse(value.strip())
        return None

    @classmethod
    def _parse(cls, text: str) -> Self | None:
        if not (text.isascii() and text.isdigit()):
            return None
        digits = text.lstrip("0") or "0"
        seconds = MAX_WAIT_SECONDS if len(digits) > _MOST_DIGITS else min(int(digits), MAX_WAIT_SECONDS)
        return cls(seconds, asyncio.get_running_loop().time() + seconds)

    @property
    def seconds_left(self) -> float:
        """How many seconds of the wait are left: the submission itself has taken some."""
        return max(0.0, self.until - asyncio.get_running_loop().time())


def _unquote(quoted: re.Match[str]) -> str:
    """A quoted number without its quotes. Other quoted texts are dropped, since they can contain commas."""
    return quoted[1] if quoted[1].isdigit() else ""


async def wait_for_end(request: Request, scheduler: Scheduler, job_id: str, seconds: float) -> None:
    """Return when the job has ended or is deleted, the service stops, or so many seconds have passed.

    `JobNotFound` if there is no job with this id.
    """
    async with scheduler.watch(job_id) as watch:
        with find_service(request).streams.close_at_stop(watch), suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not watch.is_closed:
                    event = await watch.next_event()
                    if event is not None and event.is_last:
                        break
