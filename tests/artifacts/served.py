"""Artifacts as a service has them, in this process."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from fastapi import FastAPI

from servicekit.api import Feature, ServiceBuilder, ServiceInfo
from servicekit.artifacts import Artifacts

URL = "/api/v1/artifacts"


def service(*features: Feature, jobs_url: str = "memory://") -> FastAPI:
    builder = ServiceBuilder(info=ServiceInfo(display_name="Artifacts"))
    for feature in features:
        builder.with_feature(feature)
    return builder.with_jobs(url=jobs_url, shutdown_grace=0).build()


@asynccontextmanager
async def connect(app: FastAPI | Artifacts) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, or of a service with these artifacts, while it runs."""
    app = service(app) if isinstance(app, Artifacts) else app
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        yield client


async def save(client: httpx.AsyncClient, data: object = None, **fields: object) -> str:
    """Save JSON, and return the id."""
    response = await client.post(URL, json={"data": data, **fields})
    assert response.status_code == 201, response.text
    artifact_id: str = response.json()["id"]
    return artifact_id


def places_of(response: httpx.Response) -> list[list[str | int]]:
    """Where the mistakes are that a 422 tells of."""
    assert response.status_code == 422, response.text
    return [each["loc"] for each in response.json()["detail"]]


def files_in(artifacts: Artifacts) -> list[str]:
    """All contents and temporary files in the directory."""
    root = Path(artifacts.address)
    paths = (path for folder in ("blobs", "staging") for path in (root / folder).rglob("*") if path.is_file())
    return sorted(str(path.relative_to(root)) for path in paths)


def nested(depth: int) -> bytes:
    """An envelope whose data is a list in a list in a list."""
    return b'{"data": ' + b"[" * depth + b"]" * depth + b"}"


def as_json(response: httpx.Response) -> object:
    """What is answered, as strict JSON."""

    def refuse(text: str) -> object:
        raise AssertionError(f"{text} is no JSON")

    return json.loads(response.content, parse_constant=refuse)
