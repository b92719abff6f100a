"""What is copied from one database to another when jobs move: the same rows, whatever keeps them.

    an origin ── rows, table by table, in the order of their keys ──▶ a destination ── finish ──▶ a store

The origin belongs to a stopped service, and nobody can write to it meanwhile. What has been copied is kept, page by
page: who is interrupted goes on behind the last row. Nobody can use the destination before it is finished.

Not copied is what follows from the rows (counts, turns), and what no process knows any more: which one of those that
are gone had a job. A job says only whether one had it, so that the next service takes it over.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from enum import Enum, auto
from hashlib import blake2b
from typing import Any, Final, NamedTuple, Protocol

from servicekit.errors import StoreUnavailable
from servicekit.jobs.status import JobStatus
from servicekit.stores.durable.nonsense import NONSENSE
from servicekit.stores.durable.times import time_text

Row = tuple[str | int | None, ...]


class Kind(Enum):
    """What a column has. Times are texts (`time_text`), and flags 0 or 1."""

    TEXT = auto()
    NUMBER = auto()
    FLAG = auto()
    TIME = auto()
    OWNER = auto()
    """Whether a process has the job: it runs it, or was the only one that could."""


class HasJobs(StoreUnavailable):
    """The place has jobs that no unfinished move has brought there."""


class Table(NamedTuple):
    name: str
    key_length: int
    """So many of the first columns are the key."""
    columns: Mapping[str, Kind]

    def key_of(self, row: Row) -> Row:
        return row[: self.key_length]


class Marks(NamedTuple):
    """What there is one of."""

    position: int
    """Of the newest event that ever was."""
    forgotten: int
    """Of the newest deletion that is known no more."""
    service: str | None


OWNED_STATUSES: Final = (JobStatus.PENDING.value, JobStatus.RUNNING.value)
OWNER: Final = 1
"""The number of the process that has all jobs that were some process's. It is on no list, or marked as dead."""


def _all(kind: Kind, names: str) -> dict[str, Kind]:
    return dict.fromkeys(names.split(), kind)


TABLES: Final = (
    Table("schedules", 1, {
        **_all(Kind.TEXT, "name timetable target target_name arguments runner options missed overlap last_job_id"),
        **_all(Kind.FLAG, "is_paused"),
        **_all(Kind.TIME, "next_at last_at"),
    }),
    Table("queues", 1, _all(Kind.TEXT, "name") | _all(Kind.FLAG, "is_paused") | _all(Kind.NUMBER, "served")),
    Table("results", 1, _all(Kind.TEXT, "job_id value")),
    Table("logs", 2, {
        **_all(Kind.TEXT, "job_id"),
        **_all(Kind.NUMBER, "number attempt bytes_so_far"),
        **_all(Kind.TIME, "at"),
        **_all(Kind.TEXT, "level source text"),
    }),
    Table("job_tags", 2, _all(Kind.TEXT, "tag job_id")),
    Table("job_metadata", 3, _all(Kind.TEXT, "key word job_id")),
    Table("jobs", 1, {
        **_all(Kind.TEXT, "id name tags queue waits_for concurrency_key options status attempts runner target"),
        **_all(Kind.TEXT, "arguments process progress error error_traceback ended_by artifact_id retry_of schedule"),
        **_all(Kind.TEXT, "parent owned_by metadata restart_problem idempotency_key fingerprint"),
        **_all(Kind.NUMBER, "priority turn concurrency_limit version attempt spared failures max_restarts"),
        **_all(Kind.TIME, "scheduled_at expires_at submitted_at started_at finished_at cancel_requested_at"),
        **_all(Kind.FLAG, "is_deleted"),
        **_all(Kind.OWNER, "owner"),
    }),
    Table("events", 1, {
        **_all(Kind.NUMBER, "position version attempt"),
        **_all(Kind.FLAG, "is_transition"),
        **_all(Kind.TEXT, "job_id status progress error error_traceback owned_by"),
        **_all(Kind.TIME, "at started_at scheduled_at cancel_requested_at"),
    }),
)  # fmt: skip
"""All that is copied, in this order."""


class Origin(Protocol):
    """Jobs of a stopped service."""

    @property
    def location(self) -> str: ...

    def read_marks(self) -> Marks: ...

    def count(self, table: Table) -> int: ...

    def read(self, table: Table, after: Row = ()) -> Iterator[Row]:
        """The rows whose keys come after this one, in the order of the origin's keys."""
        ...


class Destination(Origin, Protocol):
    """Jobs that are not complete yet."""

    def begin(self, origin: str, position: int) -> None:
        """Have this come from there, up to this position, and nothing else. `StoreUnavailable` if that is not so.

        What came from there earlier, up to another position, is removed.
        """
        ...

    def find_last(self, table: Table) -> Row:
        """The greatest key that is there; nothing if there is none."""
        ...

    def write(self, table: Table, rows: list[Row]) -> None:
        """Add these rows, all or none, unless they are there."""
        ...

    def clear(self) -> None:
        """Remove what was copied."""
        ...

    def finish(self, marks: Marks) -> None:
        """Make it a store."""
        ...


def digest(rows: Iterable[Row]) -> tuple[int, int]:
    """How many rows there are, and a sum of all of them that tells whether others are the same, in whatever order."""
    count, total = 0, 0
    for row in rows:
        count += 1
        total += int.from_bytes(blake2b(repr(row).encode(), digest_size=16).digest(), "big")
    return count, total % 2**128


def read_rows(location: str, table: Table, rows: Iterable[tuple[Any, ...]]) -> Iterator[Row]:
    """The rows as all databases have them. `StoreUnavailable` for one that makes no sense: others can write there."""
    readers = [_READERS[kind] for kind in table.columns.values()]
    for row in rows:
        try:
            yield tuple(read(value) for read, value in zip(readers, row, strict=True))
        except NONSENSE as error:
            key = ", ".join(map(repr, table.key_of(row)))
            reason = f"what {table.name} has of {key} makes no sense ({error}). Delete it or correct it."
            raise StoreUnavailable(location, reason) from error


def _read_text(value: object) -> str | None:
    if not isinstance(value, str | None):
        raise TypeError(f"{type(value).__name__} in place of a text")
    return value


def _read_number(value: object) -> int | None:
    if not isinstance(value, int | None):
        raise TypeError(f"{type(value).__name__} in place of a whole number")
    return value


def _read_flag(value: object) -> int:
    return int(bool(value))


def _read_time(value: Any) -> str | None:
    if value is None:
        return None
    moment = datetime.fromisoformat(value)
    return time_text(moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC))


_READERS: Final[Mapping[Kind, Callable[[Any], str | int | None]]] = {
    Kind.TEXT: _read_text,
    Kind.NUMBER: _read_number,
    Kind.FLAG: _read_flag,
    Kind.TIME: _read_time,
    Kind.OWNER: _read_flag,
}
