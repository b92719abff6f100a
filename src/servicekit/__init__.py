"""servicekit: an asynchronous job scheduler for FastAPI services.

This page is for scripts, tests and targets; `servicekit.api` has what a web service needs.
"""

from servicekit.engine.factory import InMemoryScheduler, create_scheduler
from servicekit.engine.scheduler import Scheduler
from servicekit.errors import (
    ConfigurationError,
    IdempotencyConflict,
    InvalidJobId,
    InvalidTarget,
    JobCanceled,
    JobFailed,
    JobNotFinished,
    JobNotFound,
    MissingExtra,
    NoCurrentJob,
    ResultDropped,
    ResultUnavailable,
    SchedulerClosed,
    ServicekitError,
    StoreUnavailable,
)
from servicekit.jobs.current import CurrentJob, current_job
from servicekit.jobs.options import JobOptions, job_options
from servicekit.jobs.query import ALL_JOBS, JobChange, JobFilter, JobPage
from servicekit.jobs.record import JobRecord, JobSummary, Progress
from servicekit.jobs.retention import Bounds, Retention
from servicekit.jobs.status import JobStatus
from servicekit.jobs.submission import JobTarget

__all__ = [
    "ALL_JOBS",
    "Bounds",
    "ConfigurationError",
    "CurrentJob",
    "IdempotencyConflict",
    "InMemoryScheduler",
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
    "MissingExtra",
    "NoCurrentJob",
    "Progress",
    "ResultDropped",
    "ResultUnavailable",
    "Retention",
    "Scheduler",
    "SchedulerClosed",
    "ServicekitError",
    "StoreUnavailable",
    "create_scheduler",
    "current_job",
    "job_options",
]
