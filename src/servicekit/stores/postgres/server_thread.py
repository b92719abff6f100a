"""A thread with a connection to the server."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import ClassVar, Final

import psycopg

from servicekit.stores.durable.database_thread import DatabaseThread
from servicekit.stores.postgres.address import Address
from servicekit.stores.postgres.connections import connect
from servicekit.stores.postgres.session import Session

# While the server is away callers wait, since it may be back in a moment. Then they are told.
PATIENCE_SECONDS: Final = 5.0
# Longer than the server takes to give up a statement by itself.
ANSWER_SECONDS: Final = 6.0


class ServerThread(DatabaseThread):
    """A thread that answers calls by statements, with a connection that is opened when it is needed."""

    most_calls = 1_000
    limits: ClassVar[Mapping[str, str]] = {}
    """What the server is told of the patience of this thread."""

    def __init__(self, address: Address, purpose: str, prepare: Callable[[], None]) -> None:
        self._address = address
        self._purpose = purpose
        self._prepare = prepare
        """Called before the first connection is used. `StoreUnavailable` if the schema is not as it must be."""
        self._session: Session | None = None
        super().__init__(address.location, f"servicekit {purpose}")

    def _connect(self) -> Session:
        """The connection. `StoreUnavailable` if it cannot be opened."""
        if self._session is not None and self._session.connection.closed:
            self._disconnect()
        if self._session is None:
            self._prepare()
            connection = connect(
                self._address, purpose=self._purpose, limits=self.limits, answer_seconds=ANSWER_SECONDS
            )
            self._session = Session(connection, self._address.schema)
        return self._session

    def _disconnect(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with suppress(psycopg.Error):
                session.connection.close()
