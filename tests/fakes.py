"""Fakes that tests share."""

import asyncio
from contextlib import suppress

from servicekit.jobs.current import JobCall, RunningJob


class QuietHost:
    """The host of a job that nobody listens to, and that submits nothing."""

    database_url: str | None = None

    def notify_begun(self, job: RunningJob) -> None:
        """Nobody waits for it."""

    def notify_report(self, job: RunningJob) -> None:
        """Nobody waits for it."""

    async def submit_for(self, job: RunningJob, call: JobCall) -> str:
        raise NotImplementedError

    def submit_blocking_for(self, job: RunningJob, call: JobCall) -> str:
        raise NotImplementedError


async def noop() -> None:
    """The target that does nothing."""


class Gate:
    """Holds targets until it is opened, and knows how many are inside."""

    def __init__(self) -> None:
        self.inside = 0
        self.most_inside = 0
        self.entered: list[object] = []
        self._opened = asyncio.Event()
        self._changed = asyncio.Condition()

    async def enter(self, label: object = None) -> object:
        """A target: wait until the gate is open, and return the label."""
        await self._count(+1, label)
        try:
            await self._opened.wait()
        finally:
            self.inside -= 1
        return label

    async def _count(self, step: int, label: object) -> None:
        self.inside += step
        self.most_inside = max(self.most_inside, self.inside)
        self.entered.append(label)
        async with self._changed:
            self._changed.notify_all()

    def open(self) -> None:
        self._opened.set()

    async def wait_entered(self, count: int) -> None:
        """Wait until this many targets have come in."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.entered) >= count)


class Stubborn:
    """A target that does not stop when it is asked to, until it is released."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.released = asyncio.Event()

    async def run(self) -> str:
        self.began.set()
        while not self.released.is_set():
            with suppress(asyncio.CancelledError):
                await self.released.wait()
        return "finished anyway"
