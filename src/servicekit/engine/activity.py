"""What has become of jobs in the last minutes: what this process has counted is kept, and that of all is told."""

import asyncio
import logging
from contextlib import suppress
from functools import partial
from typing import Final

from servicekit.errors import ConfigurationError, JobNotFound, RecordUnreadable, StoreUnavailable
from servicekit.jobs.activity import MAX_MINUTES, Activity, minute_of, summarize
from servicekit.jobs.backoff import FailureLog
from servicekit.observability.activity import ActivityRecorder
from servicekit.ports import JobStore

# A process that dies loses what it has counted since the last write. One small write in this time costs nothing.
_INTERVAL_SECONDS: Final = 5.0
# A process that stops must be gone in time, and all that is lost are numbers.
_LAST_WRITE_SECONDS: Final = 1.0
# As many take some milliseconds. More are added up in a thread, so that nobody waits for that.
_MANY_GROUPS: Final = 1_000

_log = logging.getLogger("servicekit.engine")


class ActivityKeeper:
    """Writes what this process has counted to the store every few seconds, if there is anything."""

    def __init__(self, store: JobStore, recorder: ActivityRecorder) -> None:
        self._store = store
        self.recorder = recorder
        self._failures = FailureLog(_log)

    def begin(self) -> None:
        """The engine starts, before any job. In a forked child, what was counted belongs to the parent."""
        if self.recorder.is_inherited:
            self.recorder.begin()
        self.recorder.look_at_clock()

    async def run(self) -> None:
        """Write until canceled. What cannot be written is kept for the next time."""
        while True:
            await asyncio.sleep(min(_INTERVAL_SECONDS, self.recorder.look_at_clock()))
            await self._write()

    async def stop(self) -> None:
        """Write what is left, before the store is closed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WRITE_SECONDS):
                await self._write()

    async def _write(self) -> None:
        try:
            counted = self.recorder.collect()
            if counted:
                await self._store.activity.put_activity(counted)
                self.recorder.note_written(counted)
        except StoreUnavailable as error:
            _log.debug("What was counted of jobs is not written yet: %s", error)
        except Exception as error:  # a bug must not stop the engine
            self._failures.exception("What was counted of jobs cannot be written", error)

    async def note_submitted(self, job_id: str) -> None:
        """Count a job that the store has made of another job, or of a schedule."""
        with suppress(StoreUnavailable, JobNotFound, RecordUnreadable):  # deleted since, or only a number is missing
            self.recorder.submitted_record(await self._store.reads.get_record(job_id))

    async def get(self, minutes: int, name: str | None, queue: str | None, owner: str | None) -> Activity:
        """What all processes have counted, of all jobs or those of an owner. The store is open."""
        if type(minutes) is not int or not 1 <= minutes <= MAX_MINUTES:
            raise ConfigurationError("minutes", minutes, f"a whole number from 1 to {MAX_MINUTES}")
        now = self._store.liveness.now()
        kept = await self._store.activity.list_activity(owner, minute_of(now) - minutes + 1)
        # What is not written yet is newer than what is kept of the same minute.
        counted = {each[:3]: each for each in [*kept, *self.recorder.collect()] if each.owner == owner}
        add_up = partial(summarize, counted.values(), minutes, now, name=name, queue=queue)
        if sum(len(each.groups) for each in counted.values()) > _MANY_GROUPS:
            return await asyncio.to_thread(add_up)
        return add_up()
