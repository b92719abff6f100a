"""The routes to look at schedules, pause, resume and remove them."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from openapi_spec_validator import validate

from servicekit import (
    ConfigurationError,
    Cron,
    Every,
    InvalidArguments,
    InvalidTarget,
    QueueFull,
    RetryUnavailable,
    job_options,
)
from servicekit.api import Jobs, Recurring, ServiceBuilder, ServiceInfo, install
from tests.api.conftest import Connect
from tests.fakes import noop

SCHEDULES = "/api/v1/schedules"


@job_options(name="train_model")
async def train(data: str) -> None:
    """A target with an argument."""


def builder() -> ServiceBuilder:
    return ServiceBuilder(info=ServiceInfo(display_name="Test"))


def service(url: str = "memory://") -> FastAPI:
    nightly = Cron("0 3 * * *", "Europe/Berlin", missed="skip", overlap="wait")
    return (
        builder()
        .with_schedule("nightly", nightly, train, data="all")
        .with_jobs(url=url, shutdown_grace=0)
        .with_schedule("a 100% odd name?#", Every(3_600), noop)
        .build()
    )


async def get(client: httpx.AsyncClient, name: str) -> dict[str, Any]:
    return dict((await client.get(f"{SCHEDULES}/{name}")).json())


async def test_schedules_are_listed_by_name(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        response = await client.get(SCHEDULES)
        odd, nightly = response.json()
        assert response.status_code == 200
        assert (odd["name"], odd["timetable"]) == ("a 100% odd name?#", {"every_seconds": 3_600})
        assert odd["next_at"].endswith(":00:00Z")
        del nightly["next_at"]
        assert nightly == {
            "name": "nightly",
            "timetable": {"cron": "0 3 * * *", "time_zone": "Europe/Berlin"},
            "target_name": "train_model",
            "missed": "skip",
            "overlap": "wait",
            "is_paused": False,
            "last_at": None,
            "last_job_id": None,
            "problem": None,
        }


async def test_one_schedule_is_got_by_its_name(connect: Connect) -> None:
    async with connect(service()) as client:
        listed = (await client.get(SCHEDULES)).json()
        assert [await get(client, "a%20100%25%20odd%20name%3F%23"), await get(client, "nightly")] == listed


async def test_a_schedule_is_paused_and_resumed(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        before = await get(client, "nightly")
        paused = await client.post(f"{SCHEDULES}/nightly/$pause")
        assert paused.status_code == 200
        assert paused.json() == await get(client, "nightly") == {**before, "is_paused": True, "next_at": None}
        resumed = await client.post(f"{SCHEDULES}/nightly/$resume")
        assert resumed.status_code == 200
        assert resumed.json() == await get(client, "nightly") == before


async def test_a_schedule_is_removed(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        response = await client.delete(f"{SCHEDULES}/nightly")
        assert (response.status_code, response.content) == (204, b"")
        assert [schedule["name"] for schedule in (await client.get(SCHEDULES)).json()] == ["a 100% odd name?#"]


@pytest.mark.parametrize("name", ["yearly", "NIGHTLY", "%00", "%F0%9F%98%80", "a" * 5_000])
@pytest.mark.parametrize(("method", "suffix"), [("GET", ""), ("POST", "/$pause"), ("POST", "/$resume"), ("DELETE", "")])
async def test_what_is_not_there_is_404_on_every_route(
    connect: Connect, jobs_url: str, method: str, suffix: str, name: str
) -> None:
    async with connect(service(jobs_url)) as client:
        response = await client.request(method, f"{SCHEDULES}/{name}{suffix}")
        assert (response.status_code, response.json()) == (404, {"detail": "Schedule not found"})


async def test_schedules_are_beside_the_jobs(connect: Connect) -> None:
    app = builder().with_jobs(prefix="/jobs", shutdown_grace=0).build()
    async with connect(app) as client:
        assert (await client.get("/schedules")).json() == []


async def test_schedules_are_not_added_directly(connect: Connect) -> None:
    async with connect(service()) as client:
        assert (await client.post(SCHEDULES)).status_code == 405


def test_a_service_whose_schedule_makes_no_sense_is_not_built(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    for error, told, arguments in [
        (ConfigurationError, "name must be", ("a/b", Every(60), noop)),
        (ConfigurationError, "timetable must be", ("it", "0 3 * * *", noop)),
        (InvalidTarget, "not callable", ("it", Every(60), "noop")),
        (InvalidArguments, "data", ("it", Every(60), train)),
        (InvalidTarget, "is a lambda", ("it", Every(60), lambda: None)),
    ]:
        anything: Any = builder().with_jobs(url=url, shutdown_grace=0).with_schedule
        with pytest.raises(error, match=told):
            anything(*arguments).build()
    assert not list(tmp_path.iterdir())


def test_schedules_need_jobs_and_a_name_each() -> None:
    with pytest.raises(ConfigurationError, match=r"has no jobs: set them up with \.with_jobs"):
        builder().with_schedule("it", Every(60), noop).build()
    with pytest.raises(ConfigurationError, match="'twice'"):
        builder().with_jobs().with_schedule("twice", Every(60), noop).with_schedule("twice", Every(9), noop).build()


def test_an_existing_application_is_told_of_a_wrong_schedule_when_it_gets_its_jobs() -> None:
    app = FastAPI()
    install(app, Recurring("it", Every(60), train, data=1))  # type: ignore[arg-type]
    with pytest.raises(InvalidArguments, match="data"):
        install(app, Jobs("memory://"))


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (QueueFull("default", 1_000), 429, "5"),
        (RetryUnavailable("01JQRS7XK5N8Z3VQ2M4T6W8Y0A", "running", "it has not ended."), 409, None),
        (InvalidArguments("train", "data", "missing"), 422, None),
    ],
)
async def test_what_cannot_be_submitted_is_told(
    connect: Connect, error: Exception, status: int, retry_after: str | None
) -> None:
    app = service()

    @app.post("/submit")
    async def submit() -> None:
        raise error

    async with connect(app) as client:
        response = await client.post("/submit")
        assert (response.status_code, response.json()) == (status, {"detail": str(error)})
        assert response.headers.get("retry-after") == retry_after


async def test_openapi_tells_every_answer(connect: Connect) -> None:
    async with connect(service()) as client:
        document = (await client.get("/openapi.json")).json()
    validate(document)
    paths = {path: item for path, item in document["paths"].items() if path.startswith(SCHEDULES)}
    operations = {
        f"{method} {path.removeprefix(SCHEDULES)}": operation
        for path, item in paths.items()
        for method, operation in item.items()
    }
    assert {name: sorted(operation["responses"]) for name, operation in operations.items()} == {
        "get ": ["200", "503"],
        "get /{name}": ["200", "404", "422", "503"],
        "post /{name}/$pause": ["200", "403", "404", "422", "503"],
        "post /{name}/$resume": ["200", "403", "404", "422", "503"],
        "delete /{name}": ["204", "403", "404", "422", "503"],
    }
    assert all(operation["summary"] and operation["description"] for operation in operations.values())
    for schema in ("ScheduleRecord", "CronTimetable", "EveryTimetable"):
        assert all("description" in about for about in document["components"]["schemas"][schema]["properties"].values())
