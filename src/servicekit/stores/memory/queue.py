"""One queue: the jobs in it that are ready, and how many wait and run."""

from bisect import insort
from collections import OrderedDict
from collections.abc import Collection
from typing import Generic, Protocol, TypeVar

from servicekit.jobs.options import JobOptions, RunnerKind


class Queued(Protocol):
    """What a queue must know of a job. So a job can know its queue without a circle of imports."""

    turn: int | None

    @property
    def id(self) -> str: ...

    @property
    def options(self) -> JobOptions: ...


J = TypeVar("J", bound=Queued)


class Line(Generic[J]):
    """Jobs by priority, and within a priority in the order in which they became ready."""

    __slots__ = ("_by_priority", "priorities")

    def __init__(self) -> None:
        # Ordered dictionaries, because their first item can be removed at once however many went before it.
        self._by_priority: dict[int, OrderedDict[str, J]] = {}
        self.priorities: list[int] = []
        """Those of its jobs, the highest last."""

    def add(self, job: J) -> None:
        priority = job.options.priority
        jobs = self._by_priority.get(priority)
        if jobs is None:
            jobs = self._by_priority[priority] = OrderedDict()  # kept while it is empty, too: it will be needed again
        if not jobs:
            insort(self.priorities, priority)
        jobs[job.id] = job

    def put_back(self, job: J) -> None:
        """Put a taken job back. The taken jobs before it, of the same priority, are put back as well."""
        turn, earlier = job.turn, list[J]()
        jobs = self._by_priority.get(job.options.priority, OrderedDict[str, J]())
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

    def take_first(self) -> J:
        priority = self.priorities[-1]
        jobs = self._by_priority[priority]
        _, job = jobs.popitem(last=False)
        if not jobs:
            self.priorities.pop()
        return job

    def remove(self, job: J) -> None:
        jobs = self._by_priority[job.options.priority]
        del jobs[job.id]
        job.turn = None
        if not jobs:
            self.priorities.remove(job.options.priority)


class Queue(Generic[J]):
    """One queue: how many of its jobs wait and run, and those that are ready, by the kind of their runner."""

    __slots__ = ("is_paused", "lines", "name", "pending", "ready", "running", "served")

    def __init__(self, name: str, served: int) -> None:
        self.name = name
        self.served = served
        """The number of the claim that served it last, or at which it was made."""
        self.is_paused = False
        self.pending = 0
        self.ready = 0
        """So many of the pending ones are ready."""
        self.running = 0
        self.lines: dict[RunnerKind, Line[J]] = {}

    @property
    def is_idle(self) -> bool:
        """Whether it has no jobs and is not paused."""
        return not (self.pending or self.running or self.is_paused)

    def serve(self, most: int, excluding: Collection[RunnerKind], number: int) -> list[J]:
        """Take up to `most` of the jobs that are ready, in their order."""
        jobs: list[J] = []
        lines = [line for kind, line in self.lines.items() if line.priorities and kind not in excluding]
        while lines and len(jobs) < most:
            line = lines[0] if len(lines) == 1 else min(lines, key=Line.rank)
            jobs.append(line.take_first())
            if not line.priorities:
                lines.remove(line)
        self.pending -= len(jobs)
        self.running += len(jobs)
        if jobs:
            self.served = number
        return jobs
