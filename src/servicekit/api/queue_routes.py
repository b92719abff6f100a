"""The routes to list, pause and resume queues."""

from functools import partial
from typing import Annotated, Final

from fastapi import FastAPI, Path
from pydantic import AfterValidator

from servicekit.api.dependencies import SchedulerDependency
from servicekit.api.job_responses import OTHER_SITE, UNAVAILABLE, Responses
from servicekit.api.openapi import name_operation
from servicekit.api.routing import EventStreamRoute
from servicekit.engine.scheduler import Scheduler
from servicekit.jobs.options import check_queue
from servicekit.jobs.queues import QueueRecord

_CHANGED: Final[Responses] = {**UNAVAILABLE, **OTHER_SITE}


def add_queue_routes(app: FastAPI, prefix: str) -> None:
    """Add the routes to the application itself, since an included router would cost every request some time."""
    add = partial(
        app.router.add_api_route,
        tags=["queues"],
        responses=UNAVAILABLE,
        route_class_override=EventStreamRoute,
        generate_unique_id_function=name_operation,
    )
    one = f"{prefix}/{{name:path}}"  # names may contain slashes
    add(prefix, list_queues, summary="List queues")
    add(f"{one}/$pause", pause_queue, methods=["POST"], summary="Pause a queue", responses=_CHANGED)
    add(f"{one}/$resume", resume_queue, methods=["POST"], summary="Resume a queue", responses=_CHANGED)


def _check_name(name: str) -> str:
    check_queue("name", name)
    return name


_Name = Annotated[str, Path(description="The queue's name.", examples=["gpu"]), AfterValidator(_check_name)]


async def list_queues(scheduler: SchedulerDependency) -> list[QueueRecord]:
    """The queues that have a limit of their own, are paused, or have jobs pending or running, by name."""
    return await scheduler.queues.list()


async def pause_queue(scheduler: SchedulerDependency, name: _Name) -> QueueRecord:
    """Start no more jobs of this queue, in any process, until it is resumed. Running jobs go on."""
    await scheduler.queues.pause(name)
    return await _get(scheduler, name)


async def resume_queue(scheduler: SchedulerDependency, name: _Name) -> QueueRecord:
    """Start jobs of this queue again."""
    await scheduler.queues.resume(name)
    return await _get(scheduler, name)


async def _get(scheduler: Scheduler, name: str) -> QueueRecord:
    nothing = QueueRecord(name, is_paused=False, pending=0, running=0)
    return next((record for record in await scheduler.queues.list() if record.name == name), nothing)
