"""Schedules, and the ticks at which their jobs are submitted."""

from datetime import datetime
from typing import Protocol

from servicekit.jobs.schedules import FiredSchedule, Schedule, ScheduleState


class ScheduleStore(Protocol):
    """Keeps schedules with their next ticks, and lets each tick pass once. Each method is atomic.

    The engine computes the ticks; the store keeps them, and decides only who lets one pass.
    """

    async def put_schedule(self, schedule: Schedule, next_at: datetime | None) -> None:
        """Keep a schedule. One of the same name is replaced, unless it says the same; paused it stays paused.

        `next_at` is its next tick if it is new or its timetable has changed.
        """
        ...

    async def list_schedules(self) -> list[ScheduleState]:
        """All schedules, by name. One that this process cannot read, or whose target it cannot import, says so."""
        ...

    async def get_schedule(self, name: str) -> ScheduleState:
        """`ScheduleNotFound` if there is none of this name."""
        ...

    async def set_schedule_paused(self, name: str, next_at: datetime | None, *, is_paused: bool) -> ScheduleState:
        """Let the schedule rest, or go on at `next_at`. `ScheduleNotFound` if there is none of this name."""
        ...

    async def remove_schedule(self, name: str) -> None:
        """Forget the schedule; its jobs stay. `ScheduleNotFound` if there is none of this name."""
        ...

    async def fire_schedule(
        self, name: str, tick: datetime, next_at: datetime | None, job_id: str | None
    ) -> FiredSchedule:
        """Let a schedule's tick pass: if that is still its next one, keep the tick's job and set the one after it.

        Of all who do this for the same tick one succeeds. No job is kept if `job_id` is `None` (the tick is skipped),
        or if the last one has not ended and the schedule's overlap says skip. `ScheduleNotFound`.
        """
        ...
