"""The store in memory at work, in the one process that has it."""

from dataclasses import replace
from typing import Final

from servicekit.jobs.endings import NOT_BEGUN, end_abandoned
from servicekit.jobs.status import Transition, move_of
from servicekit.jobs.submission import Claim
from servicekit.jobs.workers import WorkerRecord
from servicekit.ports import AttemptStore, JobSignals
from servicekit.stores.memory.kept_jobs import KeptJobs
from servicekit.stores.process_name import name_of_process

_RUNNING: Final = move_of(Transition.CLAIM).target
_PENDING: Final = move_of(Transition.RELEASE).target


class MemoryLiveness:
    """The `StoreLiveness` of a store in memory."""

    def __init__(self, kept: KeptJobs, attempts: AttemptStore) -> None:
        self._kept = kept
        self._attempts = attempts
        self.now = kept.now

    @property
    def is_durable(self) -> bool:
        return False

    async def open(self, signals: JobSignals) -> None:
        self._kept.signals = signals
        if self._kept.worker is None:
            self._kept.worker = WorkerRecord(name_of_process(), self.now(), False, False, 0, True)

    async def prune(self, limit: int) -> bool:
        now = self.now()
        for finished in self._kept.finished.values():
            while (job := finished.find_expired(now)) is not None:
                if limit == 0:
                    return True
                limit -= 1
                self._kept.drop(job)
        return limit == 0

    async def rescue(self) -> None:
        """No other process can have died with jobs of this one."""

    async def find_problem(self) -> str | None:
        return None

    async def retire(self) -> None:
        if self._kept.worker is not None:
            self._kept.worker = replace(self._kept.worker, is_stopping=True)
        for job in [job for job in self._kept.by_id.values() if job.status is _PENDING]:
            self._kept.end_waiting(job, end_abandoned(is_in_order=True, is_kept=False))

    async def close(self) -> None:
        """Kept jobs can still be read. Jobs that became pending again since `retire` will not run any more."""
        for claim in self._list_strays():
            await self._attempts.end_attempt(claim, NOT_BEGUN)
        await self.retire()
        self._kept.worker = None

    def _list_strays(self) -> list[Claim]:
        """The attempts that the engine does not know any more. Their jobs would be running for ever."""
        signals = self._kept.signals
        running = [job for job in (*self._kept.by_id.values(), *self._kept.deleted.values()) if job.status is _RUNNING]
        return [
            Claim(job.submission, job.attempt)
            for job in running
            if job.submission is not None and signals is not None and not signals.is_running(job.id, job.attempt)
        ]
