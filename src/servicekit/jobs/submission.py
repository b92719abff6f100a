"""What was submitted: a target with its arguments, and the kind of runner that it needs."""

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from types import FunctionType, MethodType
from typing import Any, NamedTuple, NoReturn

from servicekit.errors import InvalidTarget
from servicekit.jobs.command import Command
from servicekit.jobs.options import DEFAULT_OPTIONS, JobOptions, RunnerKind
from servicekit.jobs.outcome import clip

MAX_NAME_CHARACTERS = 200

JobTarget = Callable[..., object] | Coroutine[Any, Any, object] | Command
"""An `async def` function, a plain function (it runs in a thread), any other callable, a coroutine object, or a
`Command`."""


class CallDescription(NamedTuple):
    """A call, in words that any process of this program understands."""

    reference: str
    arguments: str
    """`{"args": [...], "kwargs": {...}}`"""


class CallProblem(NamedTuple):
    """Why there are no such words, so that only this process can make the call."""

    argument: str | None
    """Where the value is that cannot be written: `body.items.3`; `None` if it is the target."""
    reason: str
    is_too_deep: bool = False

    @property
    def sentence(self) -> str:
        return f"the target {self.reason}." if self.argument is None else f"argument {self.argument!r}: {self.reason}."


@dataclass(slots=True)
class Submission:
    """One accepted call of `add_job`. Nobody changes it; frozen, it would take ten times as long to make."""

    id: str
    name: str
    target: JobTarget
    args: tuple[object, ...]
    kwargs: dict[str, object]
    runner: RunnerKind
    options: JobOptions = DEFAULT_OPTIONS
    retry_of: str | None = None
    """The job that this one repeats."""
    schedule: str | None = None
    """The name of the schedule that submits it."""
    parent: str | None = None
    """The job that submits it."""
    description: CallDescription | CallProblem | None = None
    """The call in words, once somebody has asked for it: see `servicekit.jobs.restartable.describe_call`."""

    def call(self) -> Any:
        """Call the target; of a coroutine function this gives the coroutine."""
        target = self.target
        return target(*self.args, **self.kwargs) if callable(target) else target

    def discard(self) -> None:
        """Give up a target that will never run, so that Python does not warn of a coroutine never awaited."""
        if inspect.iscoroutine(self.target) and inspect.getcoroutinestate(self.target) == inspect.CORO_CREATED:
            self.target.close()


class FailingTarget:
    """A target that fails for a reason that was known before."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def __call__(self) -> NoReturn:
        raise self._error


@dataclass(slots=True)
class Claim:
    """The right to run one attempt of a job. Nobody changes it, as with `Submission`."""

    submission: Submission
    attempt: int
    failures: int = 0
    """How many attempts before this one have failed."""


def check_target(
    target: object, args: tuple[object, ...], kwargs: dict[str, object], wanted: RunnerKind | None = None
) -> RunnerKind:
    """Say what runs the target: `wanted` if that can. `InvalidTarget`, with the reason, for what could never run."""
    kind = _check_kind(target, args, kwargs)
    if wanted is None or wanted is kind:
        return kind
    if wanted is RunnerKind.PROCESS and kind is not RunnerKind.COMMAND and callable(target):
        return wanted
    raise InvalidTarget(target, f"it runs as a {kind}, and cannot run as a {wanted}.")


def _check_kind(target: object, args: tuple[object, ...], kwargs: dict[str, object]) -> RunnerKind:
    # Nearly every target is one of these two, and `inspect` would take its time.
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
    """A name for people: the function's, or its class's if it has none."""
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
    """What the target calls an argument."""
    if isinstance(key, str):
        return key
    with suppress(Exception):  # some callables do not tell their signatures
        for index, parameter in enumerate(inspect.signature(target).parameters.values()):
            if parameter.kind is parameter.VAR_POSITIONAL:
                return f"{parameter.name}.{key - index}"
            if index == key:
                return parameter.name
    return str(key)


def name_of_program(command: Command) -> str:
    """The last part of the program's path; of a shell's line, its first word."""
    words = command.argv[0].split()
    return clip(
        (words[0] if command.shell and words else command.argv[0]).rpartition("/")[2] or "command", MAX_NAME_CHARACTERS
    )
