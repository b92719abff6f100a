"""Recurring jobs."""

from datetime import datetime

from servicekit.errors import ScheduleNotFound
from servicekit.jobs.schedules import Schedule, ScheduleState
from servicekit.jobs.submission import CallDescription, CallProblem, name_of


class Schedules:
    """The schedules, by name."""

    def __init__(self) -> None:
        self._kept: dict[str, KeptSchedule] = {}

    def put(self, schedule: Schedule, next_at: datetime | None, call: CallDescription | CallProblem) -> None:
        kept = self._kept.get(schedule.name)
        if kept is None:
            self._kept[schedule.name] = KeptSchedule(schedule, next_at, call)
            return
        kept.call = call
        if kept.schedule.timetable != schedule.timetable and not kept.is_paused:
            kept.next_at = next_at
        kept.schedule = schedule

    def get(self, name: str) -> "KeptSchedule":
        kept = self._kept.get(name)
        if kept is None:
            raise ScheduleNotFound(name)
        return kept

    def list_states(self) -> list[ScheduleState]:
        return [kept.state for _, kept in sorted(self._kept.items())]

    def remove(self, name: str) -> None:
        self.get(name)
        del self._kept[name]


class KeptSchedule:
    """One schedule, mutable, and where it stands."""

    def __init__(self, schedule: Schedule, next_at: datetime | None, call: CallDescription | CallProblem) -> None:
        self.schedule = schedule
        self.call = call
        """The call as it was when the schedule was added, whatever has become of its arguments since."""
        self.is_paused = False
        self.next_at = next_at
        self.last_at: datetime | None = None
        self.last_job_id: str | None = None

    @property
    def state(self) -> ScheduleState:
        schedule = self.schedule
        return ScheduleState(
            name=schedule.name,
            timetable=schedule.timetable,
            target_name=schedule.options.name or name_of(schedule.target),
            missed=schedule.missed,
            overlap=schedule.overlap,
            is_paused=self.is_paused,
            next_at=self.next_at,
            last_at=self.last_at,
            last_job_id=self.last_job_id,
        )
