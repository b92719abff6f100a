"""What the garbage collector is spared while a service runs."""

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI

from servicekit.api import Jobs, JobSubmitted, SubmitJob, install
from servicekit.api.sse import OpenStreams
from servicekit.api.state import service_state
from tests.api.event_stream import EventSourceClient
from tests.service import run_service


class Made:
    """Made while the application starts."""


def create_app(*, freeze_gc: bool = True) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.made = Made()
        yield

    app = FastAPI(lifespan=lifespan)
    install(app, Jobs("memory://", shutdown_grace=0, freeze_gc=freeze_gc))

    @app.get("/seen")
    async def is_seen() -> bool:
        return any(isinstance(each, Made) for each in gc.get_objects())

    return app


def create_app_unfrozen() -> FastAPI:
    return create_app(freeze_gc=False)


def create_app_with_streams() -> FastAPI:
    """Two streams are many to it."""
    app = create_app()
    service_state(app).streams = OpenStreams(freeze_count=2)

    @app.post("/make")
    async def make() -> None:
        app.state.made = Made()

    @app.post("/wait")
    async def wait(submit: SubmitJob) -> JobSubmitted:
        return await submit(asyncio.sleep, 600)

    return app


@pytest.fixture
def as_in_a_server() -> Iterator[None]:
    """A process that handles SIGTERM, as all servers do."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: None)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(("factory", "seen"), [("create_app", False), ("create_app_unfrozen", True)])
def test_what_is_there_at_the_start_is_frozen_unless_turned_off(factory: str, seen: bool) -> None:
    with run_service(f"tests.api.test_collector:{factory}", options=["--factory"]) as service:
        assert httpx.get(f"{service.url}/seen").json() is seen


@pytest.mark.usefixtures("as_in_a_server")
async def test_it_is_thawed_when_the_last_of_several_services_has_ended() -> None:
    first, second = create_app(), create_app()
    before = gc.get_freeze_count()  # some interpreters freeze a little by themselves
    running = first.router.lifespan_context(first)
    await running.__aenter__()
    async with second.router.lifespan_context(second):
        await running.__aexit__(None, None, None)
        assert gc.get_freeze_count() > before
    assert gc.get_freeze_count() <= before


def test_streams_are_frozen_when_they_have_become_many_and_again_when_there_are_twice_as_many() -> None:
    with run_service("tests.api.test_collector:create_app_with_streams", options=["--factory"]) as service:
        job_id = httpx.post(f"{service.url}/wait").json()["job_id"]
        seen: list[bool] = []
        with ExitStack() as streams:
            for _ in range(5):
                httpx.post(f"{service.url}/make")
                stream = EventSourceClient(service.port, f"/api/v1/jobs/{job_id}/$stream")
                streams.enter_context(stream).next()
                seen.append(httpx.get(f"{service.url}/seen").json())
        assert seen == [True, False, True, False, True]


async def test_a_process_that_is_no_server_is_left_alone() -> None:
    app, before = create_app(), gc.get_freeze_count()
    async with app.router.lifespan_context(app):
        assert gc.get_freeze_count() == before
