"""What was counted of jobs, in a database."""

from collections.abc import Sequence

from servicekit.jobs.activity import KEPT_MINUTES, ActivityMinute, minute_of
from servicekit.stores.durable.activity_rows import EVERYBODY, ActivityRequest, NewActivity, find_minute, row_of
from servicekit.stores.durable.session import StoreSession


class DurableActivity:
    """The `ActivityStore` of a database."""

    def __init__(self, session: StoreSession) -> None:
        self._session = session
        self._activity = session.statements.activity

    async def put_activity(self, minutes: Sequence[ActivityMinute]) -> None:
        present = minute_of(self._session.now())
        rows = [row_of(each) for each in minutes]
        new = NewActivity(rows, present - KEPT_MINUTES, present + KEPT_MINUTES)
        await self._session.database.write(self._activity.put, new)

    async def list_activity(self, owner: str | None, since: int) -> list[ActivityMinute]:
        request = ActivityRequest(EVERYBODY if owner is None else owner, since)
        rows = await self._session.database.read(self._activity.list_activity, request)
        return [minute for row in rows if (minute := find_minute(row)) is not None]
