"""The routes to cancel, repeat and delete many jobs at once: those that match a filter."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Final

from fastapi import Depends, FastAPI, Query, Request
from pydantic import BaseModel, Field

from servicekit.api.admission import check_may_act, find_access
from servicekit.api.dependencies import SchedulerDependency
from servicekit.api.errors import mistake
from servicekit.api.job_access import narrow
from servicekit.api.job_parameters import FILTER_PARAMETERS, MAX_JOB_IDS, ULID_PATTERN, Wanted
from servicekit.api.job_responses import BULK
from servicekit.api.openapi import name_operation
from servicekit.api.routing import JobRoute
from servicekit.engine.scheduler import Scheduler
from servicekit.jobs.bulk import BulkAction, BulkStep, JobSelection
from servicekit.jobs.ids import parse_job_id
from servicekit.jobs.query import ALL_JOBS

MAX_STEP: Final = 1_000  # a step is answered within a second or two, and others are not held up by it


class BulkMatch(BaseModel):
    """What a dry run finds."""

    matching: int = Field(description="On how many jobs the action would have an effect.", examples=[1204])
    is_exact: bool = Field(
        description="Whether all jobs were looked at. If not, these are those of the newest 10,000.", examples=[True]
    )
    up_to: str | None = Field(
        description="The newest job at that moment. With it as `up_to`, jobs that came later are left alone.",
        examples=["01JQRS7XK5N8Z3VQ2M4T6W8Y0A"],
    )


class BulkProblem(BaseModel):
    """Why nothing could be done with a job."""

    id: str = Field(description="Which job.", examples=["01JQRS7XK5N8Z3VQ2M4T6W8Y0A"])
    detail: str = Field(description="What is wrong.", examples=["Job 01JQ... cannot be submitted again"])


class BulkResult(BaseModel):
    """What one step has done."""

    done: int = Field(description="With how many jobs it was done.", examples=[1000])
    skipped: int = Field(
        description="With how many it was not: those that have changed meanwhile, or are not there, or have a problem.",
        examples=[0],
    )
    problems: list[BulkProblem] = Field(
        description="The first 20 jobs with which nothing could be done.", examples=[[]]
    )
    next_cursor: str | None = Field(
        description="Where the next step begins. `null`: there are no more jobs.",
        examples=["01JQRS7XK5N8Z3VQ2M4T6W8Y0A"],
    )


def add_bulk_routes(app: FastAPI, prefix: str) -> None:
    """Add the routes to the application itself, since an included router would cost every request some time."""
    add = partial(
        app.router.add_api_route,
        tags=["jobs"],
        methods=["POST"],
        response_model=BulkMatch | BulkResult,
        responses=BULK,
        route_class_override=JobRoute,
        generate_unique_id_function=name_operation,
    )
    add(f"{prefix}/$cancel", cancel_jobs, summary="Cancel many jobs")
    add(f"{prefix}/$retry", retry_jobs, summary="Submit many jobs again")
    add(f"{prefix}/$delete", delete_jobs, summary="Cancel and delete many jobs")


def _check_may_act(request: Request) -> None:
    check_may_act(find_access(request))


_KNOWN: Final = sorted(FILTER_PARAMETERS | {"all", "cursor", "dry_run", "id", "limit", "up_to"})


_REPEATABLE: Final = frozenset({"id", "metadata", "status_filter"})


def _refuse_slips(request: Request) -> None:
    """Answer 422 to a name that is nearly one of ours, and to a parameter that comes twice where only one would count.

    A condition that is ignored would mean more jobs than it says. Other names may be those of the application's own
    `access`.
    """
    from difflib import get_close_matches  # few services ever need it

    for name in request.query_params:
        if name in _KNOWN and name not in _REPEATABLE and len(request.query_params.getlist(name)) > 1:
            raise mistake(("query", name), "This parameter can be given only once.")
        near = [] if name in _KNOWN else get_close_matches(name, _KNOWN, 1, 0.7)
        if near:
            raise mistake(("query", name), f"There is no parameter of this name. Did you mean {near[0]}?")


async def _parse_selection(
    request: Request,
    wanted: Wanted,
    id: Annotated[  # noqa: A002
        list[Annotated[str, Field(json_schema_extra=ULID_PATTERN)]] | None,
        Query(
            max_length=MAX_JOB_IDS,
            description="Only the job with this id, or the jobs with these ids if it is repeated.",
            examples=[["01JQRS7XK5N8Z3VQ2M4T6W8Y0A"]],
        ),
    ] = None,
    all: Annotated[  # noqa: A002
        bool, Query(description="That all jobs are meant. It is needed if nothing else says which.")
    ] = False,
    limit: Annotated[int, Query(ge=1, le=MAX_STEP, description="The most jobs of this step.")] = MAX_STEP,
    cursor: Annotated[
        str | None,
        Query(description="Where this step begins: `next_cursor` of the one before.", json_schema_extra=ULID_PATTERN),
    ] = None,
    up_to: Annotated[
        str | None,
        Query(
            description="Only jobs with this id or a lower one, that is, an older one.", json_schema_extra=ULID_PATTERN
        ),
    ] = None,
) -> JobSelection:
    _refuse_slips(request)
    if wanted == ALL_JOBS and not id and not all:
        raise mistake(("query", "all"), "Nothing says which jobs are meant. If it is all of them, say all=true")
    return JobSelection(
        narrow(request, wanted),
        frozenset(parse_job_id(each) for each in id or ()),
        limit,
        None if cursor is None else parse_job_id(cursor),
        None if up_to is None else parse_job_id(up_to),
    )


_MayAct = Annotated[None, Depends(_check_may_act)]
_Selection = Annotated[JobSelection, Depends(_parse_selection)]
_DryRun = Annotated[bool, Query(description="Only count the jobs, and do nothing.")]


async def cancel_jobs(
    _: _MayAct, scheduler: SchedulerDependency, selection: _Selection, dry_run: _DryRun = False
) -> BulkMatch | BulkResult:
    """Ask jobs that are pending or running to stop, and keep their records. Those that run are waited for, in all at
    most a second.
    """
    return await _answer(scheduler, BulkAction.CANCEL, selection, scheduler.bulk.cancel, is_dry_run=dry_run)


async def retry_jobs(
    _: _MayAct, scheduler: SchedulerDependency, selection: _Selection, dry_run: _DryRun = False
) -> BulkMatch | BulkResult:
    """Submit jobs that have failed or were canceled again, each as a new job whose `retry_of` is the old one. Those
    that were repeated before are skipped, as long as the repetition is kept.
    """
    return await _answer(scheduler, BulkAction.RETRY, selection, scheduler.bulk.retry, is_dry_run=dry_run)


async def delete_jobs(
    _: _MayAct, scheduler: SchedulerDependency, selection: _Selection, dry_run: _DryRun = False
) -> BulkMatch | BulkResult:
    """Delete jobs at once, and stop those that run."""
    return await _answer(scheduler, BulkAction.DELETE, selection, scheduler.bulk.delete, is_dry_run=dry_run)


async def _answer(
    scheduler: Scheduler,
    action: BulkAction,
    selection: JobSelection,
    act: Callable[[JobSelection], Awaitable[BulkStep]],
    *,
    is_dry_run: bool,
) -> BulkMatch | BulkResult:
    if is_dry_run:
        count = await scheduler.bulk.count(action, selection)
        return BulkMatch(matching=count.matching, is_exact=count.is_exact, up_to=count.up_to)
    step = await act(selection)
    problems = [BulkProblem(id=problem.job_id, detail=problem.reason) for problem in step.problems]
    return BulkResult(done=step.done, skipped=step.skipped, problems=problems, next_cursor=step.next_before)
