"""Retention: how long, and how many, ended jobs are kept."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from servicekit.errors import ConfigurationError, check_count, check_seconds
from servicekit.jobs.status import JobStatus

_LONGEST_AGE = timedelta(days=36_525)  # a century: the store subtracts it from today, which must remain a valid date
_TERMINAL = frozenset(status for status in JobStatus if status.is_terminal)


def check_max_age(max_age: object) -> None:
    """`ConfigurationError` unless it is a `timedelta` of at most a century, or `None`."""
    if max_age is None:
        return
    if not isinstance(max_age, timedelta):
        raise ConfigurationError("retention.max_age", max_age, "a timedelta, or None for no limit")
    check_seconds("retention.max_age", max_age)
    if max_age > _LONGEST_AGE:
        raise ConfigurationError("retention.max_age", max_age, "at most a century, or None for no limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How many ended jobs are kept, and for how long. `None` is no limit."""

    max_age: timedelta | None = None
    max_count: int | None = None

    def __post_init__(self) -> None:
        check_count("retention.max_count", self.max_count)
        check_max_age(self.max_age)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """The bounds on what is kept of ended jobs. The oldest jobs go first. `None` is no limit.

    In memory, the default bounds allow 64 MiB of results and tracebacks. The records need some 24 MB besides with texts
    of usual lengths, and at most 300 MB with the longest ones.
    """

    max_age: timedelta | None = timedelta(days=7)
    max_count: int | None = 20_000
    max_result_bytes: int | None = 64 * 1024 * 1024
    """In memory: the estimated size of all kept results and tracebacks together. The newest one is kept whatever its
    size. In a file or a database: the size of one result as JSON. A larger one is not kept."""
    max_log_bytes: int | None = 256 * 1024
    """How much of one job's log is kept: its newest lines. In memory, logs also count within `max_result_bytes`."""
    by_status: Mapping[JobStatus, Bounds] = field(default_factory=dict)
    """Other bounds for jobs that ended with this status: `{JobStatus.FAILED: Bounds(max_age=timedelta(days=30))}`.
    These jobs do not count within the bounds of the others."""

    def __post_init__(self) -> None:
        Bounds(max_age=self.max_age, max_count=self.max_count)
        check_count("retention.max_result_bytes", self.max_result_bytes)
        check_count("retention.max_log_bytes", self.max_log_bytes)
        for status, bounds in self.by_status.items():
            if status not in _TERMINAL or not isinstance(bounds, Bounds):
                raise ConfigurationError("retention.by_status", dict(self.by_status), "Bounds for terminal statuses")

    def groups(self) -> Iterator[tuple[frozenset[JobStatus], Bounds]]:
        """Groups of terminal statuses that share bounds, each with its bounds."""
        for status, bounds in self.by_status.items():
            yield frozenset({status}), bounds
        if rest := _TERMINAL - self.by_status.keys():
            yield rest, Bounds(max_age=self.max_age, max_count=self.max_count)
