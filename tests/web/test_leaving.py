"""What stays of a page that was left: nothing."""

import re

from playwright.sync_api import Route, expect

from tests.needs import needs
from tests.web.conftest import Dashboard, Tab

pytestmark = needs("chromium")
APP = "tests.web.job_apps:app"


def finish(dashboard: Dashboard) -> str:
    """A job that has failed, so that it can be run again."""
    job_id = dashboard.submit("/train", json={"model": "xgb"})
    dashboard.client.post(f"/tell/{job_id}", json=[["raise", "no"]]).raise_for_status()
    dashboard.client.get(f"/api/v1/jobs/{job_id}", params={"wait": 60})
    return job_id


def test_an_answer_that_comes_after_its_page_was_left_brings_back_no_key(tab: Tab, dashboard: Dashboard) -> None:
    job_id = finish(dashboard)
    page = tab.page
    page.route("**/$calls?*", lambda route: None)  # never answered
    tab.open(job_id)
    expect(page.locator(".job-mark")).to_have_text("▲failed")
    page.locator("header nav").get_by_role("link", name="Queues").click()
    expect(page.get_by_role("heading", name="Queues", exact=True)).to_be_visible()
    expect(page).to_have_title(re.compile("^Queues"))
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("These keys")
    expect(page.get_by_role("dialog")).not_to_contain_text("this job")


def test_a_question_ends_with_the_page_that_asked_it(tab: Tab, dashboard: Dashboard) -> None:
    job_id = finish(dashboard)
    page = tab.page
    tab.open()
    page.get_by_role("row").filter(has_text="train").first.get_by_role("link").click()
    expect(page.locator(".job-mark")).to_have_text("▲failed")
    page.keyboard.press("Backspace")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("table", name="Jobs")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert dashboard.record(job_id)["status"] == "failed"


def test_a_key_that_is_held_down_runs_a_job_again_only_once(tab: Tab, dashboard: Dashboard) -> None:
    job_id = finish(dashboard)
    page = tab.page
    waiting: list[Route] = []
    page.route("**/$retry", lambda route: waiting.append(route))
    tab.open(job_id)
    expect(page.get_by_role("button", name="Retry")).to_be_visible()
    for _ in range(3):
        page.keyboard.down("r")
    page.keyboard.up("r")
    expect(page.get_by_role("button", name="Retry")).to_be_disabled()
    while not waiting:
        page.evaluate("new Promise(requestAnimationFrame)")
    waiting[0].continue_()
    expect(page.locator(".job-meta")).to_contain_text("repeats")
    assert len(waiting) == 1
