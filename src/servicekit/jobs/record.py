"""The record of a job: all that is known about it at one moment, frozen."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated, Final

from pydantic import Field

from servicekit.jobs.options import RunnerKind
from servicekit.jobs.status import EndedBy, JobStatus

_ULID = "01JQRS7XK5N8Z3VQ2M4T6W8Y0A"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job says it is."""

    done: Annotated[int | float, Field(description="How much is done, in the job's own unit.", examples=[12])]
    total: Annotated[int | float | None, Field(description="How much there is to do, if known.", examples=[30])] = None
    message: Annotated[str | None, Field(description="What is being done.", examples=["step 12 of 30"])] = None
    reported_at: Annotated[datetime | None, Field(description="When the job reported it (UTC).")] = None


@dataclass(frozen=True, slots=True)
class PastAttempt:
    """An attempt that was followed by another one, or that will be."""

    attempt: Annotated[int, Field(description="The number of the attempt, from 1.", examples=[1])]
    started_at: Annotated[datetime, Field(description="When it began (UTC).")]
    finished_at: Annotated[datetime, Field(description="When it ended, or was found to have ended (UTC).")]
    error: Annotated[str | None, Field(description="Why it failed; `null` if its process was stopped or died.")]
    ended_by: Annotated[EndedBy, Field(description="What made it end.", examples=[EndedBy.TARGET])]
    process: Annotated[
        str | None, Field(description="The process of the service that ran it.", examples=["web-1:4711"])
    ] = None


@dataclass(frozen=True, slots=True)
class JobSummary:
    """A job as lists show it: a record without what is large."""

    id: Annotated[str, Field(description="The job's ULID.", examples=[_ULID])]
    status: Annotated[JobStatus, Field(description="Where the job is in its life.", examples=[JobStatus.RUNNING])]
    submitted_at: Annotated[datetime, Field(description="When it was accepted (UTC).")]
    started_at: Annotated[datetime | None, Field(description="When it began to run (UTC).")]
    finished_at: Annotated[datetime | None, Field(description="When it ended (UTC).", examples=[None])]
    error: Annotated[
        str | None,
        Field(
            description="Why it failed: the error's class and text, bounded. `null` unless it has ended; why earlier "
            "attempts failed is in `attempts`.",
            examples=[None],
        ),
    ]
    artifact_id: Annotated[
        str | None,
        Field(
            description="The ULID of what the job has left: of the artifact that it has named, or else its result if "
            "that is a ULID. `null` unless it has ended.",
            examples=[None],
        ),
    ]
    name: Annotated[str, Field(description="The name of what runs.", examples=["train_model"])]
    attempt: Annotated[int, Field(description="How many times it has been started.", examples=[1])]
    version: Annotated[
        int, Field(description="How many changes it has seen; the `id:` of its stream's events.", examples=[2])
    ]
    progress: Annotated[Progress | None, Field(description="The job's newest report of progress.")]
    tags: Annotated[tuple[str, ...], Field(description="Words by which the job is found.", examples=[["nightly"]])]
    cancel_requested_at: Annotated[
        datetime | None,
        Field(description="When it was asked to stop (UTC). It is `canceled` when it has stopped.", examples=[None]),
    ]
    queue: Annotated[str, Field(description="The queue in which it waits, or has waited.", examples=["default"])]
    priority: Annotated[
        int, Field(description="Jobs with a higher one are started first in their queue.", examples=[0])
    ]
    scheduled_at: Annotated[
        datetime | None,
        Field(description="When it may start, or start again, at the earliest (UTC).", examples=[None]),
    ]
    ended_by: Annotated[
        EndedBy | None,
        Field(
            description="What made it end: the target itself, a cancellation (`kill`: it had to be killed), a time "
            "limit, an orderly stop of its process, or the loss of it (`crash`).",
            examples=[None],
        ),
    ]
    retry_of: Annotated[str | None, Field(description="The job that this one repeats.", examples=[None])]
    schedule: Annotated[str | None, Field(description="The schedule that submitted it.", examples=[None])]
    parent: Annotated[str | None, Field(description="The job that submitted it.", examples=[None])]
    owner: Annotated[str | None, Field(description="Whose job it is; `null` if it is nobody's.", examples=["ana"])]
    metadata: Annotated[
        dict[str, object],
        Field(description="A JSON object that its submitter keeps with it.", examples=[{"customer": "c-17"}]),
    ] = field(hash=False)
    process: Annotated[
        str | None,
        Field(
            description="The process of the service that runs it, or ran its last attempt, as `host:pid`; `null` while "
            "it is pending.",
            examples=["web-1:4711"],
        ),
    ]
    # These two change with the clock. They are not compared, so that two records of the same state are equal whenever
    # they were made.
    elapsed_seconds: Annotated[
        float | None, Field(description="How long its last attempt has run, or ran.", examples=[4.2])
    ] = field(compare=False)
    remaining_seconds: Annotated[
        float | None,
        Field(description="How much longer it will run if it goes on at its reported pace.", examples=[8.4]),
    ] = field(compare=False)


@dataclass(frozen=True, slots=True)
class JobRecord(JobSummary):
    """Everything that is known about one job at one moment."""

    error_traceback: Annotated[
        str | None, Field(description="Where it failed: a Python traceback, bounded.", examples=[None])
    ]
    attempts: Annotated[
        tuple[PastAttempt, ...], Field(description="The attempts before the last one, the newest 50 of them.")
    ]
    restart_problem: Annotated[
        str | None,
        Field(
            description="Why only the process that accepted it can run it, so that it is lost with that process and "
            "cannot be submitted again; `null` if any process can.",
            examples=[None],
        ),
    ]
    pending_reason: Annotated[
        str | None,
        Field(
            description="Why it could not begin when its turn came: there was no room for it on the cluster, say. It "
            "is tried again, and this is `null` from then on.",
            examples=[None],
        ),
    ]
    runner: Annotated[
        RunnerKind | None,
        Field(
            description="How it runs; `null` for a kind that only a newer version knows.",
            examples=[RunnerKind.THREAD],
        ),
    ]


MAX_PAST_ATTEMPTS: Final = 50
"""How many past attempts are kept. `Retry` allows a thousand, and each event and record of the job would hold all."""
MAX_TRANSITIONS: Final = 100
"""How many of a job's changes of status are kept, the newest. A job may be retried or given back without end."""


def seconds_elapsed(started_at: datetime | None, finished_at: datetime | None, now: datetime) -> float | None:
    """How many seconds an attempt has run so far, or ran in all. Never negative, even if the clock was set back."""
    if started_at is None:
        return None
    return max(0.0, ((finished_at or now) - started_at).total_seconds())


def seconds_remaining(progress: Progress | None, started_at: datetime | None, now: datetime) -> float | None:
    """How many seconds a running attempt will still take at the pace of its newest progress.

    `None` if there is no pace: nothing was reported, the total is unknown, or `done` is not within it.
    """
    if progress is None or started_at is None or progress.reported_at is None or not progress.total:
        return None
    share = progress.done / progress.total
    if not 0 < share <= 1:
        return None
    until_report = max(0.0, (progress.reported_at - started_at).total_seconds())
    since_report = max(0.0, (now - progress.reported_at).total_seconds())
    remaining = until_report * (1 - share) / share - since_report
    # Rounded to microseconds, since the times that it comes from are no finer. A tiny share can give infinity.
    return round(max(0.0, remaining), 6) if remaining < float("inf") else None


def transitions_of(record: JobRecord) -> list[JobRecord]:
    """The records at each change of status in the life of `record`, the oldest first. The job was started at most once.

    They are derived, not stored. A field that changes in such a life was empty before its change, so the newest record
    tells what the earlier ones said.
    """
    started = replace(record, status=JobStatus.RUNNING, version=2, finished_at=None, error=None, artifact_id=None,
                      progress=None, cancel_requested_at=None, error_traceback=None, ended_by=None,
                      elapsed_seconds=0.0, remaining_seconds=None)  # fmt: skip
    submitted = replace(started, status=JobStatus.PENDING, version=1, started_at=None, attempt=0, process=None,
                        elapsed_seconds=None)  # fmt: skip
    life = [submitted, started] if record.started_at else [submitted]
    return [*life, record] if record.status.is_terminal else life
