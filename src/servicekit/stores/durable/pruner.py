"""Drops what retention does not allow."""

from datetime import datetime, timedelta
from typing import Final

from servicekit.jobs.retention import Retention
from servicekit.stores.durable.news import LATE_SECONDS
from servicekit.stores.durable.requests import Prune, PruneGroup
from servicekit.stores.durable.session import StoreSession
from servicekit.stores.durable.times import time_text

_DAY: Final = timedelta(days=1)
# A process that stood still for so long asks anew for what it follows. Until then it may need the events of ended jobs.
_YOUNG: Final = timedelta(seconds=2 * LATE_SECONDS)
_LONGEST_AGEING: Final = timedelta(minutes=1)


class Pruner:
    """Drops old jobs of a database, and does not ask it when there can be none."""

    def __init__(self, session: StoreSession, retention: Retention) -> None:
        self._session = session
        self._retention = retention
        # A tenth of the shortest age: so a job is kept at most a tenth longer than it should.
        ages = [bounds.max_age / 10 for _, bounds in retention.groups() if bounds.max_age is not None]
        self._ageing = min([_LONGEST_AGEING, *ages])
        self._changed_at: datetime | None = None
        """When something had changed at the last look."""
        self._pruned_at: datetime | None = None
        """When all was dropped that had to be; `None` if there may be more."""

    async def prune(self, limit: int) -> bool:
        """See `StoreLiveness.prune`."""
        now = self._session.now()
        if self._is_pruned(now):
            return False
        self._pruned_at = None  # until it has succeeded
        has_more = await self._session.database.write(
            self._session.statements.pruning.prune, self._describe(now, limit)
        )
        self._pruned_at = None if has_more else now
        return has_more

    def _is_pruned(self, now: datetime) -> bool:
        """Whether there is nothing to drop: nothing has changed, and nothing has aged much."""
        notifier, pruned_at = self._session.notifier, self._pruned_at
        if notifier is None or notifier.take_change() or self._changed_at is None:
            self._changed_at = now
        if pruned_at is None:
            return False
        return pruned_at - self._changed_at > _YOUNG and abs(now - pruned_at) < self._ageing

    def _describe(self, now: datetime, limit: int) -> Prune:
        groups = [
            PruneGroup(sorted(statuses), bounds.max_count, time_text(now - bounds.max_age) if bounds.max_age else "")
            for statuses, bounds in self._retention.groups()
        ]
        return Prune(groups, limit, time_text(now - _YOUNG), time_text(now + _DAY), time_text(now - _DAY))
