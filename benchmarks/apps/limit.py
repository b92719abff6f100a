"""The limit's service: FastAPI endpoints of our shape over a dict, and bare Starlette streams beside them.

Of our shape: on a router that is included, with one dependency that gives what to submit to; answered as ours are, by
a model and a `Location`.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from benchmarks.apps.common import routes_of
from benchmarks.limits import TaskDict
from benchmarks.work import Work

work = Work()
jobs = TaskDict()
ends: dict[str, asyncio.Event] = {}
service = FastAPI()
router = APIRouter()


class Submitted(BaseModel):
    job_id: str
    message: str
    stream_url: str


class Submitter:
    def __init__(self, request: Request, response: Response) -> None:
        self._request = request
        self._response = response

    def answer(self, job_id: str) -> Submitted:
        url = f"{self._request.scope.get('root_path', '')}/api/v1/jobs/{job_id}"
        self._response.headers["location"] = url
        return Submitted(job_id=job_id, message="Job submitted", stream_url=f"{url}/$stream")


async def get_submitter(request: Request, response: Response) -> Submitter:
    return Submitter(request, response)


Submit = Annotated[Submitter, Depends(get_submitter)]


@router.post("/noop", status_code=202)
async def noop(submit: Submit) -> Submitted:
    return submit.answer(await jobs.add_job(work.noop))


@router.post("/timed", status_code=202)
async def timed(submit: Submit, name: str, seconds: float) -> Submitted:
    return submit.answer(await add_watched_job(work.timed, name, seconds))


@router.post("/held", status_code=202)
async def held(submit: Submit, name: str) -> Submitted:
    return submit.answer(await add_watched_job(work.held, name))


@router.post("/noops")
async def noops(count: int) -> str:
    return str(await work.run_noops(jobs.add_job, count))


@service.get("/api/v1/jobs")
async def list_jobs(status_filter: str | None = None) -> list[dict[str, Any]]:
    newest_first = (jobs.records[job_id] for job_id in reversed(jobs.records))
    return list(islice((job for job in newest_first if status_filter in (None, job["status"])), 100))


@service.get("/api/v1/jobs/{job_id}")
async def get_job(job_id: str) -> dict[str, Any]:
    return jobs.records[job_id]


service.include_router(router)
service.include_router(routes_of(work))


async def add_watched_job(target: Any, *args: Any) -> str:
    ended = asyncio.Event()

    async def run() -> None:
        await target(*args)
        ended.set()

    job_id = await jobs.add_job(run)
    ends[job_id] = ended
    return job_id


async def stream(request: Request) -> StreamingResponse:
    return StreamingResponse(events_of(request.path_params["job_id"]), media_type="text/event-stream")


async def events_of(job_id: str) -> AsyncIterator[str]:
    yield event_of({**jobs.records[job_id], "status": "running"})
    await ends[job_id].wait()
    yield event_of({**jobs.records[job_id], "status": "completed"})


def event_of(record: dict[str, Any]) -> str:
    return f"data: {json.dumps(record)}\n\n"


streams = Starlette(routes=[Route("/api/v1/jobs/{job_id}/$stream", stream)])


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Streams pass FastAPI by: they are the limit of what Starlette alone can do."""
    is_stream = scope["type"] == "http" and scope["path"].endswith("$stream")
    await (streams if is_stream else service)(scope, receive, send)
