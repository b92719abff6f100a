from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from tests.places import STORES, url_of

Connect = Callable[[FastAPI], AbstractAsyncContextManager[httpx.AsyncClient]]


@asynccontextmanager
async def connect_to(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, which runs its whole lifespan around it."""
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        yield client


@pytest.fixture(scope="session", autouse=True)
def _jobs_in_memory() -> Iterator[None]:
    """Where the services of these tests keep jobs, unless they say otherwise: in no file that they would share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVICEKIT_JOBS_URL", "memory://")
        yield


@pytest.fixture(params=STORES)
def jobs_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a service keeps jobs, for what should be the same wherever that is."""
    return url_of(request, tmp_path)


@pytest.fixture
def connect() -> Connect:
    return connect_to
