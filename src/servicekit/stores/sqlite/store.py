"""The store in one file: see the package's page for what it promises."""

from pathlib import Path
from typing import Final

from servicekit.jobs.query import SCAN_LIMIT
from servicekit.jobs.retention import Retention
from servicekit.ports import Clock, EventRelay
from servicekit.stores.durable.statements import Statements
from servicekit.stores.durable.store import DurableStore
from servicekit.stores.sqlite import (
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
from servicekit.stores.sqlite import (
    clock as clocks,
)
from servicekit.stores.sqlite.jobs_file import JobsFile

_STATEMENTS: Final = Statements(
    inserts=inserts, writes=writes, claims=claims, times=times, log_lines=log_lines, queries=queries, queues=queues,
    schedules=schedules, membership=membership, pruning=pruning, clock=clocks, activity=activity,
    suggestions=suggestions,
)  # fmt: skip


class SqliteStore(DurableStore):
    """A `JobStore` in one file."""

    def __init__(
        self,
        path: Path,
        publisher: EventRelay,
        clock: Clock,
        retention: Retention,
        *,
        max_pending: int | None = None,
        scan_limit: int = SCAN_LIMIT,
        service: str | None = None,
    ) -> None:
        self.file = JobsFile(path, publisher, clock, service)
        """Internal: for the tests of this store."""
        super().__init__(
            self.file, _STATEMENTS, publisher, retention,
            max_pending=max_pending, scan_limit=scan_limit, service=service,
        )  # fmt: skip
