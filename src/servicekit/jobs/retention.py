"""How long finished jobs are kept."""

from dataclasses import dataclass
from datetime import timedelta

from servicekit.errors import ConfigurationError, check_count, check_seconds

_LONGEST_AGE = timedelta(days=36_525)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """The bounds on what is kept of finished jobs; the oldest go first. `None` is no limit.

    The defaults need some 12 MB for records and their texts as they usually are, at the very most 150, and 64 MiB for
    results and tracebacks.
    """

    max_age: timedelta | None = timedelta(hours=24)
    max_count: int | None = 10_000
    max_result_bytes: int | None = 64 * 1024 * 1024
    """All kept results and tracebacks together, as estimated. The newest is kept whatever its size."""

    def __post_init__(self) -> None:
        check_count("retention.max_count", self.max_count)
        check_count("retention.max_result_bytes", self.max_result_bytes)
        if self.max_age is not None:
            if not isinstance(self.max_age, timedelta):
                raise ConfigurationError("retention.max_age", self.max_age, "a timedelta, or None for no limit")
            check_seconds("retention.max_age", self.max_age)
            if self.max_age > _LONGEST_AGE:
                raise ConfigurationError("retention.max_age", self.max_age, "at most a century, or None for no limit")
