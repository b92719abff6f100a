"""Secrets among the arguments reach the target, whatever runs it and whatever keeps it, and nobody else sees them."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel, Secret, SecretBytes, SecretStr

from servicekit import Command, Every, JobStatus, Scheduler, create_scheduler, current_job, job_options
from servicekit.api import JobSubmitted, ServiceBuilder, ServiceInfo, SubmitJob
from servicekit.errors import InvalidArguments
from servicekit.jobs.log_lines import MAX_LINE_CHARACTERS
from tests.service import ROOT

WORD = "hunter2"


class Login(BaseModel):
    user: str
    password: SecretStr
    key: SecretBytes = SecretBytes(b"")
    pin: Secret[int] = Secret(0)


LOGIN = Login(user="ada", password=SecretStr(WORD), key=SecretBytes(WORD.encode()), pin=Secret(4711))


def use(password: SecretStr, login: Login, *, more: dict[str, SecretStr]) -> list[object]:
    return [
        *(_spell(each) for each in (password.get_secret_value(), more["b"].get_secret_value())),
        *(_spell(each) for each in (login.password.get_secret_value(), login.key.get_secret_value().decode())),
        login.pin.get_secret_value(),
    ]


def _spell(text: str) -> str:
    """The secret as it is in no record."""
    return "-".join(text)


ARGUMENTS: tuple[tuple[object, ...], dict[str, object]] = ((SecretStr(WORD), LOGIN), {"more": {"b": SecretStr(WORD)}})
USED = ["-".join(WORD)] * 4 + [4711]


async def use_async(password: SecretStr, login: Login, *, more: dict[str, SecretStr]) -> list[object]:
    return use(password, login, more=more)


def tell_all(password: SecretStr, login: Login, *, more: dict[str, SecretStr]) -> None:
    """Shows what it has everywhere, and fails with it."""
    print(password, login, more)
    logging.getLogger("app").warning("Logging in with %s and %r", login, more)
    current_job().log(f"{login} {password!r}")
    current_job().progress(1, 2, f"{login}")
    raise PermissionError(f"{login!r} {password} {more}")


def die_at_first(login: Login) -> str:
    if current_job().attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return _spell(login.password.get_secret_value())


def wants_text(login: Login, text: str) -> None: ...


async def result_of(scheduler: Scheduler, job_id: str) -> object:
    record = await scheduler.wait(job_id)
    assert record.status is JobStatus.COMPLETED, record.error
    return await scheduler.get_result(job_id)


@pytest.mark.parametrize("runner", ["coroutine", "thread", "process"])
async def test_a_target_gets_what_is_hidden_and_so_does_a_repetition(scheduler: Scheduler, runner: str) -> None:
    target, kind = (use_async, None) if runner == "coroutine" else (use, runner)
    args, kwargs = ARGUMENTS
    submitting: Any = scheduler.with_options(runner=kind)  # type: ignore[arg-type]
    job_id = await submitting.add_job(target, *args, **kwargs)
    assert (await scheduler.get_record(job_id)).restart_problem is None
    assert await result_of(scheduler, job_id) == USED
    assert await result_of(scheduler, await scheduler.retry(job_id)) == USED


async def test_another_process_gets_what_is_hidden(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    args, kwargs = ARGUMENTS
    async with create_scheduler(url, run_jobs=False) as accepting:
        submitting: Any = accepting
        job_id = await submitting.add_job(use, *args, **kwargs)
    async with create_scheduler(url) as scheduler:
        assert await result_of(scheduler, job_id) == USED


def run_until_killed(url: str) -> None:
    async def run() -> None:
        async with create_scheduler(url) as scheduler:
            await scheduler.wait(await scheduler.add_job(die_at_first, LOGIN))

    asyncio.run(run())


async def test_it_is_there_after_a_crash(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    program = f"from tests.engine.test_secrets import run_until_killed; run_until_killed({url!r})"
    ended = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program], cwd=ROOT, check=False)
    assert ended.returncode == -signal.SIGKILL
    async with create_scheduler(url) as scheduler:
        (record,) = await scheduler.get_all_records()
        assert await result_of(scheduler, record.id) == _spell(WORD)
        assert (await scheduler.get_record(record.id)).attempt == 2


def test_only_its_owner_can_read_the_file_that_has_it(tmp_path: Path) -> None:
    async def submit() -> None:
        async with create_scheduler(f"sqlite:///{tmp_path}/jobs.db", run_jobs=False) as scheduler:
            submitting: Any = scheduler
            await submitting.add_job(use, *ARGUMENTS[0], **ARGUMENTS[1])

    asyncio.run(submit())
    files = [path for path in tmp_path.iterdir() if path.is_file()]
    assert files
    assert WORD.encode() in b"".join(path.read_bytes() for path in files)
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)


@pytest.mark.parametrize("runner", ["thread", "process"])
async def test_nothing_that_is_told_of_a_job_shows_it(
    scheduler: Scheduler, runner: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    args, kwargs = ARGUMENTS
    submitting: Any = scheduler.with_options(runner=runner)
    job_id = await submitting.add_job(tell_all, *args, **kwargs)
    records = [record async for record in scheduler.stream(job_id)]
    lines = [line.text for line in (await scheduler.get_log(job_id)).lines]
    assert records[-1].status is JobStatus.FAILED
    assert "**********" in str(records[-1].error)
    assert any("**********" in line for line in lines)
    told = [*map(repr, records), *lines, *(record.getMessage() for record in caplog.records), caplog.text]
    assert not [text for text in told if WORD in text]


def say_at_the_end_of_a_line(before: int, password: str) -> None:
    print("x" * before + password)


async def test_no_line_that_is_too_long_shows_its_beginning(scheduler: Scheduler) -> None:
    secret = "correct horse battery staple"
    target = job_options(mask=["password"])(say_at_the_end_of_a_line)
    job_id = await scheduler.add_job(target, MAX_LINE_CHARACTERS - 25, secret)
    await scheduler.wait(job_id)
    (line,) = (await scheduler.get_log(job_id)).lines
    assert "corr" not in line.text
    assert line.text.startswith("xxx")
    assert line.text.endswith("(too long)")


async def test_a_program_can_print_what_is_masked_by_the_name_of_its_variable(scheduler: Scheduler) -> None:
    command = Command("echo $TOKEN; cat; exit 3", env={"TOKEN": WORD}, stdin="pass word", shell=True)
    job_id = await scheduler.with_options(mask=["token", "stdin"]).add_job(command)
    record = await scheduler.wait(job_id)
    lines = [line.text for line in (await scheduler.get_log(job_id)).lines]
    assert lines == ["***", "***"]
    assert record.error is not None
    assert WORD not in record.error


async def test_no_refusal_shows_it(scheduler: Scheduler) -> None:
    submitting: Any = scheduler.with_options(idempotency_key="k")
    refused: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((SecretStr(WORD), SecretStr(WORD)), {"more": {}}),
        ((SecretStr(WORD),), {"login": LOGIN, "password": SecretStr(WORD)}),
        ((5, LOGIN), {"more": {"b": SecretStr(WORD)}}),
        ((SecretStr(WORD), LOGIN), {"more": [SecretStr(WORD)]}),
        ((SecretStr(WORD), LOGIN), {"more": {}, "no": LOGIN}),
    ]
    for args, kwargs in refused:
        with pytest.raises(InvalidArguments) as caught:
            await submitting.add_job(use, *args, **kwargs)
        assert WORD not in str(caught.value)
    with pytest.raises(InvalidArguments, match=r"Input should be a valid string, not pydantic\.types\.SecretStr"):
        await submitting.add_job(wants_text, LOGIN, SecretStr(WORD))


async def test_what_cannot_be_kept_beside_it_is_named_without_it(scheduler: Scheduler) -> None:
    def closure(login: Login, lock: object) -> None: ...

    submitting: Any = scheduler
    for target in (closure, lambda *_: None):
        record = await scheduler.wait(await submitting.add_job(target, LOGIN, object()))
        assert record.restart_problem
        assert WORD not in repr(record)


async def test_a_schedule_has_it_and_does_not_show_it(url: str) -> None:
    async with create_scheduler(url) as scheduler:
        adding: Any = scheduler.schedules.add
        await adding("login", Every(1), use, *ARGUMENTS[0], **ARGUMENTS[1])
        assert WORD not in repr(await scheduler.schedules.list())
        while not (ended := [each for each in await scheduler.get_all_records() if each.status.is_terminal]):
            await asyncio.sleep(0.01)  # a tick of its own clock
        assert await scheduler.get_result(ended[0].id) == USED


def make_app() -> FastAPI:
    app = ServiceBuilder(info=ServiceInfo(display_name="Secrets")).with_jobs().build()

    @app.post("/login", status_code=202)
    async def login(login: Login, submit: SubmitJob) -> JobSubmitted:
        return await submit(tell_all, login.password, login, more={"b": login.password})

    @app.post("/wrong", status_code=202)
    async def wrong(login: Login, submit: SubmitJob) -> JobSubmitted:
        wrong: Any = login.password
        return await submit(wants_text, login, wrong)

    return app


def test_no_answer_of_a_service_shows_it() -> None:
    body = {"user": "ada", "password": WORD}
    with TestClient(make_app()) as client:
        submitted = client.post("/login", json=body).json()
        told = [client.get(submitted["stream_url"]).text]
        told += [client.get(f"/api/v1/jobs/{submitted['job_id']}{path}").text for path in ("", "/$logs", "/$result")]
        told += [client.get("/api/v1/jobs").text, client.get("/api/v1/schedules").text]
        refused = client.post("/wrong", json=body)
        assert refused.status_code == 422
        assert "SecretStr" in refused.text
        assert not [text for text in [*told, refused.text] if WORD in text]
