"""The kinds of tasks: a function, a command, and a template that a client has made."""

import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields
from datetime import timedelta
from inspect import getdoc
from typing import Any, Final, Protocol

from pydantic import BaseModel

from servicekit.errors import ConfigurationError, InvalidParameters
from servicekit.jobs.masks import check_mask
from servicekit.jobs.metadata import Metadata
from servicekit.jobs.options import (
    DEFAULT_OPTIONS,
    ISOLATED,
    JobOptions,
    OptionChanges,
    RunnerKind,
    changed,
    job_options,
    options_of,
    seconds_of,
)
from servicekit.jobs.submission import check_options, check_target
from servicekit.tasks.calls import CommandCall, TaskCall
from servicekit.tasks.commands import run_command
from servicekit.tasks.parameters import Parameters, parameters_of_texts, parameters_of_values
from servicekit.tasks.ports import TaskType
from servicekit.tasks.ports import Template as StoredTemplate
from servicekit.tasks.secret_places import Schema
from servicekit.tasks.templates import Parts, Placeholder, Template, fill_text, parse_text

# Of the grace time, what is left after it is for the artifact with the program's output.
_SHARE_OF_GRACE: Final = 0.8


class Task(Protocol):
    """What can be executed by its name."""

    name: str
    task_type: TaskType
    command: str
    """The name of the function, or the program with its arguments, as a shell would take them."""
    description: str
    parameters: Parameters

    @property
    def options(self) -> JobOptions:
        """The options of its jobs."""
        ...

    @property
    def schema(self) -> Schema:
        """The JSON Schema of its parameters, without secrets."""
        ...

    @property
    def needs_artifacts(self) -> bool:
        """Whether its jobs can only run with artifacts."""
        ...

    def read(self, body: bytes) -> dict[str, object]:
        """The checked parameters of a request's body. `InvalidParameters` if they are wrong."""
        ...

    def call(self, values: Mapping[str, object], artifacts: str) -> TaskCall:
        """What to submit for these checked parameters. `InvalidParameters` if they cannot stand in the command."""
        ...


class FunctionTask:
    """A function of the service. Its job is a job of the function itself."""

    task_type: TaskType = "python"

    def __init__(self, name: str, function: Callable[..., object], *, artifact: bool) -> None:
        self.name = name
        self.function = function
        self.command = name
        self.description = _first_line(getdoc(function))
        self.parameters = Parameters.of_function(name, function)
        self.needs_artifacts = artifact

    @property
    def options(self) -> JobOptions:
        return options_of(self.function)

    @property
    def schema(self) -> Schema:
        return _described(self.parameters.schema, self.description)

    def read(self, body: bytes) -> dict[str, object]:
        return self.parameters.read(body)

    def call(self, values: Mapping[str, object], artifacts: str) -> TaskCall:  # noqa: ARG002 # the hook has it
        return TaskCall(self.function, (), dict(values), {})


class CommandTask:
    """A program with its arguments. Its job runs `run_command`, in a process of its own."""

    task_type: TaskType = "shell"
    needs_artifacts = True

    def __init__(
        self,
        name: str,
        template: Template,
        command: str,
        parameters: Parameters,
        *,
        description: str = "",
        env: Mapping[str, Parts] | None = None,
        cwd: str | None = None,
        ok_codes: Collection[int] = (0,),
        allow_options: bool = False,
        options: OptionChanges | None = None,
    ) -> None:
        self.name = name
        self.command = command
        self.description = description
        self.parameters = parameters
        self._template = template
        self._env = env or {}
        self._cwd = cwd
        self._ok_codes = _check_codes(ok_codes)
        self._allow_options = allow_options
        self._changes = _options_of_command(name, options or {})
        self._options = changed(DEFAULT_OPTIONS, self._changes)

    @property
    def options(self) -> JobOptions:
        return self._options

    @property
    def schema(self) -> Schema:
        return _described(self.parameters.schema, self.description)

    def read(self, body: bytes) -> dict[str, object]:
        return self.parameters.read(body)

    def call(self, values: Mapping[str, object], artifacts: str) -> TaskCall:
        argv = self._template.fill(self.name, values, allow_options=self._allow_options)
        env = {name: fill_text(self.name, parts, values) for name, parts in self._env.items()}
        call = CommandCall(
            task=self.name,
            argv=tuple(argv),
            artifacts=artifacts,
            snapshot={
                "name": self.name,
                "task_type": self.task_type,
                "command": self.command,
                "parameters": self.parameters.show(values),
            },
            ok_codes=self._ok_codes,
            env={name: text for name, text in env.items() if text is not None},
            cwd=self._cwd,
            secrets=tuple(self.parameters.secrets_in(values)),
            stop_seconds=_SHARE_OF_GRACE * seconds_of(self._options.kill_grace),
        )
        return TaskCall(run_command, (call,), {}, self._changes)


class FunctionTemplate:
    """A function of the service with values that a client has given in advance."""

    task_type: TaskType = "python"
    needs_artifacts = False

    def __init__(self, name: str, stored: StoredTemplate, function: FunctionTask) -> None:
        self.name = name
        self.command = stored.command
        self.description = function.description
        self.parameters = function.parameters
        self._function = function
        self._stored = stored
        own = [tag for tag in function.options.tags if tag != tag_of(function.name)]
        self._changes: OptionChanges = {"name": name, "tags": [*own, *stored.tags, tag_of(name)]}
        changed(function.options, self._changes)
        self.parameters.check_kept(stored.parameters)

    @property
    def options(self) -> JobOptions:
        return changed(self._function.options, self._changes)

    @property
    def schema(self) -> Schema:
        return with_defaults(self._function.schema, self.parameters.show_kept(self._stored.parameters))

    def read(self, body: bytes) -> dict[str, object]:
        return self.parameters.read(body, self._stored.parameters)

    def call(self, values: Mapping[str, object], artifacts: str) -> TaskCall:
        return self._function.call(values, artifacts)._replace(options=self._changes)


def make_command(
    name: str,
    argv: Sequence[str],
    *,
    parameters: type[BaseModel] | None,
    description: str,
    env: Mapping[str, str] | None,
    cwd: str | None,
    ok_codes: Collection[int],
    allow_options: bool,
    options: OptionChanges,
) -> CommandTask:
    """A command of the service's code. `ConfigurationError` for what makes no sense."""
    template = Template.parse(argv)
    environment = _parse_environment(env or {})
    places = [
        *template.placeholders,
        *(part for each in environment.values() for part in each if not isinstance(part, str)),
    ]
    return CommandTask(
        name,
        template,
        shlex.join(argv),
        _parameters_of_command(name, parameters, places),
        description=description or _first_line(parameters.__doc__ if parameters else None),
        env=environment,
        cwd=cwd,
        ok_codes=ok_codes,
        allow_options=allow_options,
        options=options,
    )


def make_client_command(name: str, stored: StoredTemplate) -> CommandTask:
    """A command of a client. `InvalidParameters` if its text is no command."""
    try:
        words = shlex.split(stored.command)
        if "\0" in stored.command:
            raise ValueError("It contains NUL")
        template = Template.parse_literally(words, frozenset(stored.parameters))
    except (ValueError, ConfigurationError) as error:
        raise InvalidParameters(name, [_problem("command", f"It is no command: {error}")]) from error
    unused = stored.parameters.keys() - {place.name for place in template.placeholders}
    if unused:
        raise InvalidParameters(name, [_problem("parameters", "It has no place in the command", *sorted(unused)[:1])])
    parameters = parameters_of_values(name, stored.parameters)
    parameters.check_kept(stored.parameters)
    return CommandTask(name, template, stored.command, parameters, options={"tags": stored.tags})


def tag_of(name: str) -> str:
    """The tag by which the jobs of a task are found."""
    return f"task:{name}"


def set_options(function: Callable[..., object], name: str, options: OptionChanges, mask: Collection[str] = ()) -> None:
    """Give a function the options of a task, in addition to those that it has. `mask`: its secret parameters."""
    present: dict[str, Any] = _differences(options_of(function))
    tags = [*present.get("tags", ()), *options.get("tags", ()), tag_of(name)]
    merged: OptionChanges = {**present, **options, "name": name, "tags": tags}  # type: ignore[typeddict-item]
    masked = {*present.get("mask", ()), *check_mask("mask", options.get("mask", ())), *mask}
    if masked:
        merged["mask"] = [*masked]
    job_options(**merged)(function)


def check_function(function: Callable[..., object]) -> None:
    """`InvalidTarget` if the function cannot be run with its options."""
    options = options_of(function)
    check_options(function, options, check_target(function, (), {}, options.runner))


def show_options(options: JobOptions) -> dict[str, Any]:
    """The options that are not the default, as values that can be written as JSON."""
    shown = {name: value for name, value in _differences(options).items() if name not in ("name", "tags", "mask")}
    return {name: _show_option(value) for name, value in shown.items()}


def _show_option(value: object) -> object:
    if isinstance(value, timedelta):
        return seconds_of(value)
    return value.as_dict() if isinstance(value, Metadata) else value


def with_defaults(schema: Schema, values: Mapping[str, object]) -> Schema:
    """The schema with other defaults. What has a default is not required."""
    properties = {
        name: {**part, "default": values[name]} if name in values else part
        for name, part in schema.get("properties", {}).items()
    }
    required = [name for name in schema.get("required", ()) if name not in values]
    return {**schema, "properties": properties, "required": required}


def _differences(options: JobOptions) -> dict[str, Any]:
    names = [each.name for each in fields(JobOptions)]
    return {name: value for name in names if (value := getattr(options, name)) != getattr(DEFAULT_OPTIONS, name)}


def _options_of_command(name: str, options: OptionChanges) -> OptionChanges:
    runner = options.get("runner", RunnerKind.PROCESS)
    if str(runner) not in ISOLATED:
        raise ConfigurationError("runner", runner, "process, in which every command runs, or ray")
    if options.get("resources") is not None and runner != RunnerKind.RAY:
        raise ConfigurationError("resources", options.get("resources"), "left out where runner is not 'ray'")
    for option in ("idempotency_key", "start_at"):
        if option in options:
            raise ConfigurationError(option, options.get(option), "given job by job, not with the task")
    tags = options.get("tags", ())
    if isinstance(tags, str):
        raise ConfigurationError("tags", tags, "a list of texts")
    return {"runner": runner, "name": name, **options, "tags": [*tags, tag_of(name)]}


def _parse_environment(env: Mapping[str, str]) -> dict[str, Parts]:
    parsed = {name: parse_text(f"env[{name!r}]", text) for name, text in env.items()}
    for name, parts in parsed.items():
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            raise ConfigurationError("env", name, "a dictionary whose names are texts without = and NUL")
        if any(isinstance(part, Placeholder) and part.is_list for part in parts):
            raise ConfigurationError(f"env[{name!r}]", env[name], "a text without a list")
    return parsed


def _parameters_of_command(name: str, model: type[BaseModel] | None, places: Sequence[Placeholder]) -> Parameters:
    if model is None:
        return parameters_of_texts(name, {place.name: place.is_list for place in places})
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise ConfigurationError("parameters", model, "a class that is derived from pydantic's BaseModel")
    known, used = model.model_fields.keys(), {place.name for place in places}
    for odd, reason in ((used - known, "a field of the parameters"), (known - used, "used in the command")):
        if odd:
            sentence = f"{min(odd)!r} of the command {name!r} must be {reason}. Write {{{{ for a brace."
            raise ConfigurationError("argv", min(odd), sentence=sentence)
    return Parameters.of_model(name, model)


def _check_codes(codes: object) -> tuple[int, ...]:
    if isinstance(codes, str) or not isinstance(codes, Collection) or not all(type(code) is int for code in codes):
        raise ConfigurationError("ok_codes", codes, "numbers, such as (0, 1)")
    return tuple(sorted(codes))


def _problem(place: str, text: str, *more: str) -> dict[str, Any]:
    return {"type": "value_error", "loc": ("body", place, *more), "msg": text}


def _described(schema: Schema, description: str) -> Schema:
    return {**schema, "description": description} if description else schema


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]
