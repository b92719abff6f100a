"""A cluster that is none, for tests of what the engine makes of its room."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Unpack

from servicekit import RunnerKind, Scheduler
from servicekit.engine.factory import make_parts
from servicekit.engine.options import SchedulerOptionChanges, SchedulerOptions
from servicekit.jobs.current import RunningJob
from servicekit.jobs.outcome import CANCELED, CUT_OFF, Outcome, completion, not_begun
from servicekit.jobs.resources import Resources
from servicekit.jobs.submission import Submission


def work() -> None:
    """A target that any process could import. The cluster does not call it."""


class FakeCluster:
    """Stands for a cluster with so many processors and GPUs. A job holds its own until `finish`."""

    def __init__(self, cpus: float, gpus: float = 0) -> None:
        self.begun: list[str] = []
        """The names of the jobs that have begun, in order."""
        self.asked = 0
        """How often the engine has asked for its room."""
        self.refused: list[str] = []
        """The names of the jobs for which there was no room, each time."""
        self.refusals = 0
        """So many jobs find no room, whatever there is."""
        self.room: int | None = None
        """What it says of its room, if not what follows from its processors."""
        self.notice: str | None = None
        """Why it cannot be reached."""
        self._free, self._free_gpus = cpus, gpus
        self._awaited = 0.0
        """So many must be free until the job may begin that could not."""
        self._finished: dict[str, asyncio.Event] = {}
        self._begins = asyncio.Event()
        self._on_room: Callable[[], None] | None = None

    async def run(self, submission: Submission, job: RunningJob) -> Outcome:
        resources = submission.options.resources or Resources()
        cpus, gpus = resources.cpus, resources.gpus
        if job.is_cancel_requested:
            return CANCELED
        if self.refusals:
            self.refusals -= 1
            return not_begun("it was not begun", is_waiting=True)
        if cpus > self._free:
            self._awaited = cpus
            self.refused.append(submission.name)
            return not_begun(f"it needs {cpus} processors, and {self._free} are free", is_waiting=True)
        if gpus > self._free_gpus:
            self.refused.append(submission.name)
            return not_begun("it needs a GPU", is_waiting=True)
        self._free -= cpus
        self._free_gpus -= gpus
        self._finished[submission.name] = finished = asyncio.Event()
        job.note_begun()
        self.begun.append(submission.name)
        self._begins.set()
        job.is_interruptible = True
        try:
            await finished.wait()
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None:
                task.uncancel()
            return CANCELED
        finally:
            job.is_interruptible = False
            self._free_gpus += gpus
            self.add(cpus)
        return completion(None)

    def add(self, cpus: float) -> None:
        """So many more processors are free from now on."""
        self._free += cpus
        if self._on_room is not None:
            self._on_room()

    def finish(self, name: str) -> None:
        self._finished[name].set()

    async def wait_begun(self, *names: str) -> None:
        """Wait until just these have begun, in this order."""
        while len(self.begun) < len(names):
            self._begins.clear()
            await self._begins.wait()
        assert self.begun == [*names]

    def find_room(self, on_room: Callable[[], None]) -> int | None:
        self._on_room = on_room
        self.asked += 1
        if self.room is not None:
            return self.room
        return 0 if self._free < self._awaited else int(self._free)

    def find_outcome(self, job: RunningJob) -> Outcome | None:
        return CUT_OFF

    def find_notice(self) -> str | None:
        return self.notice

    def open(self) -> None:
        """Nothing is kept ready."""

    def close(self) -> None:
        """Nothing is kept ready."""


def with_cluster(url: str, runner: FakeCluster, **options: Unpack[SchedulerOptionChanges]) -> Scheduler:
    """A scheduler with this cluster beside its own runners."""
    parts = make_parts(url, SchedulerOptions(shutdown_grace=0).changed(options))
    return Scheduler(replace(parts, runners={**parts.runners, RunnerKind.RAY: runner}))
