"""`Tasks`: what users hold."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from importlib import import_module
from pathlib import Path
from re import fullmatch
from typing import TYPE_CHECKING, Any, Final, TypeVar, Unpack, overload

from pydantic import BaseModel

from servicekit.errors import ConfigurationError, TaskNotFound, check_count
from servicekit.jobs.options import OptionChanges, check_option_names
from servicekit.tasks.definitions import CommandTask, FunctionTask, check_function, make_command, set_options
from servicekit.tasks.ports import TASK_NAME

if TYPE_CHECKING:
    from fastapi import FastAPI

    from servicekit.jobs.timetable import Timetable
    from servicekit.tasks.recurring import RecurringTask

F = TypeVar("F", bound=Callable[..., object])

MAX_BODY_BYTES: Final = 1024 * 1024

_FEATURE: Final = "servicekit.tasks.feature"


class Tasks:
    """Functions and programs that clients run by name: `tasks = Tasks()`, and `.with_tasks(tasks)`.

    It is an object of a module, as a rule. Clients see the JSON Schema of the parameters, and what they send is checked
    before there is a job.

        @tasks.task(run_timeout=60)
        def add(a: int, b: int = 1) -> int:
            "Add two numbers."
            return a + b

        tasks.add_command("backup", ["pg_dump", "{database}"])
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        allow_client_commands: bool = False,
        max_body_bytes: int = MAX_BODY_BYTES,
        prefix: str | None = None,
        page: str | None = "/tasks",
    ) -> None:
        """`path`: the file that keeps which tasks are disabled, and the templates of clients; relative to the working
        directory of now. It is made when it is needed. If nothing is said, it is `tasks.db`, or if the jobs are in a
        database server, a table beside them, for the services of all machines.

        `allow_client_commands`: whether clients may make commands of their own, which is to run any program. Only for
        clients that may do anything. `max_body_bytes`: the largest body of an execution, 1 MiB by default. `prefix`:
        where the routes are, `/api/v1/tasks` beside the jobs if it is left out. `page`: where the page with the forms
        is; `None` for no page.

        `ConfigurationError` for what makes no sense.
        """
        check_count("max_body_bytes", max_body_bytes)
        self.path = Path("tasks.db" if path is None else path).absolute()
        self.is_path_given = path is not None
        self.allow_client_commands = allow_client_commands
        self.max_body_bytes = max_body_bytes
        self.prefix = prefix
        self.page = page
        self._tasks: dict[str, FunctionTask | CommandTask] = {}

    @property
    def by_name(self) -> Mapping[str, FunctionTask | CommandTask]:
        """The tasks of the service's code. It shows those that are added later too."""
        return self._tasks

    @overload
    def task(self, function: F, /) -> F: ...

    @overload
    def task(
        self, name: str | None = None, /, *, artifact: bool = False, **options: Unpack[OptionChanges]
    ) -> Callable[[F], F]: ...

    def task(self, name: Any = None, /, *, artifact: bool = False, **options: Unpack[OptionChanges]) -> Any:
        """A decorator that makes a task of a function, and returns the function itself.

        Its job is a job of the function, with these options (see `JobOptions`) and the tag `task:<name>`. The name is
        the function's own unless another is given. `artifact`: whether the result is also saved as an artifact, with
        the parameters, which the job's record then names.

        `ConfigurationError` for a name that is taken or cannot be part of a path, and for parameters that cannot be
        given by name or have no JSON Schema. `InvalidTarget` for what cannot be run.
        """
        check_option_names(options, Tasks.task.__kwdefaults__)
        if callable(name):
            return self._add_function(name, None, artifact=artifact, options=options)
        return lambda function: self._add_function(function, name, artifact=artifact, options=options)

    def add_command(
        self,
        name: str,
        argv: Sequence[str],
        /,
        *,
        parameters: type[BaseModel] | None = None,
        description: str = "",
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        ok_codes: Collection[int] = (0,),
        allow_options: bool = False,
        **options: Unpack[OptionChanges],
    ) -> None:
        """Make a task of a program. No shell is involved.

        `argv` is the program and its arguments. `{name}` in an argument is the place of a parameter, which stays within
        that argument whatever it contains; with `None` the argument is left out. `{name...}` is a whole argument, and
        becomes as many as the list has items. `{{` and `}}` are braces. Values of `env` can have parameters too.

        `parameters`: a model with a field for each parameter; without it, all of them are texts. `allow_options`:
        whether a parameter may begin an argument with a dash, which programs take for an option. `ok_codes`: the exit
        codes that are no failure. `cwd`, `env`: as for `Command`. `options`: see `JobOptions`.

        What the program writes becomes an artifact, so that the service needs `.with_artifacts(...)`.
        `ConfigurationError` for what makes no sense.
        """
        check_option_names(options, Tasks.add_command.__kwdefaults__)
        self._check_name(name)
        self._tasks[name] = make_command(
            name,
            argv,
            parameters=parameters,
            description=description,
            env=env,
            cwd=None if cwd is None else str(Path(cwd).absolute()),
            ok_codes=ok_codes,
            allow_options=allow_options,
            options=options,
        )

    def recurring(self, name: str, timetable: "Timetable", task: str, /, **parameters: object) -> "RecurringTask":
        """A feature that executes a task at every tick of a timetable, with these parameters.

        `.with_feature(tasks.recurring("nightly", Cron("0 3 * * *"), "backup", database="x"))`. For a function,
        `.with_schedule("nightly", Cron("0 3 * * *"), add, a=1)` does the same. `TaskNotFound` if the code has no such
        task, `InvalidParameters` if the parameters are wrong.
        """
        found = self._tasks.get(task)
        if found is None:
            raise TaskNotFound(task)
        from servicekit.tasks.recurring import RecurringTask  # for services: it needs more than a job's process has

        return RecurringTask(name, timetable, found, found.parameters.check(parameters))

    def install(self, app: "FastAPI") -> None:
        """Add the routes and the page to an application: see `servicekit.api.Feature`."""
        # By its name: that module knows this class, and a job's own process has no use for the routes.
        import_module(_FEATURE).install(self, app)

    def lifespan(self, app: "FastAPI") -> AbstractAsyncContextManager[None]:
        """What happens around the run of an application."""
        around: AbstractAsyncContextManager[None] = import_module(_FEATURE).lifespan(self, app)
        return around

    def _add_function(self, function: F, name: str | None, *, artifact: bool, options: OptionChanges) -> F:
        task_name = name or options.get("name") or function.__name__
        self._check_name(task_name)
        task = FunctionTask(task_name, function, artifact=artifact)
        set_options(function, task_name, options, task.parameters.secret_names)
        check_function(function)
        self._tasks[task_name] = task
        return function

    def _check_name(self, name: object) -> None:
        if not isinstance(name, str) or not fullmatch(TASK_NAME, name):
            raise ConfigurationError(
                "name", name, "up to 100 ASCII letters, digits, dots, dashes and underscores, not a dot or dash first"
            )
        if name in self._tasks:
            raise ConfigurationError(
                "name", name, sentence=f"There is a task {name!r} already. Give this one another name."
            )
