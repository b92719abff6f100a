"""The queues of a store, and the processes that work on them."""

from servicekit.jobs.queues import QueueRecord
from servicekit.jobs.workers import WorkerRecord
from servicekit.stores.durable.requests import Pause
from servicekit.stores.durable.session import StoreSession


class DurableQueues:
    """The `QueueStore` of a database."""

    def __init__(self, session: StoreSession) -> None:
        self._session = session
        self._queues = session.statements.queues

    async def list_queues(self) -> list[QueueRecord]:
        return await self._session.database.read(self._queues.list_queues, None)

    async def set_queue_paused(self, name: str, *, is_paused: bool) -> None:
        await self._session.database.write(self._queues.set_paused, Pause(name, is_paused))
        self._session.wake()

    async def list_workers(self) -> list[WorkerRecord]:
        database = self._session.database
        workers = await database.registration.list_living(database)
        return sorted(workers, key=lambda worker: (worker.started_at, worker.name))
