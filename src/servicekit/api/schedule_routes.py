"""The routes to list, read, pause, resume and remove schedules. The code of the service adds them."""

from functools import partial
from typing import Annotated

from fastapi import FastAPI, Path

from servicekit.api.dependencies import SchedulerDependency
from servicekit.api.job_responses import UNAVAILABLE
from servicekit.api.openapi import name_operation
from servicekit.api.routing import EventStreamRoute
from servicekit.api.schedule_responses import CHANGED, NO_SCHEDULE, REMOVED, ScheduleRecord

_Name = Annotated[str, Path(description="The schedule's name.", examples=["nightly"])]


def add_schedule_routes(app: FastAPI, prefix: str) -> None:
    """Add the routes to the application itself, since an included router would cost every request some time."""
    add = partial(
        app.router.add_api_route,
        tags=["schedules"],
        route_class_override=EventStreamRoute,
        generate_unique_id_function=name_operation,
    )
    one = f"{prefix}/{{name}}"
    add(prefix, list_schedules, summary="List schedules", responses=UNAVAILABLE)
    add(one, get_schedule, summary="Get one schedule", responses=NO_SCHEDULE)
    add(f"{one}/$pause", pause_schedule, methods=["POST"], summary="Pause a schedule", responses=CHANGED)
    add(f"{one}/$resume", resume_schedule, methods=["POST"], summary="Resume a schedule", responses=CHANGED)
    add(one, remove_schedule, methods=["DELETE"], summary="Remove a schedule", status_code=204, responses=REMOVED)


async def list_schedules(scheduler: SchedulerDependency) -> list[ScheduleRecord]:
    """All schedules, by name, whichever process has added them."""
    return [ScheduleRecord.of(state) for state in await scheduler.schedules.list()]


async def get_schedule(scheduler: SchedulerDependency, name: _Name) -> ScheduleRecord:
    """One schedule, with its next tick and its last job."""
    return ScheduleRecord.of(await scheduler.schedules.get(name))


async def pause_schedule(scheduler: SchedulerDependency, name: _Name) -> ScheduleRecord:
    """Submit no more jobs of the schedule, in any process, until it is resumed. Jobs that were submitted go on."""
    return ScheduleRecord.of(await scheduler.schedules.pause(name))


async def resume_schedule(scheduler: SchedulerDependency, name: _Name) -> ScheduleRecord:
    """Go on with the first tick from now. Ticks that passed during the pause get no jobs."""
    return ScheduleRecord.of(await scheduler.schedules.resume(name))


async def remove_schedule(scheduler: SchedulerDependency, name: _Name) -> None:
    """Remove the schedule. If the service's code adds it, it is back after the next start: pause it instead."""
    await scheduler.schedules.remove(name)
