"""Trying again what fails: the pauses in between, and a log that stays short."""

import logging
import time
from collections import defaultdict
from functools import partial
from typing import Final

from servicekit.jobs.outcome import describe_error

_FIRST_SECONDS: Final = 0.5  # another program that locks the file has mostly finished by then
_LONGEST_SECONDS: Final = 5.0  # after a store has recovered, work must go on at most this much later
_QUIET_SECONDS: Final = 60.0  # often enough for somebody who watches the log, and too rare to fill it
_MOST_FAILURES: Final = 100  # in a minute: messages can name jobs, so there can be as many as there are jobs


class Backoff:
    """Growing pauses between tries: each is twice as long as the one before, up to the longest."""

    __slots__ = ("_first_seconds", "_longest_seconds", "_seconds")

    def __init__(self, first_seconds: float | None = None, longest_seconds: float | None = None) -> None:
        self._first_seconds = self._seconds = _FIRST_SECONDS if first_seconds is None else first_seconds
        self._longest_seconds = _LONGEST_SECONDS if longest_seconds is None else longest_seconds

    def next_seconds(self) -> float:
        """A try has failed: how many seconds to wait until the next one."""
        seconds = min(self._seconds, self._longest_seconds)
        self._seconds = seconds * 2
        return seconds

    def reset(self) -> None:
        """A try has succeeded: the next pause is the first one again."""
        self._seconds = self._first_seconds


class FailureLog:
    """Logs a failure that repeats once a minute. The repetitions in between are logged at the level DEBUG."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._quiet_until: dict[str, float] = {}

    def warn(self, message: str, *facts: object) -> None:
        """Log a warning, at DEBUG if the same one was logged less than a minute ago."""
        self._log.log(logging.WARNING if self._is_news(message % facts) else logging.DEBUG, message, *facts)

    def error(self, message: str, *facts: object) -> None:
        """The same for an error."""
        self._log.log(logging.ERROR if self._is_news(message % facts) else logging.DEBUG, message, *facts)

    def exception(self, message: str, error: BaseException) -> None:
        """Log an error with its traceback; at DEBUG and without it if the same one was logged in the last minute."""
        told = f"{message}: {describe_error(error)}"  # it can be the user's error, whose `__str__` may raise
        if self._is_news(told):
            self._log.error(message, exc_info=error)
        else:
            self._log.debug("%s", told)

    def _is_news(self, told: str) -> bool:
        now = time.monotonic()
        if now < self._quiet_until.get(told, 0.0):
            return False
        self._quiet_until = {told: until for told, until in self._quiet_until.items() if now < until}
        if len(self._quiet_until) >= _MOST_FAILURES:
            return False
        self._quiet_until[told] = now + _QUIET_SECONDS
        return True


class ErrorLog:
    """Logs errors as `FailureLog` does, with one for each class of them.

    The errors of some classes name what was asked for. Many of those must not hide the others.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._logs = defaultdict[type[Exception], FailureLog](partial(FailureLog, log))

    def error(self, error: Exception) -> None:
        self._logs[type(error)].error("%s", error)
