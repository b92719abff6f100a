"""A service whose jobs have something to say."""

import asyncio
import logging

from fastapi import APIRouter, FastAPI

from servicekit import current_job
from servicekit.api import Jobs, JobSubmitted, SubmitJob, install
from servicekit.api.sse import OpenStreams
from servicekit.api.state import service_state

router = APIRouter()
gates: dict[str, asyncio.Event] = {}


async def say(name: str, before: int, after: int) -> None:
    """Print some lines, wait until the gate of this name is opened, and print some more."""
    for number in range(1, before + 1):
        print(f"before {number}")
    current_job().progress(1, 2)
    await gates.setdefault(name, asyncio.Event()).wait()
    for number in range(1, after + 1):
        print(f"after {number}")


def flood(lines: int) -> None:
    for number in range(1, lines + 1):
        current_job().log(f"line {number} {'x' * 100}")


async def fail() -> None:
    logging.getLogger("shop").error("grüße\u2028aus dem Laden")
    raise ValueError("sold out")


@router.post("/say/{name}", status_code=202)
async def submit_say(name: str, submit: SubmitJob, before: int = 2, after: int = 3) -> JobSubmitted:
    return await submit(say, name, before, after)


@router.post("/flood", status_code=202)
async def submit_flood(submit: SubmitJob, lines: int) -> JobSubmitted:
    return await submit(flood, lines)


@router.post("/fail", status_code=202)
async def submit_fail(submit: SubmitJob) -> JobSubmitted:
    return await submit(fail)


@router.post("/open/{name}")
async def open_gate(name: str) -> None:
    gates.setdefault(name, asyncio.Event()).set()


@router.post("/drop")
async def drop_streams() -> None:
    """End all streams, as a restarting service does."""
    for stream in service_state(app).streams:
        stream.close()


app = FastAPI()
service_state(app).streams = OpenStreams(keep_alive_seconds=0.3, tick_seconds=0.05)
install(app, Jobs(shutdown_grace=0))
app.include_router(router)
