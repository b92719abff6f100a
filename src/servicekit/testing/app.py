"""Applications, with a scheduler whose time is the test's in place of their own."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Unpack

from fastapi import FastAPI

from servicekit.api.state import service_state
from servicekit.engine.options import SchedulerOptionChanges
from servicekit.testing.scheduler import TestScheduler


@contextmanager
def use_test_scheduler(
    app: FastAPI, *, url: str = "memory://", patience_seconds: float = 5.0, **changes: Unpack[SchedulerOptionChanges]
) -> Iterator[TestScheduler]:
    """Give the application a `TestScheduler` until the end of the block; it is not to run before that begins.

    It has the options of the application's own scheduler but for these changes, keeps its jobs in memory, and runs them
    also if the application only accepts them. Running ones get no grace time when the application stops.
    """
    state = service_state(app)
    own = state.require_scheduler()
    options: SchedulerOptionChanges = {**state.scheduler_options, "run_jobs": True, "shutdown_grace": 0.0, **changes}
    jobs = TestScheduler(state.max_concurrency, url=url, patience_seconds=patience_seconds, **options)
    state.scheduler = jobs
    try:
        yield jobs
    finally:
        state.scheduler = own


@asynccontextmanager
async def running(
    app: FastAPI, *, url: str = "memory://", patience_seconds: float = 5.0, **changes: Unpack[SchedulerOptionChanges]
) -> AsyncIterator[TestScheduler]:
    """Run the application on this event loop, as a server would, with the scheduler of `use_test_scheduler`.

    Its lifespan begins and ends with the block. Requests reach it through `httpx.ASGITransport`, for one.
    """
    with use_test_scheduler(app, url=url, patience_seconds=patience_seconds, **changes) as jobs:
        async with app.router.lifespan_context(app):
            yield jobs
