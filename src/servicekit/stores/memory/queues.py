"""The queues of the store in memory, as they are looked at and paused."""

from servicekit.jobs.queues import QueueRecord
from servicekit.stores.memory.kept_jobs import KeptJobs


class MemoryQueues:
    """The `QueueStore` of a store in memory."""

    def __init__(self, kept: KeptJobs) -> None:
        self._kept = kept

    async def list_queues(self) -> list[QueueRecord]:
        """A deleted job that still runs counts: it holds its place in the queue."""
        return self._kept.pending.list_queues()

    async def set_queue_paused(self, name: str, *, is_paused: bool) -> None:
        self._kept.pending.set_queue_paused(name, is_paused=is_paused)
