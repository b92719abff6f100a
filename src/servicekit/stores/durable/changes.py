"""The changes of the jobs of a store."""

from servicekit.jobs.query import ChangePage
from servicekit.stores.durable.requests import ChangesRequest
from servicekit.stores.durable.session import StoreSession


class DurableChanges:
    """The `JobChanges` of a database."""

    def __init__(self, session: StoreSession) -> None:
        self._session = session
        self._queries = session.statements.queries

    async def list_changes(self, after: int, limit: int) -> ChangePage | None:
        request = ChangesRequest(after, limit, self._session.now())
        return await self._session.database.read(self._queries.list_changes, request)

    async def get_position(self) -> int:
        return await self._session.database.read(self._queries.get_position, None)
