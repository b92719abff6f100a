"""The schedules of a store."""

import asyncio
from dataclasses import replace
from datetime import datetime

from servicekit.jobs.schedules import FiredSchedule, Schedule, ScheduleState
from servicekit.stores.durable.requests import SchedulePause, Tick
from servicekit.stores.durable.schedule_rows import FoundSchedule, describe_schedule
from servicekit.stores.durable.session import StoreSession
from servicekit.stores.durable.targets import Targets
from servicekit.stores.durable.times import time_text, write_time


class DurableSchedules:
    """The `ScheduleStore` of a database."""

    def __init__(self, session: StoreSession, max_pending: int | None) -> None:
        self._session = session
        self._database = session.database
        self._schedules = session.statements.schedules
        self._max_pending = max_pending
        self._targets = Targets()
        self.clock_setting = session.database.setting

    async def put_schedule(self, schedule: Schedule, next_at: datetime | None) -> None:
        await self._database.write(self._schedules.put, describe_schedule(schedule, next_at))

    async def list_schedules(self) -> list[ScheduleState]:
        found = await self._database.read(self._schedules.list_schedules, None)
        return await asyncio.gather(*map(self._examine, found))

    async def get_schedule(self, name: str) -> ScheduleState:
        return await self._examine(await self._database.read(self._schedules.get_schedule, name))

    async def _examine(self, found: FoundSchedule) -> ScheduleState:
        """The schedule, with the problem that keeps this process from submitting its jobs."""
        problem = found.state.problem or await self._targets.find_problem(found.target)
        return found.state if problem is None else replace(found.state, problem=problem)

    async def set_schedule_paused(self, name: str, next_at: datetime | None, *, is_paused: bool) -> ScheduleState:
        pause = SchedulePause(name, write_time(next_at), is_paused)
        return await self._examine(await self._database.write(self._schedules.set_paused, pause))

    async def remove_schedule(self, name: str) -> None:
        await self._database.write(self._schedules.remove, name)

    async def fire_schedule(
        self, name: str, tick: datetime, next_at: datetime | None, job_id: str | None
    ) -> FiredSchedule:
        await self._session.heed_clock()
        request = Tick(name, time_text(tick), write_time(next_at), job_id, self._session.now(), self._max_pending)
        fired = await self._database.write(self._schedules.fire, request)
        if fired is FiredSchedule.SUBMITTED:
            self._session.wake()
        return fired
