"""What an endpoint can ask for."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.dependencies.utils import get_dependant, solve_dependencies
from fastapi.exceptions import RequestValidationError

from servicekit.api.state import find_service
from servicekit.engine.scheduler import Scheduler


async def get_scheduler(request: Request) -> Scheduler:
    """The scheduler of the application that serves this request, or of the one in which that is mounted.

    A dependency: `scheduler: Annotated[Scheduler, Depends(get_scheduler)]`, or `SchedulerDependency` for short. Tests
    replace it in `app.dependency_overrides`, and the job routes follow.
    """
    return find_service(request).require_scheduler()


SchedulerDependency = Annotated[Scheduler, Depends(get_scheduler)]


def find_scheduler(request: Request) -> Scheduler | None:
    """What an endpoint of this request would get for `get_scheduler`; `None` if something else is to stand for it.

    Each level of dependencies takes FastAPI some 10 us: this one is left out.
    """
    if get_scheduler in getattr(request.app, "dependency_overrides", ()):
        return None
    return find_service(request).require_scheduler()


async def solve_scheduler(request: Request) -> Scheduler:
    """What stands for `get_scheduler` in the application of this request."""
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
