"""Retention: how long, and how many bytes of, artifacts are kept."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from servicekit.errors import ConfigurationError, check_count
from servicekit.jobs.retention import check_max_age


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactBounds:
    """How long artifacts are kept, and how many bytes of them. `None` is no limit."""

    max_age: timedelta | None = None
    max_bytes: int | None = None

    def __post_init__(self) -> None:
        check_count("retention.max_bytes", self.max_bytes)
        check_max_age(self.max_age)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRetention:
    """The bounds on what is kept of artifacts. The oldest go first. `None` is no limit, and there is none by default.

    An artifact that was saved with `keep="always"` never goes, and does not count. One with others below it goes after
    these: what was made of it leads to it. The sizes of artifacts count, also where several have the same content,
    which is kept once: so `max_bytes` is never exceeded on the disk by what counts.
    """

    max_age: timedelta | None = None
    max_bytes: int | None = None
    by_kind: Mapping[str, ArtifactBounds] = field(default_factory=dict)
    """Other bounds for artifacts of this kind: `{"upload": ArtifactBounds(max_age=timedelta(days=1))}`. These artifacts
    do not count within the bounds of the others."""

    def __post_init__(self) -> None:
        ArtifactBounds(max_age=self.max_age, max_bytes=self.max_bytes)
        for kind, bounds in self.by_kind.items():
            if not isinstance(kind, str) or not isinstance(bounds, ArtifactBounds):
                raise ConfigurationError("retention.by_kind", dict(self.by_kind), "ArtifactBounds by kinds")

    def groups(self) -> Iterator[tuple[str | None, ArtifactBounds]]:
        """Kinds with their bounds; `None` stands for all the other kinds."""
        yield from self.by_kind.items()
        yield None, ArtifactBounds(max_age=self.max_age, max_bytes=self.max_bytes)
