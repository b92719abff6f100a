"""A submission: a target with its arguments, its options, and the kind of runner that it needs."""

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from types import FunctionType, MethodType
from typing import Any, NamedTuple, NoReturn

from servicekit.errors import InvalidTarget
from servicekit.jobs.command import Command
from servicekit.jobs.options import DEFAULT_OPTIONS, ISOLATED, OUTSIDE, JobOptions, RunnerKind
from servicekit.jobs.outcome import clip

MAX_NAME_CHARACTERS = 200  # as for a name that the options give: see `texts.MAX_TEXT_CHARACTERS`

JobTarget = Callable[..., object] | Coroutine[Any, Any, object] | Command
"""An `async def` function, a plain function (it runs in a thread), any other callable, a coroutine object, or a
`Command`."""


class CallDescription(NamedTuple):
    """A call as text that any process of this program can read."""

    reference: str
    arguments: str
    """`{"args": [...], "kwargs": {...}}`"""


class CallProblem(NamedTuple):
    """Why a call cannot be written as text, so that only this process can make it."""

    argument: str | None
    """The path to the value that cannot be written: `body.items.3`; `None` if it is the target."""
    reason: str
    """The end of a sentence that begins with the target or the argument."""
    is_too_deep: bool = False
    """Whether the value contains itself, or is nested too deeply."""

    @property
    def sentence(self) -> str:
        return f"the target {self.reason}." if self.argument is None else f"argument {self.argument!r}: {self.reason}."


@dataclass(slots=True)
class Submission:
    """One accepted call of `add_job`.

    Nobody changes it. It is not a frozen dataclass, since each job makes one, and a frozen one takes ten times as long.
    """

    id: str
    name: str
    target: JobTarget
    args: tuple[object, ...] = field(repr=False)  # they can contain secrets
    kwargs: dict[str, object] = field(repr=False)
    runner: RunnerKind
    options: JobOptions = DEFAULT_OPTIONS
    retry_of: str | None = None
    """The job that this one repeats."""
    schedule: str | None = None
    """The name of the schedule that submits it."""
    parent: str | None = None
    """The job that submits it."""
    description: CallDescription | CallProblem | None = field(default=None, repr=False)
    """The call as text. It is made on demand: see `servicekit.jobs.restartable.describe_call`."""

    def call(self) -> Any:
        """Call the target, and return its result. A coroutine function returns its coroutine, still to be awaited."""
        target = self.target
        return target(*self.args, **self.kwargs) if callable(target) else target

    def discard(self) -> None:
        """Close a coroutine that will never run, since Python would warn that it was never awaited."""
        if inspect.iscoroutine(self.target) and inspect.getcoroutinestate(self.target) == inspect.CORO_CREATED:
            self.target.close()


class FailingTarget:
    """A target that raises the given error.

    It stands in for a call that could not be loaded, so that the job fails in an attempt like every other.
    """

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def __call__(self) -> NoReturn:
        raise self._error


@dataclass(slots=True)
class Claim:
    """The right to run one attempt of a job. Nobody changes it. It is not frozen, as `Submission` is not."""

    submission: Submission
    attempt: int
    failures: int = 0
    """How many attempts before this one have failed."""
    ready_at: datetime | None = None
    """Since when the job could have started: when it was submitted, or its `scheduled_at`. `None` for later attempts,
    and if it is not known."""


def check_target(
    target: object, args: tuple[object, ...], kwargs: dict[str, object], wanted: RunnerKind | None = None
) -> RunnerKind:
    """The kind of runner for the target: `wanted` if that kind can run it, else the one that fits it.

    `InvalidTarget`, with the reason, if no runner can run it, or not the one that is wanted.
    """
    kind = _check_kind(target, args, kwargs)
    if wanted is None or wanted is kind:
        return kind
    if wanted in ISOLATED and kind is not RunnerKind.COMMAND and callable(target):
        return wanted
    raise InvalidTarget(target, f"it runs as a {kind}, and cannot run as a {wanted}.")


def check_options(target: object, options: JobOptions, runner: RunnerKind) -> None:
    """`InvalidTarget` for an option that this kind of runner could not keep."""
    if options.max_memory_bytes is not None and runner not in OUTSIDE:
        reason = f"max_memory_bytes bounds processes and commands, and it runs as a {runner}. Use runner='process'."
        raise InvalidTarget(target, reason)
    if options.resources is not None and runner is not RunnerKind.RAY:
        reason = f"resources are kept on a machine of a cluster, and it runs as a {runner}. Use runner='ray'."
        raise InvalidTarget(target, reason)


def _check_kind(target: object, args: tuple[object, ...], kwargs: dict[str, object]) -> RunnerKind:
    # The common case first: the functions of `inspect` that follow are slow, and this runs once for each job.
    function = target.__func__ if type(target) is MethodType else target
    if type(function) is FunctionType and function.__code__.co_flags & inspect.CO_COROUTINE:
        return RunnerKind.COROUTINE
    if inspect.iscoroutine(target):
        if args or kwargs:
            raise InvalidTarget(target, "a coroutine object has its arguments already. Pass the function itself.")
        if inspect.getcoroutinestate(target) != inspect.CORO_CREATED:
            raise InvalidTarget(target, "this coroutine object has begun already, and runs only once.")
        return RunnerKind.COROUTINE
    if type(target) is Command:
        if args or kwargs:
            raise InvalidTarget(target, "a command has its arguments already.")
        return RunnerKind.COMMAND
    return _check_callable(target)


def _check_callable(target: object) -> RunnerKind:
    if not callable(target):
        kind = "an awaitable" if isinstance(target, Awaitable) else "not callable"
        raise InvalidTarget(target, f"it is {kind}. Pass a function, or a coroutine object.")
    function = _function_behind(target)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise InvalidTarget(target, "it is a generator function, whose body no call would run. Wrap it in a function.")
    return RunnerKind.COROUTINE if inspect.iscoroutinefunction(function) else RunnerKind.THREAD


def _function_behind(target: Callable[..., object]) -> object:
    while isinstance(target, functools.partial):
        target = target.func
    return target if inspect.isroutine(target) or inspect.isclass(target) else type(target).__call__


def name_of(target: object) -> str:
    """A name to show: that of the function, or of its class if it has none."""
    if type(target) is Command:
        return name_of_program(target)
    try:
        name = getattr(target, "__name__", None)
    except Exception:  # a proxy's __getattr__, say
        name = None
    if type(name) is not str:
        return name_of(target.func if isinstance(target, functools.partial) else type(target))
    return (
        name
        if name.isascii() and name.isprintable() and len(name) <= MAX_NAME_CHARACTERS
        else clip(name, MAX_NAME_CHARACTERS)
    )


def name_argument(target: Any, key: int | str) -> str:
    """The name of an argument in the target's signature; its position as text if the signature cannot be read."""
    if isinstance(key, str):
        return key
    with suppress(Exception):  # some callables, such as many in C, have no signature that Python could read
        for index, parameter in enumerate(inspect.signature(target).parameters.values()):
            if parameter.kind is parameter.VAR_POSITIONAL:
                return f"{parameter.name}.{key - index}"
            if index == key:
                return parameter.name
    return str(key)


def name_of_program(command: Command) -> str:
    """The last part of the program's path. For a shell's line, the program is its first word."""
    words = command.argv[0].split()
    return clip(
        (words[0] if command.shell and words else command.argv[0]).rpartition("/")[2] or "command", MAX_NAME_CHARACTERS
    )
