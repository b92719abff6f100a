"""The routes to list, read, stream, cancel, repeat and delete jobs. Endpoints of the service submit jobs."""

from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from servicekit.api.admission import asking_again, find_access
from servicekit.api.bulk_routes import add_bulk_routes
from servicekit.api.dependencies import SchedulerDependency
from servicekit.api.encoding import list_json, record_json, record_with_arguments, result_json
from servicekit.api.job_access import ActedJobId, NotOpened, SeenJobId, check_is_own, narrow, narrow_ids
from servicekit.api.job_parameters import (
    CalledJobIds,
    JobId,
    JobIds,
    LastEventId,
    LastJobEventId,
    Text,
    Wanted,
    parse_cursor,
)
from servicekit.api.job_responses import (
    CALLS,
    CANCEL,
    DELETED,
    LIST,
    NO_JOB,
    RESULT,
    RETRY,
    STATS,
    STREAM,
    STREAM_OF_ALL,
    UNAVAILABLE,
    JobDetails,
)
from servicekit.api.openapi import name_operation
from servicekit.api.routing import JobRoute, StreamRoute
from servicekit.api.sse import EventStream
from servicekit.api.state import jobs_path, service_state
from servicekit.api.submit import JobSubmitted, answer_submission
from servicekit.api.suggestion_routes import add_suggestion_route
from servicekit.api.waits import MAX_WAIT_SECONDS, wait_for_end
from servicekit.engine.job_reader import JobReader
from servicekit.engine.log_reader import LogReader
from servicekit.errors import RecordUnreadable, StoreUnavailable
from servicekit.jobs.activity import MAX_MINUTES, Activity
from servicekit.jobs.query import JobFilter
from servicekit.jobs.record import JobRecord, JobSummary
from servicekit.jobs.status import JobStatus

DEFAULT_POLL_SECONDS: Final = 0.5  # smooth for a progress bar, and two events a second for each of thousands of readers


class JobStats(BaseModel):
    """How many jobs are kept, for each status."""

    pending: int = Field(description="How many wait to start.", examples=[3])
    running: int = Field(description="How many run.", examples=[2])
    completed: int = Field(description="How many have finished.", examples=[40])
    failed: int = Field(description="How many have failed.", examples=[1])
    canceled: int = Field(description="How many were canceled.", examples=[0])
    total: int = Field(description="How many there are.", examples=[46])


def add_job_routes(app: FastAPI, prefix: str) -> None:
    """Add the routes to the application itself, since an included router would cost every request some time."""
    add = partial(
        app.router.add_api_route,
        tags=["jobs"],
        route_class_override=JobRoute,
        generate_unique_id_function=name_operation,
    )
    stats, calls, stream_of_all = f"{prefix}/$stats", f"{prefix}/$calls", f"{prefix}/$stream"
    job, stream = f"{prefix}/{{job_id}}", f"{prefix}/{{job_id}}/$stream"
    add(prefix, list_jobs, summary="List jobs", response_model=list[JobSummary], responses=LIST)
    # Before the routes with `{job_id}`, which would take `$stats` for an id.
    add(stats, count_jobs, summary="Count jobs", response_model=JobStats, responses=STATS)
    add(calls, list_calls, summary="Show the calls of jobs", response_model=dict[str, str], responses=CALLS)
    add(f"{prefix}/$activity", get_activity, summary="Throughput and waiting times", responses=UNAVAILABLE)
    watch = partial(add, route_class_override=StreamRoute)
    watch(stream_of_all, stream_jobs, summary="Watch all jobs live", response_class=Response, responses=STREAM_OF_ALL)
    watch(stream_of_all, stream_jobs, methods=["HEAD"], include_in_schema=False)
    add_suggestion_route(app, prefix)
    add_bulk_routes(app, prefix)
    add(job, get_job, summary="Get one job", response_model=JobDetails, responses=NO_JOB)
    watch(stream, stream_job, summary="Watch one job live", response_class=Response, responses=STREAM)
    watch(stream, stream_job, methods=["HEAD"], include_in_schema=False)
    add(f"{job}/$result", get_job_result, summary="Get a job's result", response_class=Response, responses=RESULT)
    add(
        f"{job}/$cancel",
        cancel_job,
        methods=["POST"],
        summary="Cancel a job",
        response_model=JobRecord,
        responses=CANCEL,
    )
    add(
        f"{job}/$retry",
        retry_job,
        methods=["POST"],
        summary="Submit a job again",
        status_code=202,
        responses=RETRY,
    )
    add(job, delete_job, methods=["DELETE"], summary="Cancel and delete a job", status_code=204, responses=DELETED)


async def list_jobs(
    request: Request,
    scheduler: SchedulerDependency,
    wanted: Wanted,
    cursor: Annotated[str | None, Depends(parse_cursor)],
    limit: Annotated[int, Query(ge=1, le=1_000, description="The most jobs on one page.")] = 100,
) -> Response:
    """All jobs that are kept, in pages, the newest first. `error_traceback` is left to the single job."""
    page = await scheduler.list_page(narrow(request, wanted), limit=limit, before=cursor)
    response = Response(list_json(page.records), media_type="application/json")
    if page.next_before is not None:
        query = [("limit", limit), ("cursor", page.next_before), *_query_of(wanted)]
        response.headers["link"] = f'<{jobs_path(request)}?{urlencode(query)}>; rel="next"'
    return response


def _query_of(wanted: JobFilter) -> list[tuple[str, str]]:
    """The filter as parameters of a query."""
    statuses = [("status_filter", status.value) for status in JobStatus if status in wanted.statuses]
    texts = {"name": wanted.name, "tag": wanted.tag, "parent": wanted.parent, "owner": wanted.owner,
             "search": wanted.search, "queue": wanted.queue, "error": wanted.error}  # fmt: skip
    times = {"submitted_after": wanted.submitted_after, "submitted_before": wanted.submitted_before}
    return [
        *statuses,
        *((name, text) for name, text in texts.items() if text is not None),
        *(("metadata", f"{key}:{word}") for key, word in wanted.metadata.items()),
        *((name, moment.isoformat()) for name, moment in times.items() if moment is not None),
    ]


async def count_jobs(request: Request, scheduler: SchedulerDependency, wanted: Wanted) -> JobStats:
    """How many jobs are kept, for each status. It costs the same however many there are.

    All jobs of an owner or a queue are counted as well. Any other filter counts those of the newest 10,000 jobs that it
    may be about.
    """
    counts = await scheduler.count_by_status(narrow(request, wanted))
    return JobStats(**{status.value: count for status, count in counts.items()}, total=sum(counts.values()))


async def list_calls(request: Request, scheduler: SchedulerDependency, job_ids: CalledJobIds) -> dict[str, str]:
    """The calls of jobs, each on one line of at most 200 characters: `train(model='xgb', region='no')`.

    For lists, whose records have no arguments. Long values are shortened, and `***` stands for what is secret. Ids of
    jobs that do not exist, or that the caller does not see, are left out.
    """
    access = find_access(request)
    return await scheduler.shown_calls.list_texts(job_ids, access.owner, of_all=access.everything)


async def get_activity(
    request: Request,
    scheduler: SchedulerDependency,
    minutes: Annotated[int, Query(ge=1, le=MAX_MINUTES, description="How many minutes, with the present one.")] = 60,
    name: Annotated[Text | None, Query(description="Only jobs with this name.", examples=["train_model"])] = None,
    queue: Annotated[Text | None, Query(description="Only jobs in this queue.", examples=["slow"])] = None,
) -> Activity:
    """How many jobs have come and ended in the last minutes, and how long they have waited and run.

    It tells of all processes that share the jobs, and costs the same however many jobs there are. Who sees only the
    jobs of one owner gets the numbers of these. The percentiles are at most 10 % off.
    """
    access = find_access(request)
    owner = None if access.everything else access.owner
    return await scheduler.get_activity(minutes=minutes, name=name, queue=queue, owner=owner)


async def stream_jobs(
    request: Request,
    scheduler: SchedulerDependency,
    wanted: Wanted,
    job_ids: JobIds,
    last_event_id: LastEventId,
    poll_interval: Annotated[
        float,
        Query(
            ge=0.05,
            le=60,
            allow_inf_nan=False,
            description="The shortest time between two looks for changes, in seconds. If a job changes more often, its "
            "newest state is sent.",
        ),
    ] = DEFAULT_POLL_SECONDS,
) -> Response:
    """The changes of all jobs that match the filter, as they happen, for a page that shows many jobs.

    It begins with the newest jobs as they are. A client that comes back with `Last-Event-ID` gets the changes since
    then. Every deletion of a job is sent, whatever the filter; only with `id`, just those of these jobs.
    """
    state = service_state(request.app)
    job_ids = narrow_ids(request, job_ids)
    feed = scheduler.follow(narrow(request, wanted), last_event_id, poll_interval, job_ids=job_ids)
    return EventStream(feed, state.streams, expose_tracebacks=state.expose_tracebacks, ask_again=asking_again(request))


async def get_job(
    request: Request,
    scheduler: SchedulerDependency,
    job_id: SeenJobId,
    wait: Annotated[
        float | None,
        Query(
            ge=0,
            le=MAX_WAIT_SECONDS,
            allow_inf_nan=False,
            description="Answer when the job has ended, or after so many seconds, whichever comes first.",
        ),
    ] = None,
) -> Response:
    """The job's record, now or when the job has ended, and what its target was called with."""
    if wait:
        await wait_for_end(request, scheduler, job_id, wait)
    record, arguments = await scheduler.get_record(job_id), await scheduler.shown_calls.get_arguments_json(job_id)
    is_exposed = service_state(request.app).expose_tracebacks
    body = record_with_arguments(record, arguments, expose_traceback=is_exposed)
    return Response(body, media_type="application/json")


def _answer(request: Request, record: JobRecord, status_code: int = 200) -> Response:
    body = record_json(record, expose_traceback=service_state(request.app).expose_tracebacks)
    return Response(body, media_type="application/json", status_code=status_code)


async def get_job_result(scheduler: SchedulerDependency, job_id: SeenJobId) -> Response:
    """What the target of a completed job has returned."""
    return Response(result_json(job_id, await scheduler.get_result(job_id)), media_type="application/json")


async def cancel_job(request: Request, scheduler: SchedulerDependency, job_id: ActedJobId) -> Response:
    """Ask the job to stop, and keep its record. The answer comes within a second or so, whatever the job does."""
    await scheduler.cancel(job_id)
    try:
        record = await scheduler.get_record(job_id)
    except RecordUnreadable as error:
        return JSONResponse({"detail": f"It was asked to stop. {error}"}, status_code=202)
    if record.status is JobStatus.CANCELED:
        return _answer(request, record)
    if record.status.is_terminal:
        raise HTTPException(409, f"The job is {record.status} and cannot be canceled")
    return _answer(request, record, 202)


async def retry_job(
    request: Request, response: Response, scheduler: SchedulerDependency, job_id: ActedJobId
) -> JobSubmitted:
    """Submit the target and arguments of an ended job again, as a new job whose `retry_of` is the old one."""
    return answer_submission(request, response, await scheduler.retry(job_id))


async def stream_job(
    request: Request,
    scheduler: SchedulerDependency,
    job_id: JobId,
    last_event_id: LastJobEventId,
    logs: Annotated[
        bool, Query(description="Whether to send the lines of its log as well: as events of type `log`.")
    ] = False,
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
    """The job's changes as they happen, for `EventSource`, `curl -N` and every other reader of event streams.

    A client that comes back with `Last-Event-ID` gets the changes that it has missed.
    """
    narrow_ids(request, frozenset({job_id}))
    version, line_number = last_event_id or (None, 0)
    # An error here is not answered: the stream begins, ends at once, and its client comes back. After a 503, many
    # clients never come back.
    state = service_state(request.app)
    reader: AbstractAsyncContextManager[JobReader | LogReader]
    try:
        record = await scheduler.get_record(job_id)
        check_is_own(request, record)
        if record.status.is_terminal and version == record.version:
            return Response(status_code=204)
    except (StoreUnavailable, RecordUnreadable) as error:
        if not find_access(request).everything:  # it is not known whose job it is, so the stream must not find it
            return EventStream(NotOpened(error), state.streams, expose_tracebacks=False)
    if logs and state.expose_logs:
        reader = scheduler.watch_log(
            job_id, after_version=version or 0, after_line=line_number, interval_seconds=poll_interval
        )
    else:
        reader = scheduler.watch(job_id, version, poll_interval)
    return EventStream(
        reader, state.streams, expose_tracebacks=state.expose_tracebacks, ask_again=asking_again(request)
    )


async def delete_job(scheduler: SchedulerDependency, job_id: ActedJobId) -> None:
    """Delete the job at once, and stop it if it runs. Open streams get `{"status": "deleted"}` and end."""
    await scheduler.delete(job_id)
