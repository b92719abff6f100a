"""What is done about something that fails, and is tried again: when that is, and what the log says of it."""

import logging
import time
from typing import Final

_FIRST_SECONDS: Final = 0.5  # a lock of another program is mostly free again by then
_LONGEST_SECONDS: Final = 5.0  # how late work goes on at worst after a store has recovered
_QUIET_SECONDS: Final = 60.0
_MOST_FAILURES: Final = 100  # a minute, however many jobs they name


class Backoff:
    """The pauses between tries, each twice as long as the last one, up to the longest, until one succeeds."""

    __slots__ = ("_first_seconds", "_longest_seconds", "_seconds")

    def __init__(self, first_seconds: float | None = None, longest_seconds: float | None = None) -> None:
        self._first_seconds = self._seconds = _FIRST_SECONDS if first_seconds is None else first_seconds
        self._longest_seconds = _LONGEST_SECONDS if longest_seconds is None else longest_seconds

    def next_seconds(self) -> float:
        """It has failed: how long to wait until the next try."""
        seconds = min(self._seconds, self._longest_seconds)
        self._seconds = seconds * 2
        return seconds

    def reset(self) -> None:
        """It has succeeded: the next pause is the first one again."""
        self._seconds = self._first_seconds


class FailureLog:
    """Logs what fails again and again once a minute; the lines between are for who debugs."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._quiet_until: dict[str, float] = {}

    def warn(self, message: str, *facts: object) -> None:
        """A warning, unless the same one was logged less than a minute ago."""
        self._log.log(logging.WARNING if self._is_news(message % facts) else logging.DEBUG, message, *facts)

    def exception(self, message: str, error: BaseException) -> None:
        """An error with its traceback, which is left out if the same one was logged less than a minute ago."""
        if self._is_news(f"{message}: {type(error).__name__}: {error}"):
            self._log.error(message, exc_info=error)
        else:
            self._log.debug("%s: %s: %s", message, type(error).__name__, error)

    def _is_news(self, told: str) -> bool:
        now = time.monotonic()
        if now < self._quiet_until.get(told, 0.0):
            return False
        self._quiet_until = {told: until for told, until in self._quiet_until.items() if now < until}
        if len(self._quiet_until) >= _MOST_FAILURES:
            return False
        self._quiet_until[told] = now + _QUIET_SECONDS
        return True
