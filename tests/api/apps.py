"""Services for tests that need a real server."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator

from fastapi import APIRouter, Depends, FastAPI, Request, Response

from servicekit import current_job
from servicekit.api import Jobs, JobSubmitted, Monitoring, ServiceBuilder, ServiceInfo, SubmitJob, install
from servicekit.api.sse import OpenStreams
from servicekit.api.state import service_state

router = APIRouter()
gates: dict[str, asyncio.Event] = {}
open_sessions: set[object] = set()


async def hold(name: str) -> str:
    """Run until the gate of this name is opened."""
    await gates.setdefault(name, asyncio.Event()).wait()
    return name


async def report(steps: int, name: str, after: str | None = None) -> None:
    """Make progress without a pause for as many steps, perhaps after one gate was opened, then wait at the other."""
    if after is not None:
        await hold(after)
    for step in range(steps):
        current_job().progress(step + 1, steps, "x" * 400)
        await asyncio.sleep(0.01)
    await hold(name)


async def flood() -> None:
    """Make more progress than a connection's buffers hold, for ever."""
    while True:
        current_job().progress(time.monotonic(), None, "\N{GRINNING FACE}" * 500)
        await asyncio.sleep(0.05)


def block() -> None:
    """A thread that listens to nobody."""
    threading.Event().wait(300)


async def fail(text: str) -> None:
    raise ValueError(text)


@router.post("/hold/{name}", status_code=202)
async def submit_hold(name: str, submit: SubmitJob) -> JobSubmitted:
    return await submit(hold, name)


@router.post("/tagged/{tag}", status_code=202)
async def submit_tagged(tag: str, submit: SubmitJob) -> JobSubmitted:
    return await submit.with_options(tags=[tag], metadata={"tag": tag})(hold, tag)


@router.post("/report/{name}", status_code=202)
async def submit_report(name: str, steps: int, submit: SubmitJob, after: str | None = None) -> JobSubmitted:
    return await submit(report, steps, name, after)


@router.post("/block", status_code=202)
async def submit_block(submit: SubmitJob) -> JobSubmitted:
    return await submit(block)


@router.post("/fail", status_code=202)
async def submit_fail(text: str, submit: SubmitJob) -> JobSubmitted:
    return await submit(fail, text)


@router.post("/open/{name}")
async def open_gate(name: str) -> None:
    gates.setdefault(name, asyncio.Event()).set()


@router.post("/flood", status_code=202)
async def submit_flood(submit: SubmitJob) -> JobSubmitted:
    return await submit(flood)


@router.get("/stalled")
async def wait_stalled(request: Request) -> None:
    """Answer when a stream waits for its reader to take something."""
    streams = service_state(request.app).streams
    while not any(stream.is_stalled for stream in streams):
        await asyncio.sleep(0.01)


@router.get("/download")
async def download(size: int) -> Response:
    """A long answer, which has been given to the server as a whole."""
    return Response(bytes(size))


@router.get("/sessions")
async def count_sessions() -> int:
    """How many requests hold their session now, this one included."""
    return len(open_sessions)


async def session() -> AsyncIterator[None]:
    """What a request holds while it is served, as it would a database session."""
    key = object()
    open_sessions.add(key)
    try:
        yield
    finally:
        open_sessions.discard(key)


app = (
    ServiceBuilder(info=ServiceInfo(display_name="Test service"))
    .with_jobs(shutdown_grace=0)
    .with_monitoring()
    .with_health()
    .include_router(router)
    .build()
)

with_sessions = FastAPI(dependencies=[Depends(session)])
install(with_sessions, Jobs(shutdown_grace=0))
with_sessions.include_router(router)

impatient = FastAPI()
service_state(impatient).streams = OpenStreams(keep_alive_seconds=0.1, stall_seconds=0.5, tick_seconds=0.05)
install(impatient, Jobs(shutdown_grace=0), Monitoring())
impatient.include_router(router)

discreet = FastAPI()
install(discreet, Jobs(shutdown_grace=0, expose_tracebacks=False))
discreet.include_router(router)

outer = FastAPI()
outer.mount("/inner", app)
