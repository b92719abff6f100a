"""Which jobs a list or a stream of all jobs is about."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from servicekit.errors import ConfigurationError
from servicekit.jobs.ids import first_id_at
from servicekit.jobs.record import JobRecord
from servicekit.jobs.status import JobStatus

SCAN_LIMIT: Final = 10_000
"""How many jobs one request looks at, at the most, when it looks for what no index leads to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """What a job must be like; everything that is given must hold. `ConfigurationError` for times without a zone."""

    statuses: frozenset[JobStatus] = frozenset()
    """One of these; none given is any."""
    name: str | None = None
    tag: str | None = None
    search: str | None = None
    """A text in the job's name or error. ASCII letters match in either case."""
    submitted_after: datetime | None = None
    """At this time or later, by the time in the job's id: to the millisecond."""
    submitted_before: datetime | None = None
    """Before this time."""

    def __post_init__(self) -> None:
        for option in ("submitted_after", "submitted_before"):
            moment = getattr(self, option)
            if moment is not None and moment.utcoffset() is None:
                raise ConfigurationError(option, moment, "a time with a time zone")

    @property
    def is_search(self) -> bool:
        """Whether it asks for more than a status and a time, to which no order of jobs leads."""
        return not (self.name is None and self.tag is None and self.search is None)

    @property
    def lowest_id(self) -> str:
        """The smallest id that `submitted_after` allows."""
        return "" if self.submitted_after is None else first_id_at(self.submitted_after)

    @property
    def above_id(self) -> str:
        """The smallest id that `submitted_before` forbids."""
        return "~" if self.submitted_before is None else first_id_at(self.submitted_before)

    def matches(self, record: JobRecord) -> bool:
        """Whether a record is what is looked for."""
        return (
            (not self.statuses or record.status in self.statuses)
            and self.lowest_id <= record.id < self.above_id
            and self.finds(record.name, record.tags, record.error)
        )

    def finds(self, name: str, tags: tuple[str, ...], error: str | None) -> bool:
        """Whether a job with these is what is searched for, its status and time left aside."""
        return (
            (self.name is None or name == self.name)
            and (self.tag is None or self.tag in tags)
            and (self.search is None or _contains(name, self.search) or _contains(error, self.search))
        )


def _contains(text: str | None, search: str) -> bool:
    return text is not None and search.encode("utf-8", "replace").lower() in text.encode().lower()


ALL_JOBS: Final = JobFilter()


class JobPage(NamedTuple):
    """Some of the jobs, the newest first."""

    records: list[JobRecord]
    next_before: str | None
    """Go on before this id; `None` if there are no more. A page may be short, even empty, and not be the last."""


class ChangePage(NamedTuple):
    """What some jobs have become."""

    changes: list["JobChange"]
    position: int
    """Go on after this."""
    is_last: bool
    """Whether nothing more has happened so far."""


class JobChange(NamedTuple):
    """What one job has become."""

    position: int
    job_id: str
    record: JobRecord | None
    """`None`: it was deleted."""

    @property
    def is_last(self) -> bool:
        """Whether nothing can come after it: there are always other jobs."""
        return False
