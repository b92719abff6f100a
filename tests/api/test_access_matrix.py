"""Every route of servicekit, by every kind of caller. The routes are those of the application and of its OpenAPI
document, so that one that is added without asking who calls fails here.
"""

import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from fastapi import FastAPI

from servicekit.api import ServiceBuilder
from servicekit.api.routing import EventStreamRoute
from servicekit.artifacts import Artifacts
from servicekit.ml import MLServiceInfo
from servicekit.tasks import Tasks
from tests.api.auth_apps import KEYS, as_user, bearer, get_access, router
from tests.api.conftest import connect_to
from tests.ml.python_model import means_in_python
from tests.tasks.targets import add

JOBS = "/api/v1/jobs"
NOWHERE = "01JQRS7XK5N8Z3VQ2M4T6W8Y0A"
CALLERS = ["nobody", "reader", "actor", "admin", "ana", "ben"]
SAFE = {"GET", "HEAD"}
REFUSALS = {401, 403, 404}
OWNED = {"{job_id}", "{artifact_id}", "{config_id}"}
OF_ALL_WITH_ALL_BELOW = ["queues", "schedules", "workers"]
"""What belongs to all: who sees one owner's jobs is told so. It stands on the page on access."""
OF_ALL = {
    ("POST", "/api/v1/tasks"),
    ("PUT", "/api/v1/tasks/{name}"),
    ("DELETE", "/api/v1/tasks/{name}"),
    ("POST", "/api/v1/tasks/{name}/$enable"),
    ("POST", "/api/v1/tasks/{name}/$disable"),
}


class Guard(NamedTuple):
    """One of the two ways to guard a service."""

    build: Callable[[Path], FastAPI]
    headers: Callable[[str], dict[str, str]]


def whole(folder: Path, **access: Any) -> ServiceBuilder:
    tasks = Tasks(folder / "tasks.db")
    tasks.task(add)
    return (
        ServiceBuilder(info=MLServiceInfo(display_name="Whole"))
        .with_jobs(url="memory://", shutdown_grace=0, **access)
        .with_artifacts(Artifacts(folder / "artifacts"))
        .with_tasks(tasks)
        .with_ml(means_in_python)
        .include_router(router)
    )


GUARDS = {
    "keys": Guard(lambda folder: whole(folder).with_auth(KEYS).build(), bearer),
    "access": Guard(lambda folder: whole(folder, access=get_access).build(), as_user),
}


def headers_of(guard: Guard, caller: str) -> dict[str, str]:
    return {} if caller == "nobody" else guard.headers(caller)


def list_operations(app: FastAPI) -> list[tuple[str, str]]:
    """Every operation that is not the user's own."""
    own = {route.path for route in router.routes}  # type: ignore[attr-defined] # all of them have paths
    found = [
        (method.upper(), path)
        for path, operations in app.openapi()["paths"].items()
        for method in operations
        if path not in own
    ]
    assert len(found) > 45
    return found


async def fill(path: str, client: httpx.AsyncClient, headers: dict[str, str]) -> str:
    """The path of something that the sender of these headers has just made."""
    if "{artifact_id}" in path:
        made = await client.post("/api/v1/artifacts", json={"data": 1}, headers=headers)
        return path.format(artifact_id=made.json()["id"])
    if "{config_id}" in path:
        made = await client.post("/api/v1/configs", json={"name": "own"}, headers=headers)
        return path.format(config_id=made.json()["id"])
    return path.format(job_id=await new_job(client, headers), name="nothing")


@asynccontextmanager
async def open_service(guard: Guard, folder: Path) -> AsyncIterator[tuple[FastAPI, httpx.AsyncClient]]:
    app = guard.build(folder)
    async with connect_to(app) as client:
        yield app, client


async def new_job(client: httpx.AsyncClient, headers: dict[str, str]) -> str:
    response = await client.post("/noop", headers={**headers, "Prefer": "wait=30"})
    assert response.json()["status"] == "completed"
    return str(response.json()["job_id"])


def is_as_expected(method: str, path: str, caller: str, status: int) -> bool:
    if caller == "nobody":
        return status == 401
    if (method, path) in OF_ALL or path.startswith(tuple(f"/api/v1/{name}" for name in OF_ALL_WITH_ALL_BELOW)):
        is_refused = caller in ("ana", "ben") or (caller == "reader" and method not in SAFE)
        return status == 403 if is_refused else status not in (401, 403)
    if not OWNED & set(re.findall(r"{\w+}", path)):
        is_reading = method in SAFE or path == f"{JOBS}/$ticket"
        return status == 403 if caller == "reader" and not is_reading else status not in (401, 403)
    if caller == "ben":
        return status == 404
    if caller == "reader" and method not in SAFE:
        return status == 403
    return status not in REFUSALS


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS)
async def test_who_may_what(guard: Guard, caller: str, tmp_path: Path) -> None:
    unexpected = {}
    async with open_service(guard, tmp_path) as (app, client):
        for method, path in list_operations(app):
            filled = await fill(path, client, guard.headers("ana"))
            # The stream of all jobs has no end.
            sent = "HEAD" if path == f"{JOBS}/$stream" else method
            response = await client.request(sent, filled, headers=headers_of(guard, caller))
            if not is_as_expected(method, path, caller, response.status_code):
                unexpected[method, path] = response.status_code
    assert unexpected == {}


def list_routes(router: Any) -> Iterator[Any]:
    for route in router.routes:
        included = getattr(route, "original_router", None)
        yield from [route] if included is None else list_routes(included)


def test_all_routes_ask_but_those_that_have_no_jobs(tmp_path: Path) -> None:
    """Also those that are not in the document."""
    app = whole(tmp_path).with_health().with_monitoring().build()
    others = {app.docs_url, app.redoc_url, app.openapi_url, app.swagger_ui_oauth2_redirect_url}
    others |= {route.path for route in list_routes(router)}
    asking_nobody = {route.path for route in list_routes(app) if not isinstance(route, EventStreamRoute)}
    assert asking_nobody - others == {"/health", "/metrics", "/tasks"}


def job_routes() -> Iterator[tuple[str, str]]:
    yield from [
        ("GET", ""),
        ("GET", "?wait=1"),
        ("HEAD", "/$stream"),
        ("GET", "/$stream"),
        ("GET", "/$stream?logs=true"),
    ]
    yield from [("GET", "/$logs"), ("GET", "/$logs?format=text&tail=3"), ("GET", "/$result")]
    yield from [("POST", "/$cancel"), ("POST", "/$retry"), ("DELETE", "")]


@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS)
async def test_a_job_of_another_is_answered_as_one_that_does_not_exist(guard: Guard, tmp_path: Path) -> None:
    headers = guard.headers("ben")
    async with open_service(guard, tmp_path) as (_, client):
        job_id = await new_job(client, guard.headers("ana"))
        for method, path in job_routes():
            others, nobodys = [
                await client.request(method, f"{JOBS}/{each}{path}", headers=headers) for each in (job_id, NOWHERE)
            ]
            assert others.status_code == nobodys.status_code == 404, (method, path)
            assert others.content == nobodys.content
            assert others.headers == nobodys.headers


@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS)
async def test_calls_of_others_are_left_out(guard: Guard, tmp_path: Path) -> None:
    async with open_service(guard, tmp_path) as (_, client):
        ids = {owner: await new_job(client, guard.headers(owner)) for owner in ("ana", "actor")}
        asked = {"id": [*ids.values(), NOWHERE]}
        seen = {"ana": {ids["ana"]}, "ben": set[str](), "admin": {*ids.values()}}
        for caller, expected in seen.items():
            response = await client.get(f"{JOBS}/$calls", params=asked, headers=guard.headers(caller))
            assert set(response.json()) == expected
