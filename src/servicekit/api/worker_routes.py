"""The route to list the processes that work on the jobs."""

from fastapi import FastAPI

from servicekit.api.dependencies import SchedulerDependency
from servicekit.api.job_responses import UNAVAILABLE
from servicekit.api.openapi import name_operation
from servicekit.api.routing import EventStreamRoute
from servicekit.jobs.workers import WorkerRecord


def add_worker_route(app: FastAPI, path: str) -> None:
    """Add the route to the application itself, since an included router would cost every request some time."""
    app.router.add_api_route(
        path,
        list_workers,
        tags=["workers"],
        summary="List the processes that are alive",
        responses=UNAVAILABLE,
        route_class_override=EventStreamRoute,
        generate_unique_id_function=name_operation,
    )


async def list_workers(scheduler: SchedulerDependency) -> list[WorkerRecord]:
    """The processes that are alive and share the jobs, with how many of them each runs; the oldest first."""
    return await scheduler.list_workers()
