"""Queues: the jobs that are ready, and whose turn it is."""

from collections.abc import Collection, Mapping
from itertools import count
from typing import Final

from servicekit.jobs.options import RunnerKind
from servicekit.jobs.queues import QueueRecord
from servicekit.stores.memory.job import Job
from servicekit.stores.memory.queue import Line, Queue
from servicekit.stores.memory.turns import QueueTurns

_MOST_IDLE: Final = 100
"""So many idle queues are kept, since they are likely to be used again."""


class ReadyQueues:
    """The queues that have jobs, or are paused.

    They take turns: next is the one with the fewest jobs running, and of several such the one that was served longest
    ago. To find it costs the same however many jobs wait.
    """

    def __init__(self) -> None:
        self._queues: dict[str, Queue[Job]] = {}
        self._turns = QueueTurns()
        self._moved = self._turns.moved
        self._ready: set[Queue[Job]] = set()
        """Those with jobs that are ready; also the paused ones."""
        self._full: set[Queue[Job]] = set()
        """Those that take no turns because they were full, by these limits."""
        self._limits: Mapping[str, int] = {}
        self._numbers = count(1)

    def list_records(self) -> list[QueueRecord]:
        queues = [queue for _, queue in sorted(self._queues.items()) if not queue.is_idle]
        return [QueueRecord(queue.name, queue.is_paused, queue.pending, queue.running) for queue in queues]

    def count_pending(self, name: str) -> int:
        queue = self._queues.get(name)
        return 0 if queue is None else queue.pending

    def enter(self, job: Job) -> None:
        """The job is pending from now on. It may be ready or not."""
        queue = job.queue = self._get(job.options.queue)
        queue.pending += 1

    def leave(self, job: Job) -> None:
        """The job is not pending any more, and will not run."""
        queue = job.queue
        queue.pending -= 1
        if job.turn is not None:
            self.make_unready(job)
        self._settle(queue)

    def make_unready(self, job: Job) -> None:
        """Take a ready job out again: it is pending, and waits for something."""
        queue = job.queue
        queue.lines[job.runner].remove(job)
        self._count_unready(queue, 1)
        self._moved.add(queue)

    def make_ready(self, job: Job) -> None:
        """Put a pending job behind all that are ready."""
        queue = job.queue
        line = queue.lines.get(job.runner)
        if line is None:
            line = queue.lines[job.runner] = Line()
        if not line.priorities:
            self._moved.add(queue)
        self._count_ready(queue)
        job.turn = next(self._numbers)
        line.add(job)

    def take(self, limit: int, excluding: Collection[RunnerKind], limits: Mapping[str, int]) -> list[Job]:
        """Take ready jobs to run: at most `limit`, and of no queue more than its limit allows."""
        if limits is not self._limits:
            self._moved |= self._full
            self._full.clear()
            self._limits = limits
        if len(self._ready) == 1:  # nearly always, and then there are no turns to take
            (only,) = self._ready
            return [] if only.is_paused else self._serve(only, limit, excluding)
        taken: list[Job] = []
        while len(taken) < limit and (queue := self._turns.take_next(excluding)) is not None:
            most = limit - len(taken)
            if most > 1 and (rival := self._turns.find_next(excluding)) is not None:
                most = min(most, max(1, rival.running - queue.running))  # then it is the rival's turn
            taken += self._serve(queue, most, excluding)
        return taken

    def _serve(self, queue: Queue[Job], most: int, excluding: Collection[RunnerKind]) -> list[Job]:
        """Take up to `most` jobs of the queue, if it is not full."""
        if queue.name in self._limits:
            most = min(most, self._limits[queue.name] - queue.running)
        if most <= 0:
            self._full.add(queue)  # until one of its jobs ends, and it is moved
            return []
        self._moved.add(queue)
        jobs = queue.serve(most, excluding, next(self._numbers))
        self._count_unready(queue, len(jobs))
        return jobs

    def has_room_for(self, job: Job) -> bool:
        """Whether the job could start, if it were its turn."""
        queue = job.queue
        return not queue.is_paused and queue.running < self._limits.get(queue.name, queue.running + 1)

    def _count_ready(self, queue: Queue[Job]) -> None:
        queue.ready += 1
        self._ready.add(queue)

    def _count_unready(self, queue: Queue[Job], jobs: int) -> None:
        queue.ready -= jobs
        if not queue.ready:
            self._ready.discard(queue)

    def end(self, job: Job) -> None:
        """The job, which was taken, has stopped running."""
        job.turn, queue = None, job.queue
        queue.running -= 1
        self._settle(queue)

    def put_back(self, job: Job) -> None:
        """The job, which was taken, could not begin: it is ready again, in its old place."""
        queue = job.queue
        queue.running -= 1
        queue.pending += 1
        self._count_ready(queue)
        queue.lines[job.runner].put_back(job)
        self._moved.add(queue)

    def set_paused(self, name: str, *, is_paused: bool) -> None:
        queue = self._get(name)
        queue.is_paused = is_paused
        self._settle(queue)

    def _get(self, name: str) -> Queue[Job]:
        queue = self._queues.get(name)
        if queue is None:
            # It stands behind those that are there, or else a new name for each job would be a way past them.
            queue = self._queues[name] = Queue(name, next(self._numbers))
        return queue

    def _settle(self, queue: Queue[Job]) -> None:
        """Forget an idle queue if there are too many. Another one gets its place when that is needed."""
        if len(self._queues) <= _MOST_IDLE or not queue.is_idle:
            self._moved.add(queue)
            return
        del self._queues[queue.name]
        self._full.discard(queue)
        self._turns.forget(queue)
