"""Concurrency keys: of the jobs with the same one, only so many are ready or running at once."""

from collections import OrderedDict
from collections.abc import Callable
from itertools import count, islice
from typing import Final, TypeVar

from servicekit.stores.memory.job import Job
from servicekit.stores.memory.priority_queue import PriorityQueue

Kept = TypeVar("Kept", int, str)

_MOST_AT_ONCE: Final = 100
"""So many keys, and of each so many queues, are looked at in a claim."""


class KeySlots:
    """The slots of every concurrency key, and the jobs that wait for one.

    How many places there are is for each job to say (`concurrency_limit`). Of the jobs that wait for a key none has a
    limit above the number of places taken; so a place that is given back is one for a job whose limit is that number.
    """

    def __init__(self) -> None:
        self._keys: dict[str, _Key] = {}
        self._turns = count()
        """A job that began to wait for a key later, or became ready later, has a higher number."""
        self._contested: OrderedDict[str, None] = OrderedDict()
        """Keys with waiting jobs, where perhaps a job that cannot start holds a slot."""

    def take(self, key: str, job: Job) -> bool:
        """Give the job a slot, or let it wait for one."""
        places = self._keys.get(key)
        if places is None:
            places = self._keys[key] = _Key()
        if places.taken < job.options.concurrency_limit:
            places.taken += 1
            places.ready[job] = next(self._turns)
            return True
        places.wait(job, next(self._turns))
        self._contested[key] = None
        return False

    @property
    def may_be_stuck(self) -> bool:
        """Whether `pass_on` has something to look at."""
        return bool(self._contested)

    def start(self, key: str, job: Job) -> None:
        """The job, which holds a slot, runs from now on."""
        del self._keys[key].ready[job]

    def stop(self, key: str, job: Job) -> None:
        """The job, which holds a slot, is ready again: its attempt did not begin."""
        self._keys[key].ready[job] = next(self._turns)
        self._contested[key] = None

    def give_back(self, key: str, job: Job) -> Job | None:
        """Give the job's slot back. Return the job that gets it, if one waits for it.

        Of several that is one with the highest priority, and of these the one that has waited for longest.
        """
        places = self._keys[key]
        places.ready.pop(job, None)
        following = places.find_first()
        if following is None:
            places.taken -= 1
            if places.taken == 0:
                del self._keys[key]
            return None
        places.give(following, next(self._turns))
        self._contested[key] = None
        return following

    def stop_waiting(self, key: str, job: Job) -> None:
        """The job, which waits for a slot, needs none any more."""
        self._keys[key].stop_waiting(job)

    def pass_on(self, is_open: Callable[[Job], bool], *, of_all: bool = False) -> list[tuple[Job, Job]]:
        """Move slots from ready jobs that cannot start to waiting jobs that can. Return these pairs.

        It is done for some keys, and for others the next time, unless for all.
        """
        passed: list[tuple[Job, Job]] = []
        for key in list(islice(self._contested, None if of_all else _MOST_AT_ONCE)):
            places = self._keys.get(key)
            if places is None or not places.is_contested:
                del self._contested[key]
                continue
            self._contested.move_to_end(key)
            pair = places.find_heir(is_open)
            if pair is not None:
                places.pass_on(*pair, next(self._turns))
                passed.append(pair)
        return passed


class _Key:
    """The slots of one key, the ready jobs that hold one, and the waiting jobs: by limit, and by queue."""

    __slots__ = ("_by_limit", "_by_queue", "ready", "taken")

    def __init__(self) -> None:
        self.taken = 0
        self.ready: dict[Job, int] = {}
        """With their turns."""
        self._by_limit: dict[int, PriorityQueue[tuple[int, int], Job]] = {}
        self._by_queue: dict[str, PriorityQueue[tuple[int, int], Job]] = {}

    @property
    def is_contested(self) -> bool:
        """Whether ready jobs hold slots while jobs in other queues wait for one."""
        return any(len(self._by_queue) > (job.options.queue in self._by_queue) for job in self.ready)

    def wait(self, job: Job, turn: int) -> None:
        place = (-job.options.priority, turn)
        self._by_limit.setdefault(job.options.concurrency_limit, PriorityQueue()).put(job, place)
        self._by_queue.setdefault(job.options.queue, PriorityQueue()).put(job, place)

    def stop_waiting(self, job: Job) -> None:
        _discard(self._by_limit, job.options.concurrency_limit, job)
        _discard(self._by_queue, job.options.queue, job)

    def find_first(self) -> Job | None:
        """The next job to get a slot that is given back."""
        waiting = self._by_limit.get(self.taken)
        first = None if waiting is None else waiting.first()
        return None if first is None else first[1]

    def give(self, job: Job, turn: int) -> None:
        """Give a slot to a waiting job."""
        self.stop_waiting(job)
        self.ready[job] = turn

    def find_heir(self, is_open: Callable[[Job], bool]) -> tuple[Job, Job] | None:
        """A ready job that cannot start, and a waiting job that could if it had its slot."""
        stuck = [job for job in self.ready if job.options.concurrency_limit <= self.taken and not is_open(job)]
        if not stuck:
            return None
        firsts = [line.first() for line in islice(self._by_queue.values(), _MOST_AT_ONCE)]
        heirs = [
            (place, job)
            for place, job in filter(None, firsts)
            if job.options.concurrency_limit == self.taken and is_open(job)
        ]
        return (stuck[0], min(heirs)[1]) if heirs else None

    def pass_on(self, job: Job, heir: Job, turn: int) -> None:
        old_turn = self.ready.pop(job)
        self.give(heir, turn)
        self.wait(job, old_turn)


def _discard(waiting: dict[Kept, PriorityQueue[tuple[int, int], Job]], kept: Kept, job: Job) -> None:
    line = waiting[kept]
    line.discard(job)
    if not line:
        del waiting[kept]
