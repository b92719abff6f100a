"""What an endpoint can ask for."""

from typing import Annotated

from fastapi import Depends, Request

from servicekit.api.state import service_state
from servicekit.engine.scheduler import Scheduler


async def get_scheduler(request: Request) -> Scheduler:
    """The scheduler of the application that serves this request.

    A dependency: `scheduler: Annotated[Scheduler, Depends(get_scheduler)]`, or `SchedulerDependency` for short. Tests
    replace it in `app.dependency_overrides`, and the job routes follow.
    """
    return service_state(request.app).require_scheduler()


SchedulerDependency = Annotated[Scheduler, Depends(get_scheduler)]
