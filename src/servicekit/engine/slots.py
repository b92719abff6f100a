"""How many jobs this process may claim: what the limits leave of its slots, its threads and its processes."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from servicekit.engine.cluster_room import ClusterRoom
from servicekit.engine.options import SchedulerOptions
from servicekit.engine.start_problems import StartProblems
from servicekit.jobs.options import RunnerKind
from servicekit.ports import Runner

# So many jobs are written in one transaction, and started before the event loop turns to anything else.
_BATCH: Final = 100
# So many if they are coroutines, for a store whose server is asked by statements that have a price of their own.
_MOST: Final = 256
# Where a claim costs nothing, 32 jobs at once leave the garbage collector little to do: their dozen objects each are
# gone again before there are so many that it looks for circles (700 in Python 3.11, 2,000 in others).
_BATCH_IN_MEMORY: Final = 32
_IN_THREADS: Final = (RunnerKind.THREAD,)
_IN_PROCESSES: Final = (RunnerKind.PROCESS, RunnerKind.COMMAND)
NOT_ON_CLUSTER: Final = tuple(kind for kind in RunnerKind if kind is not RunnerKind.RAY)
"""All kinds of jobs but those for a cluster."""


class Slots:
    """The limits of a worker, and how much of them its attempts take."""

    def __init__(
        self,
        options: SchedulerOptions,
        start_problems: StartProblems,
        runners: Mapping[RunnerKind, Runner],
        on_room: Callable[[], None],
        *,
        is_durable: bool,
    ) -> None:
        """`on_room` is called when there may be room on the cluster again."""
        self.max_concurrency = options.max_concurrency
        """The limit in all processes together."""
        self.max_here = options.max_concurrency_per_process
        """The limit in this process."""
        self.queues = {name: limit for name, limit in options.queues.items() if limit is not None}
        """The limits of queues, in all processes together."""
        self.taken = dict.fromkeys(RunnerKind, 0)
        """How many attempts of each kind of runner have not ended. The worker counts."""
        # A store in memory has no jobs for other processes, so that its claims need not pass over any.
        self.missing = tuple(kind for kind in RunnerKind if is_durable and kind not in runners)
        """The kinds of jobs that only other processes can run."""
        cluster = runners.get(RunnerKind.RAY)
        self.cluster = None if cluster is None else ClusterRoom(cluster, on_room)
        self._max_threads = options.max_threads
        self._max_processes = options.max_processes
        self._start_problems = start_problems
        self.is_durable = is_durable
        """Whether other processes may hold slots of those that all processes share."""
        self._batch, self._most = (_BATCH, _MOST) if is_durable else (_BATCH_IN_MEMORY, _BATCH_IN_MEMORY)

    def clear(self) -> None:
        """In a forked child, the attempts are the parent's."""
        self.taken.update(dict.fromkeys(RunnerKind, 0))

    def find_room(self, running: int) -> tuple[int, int, tuple[RunnerKind, ...]]:
        """How many jobs may be claimed beside those that run, how many if they are all coroutines, and the kinds of
        runner that take none of them.

        Threads and processes have limits of their own only where slots have none: a service that asks for a thousand
        threads gets them. What the cluster takes is told by `find_room_on_cluster`.
        """
        limit, taken = self._limit, self.taken
        most = self._most if limit is None else min(limit - running, self._most)
        free = min(most, self._batch)
        threads = (limit or self._max_threads) - taken[RunnerKind.THREAD]
        outside = (limit or self._max_processes) - taken[RunnerKind.PROCESS] - taken[RunnerKind.COMMAND]
        least = min(free, threads, outside)
        if least > 0 and self._start_problems.is_empty:  # nearly always
            return least, most, self.missing
        full = self.missing
        hindered = (((kind,), most - taken[kind]) for kind, most in self._list_hindered())
        for kinds, room in ((_IN_THREADS, threads), (_IN_PROCESSES, outside), *hindered):
            if room > 0:
                free = min(free, room)
            else:
                full += tuple(kind for kind in kinds if kind not in full)
        return free, free, full

    def find_room_on_cluster(self, free: int) -> int | None:
        """How many jobs for the cluster may be claimed, if they must be claimed apart from the others.

        `None`: there is room for all the `free` jobs that may be claimed, or there is no cluster. Else these are
        claimed first, and the others into the slots that are left, of which there is one at least. In one claim, a
        cluster with little room would have all jobs claimed one by one.
        """
        if self.cluster is None:
            return None
        room = self.cluster.find_most()
        for kind, most in self._start_problems.list_most():
            if kind is RunnerKind.RAY:
                tried = max(0, most - self.taken[kind])
                room = tried if room is None else min(room, tried)
        return None if room is None or room >= free else room

    def _list_hindered(self) -> Iterable[tuple[RunnerKind, int]]:
        return ((kind, most) for kind, most in self._start_problems.list_most() if kind is not RunnerKind.RAY)

    @property
    def _limit(self) -> int | None:
        if self.max_concurrency is None or self.max_here is None:
            return self.max_concurrency or self.max_here
        return min(self.max_concurrency, self.max_here)
