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
    for: a GPU, say. So a claim takes the jobs that wait for more than a processor once more, and as many others as
    there is room for. It is made

    - at once, if there is more room than when one was given back, or if jobs have come to wait for more since the last
      one: so many more may stand behind them;
    - else after a pause, since it may find the same jobs again.

    While the cluster has no room, nothing is claimed.
    """

    def __init__(self, runner: Runner, wake: Callable[[], None]) -> None:
        """`wake` is called when there may be something to claim."""
        self._runner = runner
        self._wake = wake
        self._waiting: dict[str, float] = {}  # since when they are known to wait for more, by the ids of jobs
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
        self._waiting = {job_id: since for job_id, since in self._waiting.items() if now - since < 2 * _PAUSE_SECONDS}
        self._least, self._next_at = 0, now + _PAUSE_SECONDS
        return room + len(self._waiting)

    def note_waiting(self, job_id: str, resources: Resources) -> None:
        """This job was claimed, and has found no room."""
        if resources.cpus > 1 or resources.gpus or resources.memory_bytes:  # else it begins where there is room for one
            if job_id not in self._waiting:
                self._next_at = 0.0
                self._wake()
            self._waiting[job_id] = time.monotonic()
        self._least = max(self._least, self.find_room() or 0)

    def note_begun(self, job_id: str) -> None:
        """This job waits no more."""
        self._waiting.pop(job_id, None)

    def _wake_later(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._wake)
