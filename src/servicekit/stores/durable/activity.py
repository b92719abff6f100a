"""What was counted of jobs, in a database."""

import asyncio
from collections.abc import Sequence
from typing import Final

from servicekit.jobs.activity import KEPT_MINUTES, ActivityMinute, minute_of
from servicekit.stores.durable.activity_rows import (
    EVERYBODY,
    ActivityRequest,
    ActivityRow,
    NewActivity,
    find_minute,
    row_of,
)
from servicekit.stores.durable.session import StoreSession

# A hundred thousand take a millisecond. More are read in a thread, so that nobody waits for that.
_MANY_CHARACTERS: Final = 100_000


class DurableActivity:
    """The `ActivityStore` of a database."""

    def __init__(self, session: StoreSession) -> None:
        self._session = session
        self._activity = session.statements.activity
        self._known: dict[ActivityRow, ActivityMinute | None] = {}
        """The rows of the last answer about all jobs. Nearly all are in the next one too: only the newest change."""

    async def put_activity(self, minutes: Sequence[ActivityMinute]) -> None:
        present = minute_of(self._session.now())
        rows = [row_of(each) for each in minutes]
        new = NewActivity(rows, present - KEPT_MINUTES, present + KEPT_MINUTES)
        await self._session.database.write(self._activity.put, new)

    async def list_activity(self, owner: str | None, since: int) -> list[ActivityMinute]:
        request = ActivityRequest(EVERYBODY if owner is None else owner, since)
        rows = await self._session.database.read(self._activity.list_activity, request)
        known = self._known
        unread = [row for row in rows if row not in known]
        if sum(len(row.groups) for row in unread) > _MANY_CHARACTERS:
            found = await asyncio.to_thread(_read_rows, unread)
        else:
            found = _read_rows(unread)
        read = {row: found[row] if row in found else known[row] for row in rows}
        if owner is None:
            self._known = read
        return [minute for minute in read.values() if minute is not None]


def _read_rows(rows: Sequence[ActivityRow]) -> dict[ActivityRow, ActivityMinute | None]:
    return {row: find_minute(row) for row in rows}
