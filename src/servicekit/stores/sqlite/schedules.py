"""Recurring jobs: their schedules, and the jobs of their ticks."""

import sqlite3
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, NamedTuple

from servicekit.errors import QueueFull, RecordUnreadable, ScheduleNotFound
from servicekit.jobs.option_texts import dump_options, load_options
from servicekit.jobs.restartable import describe_call, refuse
from servicekit.jobs.schedules import (
    FiredSchedule,
    MissedTicks,
    Overlap,
    Schedule,
    ScheduleState,
    judge_tick,
    options_of_tick,
)
from servicekit.jobs.submission import CallDescription, CallProblem, Submission, check_target, name_of
from servicekit.jobs.timetable import dump_timetable, load_timetable
from servicekit.stores.durable.nonsense import NONSENSE
from servicekit.stores.durable.operations import Rank, for_each
from servicekit.stores.durable.times import find_time, read_time, write_time
from servicekit.stores.sqlite.inserts import insert_one, new_job


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


_PUT: Final = f"""
    INSERT INTO schedules ({", ".join(ScheduleRow._fields)}) VALUES ({", ".join("?" * len(ScheduleRow._fields))})
    ON CONFLICT (name) DO UPDATE SET
        next_at = iif(timetable = excluded.timetable OR is_paused, next_at, excluded.next_at),
        timetable = excluded.timetable, target = excluded.target, target_name = excluded.target_name,
        arguments = excluded.arguments,
        runner = excluded.runner, options = excluded.options, missed = excluded.missed, overlap = excluded.overlap
"""
_STATE: Final = (
    "SELECT name, timetable, target_name, missed, overlap, is_paused, next_at, last_at, last_job_id, target, options, "
    "arguments, runner FROM schedules"
)


_NO_TEXT: Final = "\ufffd"


class FoundSchedule(NamedTuple):
    state: ScheduleState
    target: str
    """What its jobs run, as `module:name`."""


@for_each(Rank.SETTING)
def put(connection: sqlite3.Connection, row: ScheduleRow) -> None:
    """Keep a schedule in the place of one of the same name."""
    connection.execute(_PUT, row)


def list_schedules(connection: sqlite3.Connection, _: None) -> list[FoundSchedule]:
    return [_read_state(row) for row in connection.execute(f"{_STATE} ORDER BY name").fetchall()]


def get_schedule(connection: sqlite3.Connection, name: str) -> FoundSchedule:
    row = connection.execute(f"{_STATE} WHERE name = ?", [name]).fetchone()
    if row is None:
        raise ScheduleNotFound(name)
    return _read_state(row)


def _read_state(row: tuple[Any, ...]) -> FoundSchedule:
    name, timetable, target_name, missed, overlap, is_paused, next_at, last_at, last_job_id, target, *rest = row
    state = ScheduleState(
        name=_as_text(name),
        timetable=None,
        target_name=_as_text(target_name),
        missed=MissedTicks.ONCE,
        overlap=Overlap.SKIP,
        is_paused=bool(is_paused),
        next_at=None,
        last_at=find_time(last_at),
        last_job_id=None if last_job_id is None else _as_text(last_job_id),
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
    return FoundSchedule(state, _as_text(target))


def _as_text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode(errors="replace")


class SchedulePause(NamedTuple):
    name: str
    next_at: str | None
    is_paused: bool


@for_each(Rank.SETTING)
def set_paused(connection: sqlite3.Connection, pause: SchedulePause) -> FoundSchedule:
    """Let a schedule rest, or go on."""
    connection.execute(
        "UPDATE schedules SET is_paused = ?, next_at = ? WHERE name = ?", [pause.is_paused, pause.next_at, pause.name]
    )
    return get_schedule(connection, pause.name)


@for_each(Rank.SETTING)
def remove(connection: sqlite3.Connection, name: str) -> None:
    """Forget a schedule; also one whose name is no text, by the name that is shown of it."""
    if connection.execute("DELETE FROM schedules WHERE name = ?", [name]).rowcount:
        return
    names = [found for (found,) in connection.execute("SELECT CAST(name AS BLOB) FROM schedules").fetchall()]
    odd = [found for found in names if _as_text(found) == name]
    if not odd:
        raise ScheduleNotFound(name)
    connection.executemany("DELETE FROM schedules WHERE CAST(name AS BLOB) = ?", [(found,) for found in odd])


class Tick(NamedTuple):
    """A schedule's tick that has come, and the id of its job if it shall have one."""

    name: str
    tick: str
    next_at: str | None
    job_id: str | None
    now: datetime
    max_pending: int | None


@for_each(Rank.SUBMIT)
def fire(connection: sqlite3.Connection, tick: Tick) -> FiredSchedule:
    """Let a tick pass, and keep its job, unless somebody else has."""
    query = (
        "SELECT next_at, is_paused, overlap, target_name, runner, target, arguments, options, EXISTS "
        "(SELECT 1 FROM jobs WHERE id = last_job_id AND finished_at IS NULL) FROM schedules WHERE name = ?"
    )
    row = connection.execute(query, [tick.name]).fetchone()
    if row is None:
        raise ScheduleNotFound(tick.name)
    next_at, is_paused, overlap, *call, is_last_there = row
    what = judge_tick(
        overlap,
        is_next=next_at == tick.tick,
        is_paused=bool(is_paused),
        is_wanted=tick.job_id is not None,
        is_last_there=bool(is_last_there),
    )
    if what is not FiredSchedule.LOST:
        connection.execute("UPDATE schedules SET next_at = ? WHERE name = ?", [tick.next_at, tick.name])
    if tick.job_id is None or what is not FiredSchedule.SUBMITTED:
        return what
    try:
        _insert(connection, tick, tick.job_id, overlap, *call)
    except QueueFull:
        return FiredSchedule.SKIPPED
    connection.execute(
        "UPDATE schedules SET last_at = ?, last_job_id = ? WHERE name = ?", [tick.tick, tick.job_id, tick.name]
    )
    return FiredSchedule.SUBMITTED


def _insert(
    connection: sqlite3.Connection,
    tick: Tick,
    job_id: str,
    overlap: str,
    name: str,
    runner: str,
    target: str,
    arguments: str,
    options_text: str | None,
) -> None:
    options = options_of_tick(tick.name, overlap, load_options(options_text))
    job = new_job(
        job_id, name, runner, CallDescription(target, arguments), options, tick.now,
        schedule=tick.name, max_pending=tick.max_pending,
    )  # fmt: skip
    insert_one(connection, job)
