"""The statements that a database needs. Each protocol describes one of its modules, of that name."""

from typing import NamedTuple, Protocol

from servicekit.jobs.log_lines import LogPage
from servicekit.jobs.query import ChangePage, JobCounts, JobFilter, JobPage
from servicekit.jobs.queues import QueueRecord
from servicekit.jobs.record import JobRecord
from servicekit.jobs.schedules import FiredSchedule
from servicekit.jobs.shown_calls import KeptCall
from servicekit.jobs.status import Transition
from servicekit.jobs.submission import CallDescription
from servicekit.jobs.suggestions import Suggestion
from servicekit.stores.durable.activity_rows import ActivityRequest, ActivityRow, NewActivity
from servicekit.stores.durable.database import Query
from servicekit.stores.durable.new_jobs import NewJob
from servicekit.stores.durable.operations import Operation
from servicekit.stores.durable.readiness import ReadinessRow
from servicekit.stores.durable.requests import (
    AttemptEnd,
    CallsRequest,
    ChangesRequest,
    ClaimedJob,
    ClaimRequest,
    ClockReading,
    CountRequest,
    Decline,
    Departure,
    JobRequest,
    ListRequest,
    LogRequest,
    NewLines,
    OwnedJob,
    Pause,
    ProgressReport,
    Prune,
    RecordRequest,
    Resubmission,
    SchedulePause,
    Step,
    SuggestRequest,
    Tick,
    TransitionsRequest,
)
from servicekit.stores.durable.schedule_rows import FoundSchedule, ScheduleRow


class InsertStatements(Protocol):
    """New jobs."""

    @property
    def insert(self) -> Operation[NewJob, str]: ...
    @property
    def resubmit(self) -> Operation[Resubmission, str]: ...


class WriteStatements(Protocol):
    """Changes of existing jobs."""

    @property
    def end_attempts(self) -> Operation[AttemptEnd, Transition | None]: ...
    @property
    def report_progress(self) -> Operation[ProgressReport, None]: ...
    @property
    def decline(self) -> Operation[Decline, bool]: ...
    @property
    def request_cancel(self) -> Operation[JobRequest, JobRecord | None]: ...
    @property
    def delete(self) -> Operation[JobRequest, bool]: ...


class ClaimStatements(Protocol):
    @property
    def claim(self) -> Operation[ClaimRequest, list[ClaimedJob]]: ...


class TimeStatements(Protocol):
    """Jobs that wait for a time."""

    @property
    def find_next(self) -> Query[None, str | None]: ...
    @property
    def make_due(self) -> Operation[str, list[str]]: ...


class LogStatements(Protocol):
    @property
    def append(self) -> Operation[NewLines, bool]: ...
    @property
    def list_log(self) -> Query[LogRequest, LogPage]: ...


class QueryStatements(Protocol):
    """Reads of jobs."""

    @property
    def get_record(self) -> Query[RecordRequest, JobRecord]: ...
    @property
    def find_missing(self) -> Query[list[str], set[str]]: ...
    @property
    def list_calls(self) -> Query[CallsRequest, dict[str, KeptCall]]: ...
    @property
    def find_by_key(self) -> Query[str, str | None]: ...
    @property
    def find_old_call(self) -> Query[str, CallDescription | None]: ...
    @property
    def get_result(self) -> Query[str, object]: ...
    @property
    def list_records(self) -> Query[ListRequest, JobPage]: ...
    @property
    def count_wanted(self) -> Query[CountRequest, JobCounts]: ...
    @property
    def count_by_status(self) -> Query[JobFilter, JobCounts]: ...
    @property
    def list_transitions(self) -> Query[TransitionsRequest, list[JobRecord]]: ...
    @property
    def list_changes(self) -> Query[ChangesRequest, ChangePage | None]: ...
    @property
    def get_position(self) -> Query[None, int]: ...


class SuggestionStatements(Protocol):
    """Values that jobs have."""

    @property
    def suggest(self) -> Query[SuggestRequest, list[Suggestion]]: ...


class QueueStatements(Protocol):
    @property
    def list_queues(self) -> Query[None, list[QueueRecord]]: ...
    @property
    def set_paused(self) -> Operation[Pause, None]: ...


class ScheduleStatements(Protocol):
    @property
    def put(self) -> Operation[ScheduleRow, None]: ...
    @property
    def list_schedules(self) -> Query[None, list[FoundSchedule]]: ...
    @property
    def get_schedule(self) -> Query[str, FoundSchedule]: ...
    @property
    def set_paused(self) -> Operation[SchedulePause, FoundSchedule]: ...
    @property
    def remove(self) -> Operation[str, None]: ...
    @property
    def fire(self) -> Operation[Tick, FiredSchedule]: ...


class MemberStatements(Protocol):
    """The processes that work on the jobs."""

    @property
    def introduce(self) -> Operation[str, list[str]]: ...
    @property
    def touch(self) -> Operation[int, None]: ...
    @property
    def put_readiness(self) -> Operation[ReadinessRow, None]: ...
    @property
    def list_running(self) -> Query[int, list[OwnedJob]]: ...
    @property
    def runs_on_cluster(self) -> Query[int, bool]: ...
    @property
    def retire(self) -> Operation[Departure, Step]: ...
    @property
    def take_over(self) -> Operation[Departure, Step]: ...


class PruneStatements(Protocol):
    @property
    def prune(self) -> Operation[Prune, bool]: ...


class ClockStatements(Protocol):
    @property
    def heed(self) -> Operation[ClockReading, None]: ...


class ActivityStatements(Protocol):
    @property
    def put(self) -> Operation[NewActivity, None]: ...
    @property
    def list_activity(self) -> Query[ActivityRequest, list[ActivityRow]]: ...


class Statements(NamedTuple):
    """All of them."""

    inserts: InsertStatements
    writes: WriteStatements
    claims: ClaimStatements
    times: TimeStatements
    log_lines: LogStatements
    queries: QueryStatements
    queues: QueueStatements
    schedules: ScheduleStatements
    membership: MemberStatements
    pruning: PruneStatements
    clock: ClockStatements
    activity: ActivityStatements
    suggestions: SuggestionStatements
