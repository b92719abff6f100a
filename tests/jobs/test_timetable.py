"""Timetables, also while clocks are changed.

`go_by_minutes` is what they are held against: it walks from minute to minute and looks at what clocks show. For the
days on which these are not changed, croniter has a say as well.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from hypothesis import example, given
from hypothesis import strategies as st

from servicekit.errors import ConfigurationError
from servicekit.jobs.timetable import (
    Cron,
    Every,
    MissedTicks,
    Overlap,
    Timetable,
    dump_timetable,
    load_timetable,
    next_after_setting,
)

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
# Clocks are changed by an hour, by half an hour, by two hours, and at midnight.
ZONES = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Africa/Cairo",
    "America/Santiago",
]
EXPRESSIONS = [
    "* * * * *",
    "*/15 * * * *",
    "0 * * * *",
    "40 * * * *",
    "0 */3 * * *",
    "*/15 2-3 * * *",
    "* 3 * * *",
    "0 0 * * *",
    "15 2 * * *",
    "30 2 * * *",
    "0 3 * * *",
    "0,20,45 0-3 * * *",
    "5 1,2 * * 6,0",
    "30 2 1,5,25,29 * *",
    "0 9 * * 1-5",
    "0 0 1 * *",
]


def ticks_of(timetable: Timetable, start: datetime, end: datetime) -> Iterator[datetime]:
    tick = timetable.next_after(start)
    while tick is not None and tick <= end:
        yield tick
        tick = timetable.next_after(tick)


def go_by_minutes(expression: str, time_zone: str, start: datetime, end: datetime) -> list[datetime]:
    """All ticks after `start`, up to `end`, both of which are whole minutes."""
    wanted = wanted_times(expression)
    goes_by_the_clock = any(field.startswith("*") for field in expression.split()[:2])
    ticks = []
    (_, reached), *later = minutes_of(time_zone, start, end)
    for moment, shown in later:
        if goes_by_the_clock:
            passing = [shown]
        else:  # each time passes once; all that clocks leave out pass together
            passing = [reached + step * MINUTE for step in range(1, (shown - reached) // MINUTE + 1)]
            reached = max(reached, shown)
        if any(matches(wanted, time) for time in passing):
            ticks.append(moment)
    return ticks


@cache
def minutes_of(time_zone: str, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
    """All minutes, and what clocks show then."""
    zone = ZoneInfo(time_zone)
    moments = [start + number * MINUTE for number in range((end - start) // MINUTE + 1)]
    return [(moment, moment.astimezone(zone).replace(tzinfo=None)) for moment in moments]


@cache
def wanted_times(expression: str) -> list[set[int]]:
    """The minutes, hours, days, months and days of the week of an expression without names and specialities."""
    limits = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]
    return [numbers_of(field, *limit) for field, limit in zip(expression.split(), limits, strict=True)]


def numbers_of(field: str, least: int, most: int) -> set[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        numbers = range(least, most + 1) if span == "*" else range(int(first), int(last or first) + 1)
        found |= set(numbers[:: int(step or 1)])
    return found


def matches(wanted: list[set[int]], time: datetime) -> bool:
    minutes, hours, days, months, weekdays = wanted
    if time.minute not in minutes or time.hour not in hours or time.month not in months:
        return False
    return time.day in days and time.isoweekday() % 7 in weekdays


@cache
def changes_in(time_zone: str, year: int) -> list[datetime]:
    """The midnights (UTC) before the clocks of a zone are changed."""
    midnights = [datetime(year, 1, 1, tzinfo=UTC) + number * DAY for number in range(366)]
    zone = ZoneInfo(time_zone)
    return [
        one
        for one, other in pairwise(midnights)
        if one.astimezone(zone).utcoffset() != other.astimezone(zone).utcoffset()
    ]


@pytest.mark.parametrize("time_zone", ZONES)
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_ticks_come_as_someone_who_watches_the_clock_would_have_them(expression: str, time_zone: str) -> None:
    cron = Cron(expression, time_zone)
    for change in changes_in(time_zone, 2026):
        start, end = change - DAY, change + 2 * DAY
        assert list(ticks_of(cron, start, end)) == go_by_minutes(expression, time_zone, start, end)


@given(
    fields=st.tuples(
        st.sampled_from(["*", "*/7", "*/30", "0", "10", "30", "59", "0,30", "20-40/5"]),
        st.sampled_from(["*", "*/2", "0", "1", "2", "3", "23", "1-3", "0,2"]),
        st.sampled_from(["*", "*/2", "1", "29", "4,5", "25-31"]),
        st.sampled_from(["*", "3,10", "4", "*/2"]),
    ),
    time_zone=st.sampled_from(ZONES),
    is_autumn=st.booleans(),
    seconds=st.integers(min_value=-20 * 3_600, max_value=40 * 3_600),
)
def test_the_next_tick_is_the_same_from_wherever_one_looks(
    fields: tuple[str, str, str, str], time_zone: str, is_autumn: bool, seconds: int
) -> None:
    expression = f"{' '.join(fields)} *"
    change = changes_in(time_zone, 2026)[is_autumn]
    ticks = go_by_minutes(expression, time_zone, change - DAY, change + 2 * DAY)
    moment = change + timedelta(seconds=seconds, milliseconds=1)
    expected = next((tick for tick in ticks if tick > moment), None)
    found = Cron(expression, time_zone).next_after(moment)
    assert found is not None
    assert found == expected if expected else found > change + 2 * DAY


@pytest.mark.parametrize("time_zone", [*ZONES[:3], "UTC"])
@pytest.mark.parametrize(
    ("expression", "days"),
    [
        ("*/15 * * * *", 10),
        ("40 * * * *", 30),
        ("0 */3 * * *", 100),
        ("15 2 * * *", 365),
        ("0 9 * * mon-fri", 365),
        ("0 0 1 * *", 365),
        ("30 6 * * fri#2", 365),
        ("0 8 L * *", 365),
        ("0 12 13 * 5", 365),
        ("7-59/13 4 * feb-apr 7", 365),
    ],
)
def test_ticks_are_croniters_but_for_the_days_on_which_clocks_are_changed(
    expression: str, days: int, time_zone: str
) -> None:
    cron, zone = Cron(expression, time_zone), ZoneInfo(time_zone)
    changes = changes_in(time_zone, 2026)
    begins = [datetime(2026, 1, 1, tzinfo=UTC), *(change + 2 * DAY for change in changes)]
    ends = [*(change - DAY for change in changes), datetime(2026, 12, 31, tzinfo=UTC)]
    for begin, end in zip(begins, ends, strict=True):
        end = min(end, begin + days * DAY)
        oracle = croniter(expression, begin.astimezone(zone))
        moments = (oracle.get_next(datetime).astimezone(UTC) for _ in iter(int, 1))
        assert list(ticks_of(cron, begin, end)) == list(takewhile(lambda moment: moment <= end, moments))  # noqa: B023


@pytest.mark.parametrize(
    ("expression", "time_zone", "day", "shown"),
    [
        # Left out in spring: right after the gap, and once.
        ("30 2 * * *", "Europe/Berlin", "2026-03-29", ["03:00+02:00"]),
        ("0,15,30 2 * * *", "Europe/Berlin", "2026-03-29", ["03:00+02:00"]),
        ("30 2,3 * * *", "Europe/Berlin", "2026-03-29", ["03:00+02:00", "03:30+02:00"]),
        ("0 2,3 * * *", "Europe/Berlin", "2026-03-29", ["03:00+02:00"]),
        ("30 2 * * *", "America/New_York", "2026-03-08", ["03:00-04:00"]),
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-04", ["02:30+11:00"]),
        ("45 2 * * *", "Australia/Lord_Howe", "2026-10-04", ["02:45+11:00"]),
        ("@daily", "Africa/Cairo", "2026-04-24", ["01:00+03:00"]),
        # Twice in autumn: the first time.
        ("30 2 * * *", "Europe/Berlin", "2026-10-25", ["02:30+02:00"]),
        ("30 1 * * *", "America/New_York", "2026-11-01", ["01:30-04:00"]),
        ("45 1 * * *", "Australia/Lord_Howe", "2026-04-05", ["01:45+11:00"]),
        # With a *, whenever it is shown.
        ("*/30 2 * * *", "Europe/Berlin", "2026-03-29", []),
        ("*/30 2 * * *", "Europe/Berlin", "2026-10-25", ["02:00+02:00", "02:30+02:00", "02:00+01:00", "02:30+01:00"]),
        ("*/15 2 * * *", "Australia/Lord_Howe", "2026-10-04", ["02:30+11:00", "02:45+11:00"]),
        ("40 */1 4,5 4 *", "Australia/Lord_Howe", "2026-04-05", None),
    ],
)
def test_what_happens_on_the_day_when_clocks_are_changed(
    expression: str, time_zone: str, day: str, shown: list[str] | None
) -> None:
    midnight = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(time_zone))
    before, end = midnight.astimezone(UTC) - MINUTE, (midnight + DAY).astimezone(UTC) - MINUTE
    ticks = list(ticks_of(Cron(expression, time_zone), before, end))
    if shown is None:  # every hour, and the half hour that comes twice has one of its own
        assert len(ticks) == 25
    else:
        assert [tick.astimezone(ZoneInfo(time_zone)).isoformat(timespec="minutes")[11:] for tick in ticks] == shown


@pytest.mark.parametrize(
    ("nickname", "expression"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
    ],
)
def test_nicknames_are_crons(nickname: str, expression: str) -> None:
    moment = datetime(2026, 7, 31, 12, tzinfo=UTC)
    assert Cron(nickname).next_after(moment) == Cron(expression).next_after(moment)


def test_the_last_days_of_months_and_the_nth_days_of_the_week() -> None:
    moment = datetime(2026, 2, 1, tzinfo=UTC)
    expected = {"0 0 L * *": 28, "0 0 LW * *": 27, "0 0 * * FRI#2": 13, "0 0 * * 5L": 27}
    assert {each: tick.day for each in expected if (tick := Cron(each).next_after(moment))} == expected


def test_either_day_is_enough_unless_one_begins_with_a_star() -> None:
    start, end = datetime(2026, 5, 31, tzinfo=UTC), datetime(2026, 6, 30, tzinfo=UTC)
    assert [tick.day for tick in ticks_of(Cron("0 0 10,20 * 1"), start, end)] == [1, 8, 10, 15, 20, 22, 29]
    assert [tick.day for tick in ticks_of(Cron("0 0 */2 * 1"), start, end)] == [1, 15, 29]


def test_a_tick_is_after_the_moment_and_in_utc() -> None:
    cron = Cron("0 3 * * *", "Europe/Berlin")
    tick = datetime(2026, 7, 1, 1, tzinfo=UTC)
    berlin = ZoneInfo("Europe/Berlin")
    assert cron.next_after((tick - timedelta(microseconds=1)).astimezone(berlin)) == tick
    assert cron.next_after(tick.astimezone(berlin)) == tick + DAY
    assert cron.next_after(tick + timedelta(microseconds=1)) == tick + DAY
    found = cron.next_after(tick)
    assert found is not None
    assert found.tzinfo is UTC


def test_a_day_that_never_comes_has_no_tick() -> None:
    assert Cron("0 0 29 2 *").next_after(datetime(2026, 1, 1, tzinfo=UTC)) == datetime(2028, 2, 29, tzinfo=UTC)
    assert Cron("0 0 */31 2 */7").next_after(datetime(2026, 1, 1, tzinfo=UTC)) == datetime(2026, 2, 1, tzinfo=UTC)
    assert Cron("0 0 */30,30 2 3#5").next_after(datetime(2026, 1, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    "expression",
    ["", "* * * *", "* * * * * *", "60 * * * *", "* * * * MOND", "0 0 31 2 *", "5-1 * * * *", "*/0 * * * *", "@reboot",
     "0 3 * * *\n", "0 3 * *\u00a0*", "x" * 300, "*/90 * * * *", "0 */25 * * *", "0 0 */32 * *", "0 0 1 */13 *",
     "0 0 * * */8", "0,5-20/61 * * * *", "0 0 * * FRI-MON", "0 0 * * FRI-SUN", "0 0 * NOV-FEB *", "0 0 * * MONDAY",
     "0 0 * * ?", "-5 * * * *", "5, * * * *", "@", "daily", 5, None],
)  # fmt: skip
def test_an_expression_that_makes_no_sense_is_refused(expression: str) -> None:
    with pytest.raises(ConfigurationError, match="expression must be"):
        Cron(expression)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("17 *\t* * *", "17 * * * *"),
        ("25 6\t* * *\t", "25 6 * * *"),
        ("  0   3  *\t * * ", "0 3 * * *"),
        ("@daily ", "@daily"),
        ("\t@Daily", "@daily"),
        ("@HOURLY", "@hourly"),
        ("0 0 * * Mon-fri", "0 0 * * 1-5"),
        ("0 0 * jAn,Dec sun", "0 0 * 1,12 0"),
        ("0 0 * * 7", "0 0 * * 0"),
        ("0 0 * * 5-7", "0 0 * * 0,5,6"),
        ("5/20 * * * *", "5,25,45 * * * *"),
        ("*/60 * * * *", "0 * * * *"),
        ("0 */24 * * *", "0 0 * * *"),
        ("0-30/10,45 * * * *", "0,10,20,30,45 * * * *"),
    ],
)
def test_what_cron_takes_is_taken(written: str, meant: str) -> None:
    start = datetime(2026, 7, 31, 12, tzinfo=UTC)
    for days in range(0, 300, 7):
        moment = start + days * DAY
        assert Cron(written).next_after(moment) == Cron(meant).next_after(moment)


def test_blanks_and_a_nicknames_capitals_make_no_other_timetable() -> None:
    assert Cron("17 *\t* * *") == Cron(" 17  * * * *")
    assert Cron("@Daily ") == Cron("@daily")
    assert dump_timetable(Cron("17 *\t* * *")) == dump_timetable(Cron("17 * * * *"))


def test_what_is_wrong_with_an_expression_is_told() -> None:
    with pytest.raises(ConfigurationError, match=r"five fields.*\(it has 4\), not '\* \* \* \*'"):
        Cron("* * * *")
    with pytest.raises(ConfigurationError, match=r"day-of-week.*ranges go upwards"):
        Cron("0 0 * * FRI-MON")
    with pytest.raises(ConfigurationError, match=r"minute: a step of 90 is longer than the field.*Every"):
        Cron("*/90 * * * *")
    with pytest.raises(ConfigurationError, match=r"day-of-month.*, not '0 0 32 \* \*'"):
        Cron("0 0 32 * *")


@given(st.text(st.sampled_from("0123456789*/,-#LW MONFRI@\u0663"), max_size=30).map(lambda text: f"{text} * *"))
def test_no_text_does_worse_than_being_refused(text: str) -> None:
    try:
        cron = Cron(text)
    except ConfigurationError:
        return
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    tick = cron.next_after(moment)
    assert tick is None or tick > moment


@pytest.mark.parametrize(
    "time_zone", ["", "Mars/Olympus", "Europe", "../etc/passwd", "/etc/passwd", "Europe/Berlin\0", "E" * 5_000, 1, None]
)
def test_a_time_zone_that_is_not_known_is_refused(time_zone: str) -> None:
    with pytest.raises(ConfigurationError, match="time_zone must be a time zone"):
        Cron("@daily", time_zone)


def test_every_so_often_is_a_fixed_grid() -> None:
    start = datetime(2026, 1, 1, 12, 0, 0, 1, tzinfo=UTC)
    assert [tick.minute for tick in ticks_of(Every(timedelta(minutes=20)), start, start + timedelta(hours=1))] == [
        20,
        40,
        0,
    ]
    assert Every(60).next_after(datetime(2026, 1, 1, 12, tzinfo=UTC)) == datetime(2026, 1, 1, 12, 1, tzinfo=UTC)
    assert Every(86_400).next_after(start) == datetime(2026, 1, 2, tzinfo=UTC)


@given(seconds=st.floats(min_value=1, max_value=366 * 86_400), moment=st.datetimes(min_value=datetime(1970, 1, 1)))  # noqa: DTZ001
@example(seconds=1.1, moment=datetime(2026, 1, 1))  # noqa: DTZ001
def test_every_tick_is_one_step_after_the_last(seconds: float, moment: datetime) -> None:
    if moment.year > 9_990:
        return
    every, step = Every(seconds), timedelta(seconds=seconds)
    first = every.next_after(moment.replace(tzinfo=UTC))
    assert first is not None
    assert timedelta(0) < first - moment.replace(tzinfo=UTC) <= step
    assert every.next_after(first) == first + step


@pytest.mark.parametrize("seconds", [0, 0.5, -1, float("nan"), float("inf"), timedelta(days=400), True, "60", None])
def test_a_distance_that_makes_no_sense_is_refused(seconds: float) -> None:
    with pytest.raises(ConfigurationError, match="seconds must be"):
        Every(seconds)


@pytest.mark.parametrize(
    ("timetable", "next_at", "last_at", "now", "expected"),
    [
        # A clock that never was ahead changes nothing.
        (Every(3600), "01T13:00", "01T12:00", "01T12:30", "01T13:00"),
        (Cron("0 3 * * *"), "02T03:00", None, "01T03:00", "02T03:00"),
        # One that was ahead for long: on at once, or at the tick after the next, if there was one not long ago.
        (Every(3600), "31T13:00", "31T12:00", "01T12:30", "01T14:00"),
        (Every(3600), "31T13:00", None, "01T12:30", "01T13:00"),
        (Cron("*/5 * * * *"), "01T13:10", "01T13:05", "01T12:07", "01T12:15"),
        (Cron("30 * * * *"), "01T15:30", "01T14:30", "01T12:07", "01T13:30"),
        # By a moment: no two ticks come closer than they should.
        (Every(3600), "01T13:00", "01T12:00", "01T11:59", "01T13:00"),
        (Cron("* * * * *"), "01T12:01", "01T12:00", "01T11:59", "01T12:01"),
        # Certain times of a day have had their tick of this day.
        (Cron("0 3 * * *"), "02T03:00", "01T03:00", "01T02:30", "02T03:00"),
        (Cron("0 3,15 * * *"), "02T03:00", "01T15:00", "01T14:00", "02T03:00"),
        (Cron("0 3 * * *"), "02T03:00", None, "01T02:30", "01T03:00"),
        # Unless the clock was quite wrong.
        (Cron("0 3 * * *"), "31T03:00", "30T03:00", "01T02:30", "01T03:00"),
    ],
)
def test_what_a_schedule_goes_on_with_after_the_clock_was_set_back(
    timetable: Timetable, next_at: str, last_at: str | None, now: str, expected: str
) -> None:
    before = None if last_at is None else read_moment(last_at)
    found = next_after_setting(timetable, read_moment(next_at), before, read_moment(now))
    assert found == read_moment(expected)


def read_moment(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-07-{text}").replace(tzinfo=UTC)


def test_policies_are_words_or_names() -> None:
    assert Cron("@daily", missed="skip", overlap="wait") == Cron(
        "@daily", missed=MissedTicks.SKIP, overlap=Overlap.WAIT
    )
    assert Every(60).missed is MissedTicks.ONCE
    assert Every(60, overlap="allow").overlap is Overlap.ALLOW
    with pytest.raises(ConfigurationError, match="missed must be skip or once or all, not 'twice'"):
        Cron("@daily", missed="twice")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="overlap must be"):
        Every(60, overlap=None)  # type: ignore[arg-type]


def test_jobs_for_all_missed_ticks_cannot_skip_each_other() -> None:
    with pytest.raises(ConfigurationError, match="overlap must be wait or allow where missed is all"):
        Cron("@daily", missed="all")
    assert Every(60, missed="all", overlap="wait").missed is MissedTicks.ALL


@pytest.mark.parametrize(
    "timetable",
    [
        Cron("0 3 * * *", "Europe/Berlin"),
        Cron("@daily", missed="all", overlap="allow"),
        Every(1.5),
        Every(timedelta(hours=1), missed="skip", overlap="wait"),
    ],
)
def test_a_timetable_is_the_same_after_it_was_written(timetable: Timetable) -> None:
    assert load_timetable(dump_timetable(timetable)) == timetable


def test_timetables_that_say_the_same_are_equal() -> None:
    assert Every(timedelta(minutes=1)) == Every(60)
    assert Cron("@daily") != Cron("@daily", "Europe/Berlin")
    assert Cron("@daily") != Cron("@daily", overlap="wait")
    assert len({Cron("@daily"), Cron("@daily", "UTC"), Every(60), Every(60.0)}) == 2
