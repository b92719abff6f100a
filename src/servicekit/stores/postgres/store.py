"""The store in a database: see the package's page for what it promises."""

from typing import Final

from servicekit.jobs.query import SCAN_LIMIT
from servicekit.jobs.retention import Retention
from servicekit.ports import Clock, EventRelay
from servicekit.stores.durable.statements import Statements
from servicekit.stores.durable.store import DurableStore
from servicekit.stores.postgres import (
    activity,
    claims,
    inserts,
    log_lines,
    membership,
    pruning,
    queries,
    queues,
    schedules,
    suggestions,
    times,
    writes,
)
from servicekit.stores.postgres import (
    clock as clocks,
)
from servicekit.stores.postgres.address import Address
from servicekit.stores.postgres.database import PostgresDatabase
from servicekit.stores.postgres.server_time import ServerTime

_STATEMENTS: Final = Statements(
    inserts=inserts, writes=writes, claims=claims, times=times, log_lines=log_lines, queries=queries, queues=queues,
    schedules=schedules, membership=membership, pruning=pruning, clock=clocks, activity=activity,
    suggestions=suggestions,
)  # fmt: skip


class PostgresStore(DurableStore):
    """A `JobStore` in a PostgreSQL database."""

    def __init__(
        self,
        address: Address,
        publisher: EventRelay,
        clock: Clock,
        retention: Retention,
        *,
        max_pending: int | None = None,
        scan_limit: int = SCAN_LIMIT,
        service: str | None = None,
        time: ServerTime | None = None,
    ) -> None:
        """`time`: the time of the store, by default the server's."""
        self.database = PostgresDatabase(address, publisher, time or ServerTime(clock), service)
        """Internal: for the tests of this store."""
        super().__init__(
            self.database, _STATEMENTS, publisher, retention,
            max_pending=max_pending, scan_limit=scan_limit, service=service,
        )  # fmt: skip
