"""Whose models, predictions and configs they are."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from servicekit.api import ServiceBuilder
from servicekit.artifacts import Artifacts
from servicekit.ml import MLServiceInfo
from tests.api.auth_apps import as_user, get_access
from tests.api.conftest import connect_to
from tests.ml.python_model import means_in_python

NOWHERE = "01JQRS7XK5N8Z3VQ2M4T6W8Y0A"
ML, CONFIGS, ARTIFACTS = "/api/v1/ml", "/api/v1/configs", "/api/v1/artifacts"
ANA, BEN, EVE, LOOKER = as_user("ana"), as_user("ben"), as_user("admin"), as_user("ana looks")
COLUMNS = ["time_period", "location", "disease_cases"]
DATA = {"columns": COLUMNS, "data": [["2025-01", "a", 3], ["2025-02", "a", 5]]}
FUTURE = {"columns": ["time_period", "location"], "data": [["2026-01", "a"]]}
Send = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = (
        ServiceBuilder(info=MLServiceInfo(display_name="Owners"))
        .with_jobs(url="memory://", shutdown_grace=0, access=get_access)
        .with_artifacts(Artifacts(tmp_path / "artifacts"))
        .with_ml(means_in_python)
        .build()
    )
    async with connect_to(app) as client:
        yield client


async def send(client: httpx.AsyncClient, path: str, body: dict[str, Any], headers: dict[str, str]) -> httpx.Response:
    return await client.post(path, json=body, headers={**headers, "Prefer": "wait=50"})


async def list_owners(client: httpx.AsyncClient) -> set[str | None]:
    return {each["owner"] for each in (await client.get(ARTIFACTS, headers=EVE)).json()}


async def test_what_is_made_for_a_caller_belongs_to_it_and_is_used_by_nobody_else(client: httpx.AsyncClient) -> None:
    config_id = (await send(client, CONFIGS, {"name": "mine", "data": {"smoothing": 1}}, ANA)).json()["id"]
    training = (await send(client, f"{ML}/$train", {"config_id": config_id, "data": DATA}, ANA)).json()
    assert training["status"] == "completed", training
    model_id = training["artifact_id"]
    asked = {"artifact_id": model_id, "future": FUTURE}
    prediction = (await send(client, f"{ML}/$predict", asked, ANA)).json()
    assert prediction["status"] == "completed", prediction
    assert prediction["result"]["data"][0][2:] == [5, 6]
    assert await list_owners(client) == {"ana"}
    data_id = (await client.get(f"{ARTIFACTS}/{model_id}", headers=ANA)).json()["parent_id"]
    assert (await client.get(ARTIFACTS, headers=BEN)).json() == []

    def using(artifact_id: str) -> list[tuple[str, dict[str, Any]]]:
        return [
            ("$predict", {"artifact_id": artifact_id, "future": FUTURE}),
            ("$train", {"data": {"artifact_id": artifact_id}}),
            ("$train", {"data": DATA, "geo": {"artifact_id": artifact_id}}),
            ("$train", {"data": DATA, "config_id": artifact_id}),
            ("$validate", {"type": "predict", "artifact_id": artifact_id, "future": FUTURE}),
        ]

    for used in (model_id, data_id, config_id, prediction["artifact_id"]):
        for (path, others), (_, nobodys) in zip(using(used), using(NOWHERE), strict=True):
            answers = [await send(client, f"{ML}/{path}", body, BEN) for body in (others, nobodys)]
            texts = [each.text.replace(used, NOWHERE) for each in answers]
            assert answers[0].status_code == answers[1].status_code == (200 if path == "$validate" else 404), texts
            assert texts[0] == texts[1]
    assert await list_owners(client) == {"ana"}  # nothing is left of what was refused


async def test_how_a_training_has_ended_is_told_to_its_owner_alone(client: httpx.AsyncClient) -> None:
    bad = {"columns": COLUMNS, "data": [["2025-01", "a", None]]}
    training = (await send(client, f"{ML}/$train", {"data": bad}, ANA)).json()
    assert training["status"] == "failed"
    asked = {"artifact_id": training["artifact_id"], "future": FUTURE}
    assert (await send(client, f"{ML}/$predict", asked, ANA)).status_code == 409
    others, nobodys = [
        await send(client, f"{ML}/$predict", {**asked, "artifact_id": each}, BEN)
        for each in (training["artifact_id"], NOWHERE)
    ]
    assert (others.status_code, others.content, others.headers) == (404, nobodys.content, nobodys.headers)


async def test_configs_are_those_of_the_caller(client: httpx.AsyncClient) -> None:
    body = {"name": "mine"}
    mine, others = [(await send(client, CONFIGS, body, each)).json()["id"] for each in (ANA, BEN)]
    assert [each["id"] for each in (await client.get(CONFIGS, headers=ANA)).json()] == [mine]
    assert {each["id"] for each in (await client.get(CONFIGS, headers=EVE)).json()} == {mine, others}
    for method in ("GET", "PUT", "DELETE"):
        answers = [
            await client.request(method, f"{CONFIGS}/{each}", json=body, headers=ANA) for each in (others, NOWHERE)
        ]
        assert [each.status_code for each in answers] == [404, 404]
        assert (answers[0].content, answers[0].headers) == (answers[1].content, answers[1].headers)
        looked = [
            (await client.request(method, f"{CONFIGS}/{each}", json=body, headers=LOOKER)).status_code
            for each in (mine, others)
        ]
        assert looked == [200 if method == "GET" else 403, 404]
    assert (await send(client, CONFIGS, body, LOOKER)).status_code == 403
    assert (await send(client, f"{ML}/$validate", {"type": "train", "data": DATA}, LOOKER)).status_code == 403
    assert (await client.put(f"{CONFIGS}/{mine}", json={"name": "new"}, headers=ANA)).json()["name"] == "new"
    assert (await client.delete(f"{CONFIGS}/{mine}", headers=ANA)).status_code == 204
    assert (await client.get("/api/v1/info", headers=LOOKER)).status_code == 200
    assert (await client.get(f"{CONFIGS}/$schema", headers=LOOKER)).status_code == 200
