"""Many jobs at once: what can be marked, what is offered, the number first, and what was done."""

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.needs import FRONTEND, needs
from tests.web.axe import find_violations
from tests.web.conftest import Dashboard, Tab
from tests.web.test_list import row, rows, wait_until_live, wanted

pytestmark = needs("chromium")


@pytest.fixture(autouse=True)
def empty(dashboard: Dashboard) -> None:
    dashboard.clear()


def submit_many(dashboard: Dashboard, count: int) -> None:
    """So many jobs, all of which have ended: those that change meanwhile are left alone."""
    dashboard.submit("/noop", params={"count": count})
    for job in dashboard.client.get("/api/v1/jobs?status_filter=pending&status_filter=running&limit=1000").json():
        dashboard.client.get(f"/api/v1/jobs/{job['id']}", params={"wait": 60})


def counts(dashboard: Dashboard) -> dict[str, int]:
    found = dashboard.client.get("/api/v1/jobs/$stats").json()
    return {name: count for name, count in found.items() if count and name != "total"}


def open_list(tab: Tab, address: str = "") -> Page:
    tab.open(address)
    wait_until_live(tab.page)
    return tab.page


def test_marked_jobs_are_canceled_with_the_keyboard_alone(tab: Tab, dashboard: Dashboard) -> None:
    jobs = [dashboard.submit("/forever") for _ in range(3)]
    page = open_list(tab)
    expect(rows(page).filter(has_text="running")).to_have_count(3)
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    bar = page.get_by_role("region", name="Marked jobs")
    expect(bar).to_contain_text("2 marked")
    assert [each.inner_text() for each in bar.locator(".buttons button").all()] == ["Cancel c", "Delete ⌫"]
    page.keyboard.press("c")
    expect(page.get_by_role("dialog")).to_contain_text("Cancel 2 jobs?")
    expect(page.get_by_role("button", name="Cancel 2 jobs")).to_be_focused()
    assert counts(dashboard) == {"running": 3}
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    for job_id, word in zip(jobs, ("running", "canceled", "canceled"), strict=True):
        expect(row(page, job_id)).to_contain_text(word)
    assert counts(dashboard) == {"running": 1, "canceled": 2}
    expect(bar).to_be_hidden()


def test_only_what_has_an_effect_is_offered(tab: Tab, dashboard: Dashboard) -> None:
    [done] = dashboard.seed()
    failed = wanted(dashboard, error="no")
    page = open_list(tab)
    buttons = page.get_by_role("region", name="Marked jobs").locator(".buttons button")
    row(page, done).get_by_role("checkbox").check()
    expect(buttons).to_have_text(["Delete ⌫"])
    row(page, failed).get_by_role("checkbox").check()
    expect(buttons).to_have_text(["Retry r", "Delete ⌫"])
    page.keyboard.press("c")
    page.keyboard.press("r")  # whose question comes after that of the key before, if there were one
    expect(page.get_by_role("dialog", name="Retry at most 1 job?")).to_be_visible()
    expect(page.locator("dialog")).to_have_count(1)
    page.get_by_role("button", name="Retry at most 1 job").click()
    expect(page.get_by_role("dialog")).to_contain_text("1 submitted again.")
    page.get_by_role("button", name="Close").last.click()
    expect(rows(page)).to_have_count(3)


def test_a_retry_says_why_jobs_were_skipped(tab: Tab, dashboard: Dashboard) -> None:
    failed = wanted(dashboard, error="no")
    dashboard.client.post("/api/v1/jobs/$retry", params={"id": failed}).raise_for_status()
    page = open_list(tab)
    row(page, failed).get_by_role("checkbox").check()
    page.keyboard.press("r")
    page.get_by_role("button", name="Retry at most 1 job").click()
    expect(page.get_by_role("dialog")).to_contain_text("1 skipped: submitted again before, or changed meanwhile.")


def test_a_range_and_all_rows_are_marked(tab: Tab, dashboard: Dashboard) -> None:
    jobs = dashboard.seed(count=5)
    page = open_list(tab)
    row(page, jobs[4]).get_by_role("checkbox").check()
    row(page, jobs[2]).get_by_role("checkbox").click(modifiers=["Shift"])
    bar = page.get_by_role("region", name="Marked jobs")
    expect(bar).to_contain_text("3 marked")
    page.get_by_role("checkbox", name="Select all rows").check()
    expect(bar).to_contain_text("5 marked")
    expect(bar).not_to_contain_text("Mark all")  # there are no others
    page.keyboard.press("Escape")
    expect(bar).to_be_hidden()
    expect(page.get_by_role("checkbox", checked=True)).to_have_count(0)


def test_rows_stay_while_some_are_marked(tab: Tab, dashboard: Dashboard) -> None:
    kept = dashboard.submit("/forever")
    page = open_list(tab, "?q=status:running")
    row(page, kept).get_by_role("checkbox").check()
    page.get_by_role("combobox", name="Search jobs").focus()
    page.mouse.move(5, 5)
    dashboard.submit("/forever")
    expect(page.get_by_role("button", name="1 new")).to_be_visible()
    dashboard.client.post(f"/api/v1/jobs/{kept}/$cancel")
    expect(row(page, kept)).to_have_attribute("data-departure", "unmatched")
    expect(row(page, kept).get_by_role("checkbox")).to_be_checked()


def test_everything_that_matches_is_deleted_in_steps_and_later_jobs_are_left_alone(
    tab: Tab, dashboard: Dashboard
) -> None:
    submit_many(dashboard, 450)
    kept = wanted(dashboard, name="other")
    page = open_list(tab, "?q=name:noop")
    rows(page).first.get_by_role("checkbox").check()
    page.get_by_role("button", name=re.compile("Mark all 450 that match name:noop")).click()
    expect(page.get_by_role("region", name="Marked jobs")).to_contain_text("All 450 marked")
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("dialog")).to_contain_text("Delete 450 jobs?")
    expect(page.get_by_role("button", name="Leave it")).to_be_focused()
    [later] = dashboard.seed()
    asked = len(tab.requests)
    page.get_by_role("button", name="Delete 450 jobs").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert len([each for each in tab.requests[asked:] if "$delete?" in each]) == 3
    left = {job["id"] for job in dashboard.client.get("/api/v1/jobs", params={"limit": 1000}).json()}
    assert left == {kept, later}
    assert page.url.endswith("?q=name:noop")  # the search is kept
    page.mouse.move(5, 5)
    expect(rows(page)).to_have_count(1)
    expect(row(page, later)).to_be_visible()


@pytest.mark.parametrize("way", ["Stop", "Escape"])
def test_what_is_going_on_can_be_stopped(tab: Tab, dashboard: Dashboard, way: str) -> None:
    submit_many(dashboard, 450)
    page = open_list(tab)
    waiting = list[Route]()
    page.get_by_role("checkbox", name="Select all rows").check()
    page.get_by_role("button", name="Mark all 450").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("dialog")).to_contain_text("Delete 450 jobs?")
    page.route("**/$delete?**", lambda route: waiting.append(route))
    with page.expect_request("**/$delete?**"):
        page.get_by_role("button", name="Delete 450 jobs").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("0 of 450")
    if way == "Stop":
        dialog.get_by_role("button", name="Stop").click()
    else:
        page.keyboard.press("Escape")
    while not waiting:
        page.wait_for_timeout(10)
    waiting[0].continue_()
    expect(dialog).to_contain_text("200 deleted. Stopped before the end.")
    assert counts(dashboard) == {"completed": 250}


def test_an_action_that_fails_tells_how_far_it_came(tab: Tab, dashboard: Dashboard) -> None:
    tab.expected.append("503")
    dashboard.seed()
    page = open_list(tab)
    rows(page).first.get_by_role("checkbox").check()
    page.keyboard.press("Backspace")
    expect(page.get_by_role("dialog")).to_contain_text("Delete 1 job?")
    expect(page.get_by_role("dialog").get_by_role("listitem")).to_have_text(re.compile("^noop"))
    page.route("**/$delete?**", lambda route: route.fulfill(status=503, json={"detail": "The disk is full."}))
    page.get_by_role("button", name="Delete 1 job").click()
    expect(page.get_by_role("dialog")).to_contain_text("0 deleted. Then it failed: The disk is full.")
    assert counts(dashboard) == {"completed": 1}


@needs(FRONTEND)
def test_the_dialog_breaks_no_rule_of_accessibility(phone: Tab, dashboard: Dashboard) -> None:
    dashboard.submit("/forever")
    page = open_list(phone)
    rows(page).first.get_by_role("checkbox").check()
    expect(page.get_by_role("region", name="Marked jobs")).to_be_visible()
    assert find_violations(page) == []
    box = page.get_by_role("button", name="Cancel").bounding_box()
    assert box
    assert box["height"] >= 44
    page.get_by_role("button", name="Cancel").tap()
    expect(page.get_by_role("dialog")).to_contain_text("Cancel 1 job?")
    assert find_violations(page) == []
