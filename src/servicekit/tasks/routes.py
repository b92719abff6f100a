"""The routes to list, execute, enable and disable tasks, and to make templates."""

from collections.abc import Awaitable
from functools import partial
from typing import Annotated, Any, Final, TypeVar

from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError

from servicekit.api import Service
from servicekit.api.openapi import name_operation
from servicekit.api.routing import EventStreamRoute, JobRoute
from servicekit.api.submit import JobSubmitted, SubmitJob
from servicekit.artifacts.bodies import read_small_body
from servicekit.artifacts.inputs import read_small
from servicekit.artifacts.transfers import answer_transfer
from servicekit.errors import InvalidParameters
from servicekit.tasks.calls import TaskCall
from servicekit.tasks.catalog import Catalog, Entry
from servicekit.tasks.definitions import Task
from servicekit.tasks.responses import (
    CHANGED,
    CREATED,
    EXECUTED,
    LIST,
    ONE,
    REPLACED,
    SWITCHED,
    NewTask,
    TaskChange,
    TaskRecord,
)

T = TypeVar("T", bound=TaskChange)

_Name = Annotated[str, Path(description="The task's name.", examples=["add"])]
# The document gets a schema for each task besides: see `documents`.
_BODY: Final = {
    "requestBody": {
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"parameters": {"type": "object", "description": "By the task's JSON Schema."}},
                    "additionalProperties": False,
                },
                "example": {"parameters": {"a": 1}},
            }
        }
    }
}


def add_task_routes(app: FastAPI, prefix: str, catalog: Catalog, max_body_bytes: int) -> None:
    """Add the routes to the application itself, as those of jobs."""
    routes = _Routes(prefix, catalog, max_body_bytes)
    add = partial(
        app.router.add_api_route,
        tags=["tasks"],
        route_class_override=EventStreamRoute,
        generate_unique_id_function=name_operation,
    )
    # The tasks are everybody's, and what they do belongs to who executes them. To change a task needs everything.
    open_to_all = partial(add, route_class_override=JobRoute)
    one = f"{prefix}/{{name}}"
    open_to_all(prefix, routes.list_tasks, summary="List tasks", responses=LIST)
    add(
        prefix,
        routes.create_task,
        methods=["POST"],
        summary="Make a task",
        status_code=201,
        responses=CREATED,
        openapi_extra=_body_of(NewTask),
    )
    open_to_all(one, routes.get_task, summary="Get one task", responses=ONE)
    add(
        one,
        routes.replace_task,
        methods=["PUT"],
        summary="Change a template",
        responses=REPLACED,
        openapi_extra=_body_of(TaskChange),
    )
    add(one, routes.delete_task, methods=["DELETE"], summary="Delete a template", status_code=204, responses=CHANGED)
    add(f"{one}/$enable", routes.enable_task, methods=["POST"], summary="Enable a task", responses=SWITCHED)
    add(f"{one}/$disable", routes.disable_task, methods=["POST"], summary="Disable a task", responses=SWITCHED)
    open_to_all(
        f"{one}/$execute",
        routes.execute_task,
        methods=["POST"],
        summary="Execute a task",
        status_code=202,
        responses=EXECUTED,
        openapi_extra=_BODY,
    )


class _Routes:
    """The endpoints of one application."""

    def __init__(self, prefix: str, catalog: Catalog, max_body_bytes: int) -> None:
        self._prefix = prefix
        self._catalog = catalog
        self._max_body_bytes = max_body_bytes

    async def list_tasks(
        self, enabled: Annotated[bool | None, Query(description="Only those that are enabled, or are not.")] = None
    ) -> list[TaskRecord]:
        """All tasks, by name: those of the service's code, and those that clients have made."""
        entries = await self._catalog.list()
        return [TaskRecord.of(entry) for entry in entries if enabled in (None, entry.is_enabled)]

    async def create_task(self, request: Request, response: Response) -> TaskRecord:
        """Make a task of a function of the service with some values; or of a command, if the service allows that."""
        new = await self._read_template(NewTask, request)
        entry = await _explained(self._catalog.add(new.name, new.template, is_enabled=new.enabled))
        response.headers["location"] = f"{request.scope.get('root_path', '')}{self._prefix}/{entry.name}"
        return TaskRecord.of(entry)

    async def get_task(self, name: _Name) -> TaskRecord:
        """One task, with the JSON Schema of its parameters."""
        return TaskRecord.of(await self._catalog.get(name))

    async def replace_task(self, name: _Name, request: Request) -> TaskRecord:
        """Put another template in the place of one. Jobs that were submitted before go on as they were."""
        change = await self._read_template(TaskChange, request)
        entry = await _explained(self._catalog.replace(name, change.template, is_enabled=change.enabled))
        return TaskRecord.of(entry)

    async def delete_task(self, name: _Name) -> None:
        """Delete a template. The jobs that were submitted by it stay."""
        await self._catalog.remove(name)

    async def enable_task(self, name: _Name) -> TaskRecord:
        """Let the task be executed again, in all processes."""
        return TaskRecord.of(await self._catalog.set_enabled(name, is_enabled=True))

    async def disable_task(self, name: _Name) -> TaskRecord:
        """Refuse all executions from now on, in all processes. Jobs that were submitted before go on."""
        return TaskRecord.of(await self._catalog.set_enabled(name, is_enabled=False))

    async def execute_task(self, name: _Name, request: Request, submit: SubmitJob) -> JobSubmitted:
        """Check the parameters, and submit a job. Its record, stream and log are those of every job."""
        task = await self._catalog.get_enabled(name)
        call = self._prepare(task, await self._read_body(request))
        submitter = submit.with_options(**call.options) if call.options else submit
        return await submitter(call.target, *call.args, **call.kwargs)

    def _prepare(self, task: Task, body: bytes) -> TaskCall:
        try:
            return task.call(task.read(body), self._catalog.artifacts if task.needs_artifacts else "")
        except InvalidParameters as error:
            raise RequestValidationError(error.problems) from None

    async def _read_body(self, request: Request) -> bytes:
        # Without a model of FastAPI, which would be built and checked once more, and without a limit.
        return await answer_transfer(read_small_body(request, Service.of(request.app), self._max_body_bytes))

    async def _read_template(self, kind: type[T], request: Request) -> T:
        return await read_small(request, Service.of(request.app), kind, self._max_body_bytes)


def _body_of(kind: type[TaskChange]) -> dict[str, Any]:
    """The document of a body that the route reads by itself."""
    schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)  # `TaskRecord` has the same, which FastAPI adds to the document
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


async def _explained(change: Awaitable[Entry]) -> Entry:
    """What the change gives. Its `InvalidParameters` becomes FastAPI's own error, with the places."""
    try:
        return await change
    except InvalidParameters as error:
        raise RequestValidationError(error.problems) from None
