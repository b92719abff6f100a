"""The routes to look at jobs, stream them and delete them. Submitting them is up to the service's own endpoints."""

from functools import partial
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import Depends, FastAPI, Header, Path, Query, Request, Response

from servicekit.api.dependencies import SchedulerDependency
from servicekit.api.encoding import list_json, record_json
from servicekit.api.errors import ErrorBody
from servicekit.api.sse import EventStream, EventStreamRoute
from servicekit.api.state import jobs_path, service_state
from servicekit.jobs.ids import parse_job_id
from servicekit.jobs.record import JobRecord, JobSummary
from servicekit.jobs.status import JobStatus

DEFAULT_POLL_SECONDS: Final = 0.5

Responses = dict[int | str, dict[str, Any]]

_INVALID_ID: Final[Responses] = {
    400: {
        "model": ErrorBody,
        "description": "The id is no ULID.",
        "content": {"application/json": {"example": {"detail": "Invalid job ID format"}}},
    },
}
_NO_JOB: Final[Responses] = {
    **_INVALID_ID,
    404: {
        "model": ErrorBody,
        "description": "There is no job with this id.",
        "content": {"application/json": {"example": {"detail": "Job not found"}}},
    },
}
_DELETED: Final[Responses] = {
    204: {"description": "The job is gone. If it ran, it was asked to stop."},
    **_NO_JOB,
}
_STREAM_EXAMPLE: Final = """\
retry: 1000
id: 2
data: {"id":"01JQRS7XK5N8Z3VQ2M4T6W8Y0A","status":"running",...}

id: 3
data: {"id":"01JQRS7XK5N8Z3VQ2M4T6W8Y0A","status":"completed",...}

"""


async def _parse_id(
    job_id: Annotated[str, Path(description="The job's ULID.", examples=["01JQRS7XK5N8Z3VQ2M4T6W8Y0A"])],
) -> str:
    return parse_job_id(job_id)


async def _parse_cursor(
    cursor: Annotated[
        str | None, Query(description="Continue after the job with this id: the last one of the page before.")
    ] = None,
) -> str | None:
    return None if cursor is None else parse_job_id(cursor)


async def _parse_last_event_id(
    last_event_id: Annotated[
        str | None, Header(description="The last `id:` that the client has had. `EventSource` sends it by itself.")
    ] = None,
) -> int | None:
    """The version that a client has seen. What is none is ignored, as the client cannot mend it."""
    text = last_event_id or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 18 else None


JobId = Annotated[str, Depends(_parse_id)]

_LIST: Final[Responses] = {
    200: {
        "description": "The newest jobs first. Where there are more, `Link` leads to the next page.",
        "headers": {"Link": {"description": '`<...>; rel="next"`', "schema": {"type": "string"}}},
    },
    **_INVALID_ID,
}
_STREAM: Final[Responses] = {
    200: {
        "description": "An event stream (Server-Sent Events). Each event's data is a job record as JSON; the first "
        "is the present one, then one for every change. It ends after `completed`, `failed` or `canceled`, or "
        'with `{"status": "deleted"}`.',
        "content": {
            "text/event-stream": {
                "schema": {"type": "string", "contentMediaType": "text/event-stream"},
                "x-itemSchema": {  # OpenAPI 3.2 has it without the x-
                    "type": "object",
                    "properties": {
                        "id": {"type": "string", "description": "The record's version."},
                        "retry": {"type": "integer", "description": "When to reconnect, in milliseconds."},
                        "data": {
                            "type": "string",
                            "contentMediaType": "application/json",
                            "contentSchema": {"$ref": "#/components/schemas/JobRecord"},
                        },
                    },
                    "required": ["data"],
                },
                "example": _STREAM_EXAMPLE,
            }
        },
    },
    204: {"description": "The client has had the last event already (`Last-Event-ID`): it need not come again."},
    **_NO_JOB,
}


def add_job_routes(app: FastAPI, prefix: str) -> None:
    """Add the routes to the application itself: an included router costs every request of the application."""
    add = partial(app.router.add_api_route, tags=["jobs"], route_class_override=EventStreamRoute)
    job, stream = f"{prefix}/{{job_id}}", f"{prefix}/{{job_id}}/$stream"
    add(prefix, list_jobs, summary="List jobs", response_model=list[JobSummary], responses=_LIST)
    add(job, get_job, summary="Get one job", response_model=JobRecord, responses=_NO_JOB)
    add(stream, stream_job, summary="Watch one job live", response_class=Response, responses=_STREAM)
    add(stream, stream_job, methods=["HEAD"], include_in_schema=False)
    add(job, delete_job, methods=["DELETE"], summary="Cancel and delete a job", status_code=204, responses=_DELETED)


async def list_jobs(
    request: Request,
    scheduler: SchedulerDependency,
    cursor: Annotated[str | None, Depends(_parse_cursor)],
    status_filter: Annotated[JobStatus | None, Query(description="Only jobs with this status.")] = None,
    limit: Annotated[int, Query(ge=1, le=1_000, description="The most jobs on one page.")] = 100,
) -> Response:
    """All jobs that are kept, in pages, the newest first. `error_traceback` is left to the single job."""
    records = await scheduler.list_records(status=status_filter, limit=limit + 1, before=cursor)
    response = Response(list_json(records[:limit]), media_type="application/json")
    if len(records) > limit:
        query = {"limit": limit, "cursor": records[limit - 1].id}
        if status_filter is not None:
            query["status_filter"] = status_filter.value
        response.headers["link"] = f'<{jobs_path(request)}?{urlencode(query)}>; rel="next"'
    return response


async def get_job(request: Request, scheduler: SchedulerDependency, job_id: JobId) -> Response:
    """Everything that is known about the job now."""
    record = await scheduler.get_record(job_id)
    body = record_json(record, expose_traceback=service_state(request.app).expose_tracebacks)
    return Response(body, media_type="application/json")


async def stream_job(
    request: Request,
    scheduler: SchedulerDependency,
    job_id: JobId,
    last_event_id: Annotated[int | None, Depends(_parse_last_event_id)],
    poll_interval: Annotated[
        float,
        Query(
            ge=0.05,
            le=60,
            allow_inf_nan=False,
            description="The shortest time between two events that tell only of progress, in seconds. "
            "A change of status never waits.",
        ),
    ] = DEFAULT_POLL_SECONDS,
) -> Response:
    """The job's changes as they happen, pushed, for `EventSource`, `curl -N` and every other reader of event streams.

    A client that comes back with `Last-Event-ID` gets what it has missed.
    """
    record = await scheduler.get_record(job_id)
    if record.status.is_terminal and last_event_id == record.version:
        return Response(status_code=204)
    state = service_state(request.app)
    watch = scheduler.watch(job_id, last_event_id, poll_interval)
    return EventStream(watch, state.streams, expose_tracebacks=state.expose_tracebacks)


async def delete_job(scheduler: SchedulerDependency, job_id: JobId) -> None:
    """Forget the job at once, and stop it if it runs. Open streams get `{"status": "deleted"}` and end."""
    await scheduler.delete(job_id)
