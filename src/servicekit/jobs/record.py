"""What is known about one job: a frozen snapshot."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated

from pydantic import Field

from servicekit.jobs.status import JobStatus

_ULID = "01JQRS7XK5N8Z3VQ2M4T6W8Y0A"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job says it is."""

    done: Annotated[int | float, Field(description="How much is done, in the job's own unit.", examples=[12])]
    total: Annotated[int | float | None, Field(description="How much there is to do, if known.", examples=[30])] = None
    message: Annotated[str | None, Field(description="What is being done.", examples=["step 12 of 30"])] = None


@dataclass(frozen=True, slots=True)
class JobSummary:
    """A job as it stands in lists."""

    id: Annotated[str, Field(description="The job's ULID.", examples=[_ULID])]
    status: Annotated[JobStatus, Field(description="Where the job is in its life.", examples=[JobStatus.RUNNING])]
    submitted_at: Annotated[datetime, Field(description="When it was accepted (UTC).")]
    started_at: Annotated[datetime | None, Field(description="When it began to run (UTC).")]
    finished_at: Annotated[datetime | None, Field(description="When it ended (UTC).", examples=[None])]
    error: Annotated[
        str | None,
        Field(description="Why it failed: the error's class and text, bounded.", examples=[None]),
    ]
    artifact_id: Annotated[str | None, Field(description="The job's result, if that is a ULID.", examples=[None])]
    name: Annotated[str, Field(description="The name of what runs.", examples=["train_model"])]
    attempt: Annotated[int, Field(description="How many times it has been started.", examples=[1])]
    version: Annotated[
        int, Field(description="How many changes it has seen; the `id:` of its stream's events.", examples=[2])
    ]
    progress: Annotated[Progress | None, Field(description="How far it says it is.")]
    tags: Annotated[tuple[str, ...], Field(description="Words to find it by.", examples=[["nightly"]])]
    cancel_requested_at: Annotated[
        datetime | None,
        Field(description="When it was asked to stop (UTC). It is `canceled` once it has.", examples=[None]),
    ]


@dataclass(frozen=True, slots=True)
class JobRecord(JobSummary):
    """Everything that is known about one job at one moment."""

    error_traceback: Annotated[
        str | None, Field(description="Where it failed: a Python traceback, bounded.", examples=[None])
    ]


def transitions_of(record: JobRecord) -> list[JobRecord]:
    """The records at each change of status in the life of `record`, the oldest first, if it was started only once.

    Derived, not stored: what changes later in such a life is known to have been empty earlier, so that one record says
    what three would.
    """
    started = replace(record, status=JobStatus.RUNNING, version=2, finished_at=None, error=None, artifact_id=None,
                      progress=None, cancel_requested_at=None, error_traceback=None)  # fmt: skip
    submitted = replace(started, status=JobStatus.PENDING, version=1, started_at=None, attempt=0)
    life = [submitted, started] if record.started_at else [submitted]
    return [*life, record] if record.status.is_terminal else life
