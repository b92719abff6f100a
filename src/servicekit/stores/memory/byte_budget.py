"""A bound on what all jobs keep besides their records."""

from collections import OrderedDict

from servicekit.stores.memory.job import Job


class ByteBudget:
    """Results, tracebacks, logs and histories; and the calls of ended jobs, with which these could be repeated.

    When there is more than `max_bytes`, calls are let go first, those of the jobs that ended first; an argument that
    many jobs share counts for each, and must not cost anybody a result. Then the oldest lose the rest, but not the
    newest.
    """

    def __init__(self, max_bytes: int | None) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._calls: OrderedDict[Job, int] = OrderedDict()
        self._sizes: OrderedDict[Job, int] = OrderedDict()

    def weigh(self, job: Job) -> None:
        """Count anew what the job keeps besides its record and its call."""
        size = job.cargo_bytes
        if size or job in self._sizes:
            self._bytes += size - self._sizes.pop(job, 0)
            self._sizes[job] = size
            self._unload()

    def weigh_call(self, job: Job) -> None:
        """Count the call of a job that has ended."""
        size = job.call_bytes
        if self._max_bytes is not None and size > self._max_bytes:
            job.drop_call()
        elif size:
            self._calls[job] = size
            self._bytes += size
            self._unload()

    def forget(self, job: Job) -> None:
        """The job is not kept any more."""
        self._bytes -= self._sizes.pop(job, 0) + self._calls.pop(job, 0)

    def _unload(self) -> None:
        while self._max_bytes is not None and self._bytes > self._max_bytes:
            if self._calls:
                job, size = self._calls.popitem(last=False)
                job.drop_call()
            elif len(self._sizes) > 1:
                job, size = self._sizes.popitem(last=False)
                job.drop_cargo()
            else:
                return
            self._bytes -= size
