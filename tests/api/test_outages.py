"""What the log says while the store is away, and clients ask again and again."""

import logging
from itertools import count

import httpx
import pytest
from fastapi import FastAPI

from servicekit.api import JobSubmitted, ServiceBuilder, ServiceInfo, SubmitJob
from servicekit.errors import ArtifactsUnavailable, RecordUnreadable
from servicekit.jobs import backoff
from tests.api.broken_store import break_store
from tests.api.conftest import Connect
from tests.fakes import noop

JOBS = "/api/v1/jobs"
AWAY = "The job store /srv/secret/jobs.db cannot be used: disk I/O error"


async def submit_noop(submit: SubmitJob) -> JobSubmitted:
    return await submit(noop)


def service() -> FastAPI:
    app = ServiceBuilder(info=ServiceInfo(display_name="Test")).with_jobs(url="memory://").build()
    inner = FastAPI()
    for each in (app, inner):
        each.post("/noop", status_code=202)(submit_noop)
    app.mount("/inner", inner)
    return app


def told(caplog: pytest.LogCaptureFixture, level: int = logging.ERROR) -> list[str]:
    return [
        record.getMessage() for record in caplog.records if (record.name, record.levelno) == ("servicekit.api", level)
    ]


async def refuse(client: httpx.AsyncClient) -> None:
    for method, path in [("GET", JOBS), ("GET", f"{JOBS}/$stats"), ("POST", "/noop"), ("POST", "/inner/noop")]:
        assert (await client.request(method, path)).status_code == 503


async def test_an_outage_is_told_once_however_many_requests_it_refuses(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "servicekit.api")
    app = service()
    break_store(app)
    async with connect(app) as client:
        for _ in range(3):
            await refuse(client)
    assert told(caplog) == [AWAY]
    assert told(caplog, logging.DEBUG) == [AWAY] * 11


async def test_it_is_told_once_however_many_streams_it_ends(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    app = service()
    break_store(app)
    async with connect(app) as client:
        for path in (f"{JOBS}/$stream", f"{JOBS}/01JQRS7XK5N8Z3VQ2M4T6W8Y0A/$stream") * 3:
            assert (await client.get(path)).content == b""
    assert told(caplog) == [AWAY]


async def test_another_failure_is_told_at_once(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    app = service()
    broken = break_store(app)
    async with connect(app) as client:
        await refuse(client)
        broken.reason = "disk full"
        await refuse(client)
    assert told(caplog) == [AWAY, AWAY.replace("disk I/O error", "disk full")]


async def test_many_other_failures_do_not_hide_an_outage(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    app = service()
    asked = count()

    @app.get("/artifact")
    async def read_artifact() -> None:
        raise ArtifactsUnavailable("/srv/artifacts", f"the file of artifact {next(asked)} is missing")

    break_store(app)
    async with connect(app) as client:
        for _ in range(150):
            assert (await client.get("/artifact")).status_code == 503
        await refuse(client)
    assert told(caplog)[-1] == AWAY


async def test_many_jobs_that_cannot_be_read_do_not_hide_an_outage(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    app = service()
    broken = break_store(app)
    async with connect(app) as client:
        for number in range(150):
            broken.error = RecordUnreadable(f"job {number}", "a newer version has written it")
            assert (await client.get(f"{JOBS}/$stream")).content == b""
        broken.error = None
        assert (await client.get(f"{JOBS}/$stream")).content == b""
    assert told(caplog)[-1] == AWAY


async def test_an_outage_that_lasts_is_told_again(
    connect: Connect, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "_QUIET_SECONDS", 0.0)
    app = service()
    break_store(app)
    async with connect(app) as client:
        for _ in range(3):
            assert (await client.get(JOBS)).status_code == 503
    assert told(caplog) == [AWAY] * 3


async def test_each_service_of_a_process_tells_of_its_own_outage(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        app = service()
        break_store(app)
        async with connect(app) as client:
            await refuse(client)
    assert told(caplog) == [AWAY] * 2
