"""Timetables: the ticks of a schedule, by a cron expression or a distance, and the policies for missed ticks."""

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, Literal
from zoneinfo import ZoneInfo

from servicekit.errors import ConfigurationError, check_seconds
from servicekit.jobs.options import check_text, seconds_of


class MissedTicks(StrEnum):
    """The policy for missed ticks: no process was there, or the process was late by a minute or more."""

    SKIP = "skip"
    """They get no job. The next tick comes at its time."""
    ONCE = "once"
    """One job is submitted for all of them."""
    ALL = "all"
    """A job is submitted for each of them."""


class Overlap(StrEnum):
    """The policy for a tick that comes while the schedule's last job has not ended."""

    SKIP = "skip"
    """The tick gets no job."""
    WAIT = "wait"
    """The tick's job waits until the last one has ended."""
    ALLOW = "allow"
    """The tick's job runs at the same time as the last one."""


MissedChoice = MissedTicks | Literal["skip", "once", "all"]
OverlapChoice = Overlap | Literal["skip", "wait", "allow"]


@dataclass(frozen=True, slots=True)
class Cron:
    """The times that match a cron expression, in the local time of a time zone: `Cron("0 3 * * *", "Europe/Berlin")`.

    The expression has the five fields of Debian's cron: minute, hour, day of the month, month, day of the week. Fields
    can have lists, ranges, steps and names, and also `L` (the last day of the month), `LW` (its last working day),
    `FRI#2` and `5L` (its second and its last Friday). Or the expression is one of `@hourly`, `@daily`, `@weekly`,
    `@monthly` and `@yearly`. Blanks and tabs may stand between and around the fields. Case does not count. Ranges go
    upwards, with Sunday as 0 or 7. A step after one number begins at that number: `5/20` is `5,25,45`. A step that is
    longer than its field is refused, since `*/90` would mean every hour. If both days are given, a date needs to match
    only one of them, unless one begins with `*`.

    When the clocks change, the ticks are those of cron. Times in the gap of spring have one tick together, right after
    the gap. Times that come twice in autumn have a tick the first time only. An expression whose minute or hour begins
    with `*` has a tick whenever clocks show a matching time: none in the gap, and two for a time that comes twice. So
    an hourly schedule has a tick after each hour that passes.

    - `missed`: the policy for ticks that were missed by a minute or more: see `MissedTicks`.
    - `overlap`: the policy for a tick while the job of the last one has not ended: see `Overlap`.

    `ConfigurationError` for an expression that makes no sense, and for a time zone that is not known here.
    """

    expression: str
    time_zone: str = "UTC"
    missed: MissedChoice = field(default=MissedTicks.ONCE, kw_only=True)
    overlap: OverlapChoice = field(default=Overlap.SKIP, kw_only=True)

    def __post_init__(self) -> None:
        from servicekit.jobs import cron  # late, since it imports cronsim, which most services do not need

        if isinstance(self.expression, str):
            object.__setattr__(self, "expression", _tidy(self.expression))
        check_text("expression", self.expression)
        expected = "a cron expression of five fields, such as '0 3 * * *', or @hourly, @daily and so on"
        fault = cron.find_fault(self._fields)
        if fault is not None:
            raise ConfigurationError("expression", self.expression, f"{expected} ({fault})")
        _check_time_zone(self.time_zone)
        _check_policies(self)

    def next_after(self, moment: datetime) -> datetime | None:
        """The first tick after `moment`, in UTC; `None` if there is none in the next fifty years."""
        from servicekit.jobs import cron  # cheap: it was imported when this object was made

        moment, zone = moment.astimezone(UTC), ZoneInfo(self.time_zone)
        if self.goes_on:
            return cron.next_by_the_clock(self._fields, zone, moment)
        return cron.next_at_its_time(self._fields, zone, moment)

    @property
    def goes_on(self) -> bool:
        """Whether it repeats within a day (every minute or every hour), rather than at certain times of a day."""
        minute, hour, *_ = self._fields.split()
        return minute.startswith("*") or hour.startswith("*")

    @property
    def _fields(self) -> str:
        return _NICKNAMES.get(self.expression, self.expression)


@dataclass(frozen=True, slots=True)
class Every:
    """Times that are so many seconds apart. They count from 1970-01-01 00:00 UTC, so each process has the same ones.

    `missed` and `overlap` are those of `Cron`. `ConfigurationError` for less than a second or more than a year.
    """

    seconds: float | timedelta
    missed: MissedChoice = field(default=MissedTicks.ONCE, kw_only=True)
    overlap: OverlapChoice = field(default=Overlap.SKIP, kw_only=True)

    def __post_init__(self) -> None:
        seconds = check_seconds("seconds", self.seconds)
        if not 1 <= seconds <= 366 * 86_400:
            raise ConfigurationError("seconds", self.seconds, "from a second to a year")
        object.__setattr__(self, "seconds", seconds)
        _check_policies(self)

    def next_after(self, moment: datetime) -> datetime | None:
        """The first tick after `moment`, in UTC."""
        step = timedelta(seconds=seconds_of(self.seconds))
        return _EPOCH + ((moment - _EPOCH) // step + 1) * step

    @property
    def goes_on(self) -> bool:
        """Always: see `Cron.goes_on`."""
        return True


Timetable = Cron | Every


def next_after_setting(
    timetable: Timetable, next_at: datetime, last_at: datetime | None, now: datetime
) -> datetime | None:
    """The tick that a schedule has next, after the clock may have been set back. Else `next_at` could be far away.

    If the clock was not set back, `next_at` stays. If no tick lies in the future, it is the first tick from now. A
    timetable that repeats within a day skips one tick more, so that two jobs do not come closer than they should. A
    timetable of certain times of a day has each tick once, also if its time comes again, unless the clock was wrong by
    more than a day.
    """
    first = timetable.next_after(now)
    if first is None or next_at <= first:  # the clock was not set back
        return next_at
    if last_at is None or last_at <= now:  # no tick was fired that is yet to come
        return first
    if timetable.goes_on:
        return min(next_at, timetable.next_after(first) or first)
    return first if last_at - now > _DAY else next_at


def dump_timetable(timetable: Timetable) -> str:
    """The timetable as text for `load_timetable`."""
    policies = {"missed": timetable.missed, "overlap": timetable.overlap}
    if isinstance(timetable, Cron):
        return json.dumps({"cron": timetable.expression, "time_zone": timetable.time_zone, **policies})
    return json.dumps({"every_seconds": timetable.seconds, **policies})


def load_timetable(text: str) -> Timetable:
    """The timetable that `dump_timetable` has written."""
    data = json.loads(text)
    policies = {"missed": data["missed"], "overlap": data["overlap"]}
    if "cron" in data:
        return Cron(data["cron"], data["time_zone"], **policies)
    return Every(data["every_seconds"], **policies)


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY: Final = timedelta(days=1)
_BLANKS: Final = re.compile(r"[ \t]+")
_NICKNAMES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


def _tidy(expression: str) -> str:
    """The expression with one blank between its fields; a name such as `@daily` in lower case."""
    tidy = _BLANKS.sub(" ", expression).strip(" ")
    return tidy.lower() if tidy.startswith("@") else tidy


def _check_time_zone(name: object) -> None:
    try:
        ZoneInfo(name)  # type: ignore[arg-type] # it may be anything
    except (KeyError, ValueError, TypeError, OSError) as error:  # `OSError`, since names are looked up as files
        expected = "a time zone that is known here, such as 'Europe/Berlin' (the package tzdata brings them all)"
        raise ConfigurationError("time_zone", name, expected) from error


def _check_policies(timetable: Timetable) -> None:
    for option, choices in (("missed", MissedTicks), ("overlap", Overlap)):
        value = getattr(timetable, option)
        if value not in list(choices):
            raise ConfigurationError(option, value, " or ".join(choices))
        object.__setattr__(timetable, option, choices(value))
    if timetable.missed == MissedTicks.ALL and timetable.overlap == Overlap.SKIP:
        # The jobs of all missed ticks are due at once. With `skip`, the first would suppress all others.
        raise ConfigurationError("overlap", str(timetable.overlap), "wait or allow where missed is all")
