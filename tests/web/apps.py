"""Services with a dashboard, for tests in a browser. Each keeps its jobs where `SERVICEKIT_JOBS_URL` says.

`app` is open; `elsewhere_app` has its page at `/admin/of/jobs`; `keys_app` demands API keys; `users_app` knows its
users by a cookie; `mounted_app` has the service below `/mounted`; `tasks_app` has tasks and artifacts.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Cookie, FastAPI, HTTPException, Response
from pydantic import BaseModel, Field

from servicekit import Cron, current_job, job_options
from servicekit.api import Access, ApiKey, JobSubmitted, Role, ServiceBuilder, ServiceInfo, SubmitJob
from servicekit.artifacts import Artifacts
from servicekit.tasks import Tasks

ADMIN, ACTOR, READER = (f"the-secret-of-the-{role}" for role in ("admin", "actor", "reader"))
KEYS = [
    ApiKey(name="admin", secret=ADMIN, role=Role.ADMIN),
    ApiKey(name="actor", secret=ACTOR, role=Role.ACT, owner="ana"),
    ApiKey(name="reader", secret=READER, role=Role.READ, owner="ana"),
]


async def noop() -> str:
    return "done"


async def forever() -> None:
    """Says how far it is, and has to be canceled."""
    current_job().progress(3, 10, "third of ten")
    current_job().log("waiting")
    await asyncio.Event().wait()


async def fail(text: str) -> None:
    raise ValueError(text)


@job_options(queue="reports")
async def report(region: str, rows: int) -> dict[str, object]:
    return {"region": region, "rows": rows}


class ReportRequest(BaseModel):
    region: str = Field(examples=["north"])
    rows: int = 10


async def run_as(wanted: "Wanted") -> None:
    if wanted.error is not None:
        raise ValueError(wanted.error)
    if wanted.is_running:
        await forever()


class Wanted(BaseModel):
    """A job as a test wants it."""

    name: str = "noop"
    queue: str = "default"
    tags: list[str] = []
    owner: str | None = None
    error: str | None = None
    is_running: bool = False


router = APIRouter()


@router.post("/wanted", status_code=202, include_in_schema=False)
async def start_wanted(wanted: Wanted, submit: SubmitJob) -> JobSubmitted:
    """Submit a job that looks like that."""
    submit = submit.with_options(name=wanted.name, queue=wanted.queue, tags=wanted.tags)
    if wanted.owner is not None:
        submit = submit.with_options(owner=wanted.owner)
    return await submit(run_as, wanted)


@router.post("/noop", status_code=202, summary="Do nothing")
async def start_noop(submit: SubmitJob, count: int = 1) -> JobSubmitted:
    for _ in range(count - 1):
        await submit(noop)
    return await submit(noop)


@router.post("/forever", status_code=202, summary="Run for ever")
async def start_forever(submit: SubmitJob) -> JobSubmitted:
    return await submit(forever)


@router.post("/fail", status_code=202, summary="Fail")
async def start_failing(text: str, submit: SubmitJob) -> JobSubmitted:
    return await submit(fail, text)


@router.post("/reports", status_code=202, summary="Write a report")
async def start_report(wanted: ReportRequest, submit: SubmitJob) -> JobSubmitted:
    return await submit(report, wanted.region, wanted.rows)


def builder(name: str) -> ServiceBuilder:
    return ServiceBuilder(info=ServiceInfo(display_name=name)).include_router(router).with_dashboard()


def get_user(user: Annotated[str | None, Cookie()] = None) -> Access:
    if user is None:
        raise HTTPException(401, "Log in first.")
    return Access(owner=user, everything=user == "eve", may_act=user != "rob")


users_router = APIRouter()


@users_router.post("/login/{user}", status_code=204)
async def log_in(user: str, response: Response) -> None:
    response.set_cookie("user", user, httponly=True, samesite="lax")


app = (
    builder("Bakery")
    .with_jobs(shutdown_grace=0, queues={"reports": 2})
    .with_schedule("leap day", Cron("0 3 29 2 *"), noop)  # hardly ever in the middle of a test
    .build()
)
elsewhere_app = (
    ServiceBuilder(info=ServiceInfo(display_name="Elsewhere"))
    .include_router(router)
    .with_jobs(shutdown_grace=0)
    .with_dashboard(path="/admin/of/jobs")
    .build()
)
keys_app = builder("Guarded").with_jobs(shutdown_grace=0).with_auth(KEYS).build()
users_app = builder("Users").with_jobs(shutdown_grace=0, access=get_user).include_router(users_router).build()
inner_app = builder("Inner").with_jobs(shutdown_grace=0).build()


@asynccontextmanager
async def _run_inner(_: FastAPI) -> AsyncIterator[None]:
    async with inner_app.router.lifespan_context(inner_app):
        yield


mounted_app = FastAPI(lifespan=_run_inner)
mounted_app.mount("/mounted", inner_app)


def make_tasks_app() -> FastAPI:
    folder = Path(tempfile.mkdtemp(prefix="servicekit-web-"))
    tasks = Tasks(folder / "tasks.db", page=None)
    tasks.task(report)
    tasks.task(fail)
    return (
        builder("Tasks")
        .with_jobs(shutdown_grace=0)
        .with_artifacts(Artifacts(folder / "artifacts"))
        .with_tasks(tasks)
        .build()
    )
