"""The notifications of a listener: they go to the listeners of all processes that work on the same jobs."""

import select
import socket
import time
from contextlib import suppress
from math import ceil
from typing import Final, Protocol

from psycopg import sql

from servicekit.stores.postgres.address import Address
from servicekit.stores.postgres.connections import connect, is_pooled
from servicekit.stores.postgres.session import Session

# A sign of life that has taken so long is given up, and sent on another connection before the lease runs out.
ANSWER_SECONDS: Final = 2.5
# A notification takes a millisecond.
_HEARS_SECONDS: Final = 1.0
# Nothing is lost with it, and no commit waits for the disk because of it.
_NOTIFY: Final = "SELECT set_config('synchronous_commit', 'off', true), pg_notify(%s, %s)"


class Channel:
    """What is told to a listener: by other processes, with each connection anew, and by other threads (`ring`).

    Behind a pooler that gives each transaction another session, LISTEN is accepted and nothing ever comes. So it first
    sends a notification to itself: until that comes, it `hears` nothing.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._bell, self._rope = socket.socketpair()
        self._rope.setblocking(False)
        self._heard: list[str] = []
        self._listens_at = 0.0
        self.hears = False
        """Whether notifications arrive."""
        self.is_pooled = False

    @property
    def is_deaf(self) -> bool:
        """Whether it is known that notifications do not arrive."""
        return 0 < self._listens_at < time.monotonic() - _HEARS_SECONDS and not self.hears

    def listen(self, session: Session, hello: str) -> None:
        """Listen on this connection, and say hello to all, this process included."""
        channel = sql.Identifier(name_channel(session))
        session.connection.execute(sql.SQL("LISTEN {}").format(channel))
        self._listens_at, self.hears, self.is_pooled = time.monotonic(), False, is_pooled(session.connection)
        if self.is_pooled:
            # Another connection has to say it: in the answer to its own statement each one hears itself.
            with connect(self._address, purpose="listener", answer_seconds=ANSWER_SECONDS) as other:
                self.send(Session(other, self._address.schema), hello)
        else:
            self.send(session, hello)
            self._heard = _read(session)
            self.hears = bool(self._heard)

    def send(self, session: Session, text: str) -> None:
        session.run(_NOTIFY, [name_channel(session), text])

    def take(self, session: Session) -> list[str]:
        """What has been said since the last time."""
        heard, self._heard = self._heard + _read(session), []
        return heard

    def ring(self) -> None:
        """Let it wait no longer. May be called from any thread."""
        with suppress(OSError):  # it has been rung often enough, or is closed
            self._rope.send(b".")

    def wait(self, session: Session, seconds: float) -> None:
        """Wait until something is said, or somebody rings."""
        self._heard = _read(session)
        if self._heard:  # it came with the answer to a statement, and nothing more may come
            return
        if session.connection.fileno() in self._poll(seconds, session.connection):
            self._heard = _read(session)
            self.hears = self.hears or bool(self._heard)

    def rest(self, seconds: float) -> None:
        """Wait until somebody rings."""
        self._poll(seconds)

    def _poll(self, seconds: float, *files: "_File") -> set[int]:
        poll = select.poll()  # `select` knows no numbers above 1,023, and a service with many readers has those
        for file in (self._bell, *files):
            poll.register(file, select.POLLIN)
        readable = {number for number, _ in poll.poll(ceil(seconds * 1_000))}
        if self._bell.fileno() in readable:
            self._bell.recv(1_024)
        return readable

    def close(self) -> None:
        self._bell.close()
        self._rope.close()


class _File(Protocol):
    def fileno(self) -> int: ...


def _read(session: Session) -> list[str]:
    return [notify.payload for notify in session.connection.notifies(timeout=0)]


def name_channel(session: Session) -> str:
    """Of the schema: names of channels are those of a database."""
    return f"servicekit_{session.lock_number('notifications') & 0xFFFFFFFFFFFFFFFF:x}"
