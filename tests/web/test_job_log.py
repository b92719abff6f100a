"""The log on a job's page: it follows, finds, filters, and stays small in the page however long it is."""

import re
from pathlib import Path

from playwright.sync_api import Locator, Route, expect

from tests.needs import needs
from tests.web.conftest import Dashboard, Tab
from tests.web.test_job_page import finish, start, tell

pytestmark = needs("chromium")
APP = "tests.web.job_apps:app"

SCROLL_TO_THE_TOP = """() => {
  document.querySelector('.log-lines').scrollTop = 0;
  return !document.querySelector('.log-check input').checked;
}"""
"""Until it is heeded: what was drawn just before can lead to the end again."""
DISTANCE_TO_THE_END = "(lines) => lines.scrollHeight - lines.scrollTop - lines.clientHeight"
IS_AT_THE_END = f"({DISTANCE_TO_THE_END})(document.querySelector('.log-lines')) <= 8"


def lines_of(tab: Tab) -> Locator:
    return tab.page.get_by_role("region", name="Lines of the log")


def test_the_log_is_followed_until_a_reader_scrolls_up(tab: Tab, dashboard: Dashboard) -> None:
    job_id = start(dashboard, ["flood", 200, 40])
    tab.open(job_id)
    lines = lines_of(tab)
    expect(lines).to_contain_text("line 199 ")
    tab.page.wait_for_function(IS_AT_THE_END)
    tab.page.wait_for_function(SCROLL_TO_THE_TOP)
    follow = tab.page.get_by_label("follow")
    expect(follow).not_to_be_checked()
    tell(dashboard, job_id, *[["log", f"later {number}"] for number in range(41)])
    pill = tab.page.get_by_role("button", name="↓ 41 new")
    expect(pill).to_be_visible()
    assert lines.evaluate("(lines) => lines.scrollTop") == 0
    pill.click()
    expect(pill).to_be_hidden()
    expect(follow).to_be_checked()
    tab.page.wait_for_function(IS_AT_THE_END)
    tell(dashboard, job_id, ["log", "the very last"])
    expect(lines.get_by_text("the very last")).to_be_in_viewport()


def test_text_is_found_in_the_log(tab: Tab, dashboard: Dashboard) -> None:
    job_id = start(dashboard, ["log", "needle one"], ["flood", 400, 30], ["log", "NEEDLE two, needle"])
    tab.open(job_id)
    lines = lines_of(tab)
    expect(lines).to_contain_text("NEEDLE two")
    field = tab.page.get_by_label("Find in the log")
    field.fill("needle")
    hits = tab.page.locator(".log-hits")
    expect(hits).to_have_text("2 of 2")
    expect(lines.locator(".current mark")).to_have_count(2)
    field.press("Enter")
    expect(hits).to_have_text("1 of 2")
    expect(lines.get_by_text("needle one")).to_be_in_viewport()
    tab.page.get_by_role("button", name="Previous match").click()
    expect(hits).to_have_text("2 of 2")
    expect(lines.locator(".current")).to_be_in_viewport()
    tell(dashboard, job_id, ["log", "a third needle"])
    expect(hits).to_have_text("2 of 3")
    field.press("Escape")
    expect(hits).to_have_text("")
    assert tab.page.url.endswith(job_id)  # Escape has emptied the field, and nothing more


def test_less_serious_lines_are_left_out(tab: Tab, dashboard: Dashboard) -> None:
    job_id = start(dashboard, ["flood", 200, 20], ["log", "broken", "error"], ["log", "fine", "info"])
    tab.open(job_id)
    expect(lines_of(tab)).to_contain_text("fine")
    tab.page.get_by_label("Least level").select_option("warning")
    expect(lines_of(tab).locator(".log-line")).to_have_count(3)  # of the flood, each hundredth is a warning
    tell(dashboard, job_id, ["log", "still fine"], ["log", "broken again", "critical"])
    expect(lines_of(tab).locator(".log-line")).to_have_count(4)
    expect(tab.page.locator(".log-count")).to_have_text("4 of 204")


def test_a_long_log_is_small_in_the_page(tab: Tab, dashboard: Dashboard) -> None:
    job_id = finish(dashboard, ["flood", 3_000, 200], ["return"])
    tab.open(job_id)
    expect(lines_of(tab)).to_contain_text("line 2999 ")
    tab.page.get_by_role("button", name=re.compile("^Load 2,000 earlier lines")).click()
    expect(tab.page.locator(".log-count")).to_have_text("3.0k")
    expect(tab.page.locator(".log-note:not(.log-lost)")).to_be_hidden()
    # As many as a log of the largest size has, without waiting for a job that writes them.
    tab.page.evaluate(
        """() => {
            const log = document.querySelector('job-log');
            const line = (number) => ({ number, at: '2026-01-01T00:00:00Z', attempt: 1, level: 'info', source: 'stdout',
                text: `number ${number} ${'y'.repeat(10_000 * (number % 1_000 === 0))}` });
            for (let start = 3_001; start <= 100_000; start += 1_000)
                log.add(Array.from({ length: 1_000 }, (_, index) => line(start + index)));
        }"""
    )
    for wrap in (False, True):
        tab.page.get_by_label("wrap").set_checked(wrap)
        for place in (0.5, 0, 1):
            lines_of(tab).evaluate(
                "(lines, place) => { lines.scrollTop = place * (lines.scrollHeight - lines.clientHeight); }", place
            )
            expect(lines_of(tab).locator(".log-line:visible").first).to_be_visible()
            tab.page.wait_for_function("() => document.querySelectorAll('.log-line').length <= 1_000")
    assert tab.page.evaluate("document.documentElement.scrollWidth") == 1440


def test_the_whole_log_can_be_saved(tab: Tab, dashboard: Dashboard, tmp_path: Path) -> None:
    job_id = finish(dashboard, ["flood", 1_500, 20], ["log", "\x1b[31mred\x1b[0m"], ["return"])
    tab.open(job_id)
    expect(lines_of(tab)).to_contain_text("red")
    expect(lines_of(tab)).not_to_contain_text("[31m")
    with tab.page.expect_download() as download:
        tab.page.get_by_role("button", name="Download the whole log").click()
    assert download.value.suggested_filename == f"{job_id}.log"
    download.value.save_as(tmp_path / "log")
    saved = (tmp_path / "log").read_text().splitlines()
    assert len(saved) == 1_501
    assert saved[-1].endswith(" info red")


def test_what_cannot_be_done_with_a_log_is_said(tab: Tab, dashboard: Dashboard) -> None:
    tab.expected.append("503")
    tab.open(finish(dashboard, ["flood", 1_500, 20], ["return"]))
    expect(lines_of(tab)).to_contain_text("line 1499 ")
    earlier = tab.page.get_by_role("button", name="Load 500 earlier lines")
    expect(tab.page.get_by_label("follow")).to_be_checked()
    tab.page.route("**/$logs?**", lambda route: route.fulfill(status=503, json={"detail": "The disk is away."}))
    problem = tab.page.get_by_role("alert")
    earlier.click()
    expect(problem).to_have_text("Earlier lines cannot be read: The disk is away.")
    tab.page.get_by_role("button", name="Download the whole log").click()
    expect(problem).to_have_text("The log cannot be downloaded: The disk is away.")
    tab.page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")  # as without https
    tab.page.get_by_role("button", name="Copy the lines").click()
    expect(problem).to_have_text("The lines cannot be copied: the browser allows it only with https")
    tab.page.unroute("**/$logs?**")
    earlier.click()
    expect(tab.page.locator(".log-count")).to_have_text("1.5k")
    expect(problem).to_have_count(0)
    lines_of(tab).evaluate("(lines) => { lines.scrollTop = 0; }")
    expect(tab.page.get_by_label("follow")).not_to_be_checked()


def test_lines_that_are_not_kept_are_missed(tab: Tab, dashboard: Dashboard) -> None:
    tab.open(finish(dashboard, ["log", "only line"], ["return"]))
    expect(lines_of(tab)).to_contain_text("only line")
    tab.page.evaluate(
        """() => {
            const log = document.querySelector('job-log');
            const line = { at: '2026-01-01T00:00:00Z', attempt: 1, level: 'info', source: 'stdout' };
            const [later, again] = [{ ...line, number: 1_201 }, { ...line, number: 1_202, attempt: 2 }];
            log.add([{ ...later, text: 'after a gap' }, { ...again, text: 'once more' }]);
        }"""
    )
    expect(lines_of(tab)).to_contain_text("1,199 lines left out")
    expect(lines_of(tab)).to_contain_text("attempt 2")


def test_a_page_that_is_cut_off_comes_back_and_misses_nothing(tab: Tab, dashboard: Dashboard) -> None:
    job_id = start(dashboard, ["log", "before"])
    cut_off: list[Route] = []

    def cut_off_twice(route: Route) -> None:
        cut_off.append(route)
        if len(cut_off) > 2:
            route.continue_()
        else:
            tell(dashboard, job_id, ["log", f"meanwhile {len(cut_off)}"])
            route.fulfill(content_type="text/event-stream", body=": it ends at once\n\n")

    tab.page.route(re.compile(f"{job_id}/.*stream"), cut_off_twice)
    tab.open(job_id)
    expect(lines_of(tab).locator(".log-text")).to_have_text(["before", "meanwhile 1", "meanwhile 2"])
    tell(dashboard, job_id, ["progress", 1, 2], ["log", "after"])
    expect(lines_of(tab).locator(".log-text")).to_have_text(["before", "meanwhile 1", "meanwhile 2", "after"])
    expect(tab.page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "50")
    expect(tab.page.locator(".job-page.stale")).to_have_count(0)
