"""Queues: the jobs that are ready, and whose turn it is."""

from bisect import insort
from collections import OrderedDict
from collections.abc import Collection, Mapping
from itertools import count
from typing import Final

from servicekit.jobs.options import RunnerKind
from servicekit.jobs.queues import QueueRecord
from servicekit.stores.memory.job import Job
from servicekit.stores.memory.priority_queue import PriorityQueue

_MOST_IDLE: Final = 100
"""So many queues are kept also while there is nothing to say of them: they are likely to be used again."""


class Queues:
    """The queues that have jobs, or are paused.

    They take turns: next is the one with the fewest jobs running, and of several such the one that was served longest
    ago. To find it costs the same however many jobs wait.
    """

    def __init__(self) -> None:
        self._queues: dict[str, Queue] = {}
        self._turns: dict[RunnerKind, PriorityQueue[tuple[int, int], Queue]] = {}
        """For each kind of runner, the queues with jobs that are ready for it; without those that are paused."""
        self._moved: set[Queue] = set()
        """Those whose place among the others has still to be found."""
        self._ready: set[Queue] = set()
        """Those with jobs that are ready; also the paused ones."""
        self._full: set[Queue] = set()
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
        """The job is pending from now on; whether it is ready is another question."""
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
            line = queue.lines[job.runner] = _Line()
            self._turns.setdefault(job.runner, PriorityQueue())
        if not line.priorities:
            self._moved.add(queue)
        self._count_ready(queue)
        job.turn = next(self._numbers)
        line.add(job)

    def take(self, limit: int, excluding: Collection[RunnerKind], limits: Mapping[str, int]) -> list[Job]:
        """Take ready jobs to run them: at most `limit`, and of each queue only so many that no more run than may."""
        if limits is not self._limits:
            self._moved |= self._full
            self._full.clear()
            self._limits = limits
        if len(self._ready) == 1:  # nearly always, and then there are no turns to take
            (only,) = self._ready
            return [] if only.is_paused else self._serve(only, limit, excluding)
        taken: list[Job] = []
        while len(taken) < limit and (queue := self._take_next(excluding)) is not None:
            most = limit - len(taken)
            if most > 1 and (rival := self._find_next(excluding)) is not None:
                most = min(most, max(1, rival.running - queue.running))  # then it is the rival's turn
            taken += self._serve(queue, most, excluding)
        return taken

    def _serve(self, queue: "Queue", most: int, excluding: Collection[RunnerKind]) -> list[Job]:
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

    def _count_ready(self, queue: "Queue") -> None:
        queue.ready += 1
        self._ready.add(queue)

    def _count_unready(self, queue: "Queue", jobs: int) -> None:
        queue.ready -= jobs
        if not queue.ready:
            self._ready.discard(queue)

    def _take_next(self, excluding: Collection[RunnerKind]) -> "Queue | None":
        """Find the queue whose turn it is, and take it out of those that take turns."""
        for moved in self._moved:
            self._arrange(moved)
        self._moved.clear()
        queue = self._find_next(excluding)
        if queue is not None:
            self._take_out(queue)
        return queue

    def _find_next(self, excluding: Collection[RunnerKind]) -> "Queue | None":
        nearest: tuple[tuple[int, int], Queue] | None = None
        for kind, queues in self._turns.items():
            first = None if kind in excluding else queues.first()
            if first is not None and (nearest is None or first < nearest):
                nearest = first
        return None if nearest is None else nearest[1]

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

    def _get(self, name: str) -> "Queue":
        queue = self._queues.get(name)
        if queue is None:
            # It stands behind those that are there, or else a new name for each job would be a way past them.
            queue = self._queues[name] = Queue(name, next(self._numbers))
        return queue

    def _settle(self, queue: "Queue") -> None:
        """Forget the queue if it is one idle queue too many; else it will be given its place when that is needed."""
        if len(self._queues) <= _MOST_IDLE or not queue.is_idle:
            self._moved.add(queue)
            return
        del self._queues[queue.name]
        self._moved.discard(queue)
        self._full.discard(queue)
        self._take_out(queue)

    def _arrange(self, queue: "Queue") -> None:
        """Put the queue in its place among those that take turns."""
        for kind, line in queue.lines.items():
            if line.priorities and not queue.is_paused:
                self._turns[kind].put(queue, (queue.running, queue.served))
            else:
                self._turns[kind].discard(queue)

    def _take_out(self, queue: "Queue") -> None:
        for kind in queue.lines:
            self._turns[kind].discard(queue)


class Queue:
    """One queue: how many of its jobs wait and run, and those that are ready, by the kind of their runner."""

    __slots__ = ("is_paused", "lines", "name", "pending", "ready", "running", "served")

    def __init__(self, name: str, served: int) -> None:
        self.name = name
        self.served = served
        """When it was served last, counted; or came to be."""
        self.is_paused = False
        self.pending = 0
        self.ready = 0
        """So many of the pending ones are ready."""
        self.running = 0
        self.lines: dict[RunnerKind, _Line] = {}

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to say of it."""
        return not (self.pending or self.running or self.is_paused)

    def serve(self, most: int, excluding: Collection[RunnerKind], number: int) -> list[Job]:
        """Take up to `most` of the jobs that are ready, in their order."""
        jobs: list[Job] = []
        lines = [line for kind, line in self.lines.items() if line.priorities and kind not in excluding]
        while lines and len(jobs) < most:
            line = lines[0] if len(lines) == 1 else min(lines, key=_Line.rank)
            jobs.append(line.take_first())
            if not line.priorities:
                lines.remove(line)
        self.pending -= len(jobs)
        self.running += len(jobs)
        if jobs:
            self.served = number
        return jobs


class _Line:
    """Jobs by priority, and those of the same in the order in which they came."""

    __slots__ = ("_by_priority", "priorities")

    def __init__(self) -> None:
        # Ordered dictionaries, because their first item can be removed at once however many went before it.
        self._by_priority: dict[int, OrderedDict[str, Job]] = {}
        self.priorities: list[int] = []
        """Those of its jobs, the highest last."""

    def add(self, job: Job) -> None:
        priority = job.options.priority
        jobs = self._by_priority.get(priority)
        if jobs is None:
            jobs = self._by_priority[priority] = OrderedDict()  # kept while it is empty, too: it will be needed again
        if not jobs:
            insort(self.priorities, priority)
        jobs[job.id] = job

    def put_back(self, job: Job) -> None:
        """Take a job in again that was taken. Those of its priority that go before it were put back as well."""
        turn, earlier = job.turn, list[Job]()
        jobs = self._by_priority.get(job.options.priority, OrderedDict[str, Job]())
        for other in jobs.values():
            if turn is None or other.turn is None or other.turn > turn:
                break
            earlier.append(other)
        self.add(job)
        for other in (job, *reversed(earlier)):
            self._by_priority[job.options.priority].move_to_end(other.id, last=False)

    def rank(self) -> tuple[int, int | None]:
        """Of two lines the one with the smaller rank goes first."""
        priority = self.priorities[-1]
        return -priority, next(iter(self._by_priority[priority].values())).turn

    def take_first(self) -> Job:
        priority = self.priorities[-1]
        jobs = self._by_priority[priority]
        _, job = jobs.popitem(last=False)
        if not jobs:
            self.priorities.pop()
        return job

    def remove(self, job: Job) -> None:
        jobs = self._by_priority[job.options.priority]
        del jobs[job.id]
        job.turn = None
        if not jobs:
            self.priorities.remove(job.options.priority)
