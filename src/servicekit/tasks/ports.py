"""What tasks need of the place that keeps them: which ones are disabled, and the templates that clients have made."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, JsonValue

TASK_NAME: Final = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$"
"""The names of tasks. They are parts of paths and of tags."""
TaskType = Literal["python", "shell"]


class Template(BaseModel):
    """What a client has made a task of: a function of the service with some values, or a command."""

    model_config = ConfigDict(extra="forbid")

    task_type: TaskType = Field(
        description="`python` names a function that the service has registered. `shell` is a command, whose text is "
        "split into arguments as a shell would do it. No shell runs it: there are no pipes, variables and wildcards."
    )
    command: Annotated[str, Field(min_length=1, max_length=10_000)] = Field(
        description="The name of the function, or the command. `{name}` in a command is the place of a parameter.",
        examples=["add"],
    )
    parameters: dict[str, JsonValue] = Field(
        default_factory=dict, description="Values that count where an execution gives none.", examples=[{"a": 1}]
    )
    tags: list[str] = Field(default_factory=list, description="Tags of its jobs.", max_length=19)


@dataclass(frozen=True, slots=True)
class StoredTask:
    """What is kept of a task. A task of the service's code has only whether it is enabled."""

    name: str
    is_enabled: bool
    template: Template | None
    created_at: datetime
    updated_at: datetime


class TaskStore(Protocol):
    """Keeps what clients decide about tasks, for all processes of the service.

    Every method raises `TasksUnavailable` if it cannot read or write now. A change is seen by every process that reads
    after it.
    """

    async def read(self) -> Mapping[str, StoredTask]:
        """All that is kept, by name. It is called for each execution, so it must be cheap while nothing changes."""
        ...

    async def set_enabled(self, name: str, *, is_enabled: bool) -> None:
        """Keep whether the task is enabled, whether it is known here or not."""
        ...

    async def add(self, name: str, template: Template, *, is_enabled: bool) -> None:
        """Keep a new template. `TaskConflict` if there is one of this name."""
        ...

    async def replace(self, name: str, template: Template, *, is_enabled: bool) -> None:
        """Put another template in the place of one. `TaskNotFound` if there is none of this name."""
        ...

    async def remove(self, name: str) -> None:
        """Remove a template. `TaskNotFound` if there is none of this name."""
        ...

    async def close(self) -> None:
        """Let go of what is open. The next call opens it again."""
        ...
