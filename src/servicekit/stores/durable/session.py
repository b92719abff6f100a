"""The state that the parts of a store share."""

import asyncio
import logging
import time
from contextlib import suppress
from typing import Final

from servicekit.errors import JobNotFound, RecordUnreadable
from servicekit.jobs.backoff import FailureLog
from servicekit.ports import ClockSetting, EventRelay
from servicekit.stores.durable.database import Database
from servicekit.stores.durable.local import LocalJobs
from servicekit.stores.durable.notifier import CommitNotifier
from servicekit.stores.durable.requests import ClockReading, RecordRequest
from servicekit.stores.durable.statements import Statements
from servicekit.stores.durable.times import time_text

# A commit whose answer was lost is seen by all as soon as the server has heard that the connection is lost.
_DOUBT_SECONDS: Final = 30.0

_log = logging.getLogger("servicekit.stores")


class StoreSession:
    """A database with its statements, the submissions of this process alone, and the receivers of news."""

    def __init__(self, database: Database, statements: Statements, publisher: EventRelay) -> None:
        self.database = database
        self.statements = statements
        self.publisher = publisher
        self.now = database.now
        self.local = LocalJobs()
        self.failures = FailureLog(_log)
        self.notifier: CommitNotifier | None = None
        """There is one while the store is open."""
        self.claiming = asyncio.Lock()
        """Held while a claim is on its way to the engine, which does not know yet what runs."""
        self._setting: ClockSetting | None = None
        self._doubt_until = 0.0

    def now_text(self) -> str:
        return time_text(self.now())

    def wake(self) -> None:
        """There may be something to claim."""
        if self.notifier is not None:
            self.notifier.signals.wake()

    def note_doubt(self) -> None:
        """It is not known what this process runs, as the database has it, nor what the others know of it.

        The answer to a claim was lost, which may still be on its way; or the database has lost its newest changes.
        """
        self._doubt_until = time.monotonic() + _DOUBT_SECONDS
        self.database.registration.told_readiness = None

    @property
    def is_in_doubt(self) -> bool:
        return time.monotonic() < self._doubt_until

    def forget_clock(self) -> None:
        """The next `heed_clock` asks the database."""
        self._setting = None

    async def heed_clock(self) -> None:
        """If somebody has set the clock, move the ends of waits, so that each stays as long as it was."""
        setting = self.database.setting()
        if not setting.is_like(self._setting):
            await self.database.write(self.statements.clock.heed, ClockReading(setting, self.now()))
            self._setting = setting

    async def tell_of_failures(self, job_ids: list[str]) -> None:
        """Tell the engine of jobs that no attempt has ended."""
        for job_id in job_ids:
            with suppress(JobNotFound, RecordUnreadable):  # deleted since, or there is nothing to tell
                request = RecordRequest(job_id, self.now())
                record = await self.database.read(self.statements.queries.get_record, request)
                if self.notifier is not None:
                    self.notifier.signals.hear_of_failure(record)
