"""Schedules, and the ticks at which their jobs are submitted."""

from datetime import datetime
from typing import Protocol

from servicekit.jobs.schedules import FiredSchedule, Schedule, ScheduleState
from servicekit.ports.clock import ClockSetting


class ScheduleStore(Protocol):
    """Keeps schedules with their next ticks, and lets each tick pass once. What holds for all is in `ports.store`.

    The engine computes the ticks, by `StoreLiveness.now`. The store keeps the next one, and decides who lets it pass.
    """

    def clock_setting(self) -> ClockSetting:
        """How the clock of that time is set now, so that ticks which it has jumped over do not count as missed."""
        ...

    async def put_schedule(self, schedule: Schedule, next_at: datetime | None) -> None:
        """Keep a schedule, in the place of one of the same name. Its call is kept as it is now.

        `next_at` becomes its next tick if it is new, or if its timetable has changed and it is not paused. Otherwise it
        goes on as if nothing had happened. A paused schedule stays paused. `InvalidTarget` or `InvalidArguments` if the
        store is durable and no other process could make the call (`jobs.restartable.refuse`).
        """
        ...

    async def list_schedules(self) -> list[ScheduleState]:
        """All schedules, in the order of their names.

        A schedule that this process cannot read, or whose target it cannot import, has a `problem`; the others are
        told all the same.
        """
        ...

    async def get_schedule(self, name: str) -> ScheduleState:
        """`ScheduleNotFound` if there is none of this name."""
        ...

    async def set_schedule_paused(self, name: str, next_at: datetime | None, *, is_paused: bool) -> ScheduleState:
        """Let the schedule rest (`next_at` is `None`), or go on with the tick `next_at`. Return what it is then.

        `ScheduleNotFound` if there is none of this name.
        """
        ...

    async def remove_schedule(self, name: str) -> None:
        """Forget the schedule; its jobs stay. `ScheduleNotFound` if there is none of this name."""
        ...

    async def fire_schedule(
        self, name: str, tick: datetime, next_at: datetime | None, job_id: str | None
    ) -> FiredSchedule:
        """Let a schedule's tick pass: keep its job under the id `job_id`, and set the next tick, in one step.

        `jobs.schedules.judge_tick` says what becomes of the tick. Of all processes that do this for one tick, one
        succeeds, and the others are told `LOST`: then nothing has changed. The tick is `SKIPPED` if `job_id` is
        `None`, if the overlap says so and the last tick's job has not ended (also if it was deleted and still runs), or
        if the queue is full. The next tick is set all the same.

        The job has `options_of_tick` and names its schedule. With a job, `last_at` and `last_job_id` are set, and the
        worker is woken. `ScheduleNotFound` if there is none of this name.
        """
        ...
