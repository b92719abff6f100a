"""What goes by itself: artifacts of jobs that are gone, artifacts beyond the retention, and what a crash has left.

A job that this process deletes is told to it at once. One that another process has deleted, or that retention has
dropped, is told nowhere. So the jobs with artifacts that go with them are looked up from time to time. If jobs are kept
in memory, no process knows those of the others, so each looks only after those that it has seen itself.
"""

import asyncio
import logging
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from itertools import islice
from typing import Final

from servicekit.api import JobEvent
from servicekit.artifacts.artifacts import Artifacts
from servicekit.artifacts.expiry import drop_expired
from servicekit.artifacts.retention import ArtifactRetention
from servicekit.engine.scheduler import Scheduler
from servicekit.errors import ArtifactsUnavailable, StoreUnavailable
from servicekit.jobs.backoff import FailureLog
from servicekit.jobs.threads import call_in_thread

_LONGEST_SECONDS: Final = 60.0  # what is too old stays so much longer, and what belongs to a job that is gone
_LONGEST_IF_BYTES_SECONDS: Final = 10.0  # a disk fills fast, and to add up all sizes takes a while
_SHORTEST_SECONDS: Final = 0.05  # for a retention of milliseconds, as in tests: the loop must not spin
_GATHER_SECONDS: Final = 0.1  # thousands of jobs can be deleted at once, and then share a transaction
_SWEEP_SECONDS: Final = 3_600.0  # it looks at every blob, and only crashes leave something
_BATCH: Final = 500  # other writes wait for this one, so it must be short

_log = logging.getLogger("servicekit.artifacts")


class Upkeep:
    """Lets go what goes by itself, while the service runs."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts
        self._interval_seconds = _interval_of(artifacts.retention)
        self._deleted: set[str] = set()
        self._seen: set[str] | None = None
        """The jobs of this process, if they are kept in memory."""
        self._woken = asyncio.Event()
        self._failures = FailureLog(_log)

    def observe(self, event: JobEvent) -> None:
        """Hear of a job that was deleted, or is there. On the event loop."""
        if event.record is None:
            self._deleted.add(event.job_id)
            self._woken.set()
        elif self._seen is not None:
            self._seen.add(event.job_id)

    async def run(self, scheduler: Scheduler) -> None:
        """Do so until canceled. An error is logged, and the next turn tries again.

        A deletion of a job does not wait for the next turn, which looks at far more than one job.
        """
        self._woken = asyncio.Event()  # of this event loop: a test can run the application on one after the other
        self._seen = None if scheduler.is_shared else set()
        next_turn_at = next_sweep_at = 0.0
        while True:
            try:
                await self._drop_deleted()
                if time.monotonic() >= next_sweep_at:
                    next_sweep_at = time.monotonic() + _SWEEP_SECONDS
                    await call_in_thread(self._artifacts.sweep)
                if time.monotonic() >= next_turn_at:
                    next_turn_at = time.monotonic() + self._interval_seconds
                    await self._drop_expired()
                    await self._drop_orphans(scheduler)
            except (ArtifactsUnavailable, StoreUnavailable) as error:
                _log.debug("Old artifacts could not be dropped: %s", error)
            except Exception as error:
                self._failures.exception("Old artifacts could not be dropped", error)
            await self._wait()

    async def finish(self) -> None:
        """The service stops: let go what belongs to jobs that were deleted until now."""
        with suppress(ArtifactsUnavailable):  # with jobs in a file, the next start finds them
            await self._drop_deleted()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._interval_seconds):
                await self._woken.wait()
                await asyncio.sleep(_GATHER_SECONDS)
        except TimeoutError:
            pass

    async def _drop_deleted(self) -> None:
        self._woken.clear()
        while self._deleted:
            some = set(islice(self._deleted, _BATCH))
            await call_in_thread(self._remove_kept, some)
            self._deleted -= some

    async def _drop_orphans(self, scheduler: Scheduler) -> None:
        """Let go what belongs to jobs that are not there any more."""
        if self._seen is not None:
            missing = await scheduler.find_missing(self._seen)
            await call_in_thread(self._remove_kept, missing)
            self._seen -= missing
            return
        after = ""
        while job_ids := await call_in_thread(self._list_job_ids, after):
            await call_in_thread(self._remove_kept, await scheduler.find_missing(job_ids))
            after = job_ids[-1]

    def _list_job_ids(self, after: str) -> Sequence[str]:
        return self._artifacts.storage.index.list_job_ids(after, _BATCH)

    def _remove_kept(self, job_ids: Collection[str]) -> None:
        waiting = iter(job_ids)
        while some := list(islice(waiting, _BATCH)):
            self._artifacts.storage.remove_kept(some)

    async def _drop_expired(self) -> None:
        if self._artifacts.retention is not None:
            await call_in_thread(drop_expired, self._artifacts.storage, self._artifacts.retention)


def _interval_of(retention: ArtifactRetention | None) -> float:
    """A tenth of the shortest age: so an artifact is kept at most a tenth longer than it should."""
    bounds = [each for _, each in retention.groups()] if retention is not None else []
    ages = [each.max_age.total_seconds() / 10 for each in bounds if each.max_age is not None]
    sizes = [_LONGEST_IF_BYTES_SECONDS for each in bounds if each.max_bytes is not None]
    return max(_SHORTEST_SECONDS, min([_LONGEST_SECONDS, *ages, *sizes]))
