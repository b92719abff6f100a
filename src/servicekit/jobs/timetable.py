"""When a recurring job is due: by a cron expression, or every so often; and what becomes of ticks it cannot keep."""

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
    """What becomes of ticks at which no process was there, or the schedule's turn was late by a minute or more."""

    SKIP = "skip"
    """They are left out; the next tick comes at its time."""
    ONCE = "once"
    """One job stands for all of them."""
    ALL = "all"
    """Each gets its job."""


class Overlap(StrEnum):
    """What becomes of a tick while the schedule's last job has not ended."""

    SKIP = "skip"
    """It is left out."""
    WAIT = "wait"
    """Its job waits until that one has ended."""
    ALLOW = "allow"
    """Its job runs beside it."""


MissedChoice = MissedTicks | Literal["skip", "once", "all"]
OverlapChoice = Overlap | Literal["skip", "wait", "allow"]


@dataclass(frozen=True, slots=True)
class Cron:
    """The times that match a cron expression, on the clocks of a time zone: `Cron("0 3 * * *", "Europe/Berlin")`.

    The expression has the five fields of Debian's cron: minute, hour, day of the month, month, day of the week, with
    lists, ranges, steps and names, and `L` (the last day of the month), `LW` (its last working day), `FRI#2` and `5L`
    (its second and its last Friday) beside. Or it is one of `@hourly`, `@daily`, `@weekly`, `@monthly` and `@yearly`.
    Blanks and tabs may stand between the fields and around them; capitals count for nothing. Ranges go upwards, with
    Sunday as 0 or 7. A step after one number goes on from there: `5/20` is `5,25,45`. A step that is longer than its
    field is refused: `*/90` would mean every hour. If both days are given, either is enough, unless one begins with
    `*`.

    When the clocks are changed, its ticks are those of cron. What is left out in spring comes right after the gap, once
    for all that is; what comes twice in autumn counts the first time. An expression whose minute or hour begins with
    `*` goes by what clocks show, whenever they show it: it has no ticks in the gap, and has those of the hour that
    comes twice both times, so that what is due every hour is due after each hour that passes.

    - `missed`: what becomes of ticks that were missed by a minute or more: see `MissedTicks`.
    - `overlap`: what becomes of a tick while the last one's job has not ended: see `Overlap`.

    `ConfigurationError` for an expression that makes no sense, and a time zone that is not known here.
    """

    expression: str
    time_zone: str = "UTC"
    missed: MissedChoice = field(default=MissedTicks.ONCE, kw_only=True)
    overlap: OverlapChoice = field(default=Overlap.SKIP, kw_only=True)

    def __post_init__(self) -> None:
        from servicekit.jobs import cron  # with cronsim: a service without such a schedule need not import it

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
        """The first time after `moment`, in UTC; `None` if there is none in the next fifty years."""
        from servicekit.jobs import cron  # imported already, when this object was made

        moment, zone = moment.astimezone(UTC), ZoneInfo(self.time_zone)
        if self.goes_on:
            return cron.next_by_the_clock(self._fields, zone, moment)
        return cron.next_at_its_time(self._fields, zone, moment)

    @property
    def goes_on(self) -> bool:
        """Whether it is about what comes again and again, and not about certain times of a day."""
        minute, hour, *_ = self._fields.split()
        return minute.startswith("*") or hour.startswith("*")

    @property
    def _fields(self) -> str:
        return _NICKNAMES.get(self.expression, self.expression)


@dataclass(frozen=True, slots=True)
class Every:
    """Times that are so many seconds apart, counted from midnight of 1970 (UTC), so that they are the same everywhere.

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
        """The first time after `moment`, in UTC."""
        step = timedelta(seconds=seconds_of(self.seconds))
        return _EPOCH + ((moment - _EPOCH) // step + 1) * step

    @property
    def goes_on(self) -> bool:
        """It is about nothing but that."""
        return True


Timetable = Cron | Every


def next_after_setting(
    timetable: Timetable, next_at: datetime, last_at: datetime | None, now: datetime
) -> datetime | None:
    """The tick to go on with where the clock may have been set back: `next_at`, unless that is too far away.

    A schedule that was ahead with the clock goes on at once: at the first tick from now; or at the one after that, if
    it was in time already, so that no two come closer than they should. Certain times of a day that have had their tick
    do not get another, unless the clock was wrong by more than a day.
    """
    first = timetable.next_after(now)
    if first is None or next_at <= first:
        return next_at
    if last_at is None or last_at <= now:
        return first
    if timetable.goes_on:
        return min(next_at, timetable.next_after(first) or first)
    return first if last_at - now > _DAY else next_at


def dump_timetable(timetable: Timetable) -> str:
    """The timetable as a text that `load_timetable` reads."""
    policies = {"missed": timetable.missed, "overlap": timetable.overlap}
    if isinstance(timetable, Cron):
        return json.dumps({"cron": timetable.expression, "time_zone": timetable.time_zone, **policies})
    return json.dumps({"every_seconds": timetable.seconds, **policies})


def load_timetable(text: str) -> Timetable:
    """What `dump_timetable` has written."""
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
    """The expression with one blank between its fields, and a nickname in small letters."""
    tidy = _BLANKS.sub(" ", expression).strip(" ")
    return tidy.lower() if tidy.startswith("@") else tidy


def _check_time_zone(name: object) -> None:
    try:
        ZoneInfo(name)  # type: ignore[arg-type] # it may be anything
    except (KeyError, ValueError, TypeError, OSError) as error:  # the name is looked up among files
        expected = "a time zone that is known here, such as 'Europe/Berlin' (the package tzdata brings them all)"
        raise ConfigurationError("time_zone", name, expected) from error


def _check_policies(timetable: Timetable) -> None:
    for option, choices in (("missed", MissedTicks), ("overlap", Overlap)):
        value = getattr(timetable, option)
        if value not in list(choices):
            raise ConfigurationError(option, value, " or ".join(choices))
        object.__setattr__(timetable, option, choices(value))
    if timetable.missed == MissedTicks.ALL and timetable.overlap == Overlap.SKIP:
        # The jobs of all missed ticks are due together, and the first would have all others left out.
        raise ConfigurationError("overlap", str(timetable.overlap), "wait or allow where missed is all")
