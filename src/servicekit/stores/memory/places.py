"""Concurrency keys: of the jobs with the same one, only so many are ready or running at once."""

from servicekit.stores.memory.agenda import Agenda
from servicekit.stores.memory.job import Job


class Places:
    """The places of every concurrency key, and the jobs that wait for one.

    How many places there are is for each job to say (`concurrency_limit`). Of the jobs that wait for a key none has a
    limit above the number of places taken; so a place that is given back is one for a job whose limit is that number.
    """

    def __init__(self) -> None:
        self._keys: dict[str, _Key] = {}

    def take(self, key: str, job: Job) -> bool:
        """Give the job a place, or have it wait for one."""
        places = self._keys.get(key)
        if places is None:
            places = self._keys[key] = _Key()
        if places.taken < job.options.concurrency_limit:
            places.taken += 1
            return True
        places.waiting_for(job).put(job, (-job.options.priority, job.id))
        return False

    def give_back(self, key: str) -> Job | None:
        """Give a place back; the job that has it from now on, if one has waited for it.

        Of several that is one with the highest priority, and of these the oldest.
        """
        places = self._keys[key]
        waiting = places.waiting.get(places.taken)
        if waiting is None or (first := waiting.first()) is None:
            places.taken -= 1
            if places.taken == 0:
                del self._keys[key]
            return None
        _, job = first
        self.stop_waiting(key, job)
        return job

    def stop_waiting(self, key: str, job: Job) -> None:
        """The job, which waits for a place, needs none any more."""
        waiting = self._keys[key].waiting
        agenda = waiting[job.options.concurrency_limit]
        agenda.discard(job)
        if not agenda:
            del waiting[job.options.concurrency_limit]


class _Key:
    """The places of one key, and who waits for one, by their limits."""

    __slots__ = ("taken", "waiting")

    def __init__(self) -> None:
        self.taken = 0
        self.waiting: dict[int, Agenda[tuple[int, str], Job]] = {}

    def waiting_for(self, job: Job) -> Agenda[tuple[int, str], Job]:
        limit = job.options.concurrency_limit
        agenda = self.waiting.get(limit)
        if agenda is None:
            agenda = self.waiting[limit] = Agenda()
        return agenda
