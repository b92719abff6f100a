"""What is asked of a database, and what it answers, where that is more than one value. Times are texts."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from servicekit.jobs.options import RunnerKind
from servicekit.jobs.outcome import Outcome
from servicekit.jobs.query import JobFilter
from servicekit.jobs.submission import Submission
from servicekit.ports import ClockSetting


class RecordRequest(NamedTuple):
    """Which job, and when it is asked for."""

    id: str
    now: datetime


class Resubmission(NamedTuple):
    """The wish to have a job once more."""

    job_id: str
    new_id: str
    now: datetime
    max_pending: int | None


class ClaimedJob(NamedTuple):
    """A job with its place among others: those of higher priority sort first, then those whose turn is lower."""

    rank: int
    turn: float
    id: str
    attempt: int
    failures: int
    name: str
    runner: str
    target: str | None
    arguments: str | None
    options: str | None
    retry_of: str | None
    schedule: str | None
    parent: str | None


class ProcessForgotten(Exception):
    """Others took this process for dead: its jobs are theirs now."""


class ClaimRequest(NamedTuple):
    process: int
    limit: int
    excluding: Collection[RunnerKind]
    max_running: int | None
    queue_limits: Mapping[str, int]
    now: str
    process_name: str
    is_first: bool = False
    """Whether others are to know from now on that jobs can be left to this process."""


class AttemptEnd(NamedTuple):
    """How an attempt ended."""

    id: str
    attempt: int
    ending: Outcome
    """Its result is a `WrittenResult`, if it has one."""
    now: str
    expires_at: str | None = None
    """When it has waited too long, if it is retried."""
    submission: Submission | None = None
    """Of a job that may be given back: perhaps only this process has it."""


class Decline(NamedTuple):
    """A claim that this process can make nothing of."""

    id: str
    attempt: int


class ProgressReport(NamedTuple):
    id: str
    attempt: int
    progress: str


class JobRequest(NamedTuple):
    """Something that is asked about one job, at a time."""

    id: str
    now: str

    @property
    def for_record(self) -> RecordRequest:
        return RecordRequest(self.id, datetime.fromisoformat(self.now))


class LogRow(NamedTuple):
    at: str
    level: str
    source: str
    text: str


class NewLines(NamedTuple):
    """Lines of one attempt, and how much its job may keep."""

    id: str
    attempt: int
    lines: Sequence[LogRow]
    max_bytes: int | None


class LogRequest(NamedTuple):
    id: str
    after: int
    limit: int


class ListRequest(NamedTuple):
    wanted: JobFilter
    limit: int
    before: str | None
    scan_limit: int
    now: datetime


class CountRequest(NamedTuple):
    wanted: JobFilter
    scan_limit: int


class TransitionsRequest(NamedTuple):
    id: str
    after_version: int


class ChangesRequest(NamedTuple):
    after: int
    limit: int
    now: datetime


class Pause(NamedTuple):
    name: str
    is_paused: bool


class SchedulePause(NamedTuple):
    name: str
    next_at: str | None
    is_paused: bool


class Tick(NamedTuple):
    """A schedule's tick that has come, and the id of its job if it shall have one."""

    name: str
    tick: str
    next_at: str | None
    job_id: str | None
    now: datetime
    max_pending: int | None


class ClockReading(NamedTuple):
    setting: ClockSetting
    now: datetime


class Departure(NamedTuple):
    """A process, and the time at which it is known to go, or to have gone."""

    process: int
    now: str


class Step(NamedTuple):
    """What was done about the jobs of a process that goes, or has gone."""

    is_last: bool
    failed: list[str]
    taken: int
    """How many jobs are not that process's any more, those that have failed included."""


class OwnedJob(NamedTuple):
    id: str
    attempt: int
    is_unwanted: bool
    """Whether it was deleted, or asked to stop."""


class Prune(NamedTuple):
    groups: Sequence["PruneGroup"]
    limit: int
    ended_before: str
    """What ended later is kept in any case: other processes may not have seen it yet."""
    tomorrow: str
    """What ended later has not ended yet, unless somebody has set the clock."""
    deletions_before: str


class PruneGroup(NamedTuple):
    """Statuses that are bounded together."""

    statuses: Sequence[str]
    max_count: int | None
    finished_before: str


class Member(NamedTuple):
    """A process that works on the jobs, or did."""

    id: int
    lock: str | None
    """What it holds locked, if it is on the list; `None` as well for one that only its jobs tell of."""
    pid: int | None
