"""Arguments in the single record, and the calls of a page of jobs."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, SecretStr

from servicekit import Command, job_options
from servicekit.api import JobSubmitted, ServiceBuilder, ServiceInfo, SubmitJob
from tests.api.conftest import Connect
from tests.jobs import kinds
from tests.jobs.test_values import VALUES

JOBS = "/api/v1/jobs"
NOWHERE = "01JQRS7XK5N8Z3VQ2M4T6W8Y0A"


class Login(BaseModel):
    user: str
    password: SecretStr


@job_options(mask=["pin"])
def train(model: str, /, region: str = "no", *rest: object, pin: object = None, **more: object) -> None: ...


def take(*values: object, **more: object) -> None: ...


def hold(frame: object, size: int) -> None: ...


class Frame:
    """Like a table: no store can write it."""


WORST: list[object] = []
WORST.append(WORST)
CALLS: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any]]] = {
    "train": (train, ("xgb", "se", 1, [2]), {"pin": 12345, "zoo": {"a": 1}}),
    "by name": (train, ("xgb",), {"region": "no"}),
    "login": (take, (Login(user="ana", password=SecretStr("hunter2")),), {"Api-Key": "k3y"}),
    "large": (take, (2**70, "x" * 2_000_000), {"many": list(range(100_000))}),
    "many": (take, (list(range(5_000)), "y" * 5_000), {}),
    "frame": (hold, (Frame(), 7), {}),
    "odd": (take, (float("nan"), "\ud800\0", b"\xff", {1: 2, "1": 3}, kinds.Colour.RED), {"a\nb": WORST}),
    "all": (take, (*VALUES,), {}),
    "command": (
        Command(["true", "--api-key=k3y", "--api-key", "k3y", "a b"], env={"TOKEN": "hunter2"}, stdin="hunter2"),
        (),
        {},
    ),
    "lambda": (lambda _: None, (1,), {}),
}


@pytest.fixture
def app(jobs_url: str) -> FastAPI:
    service = ServiceBuilder(info=ServiceInfo(display_name="Test"))
    app = service.with_jobs(url=jobs_url, mask=["api_key"], shutdown_grace=0).build()

    @app.post("/submit", status_code=202)
    async def submit(name: str, submit: SubmitJob, delay: float = 0) -> JobSubmitted:
        target, args, kwargs = CALLS[name]
        return await submit.with_options(delay=delay)(target, *args, **kwargs)

    @app.post("/coroutine", status_code=202)
    async def submit_coroutine(submit: SubmitJob) -> JobSubmitted:
        async def noop() -> None: ...

        return await submit(noop())

    return app


async def new_job(client: httpx.AsyncClient, name: str, **more: Any) -> str:
    headers = {} if "delay" in more else {"Prefer": "wait=30"}
    response = await client.post("/submit", params={"name": name, **more}, headers=headers)
    return str(response.json()["job_id"])


async def arguments_of(client: httpx.AsyncClient, job_id: str) -> Any:
    response = await client.get(f"{JOBS}/{job_id}")
    assert response.status_code == 200
    return response.json()["arguments"]


async def call_of(client: httpx.AsyncClient, job_id: str) -> str:
    response = await client.get(f"{JOBS}/$calls", params={"id": job_id})
    assert response.status_code == 200
    return str(response.json()[job_id])


async def test_arguments_have_the_names_of_parameters_in_their_order(app: FastAPI, connect: Connect) -> None:
    async with connect(app) as client:
        job_id = await new_job(client, "train")
        shown = await arguments_of(client, job_id)
        assert list(shown) == ["model", "region", "rest", "pin", "more"]
        assert shown == {"model": "xgb", "region": "se", "rest": [1, [2]], "pin": "***", "more": {"zoo": {"a": 1}}}
        assert await call_of(client, job_id) == "train('xgb', 'se', 1, [2], pin='***', zoo={'a': 1})"
        job_id = await new_job(client, "by name", delay=60)
        assert await arguments_of(client, job_id) == {"model": "xgb", "region": "no"}
        assert await call_of(client, job_id) == "train(model='xgb', region='no')"


async def test_neither_lists_nor_streams_have_arguments(app: FastAPI, connect: Connect) -> None:
    async with connect(app) as client:
        job_id = await new_job(client, "train")
        texts = [
            (await client.get(path)).text
            for path in (JOBS, f"{JOBS}/{job_id}/$stream", f"{JOBS}/{job_id}/$stream?logs=true")
        ]
        texts.append((await client.post(f"{JOBS}/{job_id}/$cancel")).text)
        assert not any("arguments" in text or "xgb" in text for text in texts)


async def test_secrets_are_masked_by_type_and_by_name(app: FastAPI, connect: Connect) -> None:
    async with connect(app) as client:
        job_id = await new_job(client, "login")
        assert await arguments_of(client, job_id) == {
            "values": [{"user": "ana", "password": "***"}],
            "more": {"Api-Key": "***"},
        }
        again = (await client.post(f"{JOBS}/{job_id}/$retry")).json()["job_id"]
        assert await call_of(client, again) == await call_of(client, job_id)


async def test_large_values_are_shortened_and_say_so(app: FastAPI, connect: Connect) -> None:
    async with connect(app) as client:
        job_id = await new_job(client, "many")
        numbers, text = (await arguments_of(client, job_id))["values"]
        assert numbers == [*range(100), "(4,900 more)"]
        assert "(5,000 characters in all)" in text
        assert len(await call_of(client, job_id)) <= 200
        job_id = await new_job(client, "large")
        response = await client.get(f"{JOBS}/{job_id}")
        assert len(response.content) < 2_000
        assert "too large" in response.text
        assert len(await call_of(client, job_id)) <= 200


@pytest.mark.parametrize("name", ["odd", "all", "frame", "lambda"])
async def test_whatever_the_arguments_are_they_are_shown(app: FastAPI, connect: Connect, name: str) -> None:
    async with connect(app) as client:
        job_id = await new_job(client, name, delay=60)
        assert isinstance(await arguments_of(client, job_id), dict)
        assert await call_of(client, job_id)
        done = await new_job(client, name)
        assert isinstance(await arguments_of(client, done), dict | None)
        assert await call_of(client, done)


async def test_a_value_that_cannot_be_written_is_shown_by_its_class(app: FastAPI, connect: Connect) -> None:
    async with connect(app) as client:
        job_id = await new_job(client, "frame", delay=60)
        assert await arguments_of(client, job_id) == {"frame": "<Frame>", "size": 7}
        assert await call_of(client, job_id) == "hold(frame='<Frame>', size=7)"


async def test_a_command_is_shown_without_its_environment(app: FastAPI, connect: Connect) -> None:
    async with connect(app) as client:
        job_id = await new_job(client, "command")
        assert await arguments_of(client, job_id) == {
            "argv": ["true", "--api-key=***", "--api-key", "***", "a b"],
            "env": {"TOKEN": "***"},
            "stdin": "***",
        }
        assert await call_of(client, job_id) == "true '--api-key=***' --api-key '***' 'a b'"


async def test_a_coroutine_object_has_no_arguments(app: FastAPI, connect: Connect) -> None:
    async with connect(app) as client:
        response = await client.post("/coroutine", headers={"Prefer": "wait=30"})
        assert await arguments_of(client, response.json()["job_id"]) is None
        assert await call_of(client, response.json()["job_id"]) == "noop(...)"


async def test_calls_are_asked_for_by_ids(app: FastAPI, connect: Connect) -> None:
    async with connect(app) as client:
        ids = [await new_job(client, "by name", delay=60) for _ in range(3)]
        response = await client.get(f"{JOBS}/$calls", params={"id": [ids[2], NOWHERE, ids[0].lower(), ids[2]]})
        assert list(response.json()) == [ids[2], ids[0]]
        for wrong, status in (([], 422), (["x"], 400), ([NOWHERE] * 101, 422)):
            assert (await client.get(f"{JOBS}/$calls", params={"id": wrong})).status_code == status
        deleted = ids[1]
        assert await arguments_of(client, deleted)
        await client.delete(f"{JOBS}/{deleted}")
        assert (await client.get(f"{JOBS}/{deleted}")).status_code == 404
        assert (await client.get(f"{JOBS}/$calls", params={"id": deleted})).json() == {}


async def test_another_process_that_knows_no_target_shows_arguments_by_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connect: Connect
) -> None:
    """What is masked by name is masked all the same."""
    import sys

    from servicekit import create_scheduler

    url = f"sqlite:///{tmp_path}/jobs.db"
    async with create_scheduler(url) as scheduler:
        job_id = await scheduler.with_options(delay=60).add_job(train, "xgb", "se", pin=1)
        other = await scheduler.with_options(delay=60).add_job(hold, "xgb", 1)
    monkeypatch.delitem(sys.modules, train.__module__)
    async with create_scheduler(url, run_jobs=False) as scheduler:
        assert await scheduler.get_arguments(job_id) == {"*": ["***", "***"], "pin": "***"}
        assert await scheduler.get_arguments(other) == {"*": ["xgb", 1]}
        texts = await scheduler.shown_calls.list_texts([job_id, other], None, of_all=True)
        assert texts == {job_id: "train('***', '***', pin='***')", other: "hold('xgb', 1)"}
