"""The file of jobs as a `Database`: its two threads, and the registration of this process."""

import math
from collections.abc import Callable
from pathlib import Path

from servicekit.errors import StoreUnavailable
from servicekit.ports import Clock, EventRelay
from servicekit.stores.durable.news import News
from servicekit.stores.durable.threaded import ThreadedDatabase
from servicekit.stores.sqlite.database import is_busy
from servicekit.stores.sqlite.database_thread import Reader
from servicekit.stores.sqlite.registration import ProcessRegistration
from servicekit.stores.sqlite.writer import Writer


class JobsFile(ThreadedDatabase):
    """A `Database` in one file, for the service of this name."""

    def __init__(self, path: Path, publisher: EventRelay, clock: Clock, service: str | None) -> None:
        self._path = path.resolve()  # the locks are beside the file itself, whatever leads to it
        self._publisher = publisher
        self._service = service
        self.now = clock.now
        self.setting = clock.setting
        self.location = str(self._path)
        self.registration = ProcessRegistration(self._path, service)
        self.writer: Writer | None = None
        self.reader: Reader | None = None

    def start(self, report: Callable[[News], None]) -> None:
        self.writer = Writer(self._path, report, self._publisher)
        self.reader = Reader(self._path, "servicekit reader")

    def stop(self) -> None:
        for thread in (self.writer, self.reader):
            if thread is not None:
                thread.stop()
        self.writer = self.reader = None

    def forget_parent(self) -> None:
        """See `inherited`."""
        self._inherited = (self.writer, self.reader)  # closing their connections is not the child's business
        self.registration = ProcessRegistration(self._path, self._service)
        self.writer = self.reader = None

    async def find_notice(self) -> str | None:
        return None

    def patience_for(self, error: StoreUnavailable) -> float:
        return math.inf if is_busy(error) else 0.0
