"""One secret, submitted in many ways, is nowhere in what a service answers, streams or logs."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from pydantic import BaseModel, Field, Secret, SecretBytes, SecretStr, field_validator

from servicekit import Command, Retry, current_job, job_options
from servicekit.api import JobSubmitted, ServiceBuilder, ServiceInfo, SubmitJob
from servicekit.artifacts import Artifacts
from servicekit.tasks import Tasks
from tests.api.conftest import Connect

JOBS = "/api/v1/jobs"
SECRET = "hunter2 & 'söns'"
FORMS = [SECRET, repr(SECRET)[1:-1], json.dumps(SECRET)[1:-1], "hunter2"]


class Login(BaseModel):
    user: str
    password: SecretStr
    note: str = ""


class Checked(BaseModel):
    word: str

    @field_validator("word")
    @classmethod
    def check(cls, word: str) -> str:
        raise ValueError(f"{word} is too weak")


@dataclass
class Account:
    name: str
    pass_word: str


class Row(dict[str, object]):
    """A class that extends one of Python itself."""


def reveal(value: Any) -> str:
    """The secret in what has arrived."""
    while not isinstance(value, str):
        match value:
            case SecretStr() | SecretBytes() | Secret():
                value = value.get_secret_value()
            case bytes():
                value = value.decode()
            case dict():
                value = [*value.values()][-1]
            case list() | tuple() | set() | frozenset():
                value = [*value][-1]
            case Login():
                value = value.password
            case Account():
                value = value.pass_word
            case _:
                value = value.secret
    return value


def leak(**values: Any) -> None:
    """Say the secret wherever a target can say something."""
    (secret,) = map(reveal, values.values())
    assert secret == SECRET
    print("printed", secret, repr(secret))
    logging.getLogger("leaking").warning("logged %s", {"password": secret})
    current_job().log(f"said {secret}", source=f"by {secret}"[:40])
    current_job().progress(1, 2, f"at {secret}")
    said = f"{secret} {secret!r} {json.dumps(secret)} {'x' * 460}{secret} {'y' * 2_000}"
    raise PermissionError(said) from OSError(secret)


@job_options(mask=["word"])
def leak_word(word: str, /, **more: Any) -> None:
    leak(word=word)


class Plain:
    def __init__(self) -> None:
        self.secret = SecretStr(SECRET)


def local() -> Any:
    class Local(BaseModel):
        secret: SecretStr

    return Local(secret=SecretStr(SECRET))


WAYS: dict[str, Callable[[], tuple[Any, tuple[Any, ...], dict[str, Any]]]] = {
    "a SecretStr": lambda: (leak, (), {"a": SecretStr(SECRET)}),
    "a SecretBytes": lambda: (leak, (), {"a": SecretBytes(SECRET.encode())}),
    "a Secret": lambda: (leak, (), {"a": Secret(SECRET)}),
    "in a model": lambda: (leak, (), {"a": Login(user="ana", password=SecretStr(SECRET), note=f"it is {SECRET}")}),
    "deep in it": lambda: (leak, (), {"a": [{"b": ({"c": SecretStr(SECRET)},)}]}),
    "in a set": lambda: (leak, (), {"a": {SecretStr(SECRET)}}),
    "in a class of dictionaries": lambda: (leak, (), {"a": Row(a=SecretStr(SECRET))}),
    "in a class that cannot be written": lambda: (leak, (), {"a": Plain()}),
    "in a class that cannot be imported": lambda: (leak, (), {"a": local()}),
    "by name for all": lambda: (leak, (), {"password": SECRET}),
    "by name, otherwise spelled": lambda: (leak, (), {"PassWord": SECRET}),
    "bytes by name": lambda: (leak, (), {"password": SECRET.encode()}),
    "a key by name": lambda: (leak, (), {"a": {"pass-word": SECRET}}),
    "a field by name": lambda: (leak, (), {"a": Account("ana", SECRET)}),
    "by name of the decorator": lambda: (leak_word, (SECRET,), {}),
    "all below a name": lambda: (leak, (), {"password": {"deep": [SECRET]}}),
    "a command's environment": lambda: (
        Command(["sh", "-c", 'echo "$PASSWORD"; echo "$PASSWORD" >&2; exit 3'], env={"PASSWORD": SECRET}),
        (),
        {},
    ),
    "a command's option": lambda: (Command(["sh", "-c", 'echo "$0"; exit 3', f"--password={SECRET}"]), (), {}),
    "a command's next word": lambda: (
        Command(["sh", "-c", 'echo "$1"; exit 3', "--password", SECRET], stdin=SECRET),
        (),
        {},
    ),
}


def service(url: str, folder: Path) -> FastAPI:
    tasks = Tasks(folder / "tasks.db")

    @tasks.task
    def run(token: str = Field(json_schema_extra={"writeOnly": True})) -> None:
        leak(token=token)

    tasks.add_command(
        "shout", ["sh", "-c", 'echo "$0 $TOKEN"; exit 3', "{token}"], parameters=Token, env={"TOKEN": "{token}"}
    )
    app = (
        ServiceBuilder(info=ServiceInfo(display_name="Test"))
        .with_jobs(url=url, mask=["password", "pass_word"], shutdown_grace=0)
        .with_artifacts(Artifacts(folder / "artifacts"))
        .with_tasks(tasks)
        .with_logging()
        .with_monitoring()
        .build()
    )

    @app.post("/submit", status_code=202)
    async def submit(way: str, submit: SubmitJob, runner: str | None = None) -> JobSubmitted:
        target, args, kwargs = WAYS[way]()
        options: Any = {"retry": Retry(attempts=2, delay=0), "runner": runner}
        return await submit.with_options(**options)(target, *args, **kwargs)

    @app.post("/check", status_code=202)
    async def submit_checked(request: Request, submit: SubmitJob) -> JobSubmitted:
        return await submit(checked, **await request.json())

    return app


class Token(BaseModel):
    token: SecretStr


def checked(password: Checked) -> None: ...


async def read_all(client: httpx.AsyncClient, job_id: str) -> list[str]:
    paths = [
        "", "?search=PermissionError", "/$stats", f"/$calls?id={job_id}", f"/{job_id}", f"/{job_id}/$stream",
        f"/{job_id}/$stream?logs=true", f"/{job_id}/$logs", f"/{job_id}/$logs?format=text", f"/{job_id}/$result",
    ]  # fmt: skip
    texts = [(await client.get(f"{JOBS}{path}")).text for path in paths]
    for path in (
        "/api/v1/schedules",
        "/api/v1/queues",
        "/api/v1/tasks",
        "/api/v1/artifacts",
        "/metrics",
        "/openapi.json",
    ):
        texts.append((await client.get(path)).text)
    texts += [(await client.post(f"{JOBS}/{job_id}/{action}")).text for action in ("$cancel", "$retry")]
    return texts


def find(texts: list[str]) -> list[str]:
    return [text for text in texts for form in FORMS if form in text]


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.DEBUG)
    format_record = logging.Formatter("%(message)s %(name)s").format

    def told() -> list[str]:
        """The lines of the service. Those of the target's own logger are its own."""
        records = [each for each in caplog.records if each.name != "leaking"]
        return [f"{format_record(each)} {vars(each)}" for each in records]

    return told


async def submit_all(client: httpx.AsyncClient) -> dict[str, str]:
    """The ids of the jobs, by the ways in which they were submitted."""
    calls: dict[str, tuple[str, dict[str, str], Any]] = {way: ("/submit", {"way": way}, None) for way in WAYS}
    for way in ("in a model", "by name for all"):
        calls[f"{way}, in a process of its own"] = ("/submit", {"way": way, "runner": "process"}, None)
    for task in ("run", "shout"):
        calls[f"the task {task}"] = (f"/api/v1/tasks/{task}/$execute", {}, {"parameters": {"token": SECRET}})
    responses = {way: await client.post(path, params=query, json=body) for way, (path, query, body) in calls.items()}
    return {way: response.json()["job_id"] for way, response in responses.items()}


async def test_a_secret_is_seen_nowhere(
    jobs_url: str, tmp_path: Path, connect: Connect, logged: Callable[[], list[str]]
) -> None:
    async with connect(service(jobs_url, tmp_path)) as client:
        jobs, leaks, honest = await submit_all(client), list[str](), set[str]()
        for way, job_id in jobs.items():
            record = (await client.get(f"{JOBS}/{job_id}", params={"wait": 30})).json()
            log = (await client.get(f"{JOBS}/{job_id}/$logs?format=text")).text
            # The target had the secret, and has said it.
            if record["status"] == "failed" and "***" in log:
                honest.add(way)
            leaks += [f"{way}: {text}" for text in find(await read_all(client, job_id))]
        assert leaks == []
        assert jobs.keys() - honest == set()
        assert find(logged()) == []


async def test_nor_if_the_arguments_do_not_fit(connect: Connect, tmp_path: Path) -> None:
    async with connect(service("memory://", tmp_path)) as client:
        response = await client.post("/check", json={"password": {"word": SECRET}})
        assert response.status_code == 422
        assert "*** is too weak" in response.text
        assert find([response.text]) == []
