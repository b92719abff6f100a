"""`<activity-chart>` in a browser, with an answer of `$activity` whose numbers are known."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Locator, Route, expect

from tests.needs import FRONTEND, needs
from tests.web.axe import find_violations
from tests.web.conftest import Tab

pytestmark = needs("chromium")

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
NUMBERS = {"wait_p50": 0.4, "wait_p95": 2.0, "run_p50": 3.1, "run_p95": 41.0}
POINTS = 60
SHOW_CHART = """
async () => {
  const { Api, Keys } = await import('./assets/kit.js');
  await import('./assets/activity-chart.js');
  const api = new Api(location.href);
  const listeners = new Set();
  const live = { state: 'live', subscribe: (listener) => (listeners.add(listener), () => listeners.delete(listener)) };
  const change = { type: 'changes', records: new Map(), deleted: new Set() };
  window.change = () => listeners.forEach((listener) => listener(change));
  window.chart = document.createElement('activity-chart');
  window.chart.context = { api, service: await api.get('$service'), live, keys: new Keys(document) };
  window.ranges = [];
  window.chart.addEventListener('servicekit:range', ({ detail }) => window.ranges.push(detail));
  document.querySelector('main').prepend(window.chart);
}
"""


def point(minute: int, completed: int = 0, failed: int = 0, canceled: int = 0) -> dict[str, Any]:
    numbers: dict[str, Any] = NUMBERS if completed + failed + canceled else dict.fromkeys(NUMBERS)
    counts = {"completed": completed, "failed": failed, "canceled": canceled}
    return {"at": at(minute), "submitted": completed + failed + canceled, **counts, **numbers}


def at(minute: int) -> str:
    return (START + timedelta(minutes=minute)).isoformat().replace("+00:00", "Z")


def activity() -> dict[str, Any]:
    """Ten jobs a minute, but none in the first one, and eight failures of 48 in minute 40."""
    points = [point(0), *(point(minute, completed=10) for minute in range(1, POINTS))]
    points[40] = point(40, completed=36, failed=8, canceled=4)
    total = {
        "submitted": 628,
        "completed": 616,
        "failed": 8,
        "canceled": 4,
        "per_minute": 10.5,
        "failure_share": 8 / 628,
    }
    return {"from": at(0), "to": at(POINTS), "step_seconds": 60, "points": points, "total": total | NUMBERS}


class Chart:
    """The chart on a page of the dashboard, and what it has asked for."""

    def __init__(self, tab: Tab) -> None:
        self.tab = tab
        self.answer: Any = activity()
        self.status = 200
        self.queries: list[dict[str, list[str]]] = []
        tab.page.route("**/$activity*", self._respond)

    def show(self) -> None:
        self.tab.open("schedules")
        # The page puts its own parts in the place of all that is there, and does that before the chart comes.
        expect(self.tab.page.get_by_role("heading", name="Schedules")).to_be_visible()
        self.tab.page.evaluate(SHOW_CHART)

    def stop_clock(self) -> None:
        """Let no time go by on the page, unless the test says so."""
        self.tab.page.clock.install(time=START)
        self.tab.page.clock.pause_at(START + timedelta(seconds=1))

    @property
    def plot(self) -> Locator:
        return self.tab.page.get_by_role("slider")

    @property
    def readout(self) -> Locator:
        return self.tab.page.locator(".chart-readout")

    @property
    def ranges(self) -> list[Any]:
        found: list[Any] = self.tab.page.evaluate("window.ranges")
        return found

    def position(self, minute: int) -> Any:
        box = self.plot.bounding_box()
        assert box
        return {"x": box["width"] * (minute + 0.5) / POINTS, "y": box["height"] / 2}

    def _respond(self, route: Route) -> None:
        self.queries.append(parse_qs(urlsplit(route.request.url).query))
        route.fulfill(status=self.status, json=self.answer)


@pytest.fixture
def chart(tab: Tab) -> Chart:
    return Chart(tab)


def test_the_numbers_of_the_last_hour_stand_beside_the_bars(chart: Chart) -> None:
    chart.show()
    numbers = chart.tab.page.locator(".chart-numbers")
    for text in ("per minute10.5", "failed1.3 %", "p503.1 s", "p9541 s", "wait0.4 s"):
        expect(numbers).to_contain_text(text)
    chart.plot.hover(position=chart.position(40))
    expect(chart.readout).to_contain_text("36 completed · 4 canceled · 8 failed · p50 3.1 s · p95 41 s · wait 0.4 s")
    chart.plot.hover(position=chart.position(0))
    expect(chart.readout).to_contain_text("nothing ended")
    chart.tab.page.mouse.move(0, 0)
    expect(chart.readout).to_contain_text("at most 48 in a minute")


def test_bars_stand_on_each_other_and_a_single_failure_among_thousands_is_seen(chart: Chart) -> None:
    chart.answer["points"] = [point(0, completed=1), point(1, completed=9999, failed=1)]
    chart.show()
    bars = chart.tab.page.locator(".chart-completed, .chart-failed, .chart-canceled")
    expect(bars).to_have_count(3)
    paths = {
        "chart-failed": "M1.1 97h0.8v3h-0.8z",
        "chart-canceled": "",
        "chart-completed": "M0.1 97h0.8v3h-0.8zM1.1 0h0.8v97h-0.8z",
    }
    for name, path in paths.items():
        expect(chart.tab.page.locator(f".{name}")).to_have_attribute("d", path)


def test_dragging_chooses_a_time_and_the_choice_is_taken_back(chart: Chart) -> None:
    chart.show()
    expect(chart.readout).to_contain_text("at most 48 in a minute")
    chart.plot.hover(position=chart.position(20))
    chart.tab.page.mouse.down()
    chart.plot.hover(position=chart.position(10))
    chart.tab.page.mouse.up()
    assert chart.ranges == [{"after": at(10), "before": at(21)}]
    chart.tab.page.evaluate(
        "([after, before]) => { chart.setAttribute('after', after); chart.setAttribute('before', before); }",
        [at(10), at(21)],
    )
    chosen = chart.tab.page.locator(".chart-chosen")
    expect(chosen).to_have_attribute("x", "10")
    expect(chosen).to_have_attribute("width", "11")
    expect(chart.tab.page.get_by_role("status")).to_have_text(
        re.compile(r"^Jobs submitted 2026-03-01 \d\d:10 to \d\d:21$")
    )
    expect(chart.tab.page.locator(".chart-clear")).to_have_text(
        re.compile(r"^× submitted 2026-03-01 \d\d:10 to \d\d:21$")
    )
    chart.tab.page.get_by_role("button", name="Show all times again").click()
    assert chart.ranges[1:] == [{"after": None, "before": None}]


def test_a_chosen_time_has_its_date_unless_that_is_today(chart: Chart) -> None:
    chart.stop_clock()
    chart.show()
    words = """([after, before]) => {
      for (const [name, value] of Object.entries({ after, before })) {
        if (value) chart.setAttribute(name, value);
        else chart.removeAttribute(name);
      }
      return chart.querySelector('.chart-clear').textContent;
    }"""
    local = [f"2026-{day}T{time}:00" for day, time in (("02-28", "23:55"), ("03-01", "00:05"), ("03-01", "00:10"))]
    ranges = [[local[1], local[2]], [local[0], local[1]], [None, local[0]], [local[1], None]]
    assert [chart.tab.page.evaluate(words, each) for each in ranges] == [
        "× submitted 00:05 to 00:10",
        "× submitted 2026-02-28 23:55 to 00:05",
        "× submitted … to 2026-02-28 23:55",
        "× submitted 00:05 to now",
    ]


def test_a_time_is_chosen_by_keys(chart: Chart) -> None:
    chart.show()
    expect(chart.readout).to_contain_text("at most 48 in a minute")
    chart.plot.focus()
    keys = chart.tab.page.keyboard
    keys.press("ArrowLeft")
    expect(chart.plot).to_have_attribute("aria-valuenow", "59")
    keys.press("ArrowLeft")
    expect(chart.plot).to_have_attribute("aria-valuetext", chart.readout.inner_text())
    keys.press("Shift+ArrowLeft")
    keys.press("Shift+ArrowLeft")
    keys.press("Enter")
    assert chart.ranges == [{"after": at(56), "before": at(59)}]
    keys.press("Home")
    expect(chart.plot).to_have_attribute("aria-valuenow", "0")
    keys.press("Escape")
    assert chart.ranges[1:] == [{"after": None, "before": None}]


def test_the_same_is_told_by_a_table(chart: Chart) -> None:
    chart.show()
    expect(chart.readout).to_contain_text("at most 48 in a minute")
    chart.tab.page.keyboard.press("t")
    table = chart.tab.page.get_by_role("region", name="Activity as a table")
    expect(table.get_by_role("row")).to_have_count(POINTS + 1)
    row = table.get_by_role("row").nth(POINTS - 40)
    assert row.get_by_role("cell").all_inner_texts() == ["48", "36", "8", "4", "0.4 s", "2.0 s", "3.1 s", "41 s"]
    chart.tab.page.get_by_role("button", name="Table").click()
    expect(table).to_be_hidden()


def test_changes_are_read_at_most_every_five_seconds(chart: Chart) -> None:
    chart.stop_clock()
    chart.show()
    expect(chart.readout).to_contain_text("at most 48 in a minute")
    chart.answer["points"][40] = point(40, completed=90)
    chart.tab.page.evaluate("for (let count = 0; count < 100; count += 1) window.change()")
    chart.tab.page.clock.run_for(4000)
    assert len(chart.queries) == 1
    chart.tab.page.clock.run_for(2000)
    expect(chart.readout).to_contain_text("at most 90 in a minute")
    assert chart.queries == [{"minutes": ["60"]}] * 2


def test_it_is_narrowed_to_a_name_and_a_queue(chart: Chart) -> None:
    chart.show()
    expect(chart.readout).to_contain_text("at most 48 in a minute")
    page = chart.tab.page
    with page.expect_request("**/$activity?minutes=60&name=train"):
        page.evaluate("chart.setAttribute('name', 'train')")
    with page.expect_request("**/$activity?minutes=15&name=train"):
        page.get_by_label("Time of the chart").select_option("15")
    with page.expect_request("**/$activity?minutes=15&name=train&queue=ml"):
        page.evaluate("chart.setAttribute('queue', 'ml')")


def test_the_chart_of_the_list_follows_the_search_and_narrows_it(chart: Chart) -> None:
    page = chart.tab.page
    with page.expect_request("**/$activity?minutes=60&name=train&queue=a+b"):
        chart.tab.open("?q=name:train queue:%22a b%22 status:failed")
    expect(chart.readout).to_contain_text("at most 48 in a minute")
    chart.plot.click(position=chart.position(30))
    expect(page).to_have_url(re.compile("status%3Afailed"))
    query = parse_qs(urlsplit(page.url).query)["q"]
    assert query == [f'name:train queue:"a b" status:failed after:{at(30)} before:{at(31)}']
    expect(page.locator(".chart-chosen")).to_have_attribute("x", "30")
    page.get_by_role("button", name="Show all times again").click()
    expect(page.locator(".chart-chosen")).to_have_attribute("width", "0")
    assert parse_qs(urlsplit(page.url).query)["q"] == ['name:train queue:"a b" status:failed']


def test_the_list_that_is_opened_with_a_search_never_asks_for_the_numbers_of_all_jobs(chart: Chart) -> None:
    chart.stop_clock()
    chart.tab.open("?q=name:train status:failed")
    expect(chart.readout).to_contain_text("at most 48 in a minute · not narrowed by status")
    assert chart.queries == [{"minutes": ["60"], "name": ["train"]}]


def test_an_answer_to_the_search_before_is_not_shown(chart: Chart) -> None:
    page = chart.tab.page
    chart.stop_clock()
    late: list[Route] = []
    page.route("**/$activity?minutes=60&name=slow", lambda route: late.append(route))
    with page.expect_request("**/$activity?minutes=60&name=slow"):
        chart.tab.open("?q=name:slow")
    search = page.get_by_role("combobox", name="Search jobs")
    search.fill("name:train ")
    search.press("Enter")
    expect(chart.readout).to_contain_text("at most 48 in a minute")
    assert chart.queries == [{"minutes": ["60"], "name": ["train"]}]


def test_on_a_phone_the_chart_is_one_line_of_numbers_and_the_bars(chart: Chart) -> None:
    chart.tab.page.set_viewport_size({"width": 390, "height": 844})
    chart.show()
    expect(chart.tab.page.locator(".chart-numbers")).to_contain_text("failed1.3 %")
    box = chart.tab.page.locator("activity-chart").bounding_box()
    assert box
    assert box["height"] <= 80


def test_who_may_not_see_it_has_a_list_without_it(chart: Chart) -> None:
    chart.tab.expected = ["403"]
    chart.status, chart.answer = 403, {"detail": "Not for you."}
    chart.show()
    expect(chart.tab.page.locator("activity-chart")).to_be_hidden()


@needs(FRONTEND)
def test_it_is_accessible_before_it_has_any_numbers(chart: Chart) -> None:
    chart.tab.page.route("**/$activity*", lambda route: None)
    chart.show()
    expect(chart.plot).to_be_attached()
    assert find_violations(chart.tab.page) == []


@needs(FRONTEND)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_accessible(chart: Chart, theme: Any) -> None:
    chart.tab.page.emulate_media(color_scheme=theme)
    chart.show()
    expect(chart.readout).to_contain_text("at most 48 in a minute")
    chart.tab.page.keyboard.press("t")
    expect(chart.tab.page.get_by_role("region", name="Activity as a table")).to_be_visible()
    assert find_violations(chart.tab.page) == []
