"""Requests to a database, and its answers, if they are more than one value. Times are texts."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from servicekit.jobs.options import RunnerKind
from servicekit.jobs.outcome import Outcome
from servicekit.jobs.query import JobFilter
from servicekit.jobs.submission import Submission
from servicekit.jobs.suggestions import SuggestionRequest
from servicekit.ports import ClockSetting


class RecordRequest(NamedTuple):
    """A job, and the time of the request."""

    id: str
    now: datetime


class CallsRequest(NamedTuple):
    """Jobs, and how much of their arguments is wanted."""

    job_ids: list[str]
    most_characters: int


class Resubmission(NamedTuple):
    """A request to submit a job once more."""

    job_id: str
    new_id: str
    now: datetime
    max_pending: int | None
    is_once: bool = False
    """Whether nothing is to be done if a repetition is kept already."""


class ClaimedJob(NamedTuple):
    """A claimed job with its place in the order: higher priorities sort first, then lower turns."""

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
    ready_at: str | None
    """Its `scheduled_at`, or else when it was submitted."""
    owned_by: str | None = None
    """For those who count the jobs of owners when they claim."""


class ProcessForgotten(Exception):
    """Others took this process for dead, and have taken its jobs over."""


class ClaimRequest(NamedTuple):
    process: int
    limit: int
    excluding: Collection[RunnerKind]
    max_running: int | None
    queue_limits: Mapping[str, int]
    now: str
    process_name: str
    is_first: bool = False
    """Whether other processes may leave jobs to this one from now on."""
    most: int = 0
    """How many may be claimed instead of `limit` if nothing but coroutines is ready, where it is more than that."""


class AttemptEnd(NamedTuple):
    """How an attempt ended."""

    id: str
    attempt: int
    ending: Outcome
    """Its result is a `WrittenResult`, if it has one."""
    now: str
    expires_at: str | None = None
    """The end of its `queue_timeout`, if it is retried."""
    submission: Submission | None = None
    """The submission of a job that may be given back: perhaps only this process has it."""


class Decline(NamedTuple):
    """A claim of a job that this process cannot run."""

    id: str
    attempt: int


class ProgressReport(NamedTuple):
    id: str
    attempt: int
    progress: str


class JobRequest(NamedTuple):
    """A request about one job, with its time."""

    id: str
    now: str
    among: Collection[str] | None = None
    """The job is left alone unless it has one of these statuses."""

    def is_about(self, status: str) -> bool:
        """Whether a job with this status is meant."""
        return self.among is None or status in self.among

    @property
    def for_record(self) -> RecordRequest:
        return RecordRequest(self.id, datetime.fromisoformat(self.now))


class LogRow(NamedTuple):
    at: str
    level: str
    source: str
    text: str


class NewLines(NamedTuple):
    """Lines of one attempt, and how many bytes its job's log may have."""

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

    @property
    def most_looked_at(self) -> int:
        """How many jobs the request may look at.

        One index answers one question, and then no more than the page is needed. For a second question, and for one
        that has no index, jobs have to be searched.
        """
        wanted = self.wanted
        statuses = None if wanted.owner is not None else wanted.statuses or None  # one index leads to both
        indexed = [wanted.parent, wanted.owner, wanted.tag, wanted.name, statuses, *wanted.metadata]
        others = [wanted.search, wanted.queue, wanted.error]
        is_search = sum(each is not None for each in indexed) > 1 or any(each is not None for each in others)
        return max(self.scan_limit, self.limit + 1) if is_search else self.limit + 1


class CountRequest(NamedTuple):
    wanted: JobFilter
    scan_limit: int


class SuggestRequest(NamedTuple):
    asked: SuggestionRequest
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
    """A tick that has come, and the id of its job; `None` if the tick is skipped."""

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
    """A process that stops or has died, and the time at which this is known."""

    process: int
    now: str


class Step(NamedTuple):
    """The result of one step for the jobs of a process that stops or has died."""

    is_last: bool
    failed: list[str]
    taken: int
    """How many jobs were taken from the process, those that have failed included."""


class OwnedJob(NamedTuple):
    id: str
    attempt: int
    is_unwanted: bool
    """Whether it was deleted, or asked to stop."""


class Prune(NamedTuple):
    groups: Sequence["PruneGroup"]
    limit: int
    ended_before: str
    """A job that ended later is kept in any case: other processes may not have seen it yet."""
    tomorrow: str
    """A job cannot have ended later than this, unless somebody has set the clock."""
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
    """Its lock, if it is on the list and has one."""
    pid: int | None
    """`None` if it is not on the list, and only its jobs name it."""
    name: str | None = None
    """What people call it, if the list says so."""


class NextMoment(NamedTuple):
    """When the next job comes due, or has waited too long."""

    text: str | None
    """`None`: no job waits for a time."""
