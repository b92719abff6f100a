"""Retries: whether and when a failed attempt is followed by another one."""

import random
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from servicekit.errors import ConfigurationError, check_seconds
from servicekit.jobs.references import MAIN, find_class, name_in_full, name_of_main

ErrorType = type[BaseException] | str
"""An exception class, or its name in full: `package.module.Name`."""

LONGEST_WAIT_SECONDS: Final = 365 * 86_400.0  # a wait must end at a time that a `datetime` and every store can hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often a target is tried, and how long the job waits between two attempts. Durations are seconds or
    `timedelta`.

    The wait after the n-th failure is `delay * factor ** (n - 1)`, at most `max_delay`, plus or minus a random share of
    it, up to `jitter`. So jobs that failed together do not start again together. A target can ask for another wait by
    raising `RetryAfter`.

    - `attempts`: the most attempts in all. Restarts after a crash or a stop of the process do not count.
    - `only`: retry after these errors only, subclasses included; `except_for`: never after these. Each is a class, or
      its full name as text. They are kept as names, so that any process can compare them. An exception group, as a
      `TaskGroup` raises it, counts as the errors in it: it is retried if `only` has all of them, and `except_for` none.
    """

    attempts: int = 3
    delay: float | timedelta = 1.0
    factor: float = 2.0
    max_delay: float | timedelta = 3_600.0
    jitter: float = 0.1
    only: Collection[ErrorType] = ()
    except_for: Collection[ErrorType] = ()

    def __post_init__(self) -> None:
        if type(self.attempts) is not int or not 1 <= self.attempts <= 1_000:
            raise ConfigurationError("retry.attempts", self.attempts, "a whole number from 1 to 1,000")
        for option in ("delay", "max_delay"):
            seconds = check_seconds(f"retry.{option}", getattr(self, option))
            if seconds > LONGEST_WAIT_SECONDS:
                raise ConfigurationError(f"retry.{option}", getattr(self, option), "at most a year")
            object.__setattr__(self, option, seconds)
        for option, least, most in (("factor", 1.0, 1_000.0), ("jitter", 0.0, 1.0)):
            value = getattr(self, option)
            if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
                raise ConfigurationError(f"retry.{option}", value, f"a number from {least:g} to {most:,g}")
        for option in ("only", "except_for"):
            object.__setattr__(self, option, _names(f"retry.{option}", getattr(self, option)))

    def allows(self, failures: int, error_types: Collection[Collection[str]]) -> bool:
        """Whether there is another attempt after `failures` failures, the last of which had errors of these types."""
        if failures >= self.attempts or any(_is_one_of(self.except_for, each) for each in error_types):
            return False
        return not self.only or all(_is_one_of(self.only, each) for each in error_types)

    def delay_after(self, failures: int) -> float:
        """How many seconds to wait after `failures` failures; random within `jitter`."""
        delay, longest = check_seconds("delay", self.delay), check_seconds("max_delay", self.max_delay)
        try:
            seconds = min(delay * self.factor ** (failures - 1), longest)
        except OverflowError:  # `factor` to the power of many failures is more than a float can hold
            seconds = longest
        return seconds * random.uniform(1 - self.jitter, 1 + self.jitter)


def _is_one_of(types: Collection[ErrorType], names: Collection[str]) -> bool:
    return any(each in names for each in types)


def _names(option: str, types: Collection[ErrorType]) -> tuple[str, ...]:
    if isinstance(types, str) or not isinstance(types, Collection):
        raise ConfigurationError(option, types, "a list of exception classes")
    return tuple(_name(option, each) for each in types)


def _name(option: str, error_type: ErrorType) -> str:
    if isinstance(error_type, str) and "." in error_type and len(error_type) <= 200 and error_type.isprintable():
        return _true_name(error_type)
    if isinstance(error_type, type) and issubclass(error_type, BaseException):
        return name_in_full(error_type)
    raise ConfigurationError(option, error_type, "exception classes, or full names such as 'builtins.ConnectionError'")


def _true_name(name: str) -> str:
    """The full name of the error's class for a name that may be an alias: `asyncio.TimeoutError` is `TimeoutError`."""
    found = find_class(name)
    if found is not None:
        return name_in_full(found)
    module, _, rest = name.partition(".")
    return f"{name_of_main()}.{rest}" if module == MAIN and name_of_main() else name
