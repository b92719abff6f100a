"""The changes of jobs in memory, in one order."""

from servicekit.jobs.query import ChangePage, JobChange
from servicekit.stores.memory.kept_jobs import KeptJobs


class MemoryChanges:
    """The `JobChanges` of a store in memory."""

    def __init__(self, kept: KeptJobs) -> None:
        self._kept = kept
        self._now = kept.now

    async def list_changes(self, after: int, limit: int) -> ChangePage | None:
        newest = self._kept.changes.list_newest(after, limit)
        if newest is None:
            return None
        jobs, now = self._kept.by_id, self._now()
        changes = [
            JobChange(position, job_id, jobs[job_id].record(now) if job_id in jobs else None)
            for job_id, position in newest.items()
        ]
        position = min(after + limit, self._kept.changes.position)
        return ChangePage(changes, position, position == self._kept.changes.position)

    async def get_position(self) -> int:
        return self._kept.changes.position
