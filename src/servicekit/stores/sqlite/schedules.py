"""Recurring jobs: their schedules, and the jobs of their ticks."""

import sqlite3
from typing import Final

from servicekit.errors import QueueFull, ScheduleNotFound
from servicekit.jobs.schedules import (
    FiredSchedule,
    judge_tick,
)
from servicekit.stores.durable.new_jobs import job_of_tick
from servicekit.stores.durable.operations import Rank, for_each
from servicekit.stores.durable.requests import SchedulePause, Tick
from servicekit.stores.durable.schedule_rows import FoundSchedule, ScheduleRow, as_text, read_state
from servicekit.stores.sqlite.inserts import insert_one

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


@for_each(Rank.SETTING)
def put(connection: sqlite3.Connection, row: ScheduleRow) -> None:
    """Keep a schedule. It replaces one of the same name."""
    connection.execute(_PUT, row)


def list_schedules(connection: sqlite3.Connection, _: None) -> list[FoundSchedule]:
    return [read_state(row) for row in connection.execute(f"{_STATE} ORDER BY name").fetchall()]


def get_schedule(connection: sqlite3.Connection, name: str) -> FoundSchedule:
    row = connection.execute(f"{_STATE} WHERE name = ?", [name]).fetchone()
    if row is None:
        raise ScheduleNotFound(name)
    return read_state(row)


@for_each(Rank.SETTING)
def set_paused(connection: sqlite3.Connection, pause: SchedulePause) -> FoundSchedule:
    """Pause or resume a schedule."""
    connection.execute(
        "UPDATE schedules SET is_paused = ?, next_at = ? WHERE name = ?", [pause.is_paused, pause.next_at, pause.name]
    )
    return get_schedule(connection, pause.name)


@for_each(Rank.SETTING)
def remove(connection: sqlite3.Connection, name: str) -> None:
    """Remove a schedule. One whose name is no text is found by the name that is shown."""
    if connection.execute("DELETE FROM schedules WHERE name = ?", [name]).rowcount:
        return
    names = [found for (found,) in connection.execute("SELECT CAST(name AS BLOB) FROM schedules").fetchall()]
    odd = [found for found in names if as_text(found) == name]
    if not odd:
        raise ScheduleNotFound(name)
    connection.executemany("DELETE FROM schedules WHERE CAST(name AS BLOB) = ?", [(found,) for found in odd])


@for_each(Rank.SUBMIT)
def fire(connection: sqlite3.Connection, tick: Tick) -> FiredSchedule:
    """Move a schedule past a tick, and keep the tick's job, unless another process has done so."""
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
        insert_one(connection, job_of_tick(tick, tick.job_id, overlap, *call))
    except QueueFull:
        return FiredSchedule.SKIPPED
    connection.execute(
        "UPDATE schedules SET last_at = ?, last_job_id = ? WHERE name = ?", [tick.tick, tick.job_id, tick.name]
    )
    return FiredSchedule.SUBMITTED
