"""The queues of the store in memory, and the process that works on them."""

from dataclasses import replace
from typing import Final

from servicekit.jobs.query import ALL_JOBS, SCAN_LIMIT
from servicekit.jobs.queues import QueueRecord
from servicekit.jobs.status import Transition, move_of
from servicekit.jobs.workers import WorkerRecord
from servicekit.stores.memory.kept_jobs import KeptJobs
from servicekit.stores.process_name import name_of_process

_RUNNING: Final = move_of(Transition.CLAIM).target


class MemoryQueues:
    """The `QueueStore` of a store in memory."""

    def __init__(self, kept: KeptJobs) -> None:
        self._kept = kept

    async def list_queues(self) -> list[QueueRecord]:
        """A deleted job that still runs counts: it holds its place in the queue."""
        return self._kept.pending.list_queues()

    async def set_queue_paused(self, name: str, *, is_paused: bool) -> None:
        self._kept.pending.set_queue_paused(name, is_paused=is_paused)

    async def list_workers(self) -> list[WorkerRecord]:
        worker, kept = self._kept.worker, self._kept
        running = kept.index.count(ALL_JOBS, SCAN_LIMIT)[_RUNNING] + len(kept.deleted)
        if worker is None or kept.signals is None:
            return []
        ready = kept.signals.readiness
        return [
            replace(worker, name=name_of_process(), running=running, runners=ready.runners, problems=ready.problems)
        ]
