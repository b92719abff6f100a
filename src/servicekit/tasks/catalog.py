"""The tasks of one application: those of its code, and those that clients have made."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from servicekit.errors import (
    ConfigurationError,
    InvalidParameters,
    TaskConflict,
    TaskDisabled,
    TaskForbidden,
    TaskNotFound,
    TasksUnavailable,
)
from servicekit.jobs.ids import JobIds
from servicekit.tasks.definitions import CommandTask, FunctionTask, FunctionTemplate, Task, make_client_command
from servicekit.tasks.ports import StoredTask, TaskStore, Template

_MAX_TEMPLATE_BYTES: Final = 64 * 1024  # each process holds all templates in memory
_MOST_BUILT: Final = 1_000

CodeTasks = Mapping[str, FunctionTask | CommandTask]


class Entry(NamedTuple):
    """A task as it is now."""

    name: str
    task: Task | None
    """`None` if it cannot be executed here."""
    stored: StoredTask | None
    problem: str | None = None
    """Why it cannot be executed here."""

    @property
    def is_enabled(self) -> bool:
        return self.stored is None or self.stored.is_enabled

    @property
    def template(self) -> Template | None:
        """What a client has made; `None` for a task of the service's code."""
        return None if self.stored is None else self.stored.template


class Catalog:
    """Finds tasks by their names, and changes those that may be changed. A name in the code counts before a template.

    What the code has can only be enabled and disabled. A template of a client may name any function of the code; a
    command of its own only if `allow_client_commands`.
    """

    def __init__(
        self,
        tasks: CodeTasks,
        find_store: Callable[[], TaskStore],
        find_artifacts: Callable[[], str],
        *,
        allow_client_commands: bool,
    ) -> None:
        self._tasks = tasks
        self._find_store = find_store
        self._find_artifacts = find_artifacts
        self._allow_client_commands = allow_client_commands
        self._ids = JobIds()
        self._built: dict[str, tuple[StoredTask, Task]] = {}
        """What the templates have been made into. To prepare a check takes a millisecond."""

    @property
    def artifacts(self) -> str:
        """The address of the artifacts. `ConfigurationError` if the service has none."""
        return self._find_artifacts()

    async def get_enabled(self, name: str) -> Task:
        """The task, for an execution. `TaskNotFound`, `TaskDisabled`, or `TaskForbidden` if it cannot be executed."""
        stored = (await self._find_store().read()).get(name)
        task: Task | None = self._tasks.get(name)
        if stored is not None and not stored.is_enabled and (task is not None or stored.template is not None):
            raise TaskDisabled(name)
        if task is not None:
            return task
        if stored is None or stored.template is None:
            raise TaskNotFound(name)
        return self._build(stored, stored.template)

    async def get(self, name: str) -> Entry:
        """`TaskNotFound` if there is none of this name."""
        return self._find(name, await self._find_store().read())

    async def list(self) -> "list[Entry]":
        """All tasks, by name."""
        kept = await self._find_store().read()
        templates = {name for name, stored in kept.items() if stored.template is not None}
        return [self._find(name, kept) for name in sorted(self._tasks.keys() | templates)]

    async def set_enabled(self, name: str, *, is_enabled: bool) -> Entry:
        """`TaskNotFound` if there is none of this name."""
        await self.get(name)
        await self._find_store().set_enabled(name, is_enabled=is_enabled)
        return await self.get(name)

    async def add(self, name: str | None, template: Template, *, is_enabled: bool) -> Entry:
        """Keep a new template, under an id if it has no name. `TaskConflict` if the name is taken."""
        name = name or self._ids.next_id()
        if name in self._tasks:
            raise TaskConflict(name, "the service's code has this name")
        self._check(name, template)
        await self._find_store().add(name, template, is_enabled=is_enabled)
        return await self.get(name)

    async def replace(self, name: str, template: Template, *, is_enabled: bool) -> Entry:
        """Put another template in the place of one of a client."""
        await self._check_changeable(name)
        self._check(name, template)
        await self._find_store().replace(name, template, is_enabled=is_enabled)
        return await self.get(name)

    async def remove(self, name: str) -> None:
        """Remove a template of a client. Its jobs stay."""
        await self._check_changeable(name)
        await self._find_store().remove(name)

    async def find_problem(self) -> str | None:
        """Why tasks cannot be read now, for `/health`; `None` if they can."""
        try:
            await self._find_store().read()
        except TasksUnavailable as error:
            return str(error)
        return None

    async def close(self) -> None:
        await self._find_store().close()

    def _find(self, name: str, kept: Mapping[str, StoredTask]) -> Entry:
        stored, task = kept.get(name), self._tasks.get(name)
        if task is not None:
            return Entry(name, task, None if stored is None else stored_without_template(stored))
        if stored is None or stored.template is None:
            raise TaskNotFound(name)
        try:
            return Entry(name, self._build(stored, stored.template), stored)
        except (TaskForbidden, TaskConflict) as error:
            return Entry(name, None, stored, str(error))

    async def _check_changeable(self, name: str) -> None:
        if name in self._tasks:
            raise TaskForbidden(name, "it is part of the service's code, which clients cannot change")
        await self.get(name)

    def _check(self, name: str, template: Template) -> None:
        """Raise what is wrong with a new template."""
        size = len(template.model_dump_json())
        if size > _MAX_TEMPLATE_BYTES:
            text = f"A template has at most {_MAX_TEMPLATE_BYTES:,} bytes, and this one has {size:,}"
            raise InvalidParameters(name, [{"type": "value_error", "loc": ("body",), "msg": text}])
        try:
            self._make(name, template)
        except ConfigurationError as error:
            raise InvalidParameters(name, [{"type": "value_error", "loc": ("body",), "msg": str(error)}]) from error

    def _build(self, stored: StoredTask, template: Template) -> Task:
        built = self._built.get(stored.name)
        if built is not None and built[0] == stored:
            return built[1]
        try:
            task = self._make(stored.name, template)
        except (ConfigurationError, InvalidParameters) as error:  # the code has changed since the template was made
            raise TaskConflict(stored.name, f"the template does not fit the service any more: {error}") from error
        if len(self._built) >= _MOST_BUILT:  # of templates that were deleted too
            self._built.clear()
        self._built[stored.name] = (stored, task)
        return task

    def _make(self, name: str, template: Template) -> Task:
        if template.task_type == "shell":
            if not self._allow_client_commands:
                raise TaskForbidden(
                    name,
                    "it is a command of a client, and this service runs only its own. "
                    "Tasks(allow_client_commands=True) allows them",
                )
            return make_client_command(name, template)
        function = self._tasks.get(template.command)
        if not isinstance(function, FunctionTask):
            names = ", ".join(sorted(name for name, task in self._tasks.items() if isinstance(task, FunctionTask)))
            text = f"The service has no function of this name. It has {names or 'none'}"
            raise InvalidParameters(name, [{"type": "value_error", "loc": ("body", "command"), "msg": text}])
        return FunctionTemplate(name, template, function)


def stored_without_template(stored: StoredTask) -> StoredTask:
    """What is kept of a task of the code, whose name a template may have had before."""
    return StoredTask(stored.name, stored.is_enabled, None, stored.created_at, stored.updated_at)
