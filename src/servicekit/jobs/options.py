"""Options of a job, given by a decorator on its target, or with a submission."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import FunctionType, MethodType
from typing import Any, Final, Literal, TypedDict, TypeVar, Unpack

from servicekit.errors import ConfigurationError, check_count, check_seconds
from servicekit.jobs.idempotency import key_of_owner
from servicekit.jobs.masks import check_mask
from servicekit.jobs.metadata import NO_METADATA, Metadata
from servicekit.jobs.resources import Resources, make_resources
from servicekit.jobs.retry import Retry
from servicekit.jobs.texts import MAX_TEXT_CHARACTERS as MAX_TEXT_CHARACTERS
from servicekit.jobs.texts import is_short_text

F = TypeVar("F", bound=Callable[..., object])

MAX_TAGS: Final = 20  # each stands in every record, event and list of the job
DEFAULT_QUEUE: Final = "default"
# Far from the first and the last year of a `datetime`, so that arithmetic on a time cannot overflow.
_FIRST_YEAR: Final = 2
_LAST_YEAR: Final = 2999
_LONGEST: Final = timedelta(days=3_653)  # ten years: more is a mistake, such as a time in milliseconds
UNKNOWN_OPTIONS: Final = "options"
"""The `option` of a `ConfigurationError` for a name that is no option."""
_ATTRIBUTE: Final = "__job_options__"


class RunnerKind(StrEnum):
    """How a target runs."""

    COROUTINE = "coroutine"
    THREAD = "thread"
    PROCESS = "process"
    COMMAND = "command"
    RAY = "ray"

    __hash__ = str.__hash__


OUTSIDE: Final = frozenset({RunnerKind.PROCESS, RunnerKind.COMMAND, RunnerKind.RAY})
"""The kinds whose work is in other processes. It may fail to begin, and may go on for a moment after this process."""
ISOLATED: Final = frozenset({RunnerKind.PROCESS, RunnerKind.RAY})
"""The kinds that run a function in a process of its own. It is found there by its name, and its arguments are sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """The options of one job. Texts are one line of at most 200 characters; durations are seconds or `timedelta`.

    - `name`: the job's name in lists; the target's own name if `None`.
    - `tags`: words by which the job is found, at most 20.
    - `metadata`: a JSON object of your own, of at most 16 KiB and 50 keys. The record shows it, and jobs are found by
      it. It is copied.
    - `mask`: the names of parameters whose values are secret: see `servicekit.jobs.masks`. Further names are added to
      those of the target's decorator.
    - `owner`: whose job it is. Lists and streams can be those of one owner. A job that a job submits has the same owner
      unless it is given another.
    - `idempotency_key`: while a job of the same owner with this key is kept, another submission with the key gives that
      job.
    - `max_restarts`: how often the job is run again after its process has died. With 0, for a target that must not run
      twice, the job ends `failed` instead.
    - `runner`: `"process"` to run a function in a process of its own, `"ray"` to run it in one on a machine of the
      cluster. By default, the kind of the target decides.
    - `resources`: what is kept for a job with `runner="ray"` on that machine, such as `{"cpus": 4, "gpus": 1}`: see
      `Resources`. By default, one processor.
    - `retry`: whether and when a failed attempt is followed by another one. By default, the job ends `failed`.
    - `run_timeout`: how long an attempt may run. `queue_timeout`: how long the job may wait until an attempt starts.
      `silence_timeout`: how long an attempt may run without reporting progress. An attempt or a job that exceeds one
      fails.
    - `kill_grace`: how long a process or command that was asked to stop has until it is killed.
    - `max_memory_bytes`: the most memory that all processes of a job's own process or command may hold together. If
      they hold more, they are killed, and the attempt fails. Linux only.
    - `delay`: how long the job waits at least. `start_at`: until when it waits at least.
    - `priority`: jobs with a higher one are started first within their queue, from -1,000 to 1,000.
    - `queue`: the name of the queue in which the job waits. Queues take turns.
    - `concurrency_key`, `concurrency_limit`: at most so many jobs with the same key run at once. A key of the target's
      decorator is everybody's. One that is given with the submission of a job with an owner is that owner's.
    """

    name: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, object] = NO_METADATA
    mask: tuple[str, ...] = ()
    owner: str | None = None
    idempotency_key: str | None = None
    max_restarts: int = 1
    runner: RunnerKind | None = None
    resources: Resources | None = None
    retry: Retry | None = None
    run_timeout: float | timedelta | None = None
    queue_timeout: float | timedelta | None = None
    silence_timeout: float | timedelta | None = None
    kill_grace: float | timedelta = 5.0
    max_memory_bytes: int | None = None
    delay: float | timedelta = 0.0
    start_at: datetime | None = None
    priority: int = 0
    queue: str = DEFAULT_QUEUE
    concurrency_key: str | None = None
    concurrency_limit: int = 1
    is_key_submitted: bool = field(default=False, repr=False)
    """Internal: whether the concurrency key was given with the submission, and not by the target's decorator."""

    def __post_init__(self) -> None:
        self._check_texts()
        self._check_durations()
        if type(self.metadata) is not Metadata:
            object.__setattr__(self, "metadata", Metadata(self.metadata))
        for option, least, most in (("max_restarts", 0, 1_000), ("priority", -1_000, 1_000)):
            number = getattr(self, option)
            if type(number) is not int or not least <= number <= most:
                raise ConfigurationError(option, number, f"a whole number from {least:,} to {most:,}")
        check_count("max_memory_bytes", self.max_memory_bytes)
        if type(self.concurrency_limit) is not int or self.concurrency_limit < 1:
            raise ConfigurationError("concurrency_limit", self.concurrency_limit, "a whole number of at least 1")
        if self.retry is not None and not isinstance(self.retry, Retry):
            raise ConfigurationError("retry", self.retry, "a Retry, or None")
        if self.runner is not None:
            object.__setattr__(self, "runner", _check_runner(self.runner))
        if self.resources is not None:
            object.__setattr__(self, "resources", make_resources(self.resources))

    def _check_texts(self) -> None:
        if isinstance(self.tags, str) or not isinstance(self.tags, Sequence) or len(self.tags) > MAX_TAGS:
            raise ConfigurationError("tags", self.tags, f"a list of at most {MAX_TAGS} texts")
        for option in ("name", "owner", "idempotency_key", "concurrency_key"):
            value = getattr(self, option)
            if value is not None:
                check_text(option, value)
        check_queue("queue", self.queue)
        object.__setattr__(self, "mask", check_mask("mask", self.mask) if self.mask != () else ())
        for tag in self.tags:
            check_text("tags", tag)
        object.__setattr__(self, "tags", tuple(sorted(set(self.tags))))

    def _check_durations(self) -> None:
        for option in ("run_timeout", "queue_timeout", "silence_timeout", "kill_grace", "delay"):
            value = getattr(self, option)
            if value is not None:
                object.__setattr__(self, option, _check_duration(option, value))
        if self.start_at is not None:
            if not isinstance(self.start_at, datetime) or self.start_at.utcoffset() is None:
                raise ConfigurationError("start_at", self.start_at, "a time with a time zone")
            if not _FIRST_YEAR <= self.start_at.year <= _LAST_YEAR:
                expected = f"a time from the year {_FIRST_YEAR} to the end of {_LAST_YEAR}"
                raise ConfigurationError("start_at", self.start_at, expected)
            if self.delay:
                raise ConfigurationError("delay", self.delay, "left out where start_at is given")
            object.__setattr__(self, "start_at", self.start_at.astimezone(UTC))

    @property
    def has_times(self) -> bool:
        """Whether the job must wait until a time, or must not wait longer than to a time."""
        return bool(self.delay) or self.start_at is not None or self.queue_timeout is not None

    @property
    def kept_idempotency_key(self) -> str | None:
        """The idempotency key as stores keep it: that of the job's owner."""
        return None if self.idempotency_key is None else key_of_owner(self.owner, self.idempotency_key)

    @property
    def kept_concurrency_key(self) -> str | None:
        """The concurrency key as stores keep it.

        One of the target's decorator protects a resource, from everybody. One that came with the submission can be made
        of what a user has sent: then it must not be the key of another owner's jobs.
        """
        key, owner = self.concurrency_key, self.owner
        return key if key is None or not self.is_key_submitted else key_of_owner(owner, key)

    def scheduled_at(self, now: datetime) -> datetime | None:
        """The earliest start of a job that is submitted now; `None` if it may start at once."""
        moment = now + timedelta(seconds=seconds_of(self.delay)) if self.delay else self.start_at
        return None if moment is None or moment <= now else moment


class OptionChanges(TypedDict, total=False):
    """Some of the fields of `JobOptions`."""

    name: str | None
    tags: Sequence[str]
    metadata: Mapping[str, object]
    mask: Collection[str]
    owner: str | None
    idempotency_key: str | None
    max_restarts: int
    runner: RunnerKind | Literal["process", "thread", "coroutine", "ray"] | None
    resources: Resources | Mapping[str, float] | None
    retry: Retry | None
    run_timeout: float | timedelta | None
    queue_timeout: float | timedelta | None
    silence_timeout: float | timedelta | None
    kill_grace: float | timedelta
    max_memory_bytes: int | None
    delay: float | timedelta
    start_at: datetime | None
    priority: int
    queue: str
    concurrency_key: str | None
    concurrency_limit: int


def check_text(option: str, value: object) -> None:
    """`ConfigurationError` unless the value is a short text of one line that every store can hold."""
    if not is_short_text(value) or not value:
        raise ConfigurationError(
            option,
            value,
            f"1 to {MAX_TEXT_CHARACTERS} characters, without line breaks, control characters and surrogates",
        )


def check_queue(option: str, name: object) -> None:
    """`ConfigurationError` unless the value is the name of a queue: a text that `/queues/{name}` can hold.

    A client shortens `a/../b` in an address to `b`, and so would pause another queue.
    """
    check_text(option, name)
    if not {".", ".."}.isdisjoint(str(name).split("/")):
        raise ConfigurationError(
            option, name, "a text that can be part of an address: between its slashes are no mere dots"
        )


def seconds_of(duration: float | timedelta) -> float:
    """The seconds of a duration that was checked before."""
    return duration.total_seconds() if isinstance(duration, timedelta) else duration


def _check_duration(option: str, value: float | timedelta) -> float:
    seconds = check_seconds(option, value)
    if seconds > _LONGEST.total_seconds():
        raise ConfigurationError(option, value, "at most ten years")
    return seconds


def _check_runner(kind: object) -> RunnerKind:
    try:
        return RunnerKind(str(kind))
    except ValueError:
        raise ConfigurationError("runner", kind, "coroutine, thread, process or ray") from None


DEFAULT_OPTIONS: Final = JobOptions()


def job_options(**options: Unpack[OptionChanges]) -> Callable[[F], F]:
    """A decorator that gives a target its options: see `JobOptions`. `scheduler.with_options` can replace them.

    `idempotency_key` and `start_at` are refused with `ConfigurationError`, since they belong to a single job.
    """
    for option in ("idempotency_key", "start_at"):
        if option in options:
            raise ConfigurationError(option, options.get(option), "given job by job, with scheduler.with_options()")
    made = replace(changed(DEFAULT_OPTIONS, options), is_key_submitted=False)

    def decorate(target: F) -> F:
        setattr(target, _ATTRIBUTE, made)
        return target

    return decorate


def options_of(target: object) -> JobOptions:
    """The options that `job_options` has given to a target."""
    function = target.__func__ if type(target) is MethodType else target
    if type(function) is FunctionType and not function.__dict__:
        return DEFAULT_OPTIONS
    found = getattr(function, "__dict__", {}).get(_ATTRIBUTE)
    return found if isinstance(found, JobOptions) else DEFAULT_OPTIONS


def check_option_names(options: Mapping[str, object], others: Iterable[str] | None = None) -> None:
    """`ConfigurationError` for a name that is no option of jobs. Its sentence also names these `others`."""
    names = OptionChanges.__annotations__
    for name in options:
        if name not in names:
            raise unknown_option(name, [*names, *(others or ())])


def unknown_option(name: str, known: Iterable[str]) -> ConfigurationError:
    """The error for an option that is none here. It guesses which of the known ones is meant."""
    from difflib import get_close_matches  # for a mistake only

    options = sorted(known)
    near = get_close_matches(name, options, 1) if name not in options else ()
    guess = f"Did you mean {near[0]!r}? " if near else ""
    here = " here" if name in options else ""
    sentence = f"There is no option {name!r}{here}. {guess}The options are {', '.join(options)}."
    return ConfigurationError(UNKNOWN_OPTIONS, name, sentence=sentence)


def changed(options: JobOptions, changes: OptionChanges) -> JobOptions:
    """The options with these changes. `ConfigurationError` for an unknown option, or a value that makes no sense."""
    check_option_names(changes)
    values: dict[str, Any] = {**changes}
    if not isinstance(values.get("tags", ()), str):
        values = {**values, **({"tags": tuple(values["tags"])} if "tags" in values else {})}
    if options.mask and "mask" in values:  # a secret stays one
        values["mask"] = (*options.mask, *check_mask("mask", values["mask"]))
    if values.get("concurrency_key") is not None:
        values["is_key_submitted"] = True
    return replace(options, **values)


def inherited(options: JobOptions, owner: str | None) -> JobOptions:
    """The options of a job that a job of this owner submits: it has the same owner unless it is given another."""
    return options if owner is None or options.owner is not None else replace(options, owner=owner)


def options_of_repetition(options: JobOptions) -> JobOptions:
    """The options of a job that repeats another job: it starts at once, and without the key, which the other has."""
    if options.idempotency_key is None and not options.delay and options.start_at is None:
        return options
    return replace(options, idempotency_key=None, delay=0.0, start_at=None)
