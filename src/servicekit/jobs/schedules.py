"""Recurring jobs: what is kept of a schedule, beside its timetable."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from servicekit.jobs.options import JobOptions
from servicekit.jobs.submission import JobTarget
from servicekit.jobs.timetable import MissedTicks as MissedTicks
from servicekit.jobs.timetable import Overlap as Overlap
from servicekit.jobs.timetable import Timetable


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A job that is submitted again and again. Two with the same name are one, and the last that is declared counts."""

    name: str
    timetable: Timetable
    target: JobTarget
    args: tuple[object, ...]
    kwargs: dict[str, object]
    options: JobOptions
    missed: MissedTicks
    overlap: Overlap


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleState:
    """A schedule as it is kept, and where it stands."""

    name: str
    timetable: Timetable | None
    """`None` if this process cannot read it: see `problem`."""
    target_name: str
    missed: MissedTicks
    overlap: Overlap
    is_paused: bool
    next_at: datetime | None
    """The next tick; `None` if there is none any more, or the schedule is paused."""
    last_at: datetime | None
    """The last tick for which a job was submitted."""
    last_job_id: str | None
    problem: str | None = None
    """Why this process submits no jobs of it: it cannot read the schedule, or not import its target. Another may."""


class FiredSchedule(StrEnum):
    """What became of a tick."""

    SUBMITTED = "submitted"
    SKIPPED = "skipped"
    """By whoever fired it, or because the last job has not ended."""
    LOST = "lost"
    """It was not this schedule's next tick any more, or it is paused: somebody else was faster."""


def judge_tick(overlap: str, *, is_next: bool, is_paused: bool, is_wanted: bool, is_last_there: bool) -> FiredSchedule:
    """What is to become of a tick: `SUBMITTED`, unless the queue has no room for its job.

    - `is_next`: it is still the schedule's next one.
    - `is_wanted`: whoever fires it wants a job for it.
    - `is_last_there`: the job of an earlier tick has not ended.
    """
    if is_paused or not is_next:
        return FiredSchedule.LOST
    if not is_wanted or (is_last_there and overlap == Overlap.SKIP):
        return FiredSchedule.SKIPPED
    return FiredSchedule.SUBMITTED


def options_of_tick(name: str, overlap: str, options: JobOptions) -> JobOptions:
    """The options of a tick's job: with overlap `WAIT`, the schedule's jobs share a key, and run one by one."""
    if overlap != Overlap.WAIT or options.concurrency_key is not None:
        return options
    return replace(options, concurrency_key=f"schedule:{name}", concurrency_limit=1)
