"""A store whose disk has gone."""

from typing import Any

from fastapi import FastAPI

from servicekit import Retention, StoreUnavailable
from servicekit.api.state import service_state
from servicekit.engine.clock import SystemClock
from servicekit.engine.parts import SchedulerParts
from servicekit.engine.scheduler import Scheduler
from servicekit.events.hub import EventHub
from servicekit.stores.memory import MemoryStore


class BrokenPart:
    """A part of the store: whatever it is asked, it fails."""

    def __init__(self) -> None:
        self.reason = "disk I/O error"
        self.error: Exception | None = None
        """What it raises instead of a `StoreUnavailable`."""

    def __getattr__(self, name: str) -> Any:
        return self._fail

    async def _fail(self, *args: Any, **options: Any) -> Any:
        raise self.error or StoreUnavailable("/srv/secret/jobs.db", self.reason)


class BrokenStore(MemoryStore):
    """It can be opened, and then neither read nor written."""

    def __init__(self, hub: EventHub) -> None:
        super().__init__(hub, SystemClock(), Retention())
        self.submissions = self.reads = self.changes = self.broken = BrokenPart()


def break_store(app: FastAPI) -> BrokenPart:
    """Have the application keep its jobs there. It does not run yet."""
    hub = EventHub()
    store = BrokenStore(hub)
    service_state(app).scheduler = Scheduler(SchedulerParts(store=store, hub=hub, runners={}, clock=SystemClock()))
    return store.broken
