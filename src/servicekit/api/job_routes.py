"""The routes to look at jobs, stream them and delete them. Submitting them is up to the service's own endpoints."""

from functools import partial
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import Depends, FastAPI, Header, Path, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, Field

from servicekit.api.dependencies import SchedulerDependency
from servicekit.api.encoding import list_json, record_json
from servicekit.api.errors import ErrorBody
from servicekit.api.sse import EventStream, EventStreamRoute
from servicekit.api.state import jobs_path, service_state
from servicekit.jobs.ids import parse_job_id
from servicekit.jobs.options import MAX_TEXT_CHARACTERS
from servicekit.jobs.query import JobFilter
from servicekit.jobs.record import JobRecord, JobSummary
from servicekit.jobs.status import JobStatus

DEFAULT_POLL_SECONDS: Final = 0.5

Responses = dict[int | str, dict[str, Any]]

_UNAVAILABLE: Final[Responses] = {
    503: {
        "model": ErrorBody,
        "description": "Jobs cannot be read or written at the moment. `Retry-After` says when to come back.",
        "content": {"application/json": {"example": {"detail": "Jobs cannot be read or written at the moment"}}},
    },
}
_INVALID_ID: Final[Responses] = {
    400: {
        "model": ErrorBody,
        "description": "The id is no ULID.",
        "content": {"application/json": {"example": {"detail": "Invalid job ID format"}}},
    },
    **_UNAVAILABLE,
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
_STREAM_OF_ALL_EXAMPLE: Final = """\
retry: 1000
id: 41
data: {"id":"01JQRS7XK5N8Z3VQ2M4T6W8Y0A","status":"running",...}

id: 44
data: {"id": "01JQRS7XK5N8Z3VQ2M4T6W8Y0A", "status": "deleted"}

"""


class JobStats(BaseModel):
    """How many jobs are kept, for each status."""

    pending: int = Field(description="How many wait to start.", examples=[3])
    running: int = Field(description="How many run.", examples=[2])
    completed: int = Field(description="How many have finished.", examples=[40])
    failed: int = Field(description="How many have failed.", examples=[1])
    canceled: int = Field(description="How many were canceled.", examples=[0])
    total: int = Field(description="How many there are.", examples=[46])


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
    """The number of the last event that a client has seen. What is none is ignored, as the client cannot mend it."""
    text = last_event_id or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 18 else None


Text = Annotated[str, Query(min_length=1, max_length=MAX_TEXT_CHARACTERS)]


async def _parse_filter(
    status_filter: Annotated[
        list[JobStatus] | None, Query(description="Only jobs with this status, or one of these if it is repeated.")
    ] = None,
    name: Annotated[Text | None, Query(description="Only jobs with this name.", examples=["train_model"])] = None,
    tag: Annotated[Text | None, Query(description="Only jobs with this tag.", examples=["nightly"])] = None,
    search: Annotated[
        Text | None,
        Query(
            description="Only jobs with this text in their name or error. The case of ASCII letters does not matter."
        ),
    ] = None,
    submitted_after: Annotated[
        AwareDatetime | None,
        Query(description="Only jobs submitted at this time or later, to the millisecond. It must have a time zone."),
    ] = None,
    submitted_before: Annotated[
        AwareDatetime | None, Query(description="Only jobs submitted before this time. It must have a time zone.")
    ] = None,
) -> JobFilter:
    return JobFilter(
        statuses=frozenset(status_filter or ()),
        name=name,
        tag=tag,
        search=search,
        submitted_after=submitted_after,
        submitted_before=submitted_before,
    )


JobId = Annotated[str, Depends(_parse_id)]
Wanted = Annotated[JobFilter, Depends(_parse_filter)]
LastEventId = Annotated[int | None, Depends(_parse_last_event_id)]

_LIST: Final[Responses] = {
    200: {
        "description": "The newest jobs first. Where there may be more, `Link` leads to the next page; a page can be "
        "short, even empty, and not be the last.",
        "headers": {"Link": {"description": '`<...>; rel="next"`', "schema": {"type": "string"}}},
    },
    **_INVALID_ID,
}


def _event_stream(number: str, example: str) -> dict[str, Any]:
    """The content of a response that is an event stream, whose events' `id:` is this."""
    return {
        "text/event-stream": {
            "schema": {"type": "string", "contentMediaType": "text/event-stream"},
            "x-itemSchema": {  # OpenAPI 3.2 has it without the x-
                "type": "object",
                "properties": {
                    "id": {"type": "string", "description": number},
                    "retry": {"type": "integer", "description": "When to reconnect, in milliseconds."},
                    "data": {
                        "type": "string",
                        "contentMediaType": "application/json",
                        "contentSchema": {"$ref": "#/components/schemas/JobRecord"},
                    },
                },
                "required": ["data"],
            },
            "example": example,
        }
    }


_STREAM: Final[Responses] = {
    200: {
        "description": "An event stream (Server-Sent Events). Each event's data is a job record as JSON; the first "
        "is the present one, then one for every change. It ends after `completed`, `failed` or `canceled`, or "
        'with `{"status": "deleted"}`.',
        "content": _event_stream("The record's version.", _STREAM_EXAMPLE),
    },
    204: {"description": "The client has had the last event already (`Last-Event-ID`): it need not come again."},
    **_NO_JOB,
}
_STREAM_OF_ALL: Final[Responses] = {
    200: {
        "description": "An event stream (Server-Sent Events). Each event's data is a job record as JSON, or "
        '`{"id": "...", "status": "deleted"}`; the first are the newest jobs as they are, at most 100. It ends only '
        "with the service.",
        "content": _event_stream("Where in the order of all changes this one stands.", _STREAM_OF_ALL_EXAMPLE),
    },
}


def add_job_routes(app: FastAPI, prefix: str) -> None:
    """Add the routes to the application itself: an included router costs every request of the application."""
    add = partial(app.router.add_api_route, tags=["jobs"], route_class_override=EventStreamRoute)
    stats, stream_of_all = f"{prefix}/$stats", f"{prefix}/$stream"
    job, stream = f"{prefix}/{{job_id}}", f"{prefix}/{{job_id}}/$stream"
    add(prefix, list_jobs, summary="List jobs", response_model=list[JobSummary], responses=_LIST)
    # Before the routes that would take these for a job's id.
    add(stats, count_jobs, summary="Count jobs", response_model=JobStats, responses=_UNAVAILABLE)
    add(stream_of_all, stream_jobs, summary="Watch all jobs live", response_class=Response, responses=_STREAM_OF_ALL)
    add(stream_of_all, stream_jobs, methods=["HEAD"], include_in_schema=False)
    add(job, get_job, summary="Get one job", response_model=JobRecord, responses=_NO_JOB)
    add(stream, stream_job, summary="Watch one job live", response_class=Response, responses=_STREAM)
    add(stream, stream_job, methods=["HEAD"], include_in_schema=False)
    add(job, delete_job, methods=["DELETE"], summary="Cancel and delete a job", status_code=204, responses=_DELETED)


async def list_jobs(
    request: Request,
    scheduler: SchedulerDependency,
    wanted: Wanted,
    cursor: Annotated[str | None, Depends(_parse_cursor)],
    limit: Annotated[int, Query(ge=1, le=1_000, description="The most jobs on one page.")] = 100,
) -> Response:
    """All jobs that are kept, in pages, the newest first. `error_traceback` is left to the single job."""
    page = await scheduler.list_page(wanted, limit=limit, before=cursor)
    response = Response(list_json(page.records), media_type="application/json")
    if page.next_before is not None:
        query = [("limit", limit), ("cursor", page.next_before), *_query_of(wanted)]
        response.headers["link"] = f'<{jobs_path(request)}?{urlencode(query)}>; rel="next"'
    return response


def _query_of(wanted: JobFilter) -> list[tuple[str, str]]:
    """The filter as parameters of a query."""
    statuses = [("status_filter", status.value) for status in JobStatus if status in wanted.statuses]
    texts = {"name": wanted.name, "tag": wanted.tag, "search": wanted.search}
    times = {"submitted_after": wanted.submitted_after, "submitted_before": wanted.submitted_before}
    return [
        *statuses,
        *((name, text) for name, text in texts.items() if text is not None),
        *((name, moment.isoformat()) for name, moment in times.items() if moment is not None),
    ]


async def count_jobs(scheduler: SchedulerDependency) -> JobStats:
    """How many jobs are kept, for each status. It costs the same however many there are."""
    counts = await scheduler.count_by_status()
    return JobStats(**{status.value: count for status, count in counts.items()}, total=sum(counts.values()))


async def stream_jobs(
    request: Request,
    scheduler: SchedulerDependency,
    wanted: Wanted,
    last_event_id: LastEventId,
    poll_interval: Annotated[
        float,
        Query(
            ge=0.05,
            le=60,
            allow_inf_nan=False,
            description="The shortest time between two looks at what has happened, in seconds. A job that changes more "
            "often is told as what it has become.",
        ),
    ] = DEFAULT_POLL_SECONDS,
) -> Response:
    """What becomes of all jobs that the filter lets through, pushed, for a page that shows many of them.

    It begins with the newest, as they are; a client that comes back with `Last-Event-ID` gets what has changed since.
    That a job was deleted is told whatever the filter.
    """
    state = service_state(request.app)
    feed = scheduler.follow(wanted, last_event_id, poll_interval)
    return EventStream(feed, state.streams, expose_tracebacks=state.expose_tracebacks)


async def get_job(request: Request, scheduler: SchedulerDependency, job_id: JobId) -> Response:
    """Everything that is known about the job now."""
    record = await scheduler.get_record(job_id)
    body = record_json(record, expose_traceback=service_state(request.app).expose_tracebacks)
    return Response(body, media_type="application/json")


async def stream_job(
    request: Request,
    scheduler: SchedulerDependency,
    job_id: JobId,
    last_event_id: LastEventId,
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
