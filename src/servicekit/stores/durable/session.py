"""The state that the parts of a store share."""

import logging
from contextlib import suppress

from servicekit.errors import JobNotFound, RecordUnreadable
from servicekit.jobs.backoff import FailureLog
from servicekit.ports import Clock, ClockSetting, EventRelay
from servicekit.stores.durable.database import Database
from servicekit.stores.durable.local import LocalJobs
from servicekit.stores.durable.notifier import CommitNotifier
from servicekit.stores.durable.requests import ClockReading, RecordRequest
from servicekit.stores.durable.statements import Statements
from servicekit.stores.durable.times import time_text

_log = logging.getLogger("servicekit.stores")


class StoreSession:
    """A database with its statements, the submissions of this process alone, and the receivers of news."""

    def __init__(self, database: Database, statements: Statements, publisher: EventRelay, clock: Clock) -> None:
        self.database = database
        self.statements = statements
        self.publisher = publisher
        self.clock = clock
        self.now = database.now
        self.local = LocalJobs()
        self.failures = FailureLog(_log)
        self.notifier: CommitNotifier | None = None
        """There is one while the store is open."""
        self._setting: ClockSetting | None = None

    def now_text(self) -> str:
        return time_text(self.now())

    def wake(self) -> None:
        """There may be something to claim."""
        if self.notifier is not None:
            self.notifier.signals.wake()

    def forget_clock(self) -> None:
        """The next `heed_clock` asks the database."""
        self._setting = None

    async def heed_clock(self) -> None:
        """If somebody has set the clock, move the ends of waits, so that each stays as long as it was."""
        setting = self.clock.setting()
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
