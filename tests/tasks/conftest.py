from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from servicekit.api import ServiceBuilder, ServiceInfo
from servicekit.artifacts import Artifacts
from servicekit.tasks import Tasks

Serve = Callable[[Tasks], AbstractAsyncContextManager[httpx.AsyncClient]]


@asynccontextmanager
async def connect_to(app: FastAPI, root_path: str = "") -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app, root_path=root_path)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        yield client


@pytest.fixture(scope="session", autouse=True)
def _jobs_in_memory() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVICEKIT_JOBS_URL", "memory://")
        yield


@pytest.fixture
def make_app(tmp_path: Path) -> Callable[[Tasks], FastAPI]:
    """A service with these tasks, and artifacts in a folder of its own."""

    def make(tasks: Tasks) -> FastAPI:
        return (
            ServiceBuilder(info=ServiceInfo(display_name="Any"))
            .with_tasks(tasks)
            .with_jobs()
            .with_artifacts(Artifacts(tmp_path / "artifacts"))
            .build()
        )

    return make


@pytest.fixture
def tasks(tmp_path: Path) -> Tasks:
    return Tasks(tmp_path / "tasks.db")


@pytest.fixture
def serve(make_app: Callable[[Tasks], FastAPI]) -> Serve:
    return lambda tasks: connect_to(make_app(tasks))
