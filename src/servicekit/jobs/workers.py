"""The record of a process that works on jobs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Final

from pydantic import Field

from servicekit.jobs.options import RunnerKind

MOST_CHARACTERS: Final = 500
"""The problem of a kind of jobs is clipped to so many characters (`servicekit.jobs.outcome.clip`): an error can have
megabytes."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """What kinds of jobs a process can run, and why jobs of some kinds cannot begin there at the moment."""

    runners: tuple[RunnerKind, ...] = ()
    problems: Mapping[RunnerKind, str] = field(default_factory=dict, hash=False)


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
    runners: Annotated[
        tuple[RunnerKind, ...] | None,
        Field(
            description="The kinds of jobs that it can run: `ray` only with a cluster, and none if it only accepts "
            "jobs. `null` if its version of servicekit does not tell.",
            examples=[["coroutine", "thread", "process", "command"]],
        ),
    ] = None
    problems: Annotated[
        Mapping[RunnerKind, str],
        Field(
            description="Why jobs of some kinds cannot begin there at the moment, by their kind.",
            examples=[{"thread": "can't start new thread"}],
        ),
    ] = field(default_factory=dict, hash=False)
