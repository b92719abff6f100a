"""The turns of queues."""

from collections import defaultdict
from collections.abc import Collection

from servicekit.jobs.options import RunnerKind
from servicekit.stores.memory.job import Job
from servicekit.stores.memory.priority_queue import PriorityQueue
from servicekit.stores.memory.queue import Queue


class QueueTurns:
    """The queues that have jobs that are ready and are not paused, by whose turn it is.

    Next is the one with the fewest jobs running, and of several such the one that was served longest ago.
    """

    def __init__(self) -> None:
        self.moved: set[Queue[Job]] = set()
        """Queues whose place must still be found. It is found at the next claim."""
        self._by_kind: defaultdict[RunnerKind, PriorityQueue[tuple[int, int], Queue[Job]]] = defaultdict(PriorityQueue)
        """For each kind of runner, those with jobs for it."""

    def take_next(self, excluding: Collection[RunnerKind]) -> Queue[Job] | None:
        """Find the queue whose turn it is, and take it out of those that take turns."""
        for moved in self.moved:
            self._arrange(moved)
        self.moved.clear()
        queue = self.find_next(excluding)
        if queue is not None:
            self._take_out(queue)
        return queue

    def find_next(self, excluding: Collection[RunnerKind]) -> Queue[Job] | None:
        """The queue whose turn it is, of those whose places are found."""
        nearest: tuple[tuple[int, int], Queue[Job]] | None = None
        for kind, queues in self._by_kind.items():
            first = None if kind in excluding else queues.first()
            if first is not None and (nearest is None or first < nearest):
                nearest = first
        return None if nearest is None else nearest[1]

    def forget(self, queue: Queue[Job]) -> None:
        """The queue is not there any more."""
        self.moved.discard(queue)
        self._take_out(queue)

    def _arrange(self, queue: Queue[Job]) -> None:
        """Give the queue its place among those that take turns."""
        for kind, line in queue.lines.items():
            if line.priorities and not queue.is_paused:
                self._by_kind[kind].put(queue, (queue.running, queue.served))
            else:
                self._by_kind[kind].discard(queue)

    def _take_out(self, queue: Queue[Job]) -> None:
        for kind in queue.lines:
            self._by_kind[kind].discard(queue)
