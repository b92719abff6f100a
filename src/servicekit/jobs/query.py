"""Which jobs a list or a stream of all jobs is about."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from servicekit.errors import ConfigurationError
from servicekit.jobs.ids import first_id_at
from servicekit.jobs.metadata import check_words, word_of
from servicekit.jobs.record import JobRecord
from servicekit.jobs.status import JobStatus

SCAN_LIMIT: Final = 10_000
"""How many jobs one request looks at, at the most, when it looks for what no index leads to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """What a job must be like; everything that is given must hold.

    `ConfigurationError` for times without a zone, and for metadata that cannot be looked for.
    """

    statuses: frozenset[JobStatus] = frozenset()
    """One of these; none given is any."""
    name: str | None = None
    tag: str | None = None
    parent: str | None = None
    """The id of the job that submitted it."""
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Values of its metadata, by their keys: texts as they are, whole numbers and booleans as JSON has them."""
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
        check_words(self.metadata)

    @property
    def is_search(self) -> bool:
        """Whether it asks for more than a status and a time, to which no order of jobs leads."""
        texts = (self.name, self.tag, self.parent, self.search)
        return bool(self.metadata) or any(text is not None for text in texts)

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
            and self.finds(record.name, record.tags, record.error, record.parent, record.metadata)
        )

    def finds(
        self,
        name: str,
        tags: tuple[str, ...],
        error: str | None,
        parent: str | None,
        metadata: Mapping[str, object],
    ) -> bool:
        """Whether a job with these is what is searched for, its status and time left aside."""
        return (
            (self.name is None or name == self.name)
            and (self.tag is None or self.tag in tags)
            and (self.parent is None or parent == self.parent)
            and all(word_of(metadata.get(key)) == word for key, word in self.metadata.items())
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
