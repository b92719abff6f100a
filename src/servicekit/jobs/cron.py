"""The ticks of a cron expression.

cronsim knows the calendar. It is asked for local times without a time zone, since its own steps across a change of the
clocks lose ticks where the change is not a whole hour, as on Lord Howe Island. What a change of the clocks does to a
tick is decided here.
"""

import re
from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

_SECOND: Final = timedelta(seconds=1)
_DAY: Final = timedelta(days=1)
_ANY_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)  # only checks an expression
# The lengths of the fields. A longer step would match the first value only, which nobody means.
_LONGEST_STEPS: Final = {"minute": 60, "hour": 24, "day-of-month": 31, "month": 12, "day-of-week": 7}


def find_fault(expression: str) -> str | None:
    """What is wrong with a cron expression; `None` if nothing is."""
    texts = expression.split(" ")
    if len(texts) != len(_LONGEST_STEPS):  # checked here, since cronsim would take a sixth field as seconds
        return f"it has {len(texts)}"
    try:
        CronSim(expression, _ANY_TIME)
    except (CronSimError, ValueError) as error:
        return f"{error}; ranges go upwards, as in FRI-SAT or 5-7" if "-" in expression else str(error)
    for text, (name, longest) in zip(texts, _LONGEST_STEPS.items(), strict=True):
        for step in re.findall(r"/(\d+)", text):
            if int(step) > longest:
                return f"Bad {name}: a step of {step} is longer than the field; for such distances there is Every"
    return None


def next_at_its_time(fields: str, zone: ZoneInfo, moment: datetime) -> datetime | None:
    """The next tick of an expression for certain times of a day. Each has one tick a day, also if the clocks change."""
    for shown in CronSim(fields, _shown_at(moment, zone)):
        tick = _first_time_of(shown, zone)
        if tick > moment:  # else clocks show this time for the second time, and its tick was the first
            return tick
    return None


def _first_time_of(shown: datetime, zone: ZoneInfo) -> datetime:
    """The first moment at which clocks show this time; if it falls into a gap, the end of the gap."""
    time = shown.replace(tzinfo=zone).astimezone(UTC)
    if _shown_at(time, zone) == shown:
        return time
    before = shown.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return _find_change(before, time, zone) or time


def next_by_the_clock(fields: str, zone: ZoneInfo, moment: datetime) -> datetime | None:
    """The next tick of an expression that repeats within a day: every moment at which clocks show such a time."""
    after = _shown_at(moment, zone)
    while (shown := next(CronSim(fields, after), None)) is not None:
        tick = (shown - _offset_at(moment, zone)).replace(tzinfo=UTC)
        change = _find_change(moment, tick, zone)
        if change is None:
            return tick
        # Search again from the change on. One second less, since cronsim gives times after its start, and the time that
        # clocks show right after the change counts.
        moment, after = change, _shown_at(change, zone) - _SECOND
    return None


def _find_change(start: datetime, end: datetime, zone: ZoneInfo) -> datetime | None:
    """The first moment after `start`, up to `end`, at which the clocks change."""
    start = start.replace(microsecond=0)
    offset = _offset_at(start, zone)
    while start < end:
        later = min(start + _DAY, end)  # day by day, so that two changes that cancel each other are both seen
        if _offset_at(later, zone) != offset:
            seconds = range((later - start) // _SECOND)
            return start + _SECOND * bisect_left(
                seconds, True, key=lambda second: _offset_at(start + second * _SECOND, zone) != offset
            )
        start = later
    return None


def _offset_at(moment: datetime, zone: ZoneInfo) -> timedelta:
    return _shown_at(moment, zone) - moment.replace(tzinfo=None)


def _shown_at(moment: datetime, zone: ZoneInfo) -> datetime:
    """The local time of the zone at this moment, without a time zone."""
    return moment.astimezone(zone).replace(tzinfo=None)
