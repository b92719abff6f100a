"""What every place that keeps tasks has in common: its bounds, and how a row becomes a task."""

from datetime import datetime
from typing import Final

from pydantic import ValidationError

from servicekit.errors import TaskConflict, TaskNotFound, TasksUnavailable
from servicekit.tasks.ports import StoredTask, Template

# Each process holds all templates in memory, and the list of tasks has them twice, as values and in their schema.
MOST_TEMPLATES: Final = 1_000
MOST_CHARACTERS: Final = 2 * 1024 * 1024


def read_row(name: str, is_enabled: int, template: str | None, created_at: str, updated_at: str) -> StoredTask:
    """The task of a row. `TasksUnavailable` if it is none."""
    try:
        return StoredTask(
            name,
            bool(is_enabled),
            None if template is None else Template.model_validate_json(template),
            datetime.fromisoformat(created_at),
            datetime.fromisoformat(updated_at),
        )
    except (ValidationError, ValueError) as error:
        raise TasksUnavailable(f"the row of the task {name!r} is damaged.") from error


def refuse_addition(name: str, *, is_taken: bool) -> TaskConflict:
    """The error for a template that cannot be added."""
    return TaskConflict(name, "the name is taken" if is_taken else _describe_bounds())


def refuse_replacement(name: str, *, is_there: bool) -> TaskConflict | TaskNotFound:
    """The error for a template that cannot take the place of another one."""
    return TaskConflict(name, _describe_bounds()) if is_there else TaskNotFound(name)


def _describe_bounds() -> str:
    return f"there may be {MOST_TEMPLATES:,} templates, of {MOST_CHARACTERS:,} characters together"
