"""The responses of the schedule routes."""

from datetime import datetime
from typing import Final, Self

from pydantic import BaseModel, Field

from servicekit.api.errors import ErrorBody
from servicekit.api.job_responses import OTHER_SITE, UNAVAILABLE, Responses
from servicekit.jobs.options import seconds_of
from servicekit.jobs.schedules import ScheduleState
from servicekit.jobs.timetable import Cron, MissedTicks, Overlap, Timetable


class CronTimetable(BaseModel):
    """The times that match a cron expression."""

    cron: str = Field(description="The expression.", examples=["0 3 * * *"])
    time_zone: str = Field(description="The time zone of the expression.", examples=["Europe/Berlin"])


class EveryTimetable(BaseModel):
    """Times that are a number of seconds apart."""

    every_seconds: float = Field(description="How many seconds.", examples=[60])


class ScheduleRecord(BaseModel):
    """A schedule and its state."""

    name: str = Field(description="The schedule's name.", examples=["nightly"])
    timetable: CronTimetable | EveryTimetable | None = Field(
        description="When its jobs are submitted; `null` if this process cannot read it."
    )
    target_name: str = Field(description="The name of what its jobs run.", examples=["train_model"])
    missed: MissedTicks = Field(
        description="The policy for missed ticks, at which no process was there: they get no jobs, one job for all, or "
        "a job each.",
        examples=[MissedTicks.ONCE],
    )
    overlap: Overlap = Field(
        description="The policy for a tick while the last job has not ended: it gets no job, its job waits, or both "
        "jobs run.",
        examples=[Overlap.SKIP],
    )
    is_paused: bool = Field(description="Whether no jobs are submitted until it is resumed.", examples=[False])
    next_at: datetime | None = Field(description="Its next tick (UTC); `null` if it is paused, or there is none.")
    last_at: datetime | None = Field(description="The last tick for which a job was submitted (UTC).")
    last_job_id: str | None = Field(description="That job.", examples=["01JQRS7XK5N8Z3VQ2M4T6W8Y0A"])
    problem: str | None = Field(
        description="Why this process submits no jobs of it: it cannot read the schedule, or cannot import the target. "
        "`null` if nothing is wrong.",
        examples=[None],
    )

    @classmethod
    def of(cls, state: ScheduleState) -> Self:
        return cls(
            name=state.name,
            timetable=_describe(state.timetable),
            target_name=state.target_name,
            missed=state.missed,
            overlap=state.overlap,
            is_paused=state.is_paused,
            next_at=state.next_at,
            last_at=state.last_at,
            last_job_id=state.last_job_id,
            problem=state.problem,
        )


def _describe(timetable: Timetable | None) -> CronTimetable | EveryTimetable | None:
    if timetable is None:
        return None
    if isinstance(timetable, Cron):
        return CronTimetable(cron=timetable.expression, time_zone=timetable.time_zone)
    return EveryTimetable(every_seconds=seconds_of(timetable.seconds))


NO_SCHEDULE: Final[Responses] = {
    404: {
        "model": ErrorBody,
        "description": "There is no schedule of this name.",
        "content": {"application/json": {"example": {"detail": "Schedule not found"}}},
    },
    **UNAVAILABLE,
}
CHANGED: Final[Responses] = {**NO_SCHEDULE, **OTHER_SITE}
REMOVED: Final[Responses] = {
    204: {"description": "The schedule is gone. The jobs that it has submitted stay."},
    **CHANGED,
}
