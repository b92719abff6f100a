"""A service whose jobs do what the tests of the job's page tell them, one step at a time.

`app` is open; `reader_app` lets everybody look and nobody act; `keys_app` demands API keys.
"""

import asyncio
import json
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from servicekit import Retention, Retry, Scheduler, current_job, job_options
from servicekit.api import Access, JobSubmitted, SchedulerDependency, ServiceBuilder, ServiceInfo, SubmitJob
from servicekit.artifacts import Artifacts
from tests.web.apps import KEYS

HOSTILE = "<img src=x onerror=document.title='hacked'> \u202etxet \u0000 &amp; " + "w" * 1_500
"""Markup, a text from right to left, a NUL, and a long word."""

_steps: defaultdict[str, asyncio.Queue[tuple[Scheduler, list[Any]]]] = defaultdict(asyncio.Queue)
"""What each job is to do next, by its id, and the scheduler that has the job."""


async def _obey() -> object:
    """Do what is told, until that is to end."""
    job = current_job()
    while True:
        scheduler, (word, *rest) = await _steps[job.id].get()
        if word == "progress":
            job.progress(*rest)
        elif word == "log":
            job.log(*rest)
        elif word == "flood":
            await _flood(scheduler, *rest)
        elif word == "return":
            return rest[0] if rest else None
        elif word == "raise":
            raise ValueError(rest[0])


async def _flood(scheduler: Scheduler, count: int, width: int) -> None:
    """So many lines, a few at once; the next ones when those are kept, so that none is left out."""
    job = current_job()
    for number in range(count):
        job.log(f"line {number} ".ljust(width, "x"), level="warning" if number % 100 == 99 else "info")
        if number % 200 == 199:
            async for line in scheduler.stream_log(job.id):
                if f"line {number} " in line.text:
                    break


async def train(model: str, region: str = "no", params: dict[str, Any] | None = None) -> object:
    return await _obey()


async def stubborn() -> object:
    """Goes on although it was asked to stop."""
    while True:
        try:
            return await _obey()
        except asyncio.CancelledError:
            current_job().log("asked to stop, and goes on")


@job_options(retry=Retry(attempts=3, delay=0.01))
async def flaky() -> object:
    if current_job().attempt < 3:
        raise ConnectionError(f"no answer, try {current_job().attempt}")
    return await _obey()


def parse(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"Invalid input: {text}") from error


async def keep_number() -> str:
    artifact = await artifacts.aio.save({"rmse": 0.12}, name="model.json")
    return artifact.id


router = APIRouter()


class Call(BaseModel):
    model: str = "xgb"
    params: dict[str, Any] | None = None
    tags: list[str] = []
    metadata: dict[str, Any] = {}


@router.post("/train", status_code=202, summary="Train")
async def start_training(call: Call, submit: SubmitJob) -> JobSubmitted:
    return await submit.with_options(tags=call.tags, metadata=call.metadata)(train, call.model, params=call.params)


@router.post("/narrow", status_code=202, summary="Train, one after the other")
async def start_one_of_many(submit: SubmitJob, delay: float = 0) -> JobSubmitted:
    return await submit.with_options(queue="narrow", delay=delay)(train, "xgb")


@router.post("/stubborn", status_code=202, summary="Go on")
async def start_stubborn(submit: SubmitJob) -> JobSubmitted:
    return await submit(stubborn)


@router.post("/flaky", status_code=202, summary="Fail twice")
async def start_flaky(submit: SubmitJob) -> JobSubmitted:
    return await submit(flaky)


@router.post("/parse", status_code=202, summary="Parse")
async def start_parsing(text: str, submit: SubmitJob) -> JobSubmitted:
    return await submit(parse, text)


@router.post("/keep", status_code=202, summary="Keep a number")
async def start_keeping(submit: SubmitJob) -> JobSubmitted:
    return await submit(keep_number)


@router.post("/tell/{job_id}", status_code=204, summary="Say what a job is to do next")
async def tell(job_id: str, steps: list[list[Any]], scheduler: SchedulerDependency) -> None:
    for step in steps:
        _steps[job_id].put_nowait((scheduler, step))


def _builder(name: str) -> ServiceBuilder:
    return ServiceBuilder(info=ServiceInfo(display_name=name)).include_router(router).with_dashboard()


async def _may_look() -> Access:
    return Access(everything=True)


artifacts = Artifacts(Path(tempfile.mkdtemp(prefix="servicekit-web-")))
app = (
    _builder("Forge")
    .with_jobs(shutdown_grace=0, queues={"narrow": 1}, retention=Retention(max_log_bytes=64 * 1024 * 1024))
    .with_artifacts(artifacts)
    .build()
)
keys_app = _builder("Guarded").with_jobs(shutdown_grace=0).with_auth(KEYS).build()
