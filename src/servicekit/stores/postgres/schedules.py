"""Recurring jobs: their schedules, and the jobs of their ticks."""

from datetime import datetime
from typing import Final

from servicekit.errors import QueueFull, ScheduleNotFound
from servicekit.jobs.schedules import FiredSchedule, judge_tick
from servicekit.stores.durable.new_jobs import job_of_tick
from servicekit.stores.durable.operations import Rank, for_each
from servicekit.stores.durable.requests import SchedulePause, Tick
from servicekit.stores.durable.schedule_rows import FoundSchedule, ScheduleRow, read_state
from servicekit.stores.durable.times import time_text
from servicekit.stores.postgres.inserts import find_kept, insert_one, lock_pending
from servicekit.stores.postgres.session import Session

_PUT: Final = """
    INSERT INTO servicekit.schedules AS known
        (name, timetable, target, target_name, arguments, runner, options, missed, overlap, next_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s::timestamptz)
    ON CONFLICT (name) DO UPDATE SET
        next_at = CASE WHEN known.timetable = EXCLUDED.timetable OR known.is_paused THEN known.next_at
                       ELSE EXCLUDED.next_at END,
        timetable = EXCLUDED.timetable, target = EXCLUDED.target, target_name = EXCLUDED.target_name,
        arguments = EXCLUDED.arguments,
        runner = EXCLUDED.runner, options = EXCLUDED.options, missed = EXCLUDED.missed, overlap = EXCLUDED.overlap
"""
_STATE: Final = (
    "SELECT name, timetable, target_name, missed, overlap, is_paused, next_at, last_at, last_job_id, target, options, "
    "arguments, runner FROM servicekit.schedules"
)
# It is locked, so that of the processes that fire a tick at the same time one does.
_TICK: Final = """
    SELECT next_at, is_paused, overlap, target_name, runner, target, arguments, options, EXISTS
        (SELECT 1 FROM servicekit.jobs WHERE id = last_job_id AND finished_at IS NULL)
    FROM servicekit.schedules WHERE name = %s FOR UPDATE
"""


@for_each(Rank.SETTING)
def put(session: Session, row: ScheduleRow) -> None:
    """Keep a schedule. It replaces one of the same name."""
    session.run(_PUT, row)


def list_schedules(session: Session, _: None) -> list[FoundSchedule]:
    return [read_state(row) for row in session.run(f"{_STATE} ORDER BY name")]


def get_schedule(session: Session, name: str) -> FoundSchedule:
    rows = session.run(f"{_STATE} WHERE name = %s", [name])
    if not rows:
        raise ScheduleNotFound(name)
    return read_state(rows[0])


@for_each(Rank.SETTING)
def set_paused(session: Session, pause: SchedulePause) -> FoundSchedule:
    """Pause or resume a schedule."""
    # If that may have been written already, its next tick may have come since: it must not come again.
    session.run(
        "UPDATE servicekit.schedules SET is_paused = %(is_paused)s, next_at = %(next_at)s::timestamptz "
        "WHERE name = %(name)s AND NOT (%(is_unsure)s AND is_paused = %(is_paused)s)",
        {**pause._asdict(), "is_unsure": session.is_unsure},
    )
    return get_schedule(session, pause.name)


@for_each(Rank.SETTING)
def remove(session: Session, name: str) -> None:
    found = session.run("DELETE FROM servicekit.schedules WHERE name = %s RETURNING name", [name])
    if not (found or session.is_unsure):  # else it may have been removed, and that was not answered
        raise ScheduleNotFound(name)


@for_each(Rank.SUBMIT)
def fire(session: Session, tick: Tick) -> FiredSchedule:
    """Move a schedule past a tick, and keep the tick's job, unless another process has done so."""
    if tick.job_id is not None and find_kept(session, [tick.job_id]):
        return FiredSchedule.SUBMITTED
    if tick.max_pending is not None:
        lock_pending(session)  # before the schedule, as other ticks do: so they do not wait for each other
    rows = session.run(_TICK, [tick.name])
    if not rows:
        raise ScheduleNotFound(tick.name)
    next_at, is_paused, overlap, *call, is_last_there = rows[0]
    what = judge_tick(
        overlap,
        is_next=next_at is not None and time_text(datetime.fromisoformat(next_at)) == tick.tick,
        is_paused=is_paused,
        is_wanted=tick.job_id is not None,
        is_last_there=is_last_there,
    )
    if what is not FiredSchedule.LOST:
        values = [tick.next_at, tick.name]
        session.run("UPDATE servicekit.schedules SET next_at = %s::timestamptz WHERE name = %s", values)
    if tick.job_id is None or what is not FiredSchedule.SUBMITTED:
        return what
    try:
        insert_one(session, job_of_tick(tick, tick.job_id, overlap, *call))
    except QueueFull:
        return FiredSchedule.SKIPPED
    session.run(
        "UPDATE servicekit.schedules SET last_at = %s::timestamptz, last_job_id = %s WHERE name = %s",
        [tick.tick, tick.job_id, tick.name],
    )
    return FiredSchedule.SUBMITTED
