"""The latest changes of jobs."""

from collections import OrderedDict, deque
from collections.abc import Callable
from datetime import datetime
from typing import Final

# A reader that missed more begins again with the present. docs/streams.md promises so many.
_CHANGES_KEPT: Final = 10_000


class ChangeLog:
    """The latest changes of jobs. Positions count up by one.

    The first position is the time in microseconds. No process makes a change in each of them, so that a position of an
    earlier process is never taken for one of this: it is before all that is known.
    """

    def __init__(self, now: datetime, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self.position = int(now.timestamp() * 1_000_000)
        self._job_ids: deque[str] = deque(maxlen=_CHANGES_KEPT)
        self._owners: OrderedDict[str, str] = OrderedDict()
        """Those of jobs that were deleted, the oldest deletion first."""

    def add(self, job_id: str) -> None:
        self.position += 1
        self._job_ids.append(job_id)
        self._on_change()

    def add_deletion(self, job_id: str, owner: str | None) -> None:
        if owner is not None:
            self._owners[job_id] = owner
            if len(self._owners) > _CHANGES_KEPT:  # the oldest one is not among the changes any more
                self._owners.popitem(last=False)
        self.add(job_id)

    def find_owner(self, job_id: str) -> str | None:
        """The owner of a job whose deletion is among the changes."""
        return self._owners.get(job_id)

    def list_newest(self, after: int, limit: int) -> dict[str, int] | None:
        """The jobs of the next `limit` changes, each with the newest of its own among these, in order of that.

        `None` if what came next is not kept any more, or `after` has not come yet.
        """
        start = self.position - len(self._job_ids)
        if not start <= after <= self.position:
            return None
        newest: dict[str, int] = {}
        for position in range(after + 1, min(after + limit, self.position) + 1):
            job_id = self._job_ids[position - start - 1]
            newest.pop(job_id, None)
            newest[job_id] = position
        return newest
