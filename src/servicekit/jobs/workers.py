"""The record of a process that works on jobs."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import Field


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """One process that is alive, at one moment."""

    name: Annotated[
        str, Field(description="`host:pid`, as in the `process` of the jobs that it runs.", examples=["web-2:4711"])
    ]
    started_at: Annotated[datetime, Field(description="Since when it works on the jobs.")]
    is_stopping: Annotated[bool, Field(description="Whether it takes no more jobs, and ends when its jobs have.")]
    runs_jobs: Annotated[bool, Field(description="Whether it runs jobs, or only accepts them for others.")]
    running: Annotated[int, Field(description="How many jobs it runs, deleted ones included.", examples=[3])]
    is_this: Annotated[bool, Field(description="Whether it is the process that says this.")]
    seen_at: Annotated[
        datetime | None,
        Field(description="Its last sign of life, in a database; `null` where it is known to be alive at this moment."),
    ] = None
