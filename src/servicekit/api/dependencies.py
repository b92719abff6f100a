"""Dependencies of endpoints: the scheduler of the application."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.dependencies.utils import get_dependant, solve_dependencies
from fastapi.exceptions import RequestValidationError

from servicekit.api.state import find_service
from servicekit.engine.scheduler import Scheduler


async def get_scheduler(request: Request) -> Scheduler:
    """The scheduler of the application that serves this request, or of the application in which that one is mounted.

    It is a dependency: `scheduler: Annotated[Scheduler, Depends(get_scheduler)]`, or `SchedulerDependency` for short.
    If a test replaces it in `app.dependency_overrides`, the job routes use the replacement too.
    """
    return find_service(request).require_scheduler()


SchedulerDependency = Annotated[Scheduler, Depends(get_scheduler)]


def find_scheduler(request: Request) -> Scheduler | None:
    """What `get_scheduler` would give to an endpoint of this request; `None` if the application overrides it.

    It is called directly, since each level of dependencies costs a request some 10 us in FastAPI.
    """
    if get_scheduler in getattr(request.app, "dependency_overrides", ()):
        return None
    return find_service(request).require_scheduler()


async def solve_scheduler(request: Request) -> Scheduler:
    """What FastAPI gives for `get_scheduler` in the application of this request, with overrides."""
    solved = await solve_dependencies(
        request=request,
        dependant=get_dependant(path=request.url.path, call=_get_scheduler),
        dependency_overrides_provider=request.app,
        async_exit_stack=request.scope["fastapi_inner_astack"],
        embed_body_fields=False,
    )
    if solved.errors:
        raise RequestValidationError(solved.errors)
    return await _get_scheduler(**solved.values)


async def _get_scheduler(scheduler: SchedulerDependency) -> Scheduler:
    return scheduler
