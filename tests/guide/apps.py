"""Services around the guide's snippets. Their jobs end when a test says so: nothing depends on how long things take."""

import asyncio
import os
from collections import defaultdict
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import REGISTRY

from servicekit import current_job
from servicekit.api import JobSubmitted, ServiceBuilder, ServiceInfo, SubmitJob
from servicekit.api.sse import OpenStreams
from servicekit.api.state import service_state
from tests.guide.quoted import read_snippet


def create_app() -> FastAPI:
    """The guide's service, with jobs to submit, and the built pages of tests/frontend if `FRONTEND` names them."""
    app = run_snippet("build_service.py.txt")["app"]
    assert isinstance(app, FastAPI)
    app.include_router(create_router())
    if "FRONTEND" in os.environ:
        app.mount("/frontend", StaticFiles(directory=os.environ["FRONTEND"]))
    return app


def create_app_with_short_keep_alive() -> FastAPI:
    """The guide's service, but an idle stream gets its comment after a fifth of a second."""
    app = create_app()
    service_state(app).streams = OpenStreams(keep_alive_seconds=0.2, httpx_keep_alive_seconds=0.2, tick_seconds=0.05)
    return app


def create_app_with_cors() -> FastAPI:
    """A service that lets the pages of `PAGE_ORIGIN` in."""
    return (
        ServiceBuilder(info=ServiceInfo(display_name="Open to another origin"))
        .with_jobs()
        .with_cors(allow_origins=[os.environ["PAGE_ORIGIN"]])
        .include_router(create_router())
        .build()
    )


def create_app_with_metrics() -> FastAPI:
    """The guide's own metrics in the default registry, beside ours of the same names."""
    user_metrics = run_snippet("metrics.py.txt")
    router = create_router()

    @router.get("/user-metrics")
    async def count_submission() -> float | None:
        with user_metrics["job_duration"].time():
            user_metrics["job_submissions"].inc()
        return REGISTRY.get_sample_value("jobs_submitted_total")

    info = ServiceInfo(display_name="Monitored")
    return ServiceBuilder(info=info).with_jobs().with_monitoring().include_router(router).build()


def create_app_with_limit() -> FastAPI:
    """A service whose builder has the line that the environment's `SNIPPET` names."""
    line = read_snippet(os.environ["SNIPPET"])
    scope: dict[str, Any] = {"builder": ServiceBuilder(info=ServiceInfo(display_name="Limited"))}
    exec(f"app = (\n    builder\n{line}\n    .build()\n)", scope)
    app = scope["app"]
    assert isinstance(app, FastAPI)
    app.include_router(create_router())
    return app


def run_snippet(name: str) -> dict[str, Any]:
    """Run a Python code block of the guide; what it has defined."""
    scope: dict[str, Any] = {}
    exec(compile(read_snippet(name), name, "exec"), scope)
    return scope


def create_router() -> APIRouter:
    """Endpoints to submit jobs, to let each end, and to drop all streams, as a restarting service does."""
    router = APIRouter()
    gates: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def wait_until_finished(error: str | None) -> None:
        await gates[current_job().id].wait()
        if error is not None:
            raise ValueError(error)

    @router.post("/jobs", status_code=202)
    async def submit_job(submit: SubmitJob, error: str | None = None) -> JobSubmitted:
        return await submit(wait_until_finished, error)

    @router.post("/jobs/{job_id}/finish", status_code=204)
    async def finish_job(job_id: str, silent_seconds: float = 0) -> None:
        asyncio.get_running_loop().call_later(silent_seconds, gates[job_id].set)

    @router.get("/page", response_class=HTMLResponse)
    async def page() -> str:
        return '<!doctype html><title>A page</title><p id="status"></p>'

    @router.get("/streams")
    async def count_streams(request: Request) -> int:
        return len(service_state(request.app).streams)

    @router.post("/streams/drop", status_code=204)
    async def drop_streams(request: Request) -> None:
        close_streams(request.app)

    return router


def close_streams(app: FastAPI) -> None:
    for stream in service_state(app).streams:
        stream.close()
