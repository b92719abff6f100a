"""The ticks of a cron expression.

cronsim knows the calendar, and is asked in terms of what clocks show, without a time zone. Its own steps across a
change of the clocks lose ticks where that is not a whole hour, as on Lord Howe Island.
"""

import re
from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

_SECOND: Final = timedelta(seconds=1)
_DAY: Final = timedelta(days=1)
_ANY_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_STEPS: Final = {"minute": 60, "hour": 24, "day-of-month": 31, "month": 12, "day-of-week": 7}


def find_fault(expression: str) -> str | None:
    """What is wrong with the five fields of a cron expression."""
    texts = expression.split(" ")
    if len(texts) != len(_LONGEST_STEPS):  # cronsim takes a sixth one, for seconds
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
    """The next tick of what is due at certain times of a day, once a day, also where the clocks are changed."""
    for shown in CronSim(fields, _shown_at(moment, zone)):
        tick = _first_time_of(shown, zone)
        if tick > moment:  # else it is shown for the second time
            return tick
    return None


def _first_time_of(shown: datetime, zone: ZoneInfo) -> datetime:
    """When clocks show this for the first time, or, if it falls into a gap, when that ends."""
    time = shown.replace(tzinfo=zone).astimezone(UTC)
    if _shown_at(time, zone) == shown:
        return time
    before = shown.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return _find_change(before, time, zone) or time


def next_by_the_clock(fields: str, zone: ZoneInfo, moment: datetime) -> datetime | None:
    """The next tick of what comes again and again: whenever clocks show it."""
    after = _shown_at(moment, zone)
    while (shown := next(CronSim(fields, after), None)) is not None:
        tick = (shown - _offset_at(moment, zone)).replace(tzinfo=UTC)
        change = _find_change(moment, tick, zone)
        if change is None:
            return tick
        moment, after = change, _shown_at(change, zone) - _SECOND  # what is shown right after the change counts
    return None


def _find_change(start: datetime, end: datetime, zone: ZoneInfo) -> datetime | None:
    """The first time after `start`, up to `end`, at which the clocks are changed."""
    start = start.replace(microsecond=0)
    offset = _offset_at(start, zone)
    while start < end:
        later = min(start + _DAY, end)
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
    """What clocks in the zone show at this moment."""
    return moment.astimezone(zone).replace(tzinfo=None)
