"""The database of jobs as a `Database`: three threads with a connection each, and the registration of this process."""

import time
from collections.abc import Callable
from threading import Lock
from typing import Final

from servicekit.errors import StoreUnavailable
from servicekit.ports import EventRelay
from servicekit.stores.durable.news import News
from servicekit.stores.durable.threaded import ThreadedDatabase
from servicekit.stores.postgres import schema
from servicekit.stores.postgres.address import Address
from servicekit.stores.postgres.health import find_notice
from servicekit.stores.postgres.leases import Lease
from servicekit.stores.postgres.listener import Listener
from servicekit.stores.postgres.reader import Reader
from servicekit.stores.postgres.registration import ProcessRegistration
from servicekit.stores.postgres.server_time import ServerTime
from servicekit.stores.postgres.start import patience_for
from servicekit.stores.postgres.writer import Writer

_STOP_SECONDS: Final = 1.0


class PostgresDatabase(ThreadedDatabase):
    """A `Database` on a server, for the service of this name."""

    def __init__(self, address: Address, publisher: EventRelay, time: ServerTime, service: str | None) -> None:
        self._address = address
        self._publisher = publisher
        self._service = service
        self._time = time
        self.now = time.now
        self.setting = time.setting
        self.location = address.location
        self.registration = ProcessRegistration(Lease(time), service)
        self.writer: Writer | None = None
        self.reader: Reader | None = None
        self.listener: Listener | None = None

    def start(self, report: Callable[[News], None]) -> None:
        prepare = Preparation(self._address)
        self.listener = Listener(self._address, report, self._publisher, self.registration)
        self.writer = Writer(self._address, report, self._publisher, self.registration, self.listener, prepare)
        self.reader = Reader(self._address, prepare)

    def stop(self) -> None:
        threads = [thread for thread in (self.writer, self.reader) if thread is not None]
        for thread in threads:
            thread.end()
        # A server that does not answer must not hold up the event loop: then they end by themselves some seconds later.
        deadline = time.monotonic() + _STOP_SECONDS
        for thread in threads:
            thread.stop(max(0.0, deadline - time.monotonic()))
        if self.listener is not None:
            self.listener.stop()
        self.writer = self.reader = self.listener = None

    def forget_parent(self) -> None:
        """In a forked child: the parent's connections are its own, and closing them is not the child's business."""
        self._inherited = (self.writer, self.reader, self.listener)
        self.registration = ProcessRegistration(Lease(self._time), self._service)
        self.writer = self.reader = self.listener = None

    async def find_notice(self) -> str | None:
        return await self.read(find_notice, self.listener is not None and self.listener.channel.is_deaf)

    def patience_for(self, error: StoreUnavailable) -> float:
        return patience_for(error)


class Preparation:
    """Brings the schema up to date, or checks it, before the first connection is used."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._lock = Lock()
        self._is_done = False

    def __call__(self) -> None:
        with self._lock:
            if not self._is_done:
                schema.prepare(self._address)
                self._is_done = True
