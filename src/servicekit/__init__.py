"""servicekit: an asynchronous job scheduler for FastAPI services.

This page is for scripts, tests and targets; `servicekit.api` has what a web service needs.
"""

from servicekit.engine.factory import InMemoryScheduler, create_scheduler
from servicekit.engine.scheduler import Scheduler
from servicekit.errors import (
    CommandFailed,
    ConfigurationError,
    IdempotencyConflict,
    InvalidArguments,
    InvalidJobId,
    InvalidTarget,
    JobCanceled,
    JobFailed,
    JobNotFinished,
    JobNotFound,
    MissingExtra,
    NoCurrentJob,
    ProcessCrashed,
    QueueFull,
    QueueTimeout,
    ResultDropped,
    ResultUnavailable,
    RetryAfter,
    RetryUnavailable,
    RunTimeout,
    ScheduleNotFound,
    SchedulerClosed,
    ServicekitError,
    SilenceTimeout,
    StoreUnavailable,
    TimeLimitExceeded,
)
from servicekit.jobs.command import Command
from servicekit.jobs.current import CurrentJob, current_job
from servicekit.jobs.logs import LogLine, LogPage
from servicekit.jobs.options import JobOptions, RunnerKind, job_options
from servicekit.jobs.progress import track
from servicekit.jobs.query import ALL_JOBS, JobChange, JobFilter, JobPage
from servicekit.jobs.queues import QueueRecord
from servicekit.jobs.record import JobRecord, JobSummary, PastAttempt, Progress
from servicekit.jobs.retention import Bounds, Retention
from servicekit.jobs.retry import Retry
from servicekit.jobs.schedules import MissedTicks, Overlap, ScheduleState
from servicekit.jobs.status import EndedBy, JobStatus
from servicekit.jobs.submission import JobTarget
from servicekit.jobs.timetable import Cron, Every
from servicekit.observability.bars import report_tqdm

__all__ = [
    "ALL_JOBS",
    "Bounds",
    "Command",
    "CommandFailed",
    "ConfigurationError",
    "Cron",
    "CurrentJob",
    "EndedBy",
    "Every",
    "IdempotencyConflict",
    "InMemoryScheduler",
    "InvalidArguments",
    "InvalidJobId",
    "InvalidTarget",
    "JobCanceled",
    "JobChange",
    "JobFailed",
    "JobFilter",
    "JobNotFinished",
    "JobNotFound",
    "JobOptions",
    "JobPage",
    "JobRecord",
    "JobStatus",
    "JobSummary",
    "JobTarget",
    "LogLine",
    "LogPage",
    "MissedTicks",
    "MissingExtra",
    "NoCurrentJob",
    "Overlap",
    "PastAttempt",
    "ProcessCrashed",
    "Progress",
    "QueueFull",
    "QueueRecord",
    "QueueTimeout",
    "ResultDropped",
    "ResultUnavailable",
    "Retention",
    "Retry",
    "RetryAfter",
    "RetryUnavailable",
    "RunTimeout",
    "RunnerKind",
    "ScheduleNotFound",
    "ScheduleState",
    "Scheduler",
    "SchedulerClosed",
    "ServicekitError",
    "SilenceTimeout",
    "StoreUnavailable",
    "TimeLimitExceeded",
    "create_scheduler",
    "current_job",
    "job_options",
    "report_tqdm",
    "track",
]
