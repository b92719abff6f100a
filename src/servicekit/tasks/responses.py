"""The bodies of the task routes, and their responses for the OpenAPI document."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, Field, JsonValue
from pydantic_core import to_jsonable_python

from servicekit.api.errors import ErrorBody
from servicekit.api.job_responses import OTHER_SITE, UNAVAILABLE, Responses
from servicekit.tasks.catalog import Entry
from servicekit.tasks.definitions import show_options
from servicekit.tasks.ports import TASK_NAME, TaskType, Template


class TaskRecord(BaseModel):
    """What is known of a task."""

    name: str = Field(description="Its name, by which it is executed.", examples=["add"])
    task_type: TaskType = Field(description="`python` for a function, `shell` for a command, which no shell runs.")
    command: str = Field(description="The function's name, or the command.", examples=["pg_dump '{database}'"])
    description: str = Field(description="For people.", examples=["Add two numbers."])
    source: Literal["code", "client"] = Field(description="Whether the service's code has it, or a client has made it.")
    enabled: bool = Field(description="Whether it can be executed.")
    parameters: dict[str, JsonValue] = Field(
        description="Values of a template that count where an execution gives none, without secrets."
    )
    parameters_schema: dict[str, JsonValue] = Field(description="The JSON Schema of its parameters.")
    options: dict[str, JsonValue] = Field(
        description="The options of its jobs, where they are not the defaults. Durations are seconds.",
        examples=[{"run_timeout": 60.0}],
    )
    tags: list[str] = Field(description="The tags of its jobs.", examples=[["task:add"]])
    problem: str | None = Field(default=None, description="Why it cannot be executed here, if so.")
    created_at: datetime | None = Field(default=None, description="When a client has made it.")
    updated_at: datetime | None = Field(default=None, description="When a client has changed it last.")

    @classmethod
    def of(cls, entry: Entry) -> Self:
        task, template, stored = entry.task, entry.template, entry.stored
        shown = template or task
        assert shown is not None  # a task is in the code, or else a template
        return cls(
            name=entry.name,
            task_type=shown.task_type,
            command=shown.command,
            description=task.description if task else "",
            source="client" if template else "code",
            enabled=entry.is_enabled,
            parameters=task.parameters.show_kept(template.parameters) if task and template else {},
            parameters_schema=task.schema if task else {},
            options=to_jsonable_python(show_options(task.options), fallback=str) if task else {},
            tags=list(task.options.tags) if task else [],
            problem=entry.problem,
            created_at=stored.created_at if stored and template else None,
            updated_at=stored.updated_at if stored else None,
        )


class TaskChange(Template):
    """A template, as clients write it."""

    enabled: bool = Field(default=True, description="Whether it can be executed.")

    @property
    def template(self) -> Template:
        return Template(task_type=self.task_type, command=self.command, parameters=self.parameters, tags=self.tags)


class NewTask(TaskChange):
    """A new template."""

    name: Annotated[str, Field(pattern=TASK_NAME)] | None = Field(
        default=None, description="Its name; an id is made if it has none.", examples=["add_one"]
    )


def _error(description: str, example: str) -> dict[str, Any]:
    return {
        "model": ErrorBody,
        "description": description,
        "content": {"application/json": {"example": {"detail": example}}},
    }


_NO_TASK: Final = _error("There is no task of this name.", "Task not found")
_FORBIDDEN: Final = _error(
    "The task is part of the service's code, or a command of a client, which the service does not allow; or a page of "
    "another site has made the request.",
    "The task 'add' is refused: it is part of the service's code, which clients cannot change.",
)

LIST: Final[Responses] = UNAVAILABLE
ONE: Final[Responses] = {404: _NO_TASK, **UNAVAILABLE}
SWITCHED: Final[Responses] = {**ONE, **OTHER_SITE}
CHANGED: Final[Responses] = {**ONE, 403: _FORBIDDEN}
_BODY: Final[Responses] = {
    408: _error("The client has sent nothing for a minute.", "Nothing came for 60 seconds."),
    413: _error("The body is too large.", "The content is larger than it may be: at most 1,048,576 bytes."),
    422: {
        "description": "Something in the body is wrong: `loc` says where.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/HTTPValidationError"}}},
    },
}
_FULL: Final = _error(
    "The templates of the service are as many, or as large, as they may be.",
    "The task 'add_one' cannot be used: there may be 1,000 templates, of 2,097,152 characters together.",
)
REPLACED: Final[Responses] = {**CHANGED, 409: _FULL, **_BODY}
CREATED: Final[Responses] = {
    201: {
        "description": "The template is kept.",
        "headers": {"Location": {"description": "Where it is.", "schema": {"type": "string"}}},
    },
    403: _FORBIDDEN,
    409: _error("The name is taken.", "The task 'add' cannot be used: the service's code has this name."),
    **_BODY,
    **UNAVAILABLE,
}
EXECUTED: Final[Responses] = {
    202: {
        "description": "The job is accepted.",
        "headers": {"Location": {"description": "Where it is.", "schema": {"type": "string"}}},
    },
    404: _NO_TASK,
    409: _error(
        "The task is disabled, or its template does not fit the service any more; or the `Idempotency-Key` was used "
        "for another call.",
        "The task 'add' is disabled.",
    ),
    **_BODY,
}
