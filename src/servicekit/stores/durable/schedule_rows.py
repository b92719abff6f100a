"""Schedules as rows, and rows as schedules."""

from dataclasses import replace
from datetime import datetime
from typing import Any, Final, NamedTuple

from servicekit.errors import RecordUnreadable
from servicekit.jobs.option_texts import dump_options, load_options
from servicekit.jobs.restartable import describe_call, refuse
from servicekit.jobs.schedules import MissedTicks, Overlap, Schedule, ScheduleState
from servicekit.jobs.submission import CallProblem, Submission, check_target, name_of
from servicekit.jobs.timetable import dump_timetable, load_timetable
from servicekit.stores.durable.nonsense import NONSENSE
from servicekit.stores.durable.times import find_time, read_time, write_time


class ScheduleRow(NamedTuple):
    """A row of `schedules`, as far as its declaration makes it."""

    name: str
    timetable: str
    target: str
    target_name: str
    arguments: str
    runner: str
    options: str | None
    missed: str
    overlap: str
    next_at: str | None


def describe_schedule(schedule: Schedule, next_at: datetime | None) -> ScheduleRow:
    """The schedule in words that any process understands; `InvalidTarget` or `InvalidArguments` if there are none."""
    target, args, kwargs, options = schedule.target, schedule.args, schedule.kwargs, schedule.options
    runner = check_target(target, args, kwargs, options.runner)
    name = options.name or name_of(target)
    call = describe_call(Submission("", name, target, args, kwargs, runner, options))
    if isinstance(call, CallProblem):
        raise refuse(target, call)
    return ScheduleRow(
        schedule.name, dump_timetable(schedule.timetable), call.reference, name, call.arguments, runner,
        dump_options(options), schedule.missed, schedule.overlap, write_time(next_at),
    )  # fmt: skip


_NO_TEXT: Final = "\ufffd"


class FoundSchedule(NamedTuple):
    state: ScheduleState
    target: str
    """The target of its jobs, as `module:name`."""


def read_state(row: tuple[Any, ...]) -> FoundSchedule:
    name, timetable, target_name, missed, overlap, is_paused, next_at, last_at, last_job_id, target, *rest = row
    state = ScheduleState(
        name=as_text(name),
        timetable=None,
        target_name=as_text(target_name),
        missed=MissedTicks.ONCE,
        overlap=Overlap.SKIP,
        is_paused=bool(is_paused),
        next_at=None,
        last_at=find_time(last_at),
        last_job_id=None if last_job_id is None else as_text(last_job_id),
    )
    try:
        if any(isinstance(each, bytes) or _NO_TEXT in str(each) for each in row):
            raise ValueError("something in it is no text")
        load_options(rest[0])
        state = replace(
            state, timetable=load_timetable(timetable), missed=MissedTicks(missed), overlap=Overlap(overlap),
            next_at=read_time(next_at),
        )  # fmt: skip
    except NONSENSE as error:  # a newer version wrote it, or where more time zones are known
        state = replace(state, problem=str(RecordUnreadable(f"Schedule {name!r}", str(error))))
    return FoundSchedule(state, as_text(target))


def as_text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode(errors="replace")
