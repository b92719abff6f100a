"""What an endpoint can ask for."""

from typing import Annotated

from fastapi import Depends, Request

from servicekit.api.state import find_service
from servicekit.engine.scheduler import Scheduler


async def get_scheduler(request: Request) -> Scheduler:
    """The scheduler of the application that serves this request, or of the one in which that is mounted.

    A dependency: `scheduler: Annotated[Scheduler, Depends(get_scheduler)]`, or `SchedulerDependency` for short. Tests
    replace it in `app.dependency_overrides`, and the job routes follow.
    """
    return find_service(request).require_scheduler()


SchedulerDependency = Annotated[Scheduler, Depends(get_scheduler)]
