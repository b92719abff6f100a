"""The route to read a job's log. The job's stream sends the log live with `logs=true`."""

from enum import StrEnum
from functools import partial
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import FastAPI, Query, Request, Response
from pydantic import BaseModel, Field

from servicekit.api.dependencies import SchedulerDependency
from servicekit.api.errors import mistake
from servicekit.api.job_access import SeenJobId
from servicekit.api.job_responses import NO_JOB, Responses
from servicekit.api.openapi import name_operation
from servicekit.api.routing import JobRoute
from servicekit.api.state import jobs_path
from servicekit.jobs.log_lines import LogLine, LogPage
from servicekit.jobs.terminal import strip_escapes

MAX_LINES: Final = 10_000  # one response is built in memory
_LARGEST_NUMBER: Final = 2**53 - 1  # the largest whole number that JavaScript has, and far below a file's


class LogFormat(StrEnum):
    """The form of the response."""

    JSON = "json"
    TEXT = "text"


class JobLog(BaseModel):
    """Some lines of a job's log, in order."""

    lines: list[LogLine] = Field(description="The lines, the oldest first.")
    next_after: int = Field(description="Go on with this as `after`.", examples=[120])
    has_more: bool = Field(description="Whether there are more lines by now. While the job runs there may be, later.")
    dropped: int = Field(description="How many lines, the oldest, are not kept any more.", examples=[0])


LOG: Final[Responses] = {
    200: {
        "description": "Lines of the log. Where there are more, `Link` leads to the next ones.",
        "headers": {"Link": {"description": '`<...>; rel="next"`', "schema": {"type": "string"}}},
        "content": {"text/plain": {"schema": {"type": "string"}, "example": "epoch 1 of 10\nepoch 2 of 10\n"}},
    },
    **NO_JOB,
}


def add_log_routes(app: FastAPI, prefix: str) -> None:
    """Add the route to the application itself, since an included router would cost every request some time."""
    add = partial(
        app.router.add_api_route,
        tags=["jobs"],
        route_class_override=JobRoute,
        generate_unique_id_function=name_operation,
    )
    add(f"{prefix}/{{job_id}}/$logs", get_job_log, summary="Read a job's log", response_model=JobLog, responses=LOG)


async def get_job_log(
    request: Request,
    scheduler: SchedulerDependency,
    job_id: SeenJobId,
    after: Annotated[
        int | None, Query(ge=0, le=_LARGEST_NUMBER, description="Only lines after the one with this number.")
    ] = None,
    tail: Annotated[
        int | None, Query(ge=1, le=MAX_LINES, description="Instead of `after`: so many lines, the newest.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LINES, description="The most lines at once.")] = 1_000,
    format: Annotated[LogFormat, Query(description="`text`: for a terminal, without colours.")] = LogFormat.JSON,  # noqa: A002
) -> Response:
    """The lines that the job has printed and logged, from the oldest one that is kept."""
    if tail is None:
        page = await scheduler.get_log(job_id, after=after or 0, limit=limit)
    elif after is None:
        page = await scheduler.get_log_tail(job_id, tail)
    else:
        raise mistake(("query", "tail"), "Not together with after", input=tail)
    response = _answer(page, after or 0, format)
    if not page.is_last:
        query = urlencode({"after": page.lines[-1].number, "limit": limit, "format": format.value})
        response.headers["link"] = f'<{jobs_path(request)}/{job_id}/$logs?{query}>; rel="next"'
    return response


def _answer(page: LogPage, after: int, log_format: LogFormat) -> Response:
    if log_format is LogFormat.TEXT:
        text = "".join(f"{strip_escapes(line.text)}\n" for line in page.lines)
        # `nosniff`, since a browser could else take a log with HTML in it for a page, and run its scripts.
        return Response(text, media_type="text/plain", headers={"X-Content-Type-Options": "nosniff"})
    next_after = page.lines[-1].number if page.lines else after
    log = JobLog(lines=page.lines, next_after=next_after, has_more=not page.is_last, dropped=page.dropped)
    return Response(log.model_dump_json(), media_type="application/json")
