"""Schedules of recurring jobs, and the rules for their ticks."""

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
    """A job that is submitted again and again. The name identifies it: a later declaration replaces an earlier one."""

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
    """A schedule as it is kept, with its next and its last tick."""

    name: str
    timetable: Timetable | None
    """`None` if this process cannot read it: see `problem`."""
    target_name: str
    """The name of its jobs: the one that its options give, or else the target's."""
    missed: MissedTicks
    overlap: Overlap
    is_paused: bool
    next_at: datetime | None
    """The next tick; `None` if there are no more, or the schedule is paused."""
    last_at: datetime | None
    """The last tick for which a job was submitted."""
    last_job_id: str | None
    problem: str | None = None
    """Why this process submits no jobs of the schedule: it cannot read the schedule, or cannot import its target.
    Another process may be able to."""


class FiredSchedule(StrEnum):
    """The result of firing a tick."""

    SUBMITTED = "submitted"
    SKIPPED = "skipped"
    """The caller wanted no job for the tick, or the schedule's last job has not ended."""
    LOST = "lost"
    """The tick is not the schedule's next one any more, since another process was faster; or the schedule is paused."""


def judge_tick(overlap: str, *, is_next: bool, is_paused: bool, is_wanted: bool, is_last_there: bool) -> FiredSchedule:
    """The result of firing a tick. `SUBMITTED` means that its job may be submitted; the queue can still be full.

    - `is_next`: the tick is still the schedule's next one.
    - `is_wanted`: the caller wants a job for it.
    - `is_last_there`: the job of an earlier tick has not ended.
    """
    if is_paused or not is_next:
        return FiredSchedule.LOST
    if not is_wanted or (is_last_there and overlap == Overlap.SKIP):
        return FiredSchedule.SKIPPED
    return FiredSchedule.SUBMITTED


def options_of_tick(name: str, overlap: str, options: JobOptions) -> JobOptions:
    """The options of a tick's job. With overlap `WAIT`, the schedule's jobs share a concurrency key, to run one by one.

    A key that the options give stays: the user has decided which jobs run one by one.
    """
    if overlap != Overlap.WAIT or options.concurrency_key is not None:
        return options
    return replace(options, concurrency_key=f"schedule:{name}", concurrency_limit=1)
