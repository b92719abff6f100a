"""The changes of jobs in memory, in one order."""

from datetime import datetime

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
        now = self._now()
        changes = [self._change(position, job_id, now) for job_id, position in newest.items()]
        position = min(after + limit, self._kept.changes.position)
        return ChangePage(changes, position, position == self._kept.changes.position)

    def _change(self, position: int, job_id: str, now: datetime) -> JobChange:
        job = self._kept.by_id.get(job_id)
        if job is None:
            return JobChange(position, job_id, None, self._kept.changes.find_owner(job_id))
        return JobChange(position, job_id, job.record(now))

    async def get_position(self) -> int:
        return self._kept.changes.position
