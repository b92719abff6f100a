"""servicekit: an asynchronous job scheduler for FastAPI services.

Scripts, tests and targets import from here. Web services import from `servicekit.api`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from servicekit.engine.factory import InMemoryScheduler, create_scheduler
    from servicekit.engine.result_hooks import EndedAttempt, ResultHook
    from servicekit.engine.scheduler import Scheduler
    from servicekit.errors import (
        CommandFailed,
        ConfigurationError,
        IdempotencyConflict,
        InvalidArguments,
        InvalidArtifactId,
        InvalidJobId,
        InvalidTarget,
        JobCanceled,
        JobFailed,
        JobNotFinished,
        JobNotFound,
        MemoryLimitExceeded,
        MissingExtra,
        ModelNotReady,
        ModelNotTrusted,
        ModelUnusable,
        NoCurrentJob,
        ProcessCrashed,
        QueueFull,
        QueueTimeout,
        RecordUnreadable,
        ResourcesUnavailable,
        ResultDropped,
        ResultNotKept,
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
        WouldBlock,
        WrongEventLoop,
    )
    from servicekit.jobs.bulk import BulkAction, BulkCount, BulkStep, JobSelection
    from servicekit.jobs.cluster import RayCluster
    from servicekit.jobs.command import Command
    from servicekit.jobs.current import CurrentJob, CurrentJobWithOptions, current_job
    from servicekit.jobs.log_lines import LogLine, LogPage
    from servicekit.jobs.options import JobOptions, RunnerKind, job_options
    from servicekit.jobs.progress import track
    from servicekit.jobs.query import ALL_JOBS, JobChange, JobFilter, JobPage
    from servicekit.jobs.queues import QueueRecord
    from servicekit.jobs.record import JobRecord, JobSummary, PastAttempt, Progress
    from servicekit.jobs.resources import Resources
    from servicekit.jobs.retention import Bounds, Retention
    from servicekit.jobs.retry import Retry
    from servicekit.jobs.schedules import MissedTicks, Overlap, ScheduleState
    from servicekit.jobs.status import EndedBy, JobStatus
    from servicekit.jobs.submission import JobTarget
    from servicekit.jobs.suggestions import SuggestedField, Suggestion, SuggestionRequest
    from servicekit.jobs.timetable import Cron, Every
    from servicekit.jobs.workers import WorkerRecord
    from servicekit.observability.bars import report_tqdm

__all__ = [
    "ALL_JOBS",
    "Bounds",
    "BulkAction",
    "BulkCount",
    "BulkStep",
    "Command",
    "CommandFailed",
    "ConfigurationError",
    "Cron",
    "CurrentJob",
    "CurrentJobWithOptions",
    "EndedAttempt",
    "EndedBy",
    "Every",
    "IdempotencyConflict",
    "InMemoryScheduler",
    "InvalidArguments",
    "InvalidArtifactId",
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
    "JobSelection",
    "JobStatus",
    "JobSummary",
    "JobTarget",
    "LogLine",
    "LogPage",
    "MemoryLimitExceeded",
    "MissedTicks",
    "MissingExtra",
    "ModelNotReady",
    "ModelNotTrusted",
    "ModelUnusable",
    "NoCurrentJob",
    "Overlap",
    "PastAttempt",
    "ProcessCrashed",
    "Progress",
    "QueueFull",
    "QueueRecord",
    "QueueTimeout",
    "RayCluster",
    "RecordUnreadable",
    "Resources",
    "ResourcesUnavailable",
    "ResultDropped",
    "ResultHook",
    "ResultNotKept",
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
    "SuggestedField",
    "Suggestion",
    "SuggestionRequest",
    "TimeLimitExceeded",
    "WorkerRecord",
    "WouldBlock",
    "WrongEventLoop",
    "create_scheduler",
    "current_job",
    "job_options",
    "report_tqdm",
    "track",
]

# The module of each name. A module is imported when one of its names is first used (PEP 562), since the `servicekit`
# command and a job's own process need few of them, and must start fast.
_NAMES: Final = {
    "engine.factory": ("InMemoryScheduler", "create_scheduler"),
    "engine.result_hooks": ("EndedAttempt", "ResultHook"),
    "engine.scheduler": ("Scheduler",),
    "errors": (
        "CommandFailed",
        "ConfigurationError",
        "IdempotencyConflict",
        "InvalidArguments",
        "InvalidArtifactId",
        "InvalidJobId",
        "InvalidTarget",
        "JobCanceled",
        "JobFailed",
        "JobNotFinished",
        "JobNotFound",
        "MemoryLimitExceeded",
        "MissingExtra",
        "ModelNotReady",
        "ModelNotTrusted",
        "ModelUnusable",
        "NoCurrentJob",
        "ProcessCrashed",
        "QueueFull",
        "QueueTimeout",
        "RecordUnreadable",
        "ResourcesUnavailable",
        "ResultDropped",
        "ResultNotKept",
        "ResultUnavailable",
        "RetryAfter",
        "RetryUnavailable",
        "RunTimeout",
        "ScheduleNotFound",
        "SchedulerClosed",
        "ServicekitError",
        "SilenceTimeout",
        "StoreUnavailable",
        "TimeLimitExceeded",
        "WouldBlock",
        "WrongEventLoop",
    ),
    "jobs.bulk": ("BulkAction", "BulkCount", "BulkStep", "JobSelection"),
    "jobs.cluster": ("RayCluster",),
    "jobs.command": ("Command",),
    "jobs.current": ("CurrentJob", "CurrentJobWithOptions", "current_job"),
    "jobs.log_lines": ("LogLine", "LogPage"),
    "jobs.options": ("JobOptions", "RunnerKind", "job_options"),
    "jobs.progress": ("track",),
    "jobs.query": ("ALL_JOBS", "JobChange", "JobFilter", "JobPage"),
    "jobs.queues": ("QueueRecord",),
    "jobs.record": ("JobRecord", "JobSummary", "PastAttempt", "Progress"),
    "jobs.resources": ("Resources",),
    "jobs.retention": ("Bounds", "Retention"),
    "jobs.retry": ("Retry",),
    "jobs.schedules": ("MissedTicks", "Overlap", "ScheduleState"),
    "jobs.status": ("EndedBy", "JobStatus"),
    "jobs.submission": ("JobTarget",),
    "jobs.suggestions": ("SuggestedField", "Suggestion", "SuggestionRequest"),
    "jobs.timetable": ("Cron", "Every"),
    "jobs.workers": ("WorkerRecord",),
    "observability.bars": ("report_tqdm",),
}
_MODULE_OF: Final = {name: f"servicekit.{module}" for module, names in _NAMES.items() for name in names}

if not TYPE_CHECKING:  # a type checker would else take every name for an existing one

    def __getattr__(name: str) -> object:
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
