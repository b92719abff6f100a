"""How many jobs for the cluster may be claimed, and when again those that wait for room there."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from servicekit.jobs.resources import Resources
from servicekit.ports import Runner

# A job that waits is claimed and given back each time, which costs two writes, and its record says so.
_PAUSE_SECONDS: Final = 5.0


class ClusterRoom:
    """The room on the cluster, and the jobs that have found none.

    A job that waits keeps its place, and is claimed before those behind it. These may need nothing of what it waits
    for: a GPU, say. So a claim takes as many jobs as there is room for, and besides as many as are known to hide
    others. A job of one processor hides none, since it begins where there is room: unless it has not. A claim is made

    - at once, if there is more room than when a job was given back, or if more jobs than before may hide others;
    - else after a pause, since it may find the same jobs again.

    While the cluster has no room, nothing is claimed.
    """

    def __init__(self, runner: Runner, wake: Callable[[], None]) -> None:
        """`wake` is called when there may be something to claim."""
        self._runner = runner
        self._wake = wake
        self._hiding: dict[str, float] = {}  # since when jobs are known to wait that may hide others, by their ids
        self._least = 0
        self._next_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def find_room(self) -> int | None:
        """See `Runner.find_room`."""
        return self._runner.find_room(self._wake)

    def find_most(self) -> int | None:
        """How many jobs may be claimed now; `None` if there is no limit. It is taken for a claim, if it is not 0."""
        room, now = self.find_room(), time.monotonic()
        if not room:
            return room
        if room <= self._least and now < self._next_at:
            self._wake_later(self._next_at - now)
            return 0
        self._hiding = {job_id: since for job_id, since in self._hiding.items() if now - since < 2 * _PAUSE_SECONDS}
        self._least, self._next_at = 0, now + _PAUSE_SECONDS
        return room + len(self._hiding)

    def note_waiting(self, job_id: str, resources: Resources) -> None:
        """This job was claimed, and has found no room."""
        room = self.find_room() or 0
        is_new = job_id not in self._hiding
        if room or not _is_small(resources):
            self._hiding[job_id] = time.monotonic()
            if is_new:
                self._next_at = 0.0
                self._wake()
        self._least = max(self._least, room)
        self._wake_later(_PAUSE_SECONDS)

    def note_begun(self, job_id: str) -> None:
        """This job waits no more."""
        self._hiding.pop(job_id, None)

    def _wake_later(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._wake)


def _is_small(resources: Resources) -> bool:
    """Whether it is a processor at most, in which room is counted."""
    return resources.cpus <= 1 and not resources.gpus and not resources.memory_bytes
