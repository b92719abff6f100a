"""Concurrency keys: of the jobs with the same one, only so many are ready or running at once."""

from collections import OrderedDict
from collections.abc import Callable
from itertools import count, islice
from typing import Final, TypeVar

from servicekit.jobs.options import RunnerKind
from servicekit.stores.memory.job import Job
from servicekit.stores.memory.priority_queue import PriorityQueue

_Line = tuple[str, RunnerKind]
"""A queue and a runner: of the jobs that need the same ones, the first is as good as any."""
Kept = TypeVar("Kept", int, _Line)

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
        places = self._keys[key]
        places.begun[job] = places.ready.pop(job)

    def stop(self, key: str, job: Job) -> None:
        """The job, which holds a slot, is ready again: its attempt did not begin."""
        places = self._keys[key]
        places.ready[job] = places.begun.pop(job)
        self._contested[key] = None

    def give_back(self, key: str, job: Job) -> Job | None:
        """Give the job's slot back. Return the job that gets it, if one waits for it.

        Of several that is one with the highest priority, and of these the one that has waited for longest.
        """
        places = self._keys[key]
        places.ready.pop(job, None)
        places.begun.pop(job, None)
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
    """The slots of one key, the ready jobs that hold one, and the waiting jobs: by limit, and by queue and runner."""

    __slots__ = ("_by_limit", "_by_line", "begun", "ready", "taken")

    def __init__(self) -> None:
        self.taken = 0
        self.ready: dict[Job, int] = {}
        """With their turns."""
        self.begun: dict[Job, int] = {}
        """The same for those that run."""
        self._by_limit: dict[int, PriorityQueue[tuple[int, int], Job]] = {}
        self._by_line: dict[_Line, PriorityQueue[tuple[int, int], Job]] = {}

    @property
    def is_contested(self) -> bool:
        """Whether ready jobs hold slots while others wait for one, which may be able to start where they cannot."""
        return any(_may_yield(job, line) for job in self.ready for line in self._by_line)

    def wait(self, job: Job, turn: int) -> None:
        place = (-job.options.priority, turn)
        self._by_limit.setdefault(job.options.concurrency_limit, PriorityQueue()).put(job, place)
        self._by_line.setdefault((job.options.queue, job.runner), PriorityQueue()).put(job, place)

    def stop_waiting(self, job: Job) -> None:
        _discard(self._by_limit, job.options.concurrency_limit, job)
        _discard(self._by_line, (job.options.queue, job.runner), job)

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
        stuck = [(job, is_open(job)) for job in self.ready if job.options.concurrency_limit <= self.taken]
        stuck = [(job, is_tried) for job, is_tried in stuck if not is_tried or job.pending_reason is not None]
        if not stuck:
            return None
        firsts = [line.first() for line in islice(self._by_line.values(), _MOST_AT_ONCE)]
        heirs = sorted(
            (place, job)
            for place, job in filter(None, firsts)
            if job.options.concurrency_limit == self.taken and is_open(job)
        )
        pairs = ((job, heir) for job, is_tried in stuck for _, heir in heirs if not is_tried or _may_begin(heir, job))
        return next(pairs, None)

    def pass_on(self, job: Job, heir: Job, turn: int) -> None:
        old_turn = self.ready.pop(job)
        self.give(heir, turn)
        self.wait(job, old_turn)


def _may_yield(job: Job, line: _Line) -> bool:
    """Whether jobs of a line could start where the job cannot: in another queue, or by another runner."""
    queue, runner = line
    return queue != job.options.queue or (job.pending_reason is not None and runner is not job.runner)


def _may_begin(heir: Job, job: Job) -> bool:
    """Whether a job may begin where the other could not: it needs another runner, and was not tried in vain itself."""
    return heir.runner is not job.runner and heir.pending_reason is None


def _discard(waiting: dict[Kept, PriorityQueue[tuple[int, int], Job]], kept: Kept, job: Job) -> None:
    line = waiting[kept]
    line.discard(job)
    if not line:
        del waiting[kept]
