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
"""The most jobs that one request looks at when it searches by what no index leads to: its cost must have a bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs are wanted. A job must fulfil every condition that is given.

    `ConfigurationError` for a time without a time zone, and for metadata that jobs cannot be found by.
    """

    statuses: frozenset[JobStatus] = frozenset()
    """The job has one of these statuses. An empty set allows all."""
    name: str | None = None
    tag: str | None = None
    parent: str | None = None
    """The id of the job that submitted it."""
    owner: str | None = None
    """Whose job it is."""
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)
    """The job's metadata has these values at these keys: texts as they are, whole numbers and booleans as in JSON."""
    search: str | None = None
    """The job's name or error contains this text. ASCII letters match in either case."""
    queue: str | None = None
    """The queue in which it waits, or has waited."""
    error: str | None = None
    """The job's error contains this text. ASCII letters match in either case."""
    submitted_after: datetime | None = None
    """The job was submitted at this time or later, by the time in its id, which counts milliseconds."""
    submitted_before: datetime | None = None
    """The job was submitted before this time."""

    def __post_init__(self) -> None:
        for option in ("submitted_after", "submitted_before"):
            moment = getattr(self, option)
            if moment is not None and moment.utcoffset() is None:
                raise ConfigurationError(option, moment, "a time with a time zone")
        check_words(self.metadata)

    @property
    def is_search(self) -> bool:
        """Whether there are conditions besides owner, status and time: no order of the jobs leads to what they want."""
        texts = (self.name, self.tag, self.parent, self.search, self.queue, self.error)
        return bool(self.metadata) or any(text is not None for text in texts)

    @property
    def lowest_id(self) -> str:
        """The smallest id that `submitted_after` allows."""
        return "" if self.submitted_after is None else first_id_at(self.submitted_after)

    @property
    def above_id(self) -> str:
        """The smallest id that `submitted_before` forbids. `~` is greater than every id."""
        return "~" if self.submitted_before is None else first_id_at(self.submitted_before)

    @property
    def is_counted(self) -> bool:
        """Whether there are no conditions besides status, and owner or queue. Stores count such jobs all the time."""
        has_both = self.owner is not None and self.queue is not None
        return not has_both and self == JobFilter(owner=self.owner, queue=self.queue, statuses=self.statuses)

    def matches(self, record: JobRecord) -> bool:
        """Whether a record fulfils all conditions."""
        return (
            (not self.statuses or record.status in self.statuses)
            and self.lowest_id <= record.id < self.above_id
            and self.finds(
                record.name, record.tags, record.error, record.parent, record.owner, record.queue, record.metadata
            )
        )

    def finds(
        self,
        name: str,
        tags: tuple[str, ...],
        error: str | None,
        parent: str | None,
        owner: str | None,
        queue: str,
        metadata: Mapping[str, object],
    ) -> bool:
        """Whether a job with these values fulfils all conditions besides those of status and time."""
        return (
            (self.name is None or name == self.name)
            and (self.tag is None or self.tag in tags)
            and (self.parent is None or parent == self.parent)
            and (self.owner is None or owner == self.owner)
            and (self.queue is None or queue == self.queue)
            and all(word_of(metadata.get(key)) == word for key, word in self.metadata.items())
            and (self.search is None or _contains(name, self.search) or _contains(error, self.search))
            and (self.error is None or _contains(error, self.error))
        )


def _contains(text: str | None, search: str) -> bool:
    return text is not None and search.encode("utf-8", "replace").lower() in text.encode().lower()


ALL_JOBS: Final = JobFilter()


class JobCounts(dict[JobStatus, int]):
    """How many jobs there are, for each status."""

    def __init__(self, counts: Mapping[JobStatus, int], *, is_exact: bool) -> None:
        super().__init__(counts)
        self.is_exact = is_exact
        """`False`: only the newest `SCAN_LIMIT` jobs were looked at, and there may be more."""


class JobPage(NamedTuple):
    """Some of the jobs, the newest first."""

    records: list[JobRecord]
    next_before: str | None
    """The next page has the jobs before this id; `None` if there are no more. A page can be short, or even empty, and
    still not be the last, since one request looks at no more than `SCAN_LIMIT` jobs."""


class ChangePage(NamedTuple):
    """Some changes of jobs, in order. Of several changes of one job, only the newest is there."""

    changes: list["JobChange"]
    position: int
    """The next page begins after this position."""
    is_last: bool
    """Whether there are no more changes so far."""


class JobChange(NamedTuple):
    """The newest state of a job that has changed."""

    position: int
    job_id: str
    record: JobRecord | None
    """`None`: the job was deleted."""
    owner: str | None = None
    """Whose job it was that was deleted."""

    @property
    def is_last(self) -> bool:
        """Never: a stream of all jobs goes on, since other jobs follow. `JobEvent` has the same question."""
        return False
