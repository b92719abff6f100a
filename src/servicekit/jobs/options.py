"""What can be asked for a job beside its target and arguments: by a decorator on the target, or call by call."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from types import FunctionType, MethodType
from typing import Any, Final, TypedDict, TypeVar

from servicekit.errors import ConfigurationError

F = TypeVar("F", bound=Callable[..., object])

MAX_TEXT_CHARACTERS: Final = 200
MAX_TAGS: Final = 20
_ATTRIBUTE: Final = "__job_options__"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """The options of one job. Texts have at most 200 printable characters; there are at most 20 tags.

    - `name`: what the job is called in lists; the target's own name if `None`.
    - `tags`: words to find the job by.
    - `idempotency_key`: while a job with this key is kept, another submission with it is the same job.
    - `max_restarts`: how often the job is run again when the process that ran it has died. 0 for a target that must
      not run twice: such a job then ends `failed`.
    """

    name: str | None = None
    tags: tuple[str, ...] = ()
    idempotency_key: str | None = None
    max_restarts: int = 1

    def __post_init__(self) -> None:
        if isinstance(self.tags, str) or not isinstance(self.tags, Sequence) or len(self.tags) > MAX_TAGS:
            raise ConfigurationError("tags", self.tags, f"a list of at most {MAX_TAGS} texts")
        for option, value in [("name", self.name), ("idempotency_key", self.idempotency_key)]:
            if value is not None:
                check_text(option, value)
        for tag in self.tags:
            check_text("tags", tag)
        object.__setattr__(self, "tags", tuple(sorted(set(self.tags))))
        if type(self.max_restarts) is not int or not 0 <= self.max_restarts <= 1_000:
            raise ConfigurationError("max_restarts", self.max_restarts, "a whole number from 0 to 1,000")


class OptionChanges(TypedDict, total=False):
    """Some of the fields of `JobOptions`."""

    name: str | None
    tags: Sequence[str]
    idempotency_key: str | None
    max_restarts: int


DEFAULT_OPTIONS: Final = JobOptions()


def check_text(option: str, value: object) -> None:
    """`ConfigurationError` unless the value is a short, printable text that every store and header can hold."""
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_TEXT_CHARACTERS or not value.isprintable():
        raise ConfigurationError(option, value, f"1 to {MAX_TEXT_CHARACTERS} printable characters")


def job_options(
    *, name: str | None = None, tags: Sequence[str] = (), max_restarts: int = DEFAULT_OPTIONS.max_restarts
) -> Callable[[F], F]:
    """A decorator that gives a target its options: see `JobOptions`. `scheduler.with_options` can change them."""
    options = JobOptions(name=name, tags=tuple(tags), max_restarts=max_restarts)

    def decorate(target: F) -> F:
        setattr(target, _ATTRIBUTE, options)
        return target

    return decorate


def options_of(target: object) -> JobOptions:
    """The options that `job_options` gave to a target."""
    function = target.__func__ if type(target) is MethodType else target
    if type(function) is FunctionType and not function.__dict__:
        return DEFAULT_OPTIONS
    found = getattr(function, "__dict__", {}).get(_ATTRIBUTE)
    return found if isinstance(found, JobOptions) else DEFAULT_OPTIONS


def changed(options: JobOptions, changes: OptionChanges) -> JobOptions:
    """The options with these changes. `ConfigurationError` for what is no option, or has a senseless value."""
    unknown = set(changes) - {field.name for field in fields(JobOptions)}
    if unknown:
        known = ", ".join(field.name for field in fields(JobOptions))
        raise ConfigurationError("options", ", ".join(sorted(unknown)), f"some of {known}")
    values: dict[str, Any] = {**changes}
    if not isinstance(values.get("tags", ()), str):
        values = {**values, **({"tags": tuple(values["tags"])} if "tags" in values else {})}
    return replace(options, **values)
