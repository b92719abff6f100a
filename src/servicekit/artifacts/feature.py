"""Artifacts as a feature of a service: routes, a health check, and what goes by itself.

Here is what `Artifacts.install` and `Artifacts.lifespan` do. A job's own process imports `Artifacts` too, and has no
use for any of this.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from typing import Final

from fastapi import FastAPI

from servicekit.api import Service
from servicekit.api.state import check_path
from servicekit.artifacts.artifacts import Artifacts
from servicekit.artifacts.health import make_check
from servicekit.artifacts.routes import add_artifact_routes
from servicekit.artifacts.state import ArtifactsState, find_state, state_of
from servicekit.artifacts.state import artifacts_of as artifacts_of
from servicekit.artifacts.upkeep import Upkeep
from servicekit.errors import ConfigurationError
from servicekit.jobs.threads import call_in_thread

_STOP_SECONDS: Final = 5.0  # what is being written takes milliseconds; who has started the service waits ten for it


def install(artifacts: Artifacts, app: FastAPI) -> None:
    """Add the routes as soon as there are jobs, and the health check.

    `ConfigurationError` if the application has artifacts already.
    """
    if find_state(app) is not None:
        sentence = "This application has artifacts already: one with_artifacts(...) is enough."
        raise ConfigurationError("artifacts", artifacts, sentence=sentence)
    if artifacts.prefix is not None:
        check_path("prefix", artifacts.prefix)
    service = Service.of(app)
    state = app.state.servicekit_artifacts = ArtifactsState(artifacts, Upkeep(artifacts))
    service.add_listener(state.upkeep.observe)
    service.add_health_check("artifacts", make_check(artifacts))

    def add_routes() -> None:
        artifacts.use_database(service.scheduler.database_url)
        state.prefix = artifacts.prefix or service.path_beside_jobs("artifacts")
        add_artifact_routes(app, state.prefix)
        service.tell_place("artifacts", state.prefix)

    service.when_jobs_are_set_up(add_routes)


@asynccontextmanager
async def lifespan(artifacts: Artifacts, app: FastAPI) -> AsyncIterator[None]:
    """Let go what goes by itself while the service runs. `ConfigurationError` if there are no jobs.

    `ArtifactsUnavailable` if the index is in a database, and the contents are elsewhere than where this process looks.
    """
    scheduler, upkeep = Service.of(app).scheduler, state_of(app).upkeep
    artifacts.use_database(scheduler.database_url)  # in a test, the jobs are elsewhere than those of `install`
    if scheduler.database_url is not None:
        await call_in_thread(_open, artifacts, scheduler.database_url)
    task = asyncio.create_task(upkeep.run(scheduler), name="servicekit artifacts")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await wait_at_stop(upkeep.finish())
        await wait_at_stop(call_in_thread(artifacts.close))


def _open(artifacts: Artifacts, database_url: str) -> None:
    """Open what is in the database now, and make its tables if this is the first service."""
    from servicekit.stores.postgres.address import read_address
    from servicekit.stores.postgres.start import prepare_when_there

    prepare_when_there(read_address("url", database_url))
    _ = artifacts.storage


def preload_index(service: Service) -> None:
    """For features whose jobs save in processes of their own: import what reaches the index once for all of them."""

    def preload() -> None:
        if service.scheduler.database_url is not None:
            service.preload("servicekit.artifacts.postgres.index")

    service.when_jobs_are_set_up(preload)


async def wait_at_stop(end: Awaitable[None]) -> None:
    """Wait for what ends with the service, but not for long: a disk that hangs must not keep it from ending."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_STOP_SECONDS):
            await end
